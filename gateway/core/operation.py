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
    STORED = "stored"
    """A response that a replica kept."""
    DELETED = "deleted"
    """Word that it keeps it no longer."""


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
    """With `RESPONSE_ID` where the id of a stored response stands."""
    method: str = "POST"
    id_prefix: str = ""
    """Of the ids that the gateway gives to answers; empty where it gives none."""
    object: str = ""
    """``object`` of a whole answer."""
    chunk_object: str = ""
    """``object`` of a streamed chunk."""
    form: Form = Form.CHOICES
    streams: bool = True
    generates: bool = True
    """A replica's engine works for it; what does not need not wait for room."""
    errors: ErrorShape = ErrorShape.CHUNK
    since: str = "1.0"
    """First dialect that may have the route: most of those that came later need a flag too."""
    upstream_path: str = ""
    """The replica's route where it is called otherwise than ours."""
    key_header: bytes = b""
    """Header, in lower case, in which its clients too send their key; empty for none."""
    prompt: tuple[str, ...] = ()
    """Fields that the prompt is made of; the first must be there."""
    several: bool = False
    """The first of them may hold several prompts."""
    required: tuple[str, ...] = ()
    """Other fields that must be there."""
    limits: tuple[str, ...] = ()
    """Names of the field that limits the tokens of the answer; of several the first counts.

    Every replica knows the last.
    """
    usage_on_request: bool = False
    """A stream tells its token counts only if it is asked to."""
    refers_by: str = ""
    """Field with the id of the stored response that the request goes on from."""

    @property
    def route(self) -> str:
        """Where a replica takes it."""
        return self.upstream_path or self.path


RESPONSE_ID = "{response_id}"

CHAT = Operation(
    name="chat",
    path="/v1/chat/completions",
    id_prefix="chatcmpl-",
    object="chat.completion",
    chunk_object="chat.completion.chunk",
    prompt=("messages",),
    limits=("max_completion_tokens", "max_tokens"),
    usage_on_request=True,
)
COMPLETIONS = Operation(
    name="completions",
    path="/v1/completions",
    id_prefix="cmpl-",
    object="text_completion",
    chunk_object="text_completion",
    prompt=("prompt",),
    several=True,
    limits=("max_completion_tokens", "max_tokens"),
    usage_on_request=True,
)
RESPONSES = Operation(
    name="responses",
    path="/v1/responses",
    object="response",
    form=Form.RESPONSE,
    errors=ErrorShape.TYPED,
    since="1.1",
    prompt=("input", "instructions"),
    limits=("max_output_tokens",),
    refers_by="previous_response_id",
)
RETRIEVE = Operation(
    name="responses_get",
    path=f"/v1/responses/{RESPONSE_ID}",
    method="GET",
    form=Form.STORED,
    streams=False,
    generates=False,
    since="1.2",
)
DELETE = Operation(
    name="responses_delete",
    path=f"/v1/responses/{RESPONSE_ID}",
    method="DELETE",
    form=Form.DELETED,
    streams=False,
    generates=False,
    since="1.2",
)
EMBEDDINGS = Operation(
    name="embeddings",
    path="/v1/embeddings",
    object="list",
    form=Form.EMBEDDINGS,
    streams=False,
    since="main",
    prompt=("input",),
    several=True,
)
MESSAGES = Operation(
    name="messages",
    path="/v1/messages",
    form=Form.MESSAGE,
    errors=ErrorShape.MESSAGE,
    since="main",
    key_header=b"x-api-key",
    prompt=("messages", "system"),
    required=("max_tokens",),
    limits=("max_tokens",),
)
TOKENIZE = Operation(
    name="tokenize",
    path="/tokenize",
    form=Form.TOKENS,
    streams=False,
    generates=False,
    since="main",
    upstream_path="/_internal/tokenize",
    prompt=("prompt",),
)
POSTED = (CHAT, COMPLETIONS, RESPONSES, EMBEDDINGS, MESSAGES, TOKENIZE)
"""Those that are asked for by a body; each has a path of its own."""
STORED = (RETRIEVE, DELETE)
"""Those that are about a stored response and have no body; all have one path."""
OPERATIONS = (*POSTED, *STORED)
