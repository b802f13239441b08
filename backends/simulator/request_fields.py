"""Which fields a request may have in which era, as tables.

The models that check bodies are built from these by `schema`; a field that an era does not list
is unknown to it.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from backends.simulator import anthropic_types as a
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

_INCLUDED = Literal[
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
]

RESPONSES = (
    _F("background", _Flag, OFF),
    _F("include", list[_INCLUDED] | None, None),
    _F("input", str | list[dict[str, Any]], REQUIRED),
    _F("instructions", _Text, None),
    _F("max_output_tokens", int | None, None),
    _F("max_tool_calls", int | None, None),
    _F("metadata", dict[str, str] | None, None),
    _F("model", str, REQUIRED),
    _F("parallel_tool_calls", _Flag, OFF),
    _F("previous_response_id", _Text, None),
    _F("prompt", dict[str, Any] | None, None),
    _F("reasoning", dict[str, Any] | None, None),
    _F("thinking_token_budget", int | None, None, "E"),
    _F("service_tier", Literal["auto", "default", "flex", "scale", "priority"], "auto"),
    _F("store", _Flag, ON),
    _F("stream", _Flag, OFF),
    _F("temperature", float | None, None),
    _F("text", dict[str, Any] | None, None),
    _F("tool_choice", str | dict[str, Any], "auto"),
    _F("tools", list[dict[str, Any]], ()),
    _F("top_logprobs", int | None, 0),
    _F("top_p", float | None, None),
    _F("truncation", Literal["auto", "disabled"] | None, "disabled"),
    _F("user", _Text, None),
    _F("request_id", _Text, None),
)

_Share = Annotated[float, Field(ge=0, le=1)]

COUNT_TOKENS = (
    _F("model", str, REQUIRED, "E"),
    _F("messages", Annotated[list[a.Turn], Field(min_length=1)], REQUIRED, "E"),
    _F("system", str | list[a.TextBlock] | None, None, "E"),
    _F("tools", list[a.Tool] | None, None, "E"),
    _F("tool_choice", a.ToolChoice | None, None, "E"),
    _F("thinking", a.Thinking | None, None, "E"),
    _F("output_config", dict[str, Any] | None, None, "E"),
)

MESSAGES = (
    *COUNT_TOKENS,
    _F("max_tokens", _Positive, REQUIRED, "E"),
    _F("temperature", _Share | None, None, "E"),
    _F("top_p", _Share | None, None, "E"),
    _F("top_k", Annotated[int, Field(ge=0)] | None, None, "E"),
    _F("stop_sequences", list[str] | None, None, "E"),
    _F("stream", _Flag, OFF, "E"),
    _F("metadata", dict[str, Any] | None, None, "E"),
)

EMBEDDING = (
    _F("model", str, REQUIRED, "E"),
    _F("input", str | list[str] | list[int] | list[list[int]], REQUIRED, "E"),
    _F("encoding_format", Literal["float", "base64"], "float", "E"),
    _F("dimensions", _Positive | None, None, "E"),
    _F("user", _Text, None, "E"),
    _F("add_special_tokens", bool, ON, "E"),
)

TOKENIZE = (
    _F("prompt", str, REQUIRED, "E"),
    _F("model", _Text, None, "E"),
)
