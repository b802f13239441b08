"""Speak to the control routes of one ``trtllm-serve``, off the path of requests.

Three of them give each fact once: ``/metrics``, ``/perf_metrics`` and ``/kv_cache_events``
empty what they report, so one reader only may call them.
"""

import asyncio
from typing import Any

import httpx

from backends.trtllm.answers import (
    Health,
    KvEvent,
    RequestTimings,
    read_kv_events,
    read_logprobs,
    read_timings,
)
from backends.trtllm.era import Era, judge_era
from backends.trtllm.load import EngineLoad, load_from_iterations, load_from_prometheus

_NOT_FOUND = 404
_KEEPALIVE_S = 2.0
"""Well below the 5 s after which the server closes an idle connection without a word."""
_BODY_SHOWN = 300


class Unreachable(Exception):  # noqa: N818 - names the condition
    """No answer came: it loads, hangs, or is gone."""


class TimedOut(Unreachable):
    """Nothing came in time."""


class UnexpectedAnswer(Exception):  # noqa: N818 - names the condition
    """It answered, and not as ``trtllm-serve`` does."""


class NoSuchRoute(UnexpectedAnswer):
    """It has no such route: it was started for another task."""


def control_client() -> httpx.AsyncClient:
    """Return an HTTP client fit for `TrtllmClient`, shared by many and closed by the caller."""
    limits = httpx.Limits(
        max_connections=None, max_keepalive_connections=64, keepalive_expiry=_KEEPALIVE_S
    )
    return httpx.AsyncClient(limits=limits, trust_env=False, follow_redirects=False)


class TrtllmClient:
    """One replica's control routes.

    Every method raises `Unreachable` when nothing answers in time, and those that return facts
    `UnexpectedAnswer` when the answer is none.
    """

    def __init__(self, http: httpx.AsyncClient, url: str, *, timeout_s: float = 5.0) -> None:
        """Speak to ``url`` (no slash at the end); ``timeout_s`` is for each whole call."""
        self._http = http
        self._url = url
        self._timeout_s = timeout_s

    async def health(self) -> Health:
        """Ask ``/health``; before era main, 200 says that the HTTP server runs and no more."""
        answer = await self._ask("GET", "/health")
        if answer.is_success:
            return Health(ok=True, status=answer.status_code)
        return Health(ok=False, status=answer.status_code, message=_shown(answer))

    async def version(self) -> str | None:
        """Return what ``/version`` says; None where the answer holds no version."""
        answer = await self._ask("GET", "/version")
        body = _json(answer) if answer.is_success else None
        version = body.get("version") if isinstance(body, dict) else None
        return version if isinstance(version, str) else None

    async def era(self) -> Era:
        """Find out which era's contract it speaks; takes up to three calls."""
        version = await self.version()
        info = await self._ask("GET", "/server_info")
        if info.is_success:
            body = _json(info)
            return judge_era(version, body if isinstance(body, dict) else {}, has_clock=None)
        clock = await self._ask("GET", "/steady_clock_offset")
        return judge_era(version, None, has_clock=clock.status_code != _NOT_FOUND)

    async def models(self) -> tuple[str, ...]:
        """Return the model ids that ``/v1/models`` names: one, its own."""
        body = _json(await self._fact("GET", "/v1/models"))
        cards = body.get("data") if isinstance(body, dict) else None
        if not isinstance(cards, list):
            raise UnexpectedAnswer(f"{self._url}/v1/models: no list of models in {body!r:.200}")
        return tuple(
            str(card["id"]) for card in cards if isinstance(card, dict) and "id" in card
        )

    async def health_generate(self, *, timeout_s: float) -> None:
        """Ask ``/health_generate``: one token of a chat, behind all else that runs.

        It has no time limit of its own: it hangs where the engine does.

        Raises:
            NoSuchRoute: it has no such route.
            UnexpectedAnswer: nothing was generated.
        """
        answer = await self._ask("GET", "/health_generate", timeout_s=timeout_s)
        if not answer.is_success:
            kind = NoSuchRoute if answer.status_code == _NOT_FOUND else UnexpectedAnswer
            what = f"status {answer.status_code}: {_shown(answer)}"
            raise kind(f"{self._url}/health_generate: {what}")

    async def generate(self, model: str, *, timeout_s: float) -> None:
        """Have it generate one token: the only proof that the engine works.

        Raises:
            NoSuchRoute: it generates nothing.
            UnexpectedAnswer: it refused, or answered without a token.
        """
        request = {"model": model, "prompt": "hi", "max_tokens": 1, "temperature": 0}
        answer = await self._ask("POST", "/v1/completions", json=request, timeout_s=timeout_s)
        self._check(answer, "choices", "no token came of one asked for")

    async def greedy(
        self, model: str, prompt: str, tokens: int, *, timeout_s: float
    ) -> tuple[tuple[str, ...], tuple[float, ...]]:
        """Complete ``prompt`` greedily; return up to ``tokens`` tokens and their logprobs.

        Raises:
            NoSuchRoute: it generates nothing.
            UnexpectedAnswer: it refused, or gave no log probabilities.
        """
        request = {
            "model": model,
            "prompt": prompt,
            "max_tokens": tokens,
            "temperature": 0,
            "logprobs": 1,
        }
        answer = await self._ask("POST", "/v1/completions", json=request, timeout_s=timeout_s)
        self._check(answer, "choices", "no completion came")
        found = read_logprobs(_json(answer))
        if found is None:
            raise UnexpectedAnswer(f"{self._url}: its completions have no log probabilities")
        return found

    async def embed(self, model: str, *, timeout_s: float) -> None:
        """Have it embed one word: the same proof of a server of embeddings.

        Raises:
            NoSuchRoute: it embeds nothing.
            UnexpectedAnswer: it refused, or answered without an embedding.
        """
        request = {"model": model, "input": "hi"}
        answer = await self._ask("POST", "/v1/embeddings", json=request, timeout_s=timeout_s)
        self._check(answer, "data", "no embedding came of one asked for")

    def _check(self, answer: httpx.Response, name: str, missing: str) -> None:
        body = _json(answer) if answer.is_success else None
        if not isinstance(body, dict) or not body.get(name):
            kind = NoSuchRoute if answer.status_code == _NOT_FOUND else UnexpectedAnswer
            what = f"status {answer.status_code}: {_shown(answer)}"
            raise kind(f"{self._url}: {missing}; {what}")

    async def iterations(self) -> list[Any]:
        """Drain ``/metrics``: one object per iteration; empty when idle or not switched on.

        An empty list takes the server up to 2 s.
        """
        body = _json(await self._fact("GET", "/metrics"))
        return body if isinstance(body, list) else []

    async def prometheus(self) -> str | None:
        """Return the text of ``/prometheus/metrics``; None where it is not switched on."""
        # With the slash: the server mounts it and redirects from the path without one.
        answer = await self._ask("GET", "/prometheus/metrics/")
        if answer.status_code == _NOT_FOUND:
            answer = await self._ask("GET", "/prometheus/metrics")
        return answer.text if answer.is_success else None

    async def load(self) -> EngineLoad | None:
        """Return the engine's load: from the gauges, which drain nothing, else `iterations`.

        None when it tells nothing new.
        """
        text = await self.prometheus()
        load = load_from_prometheus(text) if text is not None else None
        return load or load_from_iterations(await self.iterations())

    async def perf_metrics(self) -> list[RequestTimings]:
        """Drain ``/perf_metrics``; empty where the release or the configuration has none."""
        answer = await self._ask("GET", "/perf_metrics")
        return read_timings(_json(answer)) if answer.is_success else []

    async def kv_events(self) -> list[KvEvent]:
        """Drain ``/kv_cache_events``; empty where they are not switched on; takes up to 2 s."""
        answer = await self._ask("POST", "/kv_cache_events")
        return read_kv_events(_json(answer)) if answer.is_success else []

    async def _fact(self, method: str, path: str) -> httpx.Response:
        answer = await self._ask(method, path)
        if not answer.is_success:
            raise UnexpectedAnswer(
                f"{self._url}{path}: status {answer.status_code}: {_shown(answer)}"
            )
        return answer

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        json: dict[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> httpx.Response:
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                return await self._http.request(
                    method, f"{self._url}{path}", json=json, timeout=None
                )
        except TimeoutError:
            raise TimedOut(f"{self._url}{path}: no answer within {timeout_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable(f"{self._url}{path}: {_words(error)}") from error


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def _json(answer: httpx.Response) -> Any:  # noqa: ANN401 - whatever the server sent
    try:
        return answer.json()
    except ValueError:
        raise UnexpectedAnswer(f"{answer.request.url}: not JSON: {_shown(answer)}") from None


def _shown(answer: httpx.Response) -> str:
    return " ".join(answer.text.split())[:_BODY_SHOWN]
