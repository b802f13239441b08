"""The models that check request bodies, built from the tables of `request_fields`.

Unknown fields are errors, but for a few bodies of the newest era. The models are built with
pydantic, as the server's are, so the error lists that clients see have the original's very
words.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from backends.simulator import request_fields as fields
from backends.simulator.request_fields import ALL, FieldRow

Body = Mapping[str, Any]
Check = Callable[[Body], str | None]
"""Looks at the raw body before its fields are checked; returns what is wrong."""


def _stream_options(body: Body) -> str | None:
    if body.get("stream_options") is not None and not body.get("stream"):
        return "stream_options can only be set if stream is true"
    return None


def _filled_stream_options(body: Body) -> str | None:
    if body.get("stream_options") and not body.get("stream"):  # completions do not mind {}
        return "Stream options can only be defined when stream is true."
    return None


def _suffix(body: Body) -> str | None:
    return "suffix is not supported" if body.get("suffix") else None


def _best_of(body: Body) -> str | None:
    best_of, n = body.get("best_of"), body.get("n") or 1
    if isinstance(best_of, int) and isinstance(n, int) and best_of < n:
        return "best_of should not be smaller than n"
    return None


def _no_logprobs(body: Body) -> str | None:
    return "logprobs is not supported" if body.get("logprobs") else None


def _no_top_logprobs(body: Body) -> str | None:
    top = body.get("top_logprobs")
    wrong = isinstance(top, int) and top > 0
    return "top_logprobs is not supported" if wrong else None


def _logprobs_not_negative(body: Body) -> str | None:
    logprobs = body.get("logprobs")
    wrong = isinstance(logprobs, int) and logprobs < 0
    return "logprobs must be greater than or equal to 0" if wrong else None


def _top_needs_logprobs(body: Body) -> str | None:
    wrong = body.get("top_logprobs") and not body.get("logprobs")
    return "logprobs must be true when using top_logprobs" if wrong else None


def _named_tools_only(body: Body) -> str | None:
    choice = body.get("tool_choice")
    if choice is not None and choice != "none" and not isinstance(choice, dict):
        return "Currently only named tools are supported."
    return None


def _background_needs_store(body: Body) -> str | None:
    wrong = body.get("background") and not body.get("store", True)
    return "background can only be used when `store` is true" if wrong else None


def _no_prompt_template(body: Body) -> str | None:
    return "prompt template is not supported" if body.get("prompt") is not None else None


def _choice_needs_tools(body: Body) -> str | None:
    wrong = isinstance(body.get("tool_choice"), dict) and not body.get("tools")
    return "When using `tool_choice`, `tools` must be set." if wrong else None


CHECKS: Mapping[str, tuple[tuple[str, Check], ...]] = {
    "CompletionRequest": (
        (ALL, _filled_stream_options),
        ("AB", _no_logprobs),
        ("CE", _logprobs_not_negative),
        (ALL, _best_of),
        (ALL, _suffix),
    ),
    "ChatCompletionRequest": (
        (ALL, _stream_options),
        ("A", _named_tools_only),
        (ALL, _choice_needs_tools),
        ("AB", _no_top_logprobs),
        ("CE", _top_needs_logprobs),
        (ALL, _best_of),
    ),
    "ResponsesRequest": (
        (ALL, _background_needs_store),
        (ALL, _no_prompt_template),
    ),
}

_TABLES: Mapping[str, tuple[FieldRow, ...]] = {
    "CompletionRequest": fields.SAMPLING + fields.COMPLETION,
    "ChatCompletionRequest": fields.SAMPLING + fields.CHAT,
    "ResponsesRequest": fields.RESPONSES,
    "MessagesRequest": fields.MESSAGES,
    "CountTokensRequest": fields.COUNT_TOKENS,
    "EmbeddingRequest": fields.EMBEDDING,
    "TokenizeRequest": fields.TOKENIZE,
}
_OPEN: Mapping[str, str] = {
    "ResponsesRequest": "E",
    "MessagesRequest": "E",
    "CountTokensRequest": "E",
}
"""Bodies that may have unknown fields, and the eras that let them."""


@cache
def request_model(name: str, era: str) -> type[BaseModel]:
    """Build the model of a request body.

    Args:
        name: of a table, such as ``ChatCompletionRequest``.
        era: letter of a `Dialect`.
    """
    checks = [check for eras, check in CHECKS.get(name, ()) if era in eras]
    extra: Literal["allow", "forbid"] = "allow" if era in _OPEN.get(name, "") else "forbid"

    def run_checks(body: object) -> object:
        if isinstance(body, Mapping):
            for check in checks:
                if (wrong := check(body)) is not None:
                    raise ValueError(wrong)
        return body

    hook: Any = model_validator(mode="before")(run_checks)
    columns: dict[str, Any] = {}
    for row in _TABLES[name]:
        if era in row.eras:
            columns[row.name] = (row.kind, Field(default=row.default, alias=row.alias))
    return create_model(
        name,
        __config__=ConfigDict(extra=extra, populate_by_name=True),
        __validators__={"run_checks": hook},
        **columns,
    )


def accepted_fields(name: str, era: str) -> frozenset[str]:
    """Name every field that a body may have, aliases included."""
    rows = [row for row in _TABLES[name] if era in row.eras]
    return frozenset(r.name for r in rows) | {r.alias for r in rows if r.alias}
