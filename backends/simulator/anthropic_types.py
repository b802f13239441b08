"""The objects inside a body of ``/v1/messages``, as the newest era declares them.

They accept more keys than they name, since clients send new ones all the time. A content block
is checked as what its ``type`` says it is; a type that nobody knows is let through here and
refused by name afterwards.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag


class Open(BaseModel):
    """Accepts keys that it does not know."""

    model_config = ConfigDict(extra="allow")


class TextBlock(Open):
    """Plain text."""

    type: Literal["text"] = "text"
    text: str


class ImageSource(Open):
    """Where an image comes from."""

    type: Literal["base64", "url"]
    media_type: str | None = None
    data: str | None = None
    url: str | None = None


class ImageBlock(Open):
    """An image, by address or by its bytes."""

    type: Literal["image"]
    source: ImageSource


class ToolUseBlock(Open):
    """A call that the assistant made."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any] = Field(default_factory=dict)


class ToolResultBlock(Open):
    """What a call gave."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: "str | list[Block] | None" = None
    is_error: bool | None = None


class ThinkingBlock(Open):
    """Thoughts of an earlier turn."""

    type: Literal["thinking"]
    thinking: str


class OtherBlock(Open):
    """Any other type."""

    type: str


_KNOWN = {"text", "image", "tool_use", "tool_result", "thinking"}


def _tag(value: object) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return str(kind) if kind in _KNOWN else "unknown"


Block = Annotated[
    Annotated[TextBlock, Tag("text")]
    | Annotated[ImageBlock, Tag("image")]
    | Annotated[ToolUseBlock, Tag("tool_use")]
    | Annotated[ToolResultBlock, Tag("tool_result")]
    | Annotated[ThinkingBlock, Tag("thinking")]
    | Annotated[OtherBlock, Tag("unknown")],
    Discriminator(_tag),
]

ToolResultBlock.model_rebuild()


class Turn(Open):
    """One message; a system message may stand among the others."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class Tool(Open):
    """A function of the client's; one with a dated ``type`` is Anthropic's own."""

    name: str
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None


class ToolChoice(Open):
    """Whether a tool shall be called, and which."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Budgeted(Open):
    """Think, within a number of tokens."""

    type: Literal["enabled"]
    budget_tokens: int = Field(ge=1024)


class Unbudgeted(BaseModel):
    """Think or do not; a budget would be a mistake here."""

    model_config = ConfigDict(extra="forbid")
    type: Literal["adaptive", "disabled"]


Thinking = Annotated[Budgeted | Unbudgeted, Field(discriminator="type")]
