"""The kinds of inference request; one path serves them all, a kind is only this data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Operation:
    """One endpoint of the OpenAI API that replicas serve."""

    name: str
    """``operation`` label of metrics."""
    path: str
    id_prefix: str
    object: str
    """``object`` of a whole answer."""
    chunk_object: str
    """``object`` of a streamed chunk."""


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
OPERATIONS = (CHAT, COMPLETIONS)
