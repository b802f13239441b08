"""Error bodies, in the shapes that each era gives them.

No error of ``trtllm-serve`` has OpenAI's nested shape, and internal faults are 400 like the
client's own: a proxy in front must tell them apart by their text.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from pydantic import BaseModel, ValidationError

from backends.simulator.dialects import Dialect

SERVER_FILE = "/usr/local/lib/python3.12/dist-packages/tensorrt_llm/serve/openai_server.py"
"""Where newer FastAPI says that the endpoint is; the line is left out, as it is not known."""


class Refused(Exception):  # noqa: N818 - names the condition
    """A request that is answered with an error before anything was generated."""

    def __init__(self, status: int, body: bytes) -> None:
        """Keep the reply as it will be sent."""
        super().__init__(body.decode())
        self.status = status
        self.body = body


def flat_error(message: str, *, kind: str = "BadRequestError", code: int = 400) -> bytes:
    """Render the server's own error body; ``code`` is a number and nothing is nested."""
    return msgspec.json.encode(
        {"object": "error", "message": message, "type": kind, "param": None, "code": code}
    )


def bad_request(message: str) -> Refused:
    """Refuse as the server does for any exception before streaming."""
    return Refused(400, flat_error(message))


def parse_json(body: bytes) -> object:
    """Decode a body as FastAPI does.

    Raises:
        Refused: bytes that are not text, or nesting without end; FastAPI answers by itself.
        json.JSONDecodeError: it is not JSON.
    """
    try:
        value: object = json.loads(body)
    except json.JSONDecodeError:
        raise
    except (UnicodeDecodeError, RecursionError) as wrong:
        detail = b'{"detail":"There was an error parsing the body"}'
        raise Refused(400, detail) from wrong
    return value


def check_body(
    body: bytes, model: type[BaseModel], dialect: Dialect, path: str, *, is_json: bool = True
) -> Mapping[str, Any]:
    """Decode and check a request body; return its fields, defaults filled in.

    Args:
        body: as it came.
        model: of `schema.request_model`.
        dialect: decides the shape of the refusal.
        path: of the endpoint, which newer refusals mention.
        is_json: False when the content type says that it is something else.

    Raises:
        Refused: with the body that this era gives to a schema violation.
    """
    try:
        value = parse_json(body) if is_json and body else body or None
    except json.JSONDecodeError as wrong:
        error = {
            "type": "json_invalid", "loc": ("body", wrong.pos), "msg": "JSON decode error",
            "input": {}, "ctx": {"error": wrong.msg},
        }  # fmt: skip
        raise schema_violation([error], dialect, path) from wrong
    if value is None:
        missing = {"type": "missing", "loc": ("body",), "msg": "Field required", "input": None}
        raise schema_violation([missing], dialect, path)
    try:
        return dict(model.model_validate(value, from_attributes=True))
    except ValidationError as wrong:
        found = wrong.errors(include_url=False)
        errors = [{**error, "loc": ("body", *error["loc"])} for error in found]
        raise schema_violation(errors, dialect, path) from wrong


def schema_violation(errors: Sequence[Any], dialect: Dialect, path: str) -> Refused:
    """Refuse with FastAPI's list of errors: as text in a flat body, or under ``error``."""
    if dialect.errors_as_list:
        return bad_request(str(list(errors)))
    many = "" if len(errors) == 1 else "s"
    lines = "".join(f"  {error}\n" for error in errors)
    place = f'\n  File "{SERVER_FILE}"\n    POST {path}'
    text = f"{len(errors)} validation error{many}:\n{lines}{place}"
    return Refused(400, msgspec.json.encode({"error": text}))
