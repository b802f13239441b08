"""The admin API from a shell: one request, its answer, and failures that say what to do.

Rule: nothing here raises to the user but `click.ClickException`; a traceback is a bug.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import click
import httpx

from gateway.commands.failures import fail

DEFAULT_URL = "http://127.0.0.1:8081"
_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
_NO_LIMIT = httpx.Timeout(5.0, read=None)
_DATA = "data: "


class AdminClient:
    """Speaks to one gateway's admin port."""

    def __init__(self, url: str, token: str | None) -> None:
        """Take the port's URL and, where it asks for one, a token."""
        self._url = url.rstrip("/")
        self._headers = {} if token is None else {"authorization": f"Bearer {token}"}

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON of an answer.

        Raises:
            ClickException: no answer, or one that is an error.
        """
        with self._said():
            answer = httpx.request(
                method,
                self._url + path,
                params=_given(query),
                json=body,
                headers={**self._headers, **_given(headers)},
                timeout=_TIMEOUT,
            )
            _refuse(answer)
            return answer.json()

    def succeeds(self, path: str) -> bool:
        """Say whether a GET is answered without an error.

        Raises:
            ClickException: no answer.
        """
        with self._said():
            return httpx.get(
                self._url + path, headers=self._headers, timeout=_TIMEOUT
            ).is_success

    def follow(self, path: str, query: Mapping[str, Any]) -> Iterator[Any]:
        """Yield the JSON of each event of a stream, until it ends."""
        with (
            self._said(),
            httpx.stream(
                "GET",
                self._url + path,
                params=_given(query),
                headers=self._headers,
                timeout=_NO_LIMIT,
            ) as answer,
        ):
            if answer.is_error:
                answer.read()
            _refuse(answer)
            failed = False
            for line in answer.iter_lines():
                if line.startswith("event: error"):
                    failed = True
                elif line.startswith(_DATA):
                    event = json.loads(line.removeprefix(_DATA))
                    if failed:
                        fail(event["detail"])
                    yield event

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            fail(f"{self._url!r} is not a URL; --admin-url looks like {DEFAULT_URL}")
        except httpx.ConnectError:
            fail(
                f"nothing answers at {self._url}: is the gateway running there?"
                " Start it with 'trtllm-gateway serve', or give its --admin-url"
            )
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
            fail(f"the gateway at {self._url} did not answer: {why}")
        except ValueError:
            fail(f"what answers at {self._url} is not a gateway's admin port")


def _refuse(answer: httpx.Response) -> None:
    if not answer.is_error:
        return
    try:
        problem = answer.json()
        detail, nearest = problem["detail"], problem.get("nearest")
    except (ValueError, KeyError, TypeError, AttributeError):
        fail(f"{answer.url} answered {answer.status_code}; is it a gateway's admin port?")
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        detail += "; give --token-file or set TRTGW_ADMIN_TOKEN"
    fail(f"{detail}; {nearest}" if nearest else detail)


def _given(values: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (values or {}).items() if value is not None}


def with_admin(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``--admin-url`` and ``--token-file``, and the client made of them."""

    @wraps(function)
    def command(*, admin_url: str, token_file: Path | None, **rest: object) -> None:
        function(connect(admin_url, token_file, os.environ), **rest)

    for option in (
        click.option(
            "--token-file",
            type=click.Path(path_type=Path, dir_okay=False),
            help="File with an admin token; else TRTGW_ADMIN_TOKEN holds the token itself.",
        ),
        click.option(
            "--admin-url",
            envvar="TRTGW_ADMIN_URL",
            default=DEFAULT_URL,
            show_default=True,
            show_envvar=True,
            help="Admin port of the gateway.",
        ),
    ):
        command = option(command)
    return command


def connect(admin_url: str, token_file: Path | None, environ: Mapping[str, str]) -> AdminClient:
    """Return a client; the file wins over the environment.

    Raises:
        ClickException: the token's file cannot be read.
    """
    token = environ.get("TRTGW_ADMIN_TOKEN")
    if token_file is not None:
        try:
            token = token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            fail(f"cannot read the token in {token_file}: {error}")
    return AdminClient(admin_url, token)
