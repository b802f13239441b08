"""Read one answer that was not streamed.

Is it complete, what did it cost, and its form for the client.
"""

import msgspec

from gateway.core.chunks import Identity
from gateway.core.errors import UpstreamProtocolError
from gateway.core.request import InferenceRequest
from gateway.core.usage import Usage


class _Choice(msgspec.Struct):
    index: int = 0
    finish_reason: str | None = None


class WholeAnswer(msgspec.Struct):
    """The parts of an answer that the gateway looks at."""

    choices: list[_Choice]
    usage: Usage | None = None

    @property
    def finish_reasons(self) -> tuple[str, ...]:
        """Why each choice ended."""
        return tuple([choice.finish_reason or "" for choice in self.choices])


_DECODER = msgspec.json.Decoder(WholeAnswer)


def read_whole(
    body: bytes, request: InferenceRequest, identity: Identity
) -> tuple[WholeAnswer, bytes]:
    """Check an answer's body and return it with the client's id, time and model.

    Raises:
        UpstreamProtocolError: it is no answer (trtllm-serve says ``null`` as its engine dies),
        or one with choices missing or unfinished.
    """
    try:
        if not body.isascii():
            body.decode()  # also the parts that are not decoded below go to the client
        answer = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamProtocolError(
            "the replica's reply is no answer to this request"
        ) from None
    finished = {choice.index for choice in answer.choices if choice.finish_reason}
    if finished != set(range(request.choices)) or len(answer.choices) != request.choices:
        raise UpstreamProtocolError("the replica's answer has choices missing or unfinished")
    return answer, identity.of(body)
