"""The objects inside a request body, as ``trtllm-serve`` declares them with pydantic.

Each forbids unknown keys, as the server's own base model does; only messages of the newest era
accept more.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Strict(BaseModel):
    """Refuses keys that it does not know."""

    model_config = ConfigDict(extra="forbid")


class StreamOptions(Strict):
    """Both switches may be null, which means off."""

    include_usage: bool | None = True
    continuous_usage_stats: bool | None = False


class LoRARequest(Strict):
    """An adapter by name and path."""

    lora_name: str
    lora_int_id: int
    lora_path: str = ""


class DisaggregatedParams(Strict):
    """What a context server hands to a generation server."""

    request_type: Literal["context_only", "generation_only", "context_and_generation"]
    first_gen_tokens: list[int] | None = None
    ctx_request_id: int | None = None
    encoded_opaque_state: str | None = None
    draft_tokens: list[int] | None = None


class FunctionCall(Strict):
    """A call that the assistant made in an earlier turn."""

    name: str
    arguments: str


class PastToolCall(Strict):
    """One entry of an assistant message's ``tool_calls``."""

    id: str | None = None
    type: Literal["function"] = "function"
    function: FunctionCall


class Message(Strict):
    """One turn; content parts stay as they came."""

    role: str
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_calls: list[PastToolCall] | None = None
    tool_call_id: str | None = None


class OpenMessage(Message):
    """One turn that may carry more keys."""

    model_config = ConfigDict(extra="allow")


class FunctionDefinition(Strict):
    """A function that the model may call."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Strict):
    """Only functions are tools."""

    type: Literal["function"] = "function"
    function: FunctionDefinition


class NamedFunction(Strict):
    """The function of a named tool choice."""

    name: str


class NamedToolChoice(Strict):
    """Asks for one function."""

    type: Literal["function"] = "function"
    function: NamedFunction


class OldResponseFormat(Strict):
    """Kinds of guided output before JSON schemas."""

    type: Literal["text", "json", "json_object", "structural_tag"]
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    structures: list[dict[str, Any]] | None = None
    triggers: list[str] | None = None


class ResponseFormat(Strict):
    """Kinds of guided output."""

    type: Literal[
        "text", "json", "json_schema", "json_object", "regex", "ebnf", "structural_tag"
    ]
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    json_schema: dict[str, Any] | None = None
    regex: str | None = None
    ebnf: str | None = None
    format: dict[str, Any] | None = None
    structures: list[dict[str, Any]] | None = None
    triggers: list[str] | None = None


class Thinking(Strict):
    """Whether a model that can think shall."""

    type: Literal["enabled", "disabled"]
