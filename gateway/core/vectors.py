"""Read replies that are lists, never streamed: embeddings of inputs, and a prompt's tokens."""

import msgspec
from msgspec import Raw

from gateway.core.errors import UpstreamProtocolError
from gateway.core.relabel import relabelled
from gateway.core.replies import WholeReply, decoded
from gateway.core.usage import Usage


class _Embedding(msgspec.Struct):
    index: int
    embedding: Raw


class _Embeddings(msgspec.Struct):
    data: list[_Embedding]
    usage: Usage | None = None


class _Tokens(msgspec.Struct):
    count: int
    tokens: list[int]


_EMBEDDINGS = msgspec.json.Decoder(_Embeddings)
_TOKENS = msgspec.json.Decoder(_Tokens)


def read_embeddings(body: bytes, *, inputs: int, model: bytes) -> WholeReply:
    """Check the embeddings of ``inputs`` inputs and return them with ``model`` (JSON).

    Raises:
        UpstreamProtocolError: they are none, or not one for each input.
    """
    answer = decoded(_EMBEDDINGS, body)
    if sorted(item.index for item in answer.data) != list(range(inputs)):
        raise UpstreamProtocolError("the replica's answer has embeddings missing")
    return WholeReply(relabelled(body, {"model": model}), usage=answer.usage)


def read_tokens(body: bytes) -> WholeReply:
    """Check a prompt's tokens and return them; nothing is spent on them, so nothing counted.

    Raises:
        UpstreamProtocolError: they are none, or not as many as the reply says.
    """
    answer = decoded(_TOKENS, body)
    if answer.count != len(answer.tokens):
        raise UpstreamProtocolError("the replica's answer has tokens missing")
    return WholeReply(body)
