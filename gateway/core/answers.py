"""How the answers of each kind are read: one table for streams, one for those that come whole.

Rule: the data plane looks a reader up by the operation's ``form``; all readers of a table have
the same face, so the path of a request is the same for every kind.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from backends.replica import ReplicaId
from gateway.core.chunks import Identity
from gateway.core.errors import UpstreamError
from gateway.core.likeness import Likeness
from gateway.core.messages import MessageEvents, read_message
from gateway.core.operation import Form
from gateway.core.replies import ReplyNames, WholeReply
from gateway.core.request import InferenceRequest
from gateway.core.responses import (
    ResponseEvents,
    read_deleted,
    read_response,
    read_stored,
)
from gateway.core.resume import Progress, ResumableStream
from gateway.core.stream import AnswerStream
from gateway.core.timing import StreamMeter
from gateway.core.typed_stream import TypedStream
from gateway.core.usage import Usage
from gateway.core.vectors import read_embeddings, read_tokens
from gateway.core.whole import read_whole


class Naming(msgspec.Struct, frozen=True):
    """Under which names a client sees its answer, whichever replica gives it."""

    model: str
    """As the client named it."""
    answer_id: str
    created: int
    """Unix seconds."""
    key_id: str
    pepper: bytes
    """Seals ids of stored responses (`core.response_id`)."""

    def by(self, replica: ReplicaId) -> ReplyNames:
        """Return the names in an answer by ``replica``."""
        return ReplyNames(msgspec.json.encode(self.model), replica, self.key_id, self.pepper)


class StreamReader(Protocol):
    """Reads one attempt's stream: what is said, whether that is all, what the client gets."""

    meter: StreamMeter
    done: bool
    """The answer is complete, and the client was handed all of it."""
    failure: UpstreamError | None
    """What broke the answer off after the events that `feed` returned last."""

    @property
    def started(self) -> bool:
        """Whether content has come: from here on there is no second attempt."""
        ...

    @property
    def usage(self) -> Usage | None:
        """Token counts; None until the replica reported."""
        ...

    @property
    def finish_reasons(self) -> tuple[str, ...]:
        """Why the answer ended, each finished choice of it."""
        ...

    def feed(self, chunk: bytes, at: float) -> bytes:
        """Take bytes that arrived ``at``; return the events that may go to the client now.

        Raises:
            UpstreamError: the answer failed before any of it was handed out.
        """
        ...

    @property
    def likeness(self) -> Likeness | None:
        """By which the next event may be known without being read.

        None where it must be read. Who takes an event so, all before it having been whole, adds
        it to the `meter`.
        """
        ...

    @property
    def between_events(self) -> bool:
        """Whether what comes next begins an event."""
        ...

    @property
    def next_number(self) -> int:
        """The ``sequence_number`` after those handed out; 0 where events have none."""
        ...

    def closed(self) -> None:
        """Say that the replica ended its answer.

        Raises:
            UpstreamDisconnected: the answer was not complete.
        """
        ...


def stream_reader(
    request: InferenceRequest,
    naming: Naming,
    replica: ReplicaId,
    progress: Progress | None = None,
) -> StreamReader:
    """Return what reads the stream with which ``replica`` answers ``request``.

    It goes on from ``progress``, where that is given.
    """
    if progress is not None:
        return ResumableStream(request, _identity(request, naming), progress)
    return _STREAMS[request.operation.form](request, naming, replica)


def read_reply(
    body: bytes, request: InferenceRequest, naming: Naming, replica: ReplicaId
) -> WholeReply:
    """Check the answer of ``replica`` that was not streamed.

    Raises:
        UpstreamError: it is no complete answer to ``request``.
    """
    return _WHOLES[request.operation.form](body, request, naming, replica)


def _identity(request: InferenceRequest, naming: Naming) -> Identity:
    return Identity(
        request.operation,
        stream=request.stream,
        answer_id=naming.answer_id,
        created=naming.created,
        model=naming.model,
    )


def _choices(
    body: bytes,
    request: InferenceRequest,
    naming: Naming,
    replica: ReplicaId,  # noqa: ARG001 - the table's signature
) -> WholeReply:
    whole, shown = read_whole(body, request, _identity(request, naming))
    return WholeReply(shown, whole.finish_reasons, whole.usage)


_STREAMS: Mapping[Form, Callable[[InferenceRequest, Naming, ReplicaId], StreamReader]] = {
    Form.CHOICES: lambda request, naming, _: AnswerStream(request, _identity(request, naming)),
    Form.RESPONSE: lambda _, naming, replica: TypedStream(ResponseEvents(naming.by(replica))),
    Form.MESSAGE: lambda _, naming, replica: TypedStream(MessageEvents(naming.by(replica))),
}
_WHOLES: Mapping[Form, Callable[[bytes, InferenceRequest, Naming, ReplicaId], WholeReply]] = {
    Form.CHOICES: _choices,
    Form.RESPONSE: lambda body, _, naming, replica: read_response(body, naming.by(replica)),
    Form.MESSAGE: lambda body, _, naming, replica: read_message(body, naming.by(replica)),
    Form.EMBEDDINGS: lambda body, request, naming, replica: read_embeddings(
        body, inputs=request.prompts, model=naming.by(replica).model
    ),
    Form.TOKENS: lambda body, *_: read_tokens(body),
    Form.STORED: lambda body, _, naming, replica: WholeReply(
        read_stored(body, naming.by(replica))
    ),
    Form.DELETED: lambda body, _, naming, replica: WholeReply(
        read_deleted(body, naming.by(replica))
    ),
}
