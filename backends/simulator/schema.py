"""Which fields a request may have in which era, and the models that check them.

Unknown fields are errors in every era. The models are built with pydantic from the tables
below, as the server's are, so the error lists that clients see have the original's very words.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from backends.simulator import wire_types as w

ALL = "ABCE"
REQUIRED = ...
ON, OFF = True, False


@dataclass(frozen=True, slots=True)
class FieldRow:
    """One field of a request body."""

    name: str
    kind: Any
    default: Any
    eras: str = ALL
    alias: str | None = None


_F = FieldRow
_Positive = Annotated[int, Field(ge=1)]
_Text = str | None
_Flag = bool | None

SAMPLING = (
    _F("model", str, REQUIRED),
    _F("frequency_penalty", float | None, 0.0),
    _F("logit_bias", dict[str, float] | None, None),
    _F("n", int, 1),
    _F("presence_penalty", float | None, 0.0),
    _F("seed", int | None, None),
    _F("stop", str | list[str] | None, None),
    _F("stream", _Flag, OFF),
    _F("stream_options", w.StreamOptions | None, None),
    _F("temperature", float | None, None),
    _F("top_p", float | None, None),
    _F("user", _Text, None),
    _F("best_of", int | None, None),
    _F("use_beam_search", bool, OFF),
    _F("top_k", int, 0),
    _F("top_p_min", float, 0.0),
    _F("min_p", float, 0.0),
    _F("repetition_penalty", float, 1.0),
    _F("length_penalty", float, 1.0),
    _F("early_stopping", bool, OFF),
    _F("stop_token_ids", list[int] | None, None),
    _F("include_stop_str_in_output", bool, OFF),
    _F("ignore_eos", bool, OFF),
    _F("min_tokens", int, 0),
    _F("skip_special_tokens", bool, ON),
    _F("spaces_between_special_tokens", bool, ON),
    _F("truncate_prompt_tokens", _Positive | None, None),
    _F("lora_request", w.LoRARequest | None, None),
    _F("prompt_ignore_length", int | None, None, "CE"),
    _F("response_format", w.OldResponseFormat | None, None, "AB"),
    _F("response_format", w.ResponseFormat | None, None, "CE"),
    _F("disaggregated_params", w.DisaggregatedParams | None, None),
    _F("echo", _Flag, OFF),
    _F("priority", Annotated[float, Field(ge=0, le=1)] | None, None, "E"),
    _F("conversation_params", dict[str, Any] | None, None, "E"),
    _F("thinking_token_budget", int | None, None, "E"),
)
"""Fields that both endpoints have."""

COMPLETION = (
    _F("prompt", str | list[str] | list[int] | list[list[int]], REQUIRED),
    _F("logprobs", int | None, None),
    _F("max_tokens", int | None, None),
    _F("suffix", _Text, None),
    _F("return_context_logits", bool, OFF),
    _F("detokenize", bool, ON),
    _F("add_special_tokens", bool, ON),
)

CHAT = (
    _F("messages", list[w.Message], REQUIRED, "ABC"),
    _F("messages", list[w.OpenMessage], REQUIRED, "E"),
    _F("prompt_token_ids", list[int] | None, None),
    _F("logprobs", int | None, None, "AB"),
    _F("logprobs", _Flag, OFF, "CE"),
    _F("top_logprobs", int | None, 0),
    _F("max_completion_tokens", int | None, None, alias="max_tokens"),
    _F("tools", list[w.Tool] | None, None),
    _F("tool_choice", Literal["none"] | w.NamedToolChoice | None, None, "A"),
    _F("tool_choice", Literal["none", "auto"] | w.NamedToolChoice | None, None, "BC"),
    _F(
        "tool_choice", Literal["none", "auto", "required"] | w.NamedToolChoice | None, None, "E"
    ),
    _F("parallel_tool_calls", _Flag, ON, "E"),
    _F("reasoning_effort", Literal["low", "medium", "high"] | None, None, "BC"),
    _F("reasoning_effort", Literal["low", "medium", "high", "max", "none"] | None, None, "E"),
    _F("add_generation_prompt", bool, ON),
    _F("add_special_tokens", bool, OFF),
    _F("documents", list[dict[str, str]] | None, None),
    _F("chat_template", _Text, None),
    _F("chat_template_kwargs", dict[str, Any] | None, None),
    _F("cache_salt", Annotated[str, Field(min_length=1)] | None, None, "BCE"),
    _F("prompt_token_ids_b64", _Text, None, "E"),
    _F("agent_hierarchy", list[str] | None, None, "E"),
    _F("mm_processor_kwargs", dict[str, Any] | None, None, "E"),
    _F("media_io_kwargs", dict[str, Any] | None, None, "E"),
    _F("thinking", w.Thinking | None, None, "E"),
)

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
}

_TABLES: Mapping[str, tuple[FieldRow, ...]] = {
    "CompletionRequest": SAMPLING + COMPLETION,
    "ChatCompletionRequest": SAMPLING + CHAT,
}


@cache
def request_model(name: str, era: str) -> type[BaseModel]:
    """Build the model of a request body.

    Args:
        name: ``CompletionRequest`` or ``ChatCompletionRequest``.
        era: letter of a `Dialect`.
    """
    checks = [check for eras, check in CHECKS[name] if era in eras]

    def run_checks(body: object) -> object:
        if isinstance(body, Mapping):
            for check in checks:
                if (wrong := check(body)) is not None:
                    raise ValueError(wrong)
        return body

    hook: Any = model_validator(mode="before")(run_checks)
    fields: dict[str, Any] = {}
    for row in _TABLES[name]:
        if era in row.eras:
            fields[row.name] = (row.kind, Field(default=row.default, alias=row.alias))
    return create_model(
        name,
        __config__=ConfigDict(extra="forbid", populate_by_name=True),
        __validators__={"run_checks": hook},
        **fields,
    )


def accepted_fields(name: str, era: str) -> frozenset[str]:
    """Name every field that a body may have, aliases included."""
    rows = [row for row in _TABLES[name] if era in row.eras]
    return frozenset(r.name for r in rows) | {r.alias for r in rows if r.alias}
