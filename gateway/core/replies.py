"""What all kinds of replies have in common: how they are decoded, and the names in them."""

from dataclasses import dataclass
from typing import TypeVar

import msgspec
from msgspec import Raw

from backends.replica import ReplicaId
from gateway.core.errors import UpstreamProtocolError
from gateway.core.response_id import StoredResponse, encode
from gateway.core.usage import Usage

T = TypeVar("T")
_NO_ANSWER = "the replica's reply is no answer to this request"


class WholeReply(msgspec.Struct, frozen=True):
    """An answer that was not streamed, checked."""

    body: bytes
    """As the client gets it."""
    finish_reasons: tuple[str, ...] = ()
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class ReplyNames:
    """Under which names one client sees the answer of one replica."""

    model: bytes
    """What the client called it, as JSON."""
    replica: ReplicaId
    key_id: str
    pepper: bytes

    def response(self, upstream_id: str) -> bytes:
        """Return what the client gets as the id of a stored response, as JSON.

        Raises:
            UpstreamProtocolError: the replica's own id is too long to be one.
        """
        try:
            sealed = encode(
                StoredResponse(self.replica, upstream_id),
                key_id=self.key_id,
                pepper=self.pepper,
            )
        except ValueError:
            raise UpstreamProtocolError("the replica gave its answer no usable id") from None
        return b'"%b"' % sealed.encode()


def decoded(decoder: msgspec.json.Decoder[T], text: bytes, fault: str = _NO_ANSWER) -> T:
    """Decode what a replica sent, all of it: also what is not looked at goes to the client.

    Raises:
        UpstreamProtocolError: it is not UTF-8, not JSON, or not what was to be expected; says
        ``fault``.
    """
    try:
        if not text.isascii():
            text.decode()
    except UnicodeDecodeError:
        raise UpstreamProtocolError(fault) from None
    return parsed(decoder, text, fault)


def parsed(decoder: msgspec.json.Decoder[T], text: bytes | Raw, fault: str) -> T:
    """Decode a part of what `decoded` gave.

    Raises:
        UpstreamProtocolError: it is not what was to be expected; says ``fault``.
    """
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise UpstreamProtocolError(fault) from None
