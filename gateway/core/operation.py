"""The kinds of inference request; one path serves them all, a kind is only this data.

What differs between kinds is named here and looked up in tables elsewhere (`core.answers`,
`core.error_shapes`, `core.fields`): nothing on the path asks which kind it has before it.
"""

from dataclasses import dataclass
from enum import StrEnum


class Form(StrEnum):
    """How an answer is made, and so what reads it."""

    CHOICES = "choices"
    """Choices that each finish; a stream of chunks, ended by ``[DONE]``."""
    RESPONSE = "response"
    """OpenAI's Responses API: a stream of typed events, ended by the last of them."""
    MESSAGE = "message"
    """Anthropic's Messages API, which replicas themselves speak: typed events too."""
    EMBEDDINGS = "embeddings"
    TOKENS = "tokens"


class ErrorShape(StrEnum):
    """In which shape a kind's clients understand an error."""

    CHUNK = "chunk"
    """OpenAI's; in a stream a bare ``data:`` event."""
    TYPED = "typed"
    """OpenAI's; in a stream the Responses API's ``error`` event as well."""
    MESSAGE = "message"
    """Anthropic's, with OpenAI's ``param`` and ``code``."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One endpoint that replicas serve."""

    name: str
    """``operation`` label of metrics."""
    path: str
    id_prefix: str = ""
    """Of the ids that the gateway gives to answers; empty where it gives none."""
    object: str = ""
    """``object`` of a whole answer."""
    chunk_object: str = ""
    """``object`` of a streamed chunk."""
    form: Form = Form.CHOICES
    streams: bool = True
    errors: ErrorShape = ErrorShape.CHUNK
    since: str = "1.0"
    """First dialect that may have the route: most of those that came later need a flag too."""
    upstream_path: str = ""
    """The replica's route where it is called otherwise than ours."""

    @property
    def route(self) -> str:
        """Where a replica takes it."""
        return self.upstream_path or self.path


CHAT = Operation(
    name="chat",
    path="/v1/chat/completions",
    id_prefix="chatcmpl-",
    object="chat.completion",
    chunk_object="chat.completion.chunk",
)
COMPLETIONS = Operation(
    name="completions",
    path="/v1/completions",
    id_prefix="cmpl-",
    object="text_completion",
    chunk_object="text_completion",
)
RESPONSES = Operation(
    name="responses",
    path="/v1/responses",
    object="response",
    form=Form.RESPONSE,
    errors=ErrorShape.TYPED,
    since="1.1",
)
EMBEDDINGS = Operation(
    name="embeddings",
    path="/v1/embeddings",
    object="list",
    form=Form.EMBEDDINGS,
    streams=False,
    since="main",
)
MESSAGES = Operation(
    name="messages",
    path="/v1/messages",
    form=Form.MESSAGE,
    errors=ErrorShape.MESSAGE,
    since="main",
)
TOKENIZE = Operation(
    name="tokenize",
    path="/tokenize",
    form=Form.TOKENS,
    streams=False,
    since="main",
    upstream_path="/_internal/tokenize",
)
OPERATIONS = (CHAT, COMPLETIONS)
