"""``/v1/embeddings``, the one route of ``trtllm-serve embeddings`` that computes something.

It is the only place where the server refuses for load: inputs wait in a bounded queue. Its own
faults are 500, and a client that leaves is not noticed. Vectors say nothing of meaning: they
are unit vectors, and equal inputs have equal ones. Nor is there the pause in which the original
waits for more inputs before it starts a batch.
"""

import math
from array import array
from base64 import b64encode
from collections.abc import Sequence
from hashlib import shake_256

from backends.simulator.answer_fault import AnswerFault
from backends.simulator.arrival import Arrival, arrive, read_values
from backends.simulator.chat import BEGIN
from backends.simulator.endpoint import Values
from backends.simulator.errors import Refused, bad_request, flat_error
from backends.simulator.frames import encode
from backends.simulator.iteration import EngineRequest, Output
from backends.simulator.outbox import Outbox
from backends.simulator.refusals import Refusals
from backends.simulator.replies import Receive, Scope, Send, send_body
from backends.simulator.simulator import Simulator
from backends.simulator.stats import RequestRecord
from backends.simulator.text import tokenize
from backends.simulator.whole_reply import send_when_ready

SIZE = 1024
"""Numbers in a vector: those of a small model."""
FULL = "Embedding request queue is full; retry later."
NO_DIMENSIONS = "`dimensions` needs a model whose vectors may be cut short; this one's may not."
Inputs = Sequence[Sequence[int]]


def internal_error(message: str) -> Refused:
    """Refuse for a fault of the server's own."""
    return Refused(500, flat_error(message, kind="InternalServerError", code=500))


REFUSALS = Refusals(fault=internal_error, death=(500, internal_error("executor died").body))


async def embed(sim: Simulator, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer ``POST /v1/embeddings``."""
    arrival = await arrive(sim, scope, receive, send, REFUSALS)
    if arrival is None:
        return
    entry = arrival.entry
    try:
        values = read_values(sim, scope, arrival.body, "EmbeddingRequest")
        inputs = _inputs(sim, values)
        batch = _Batch(sim, arrival)
        batch.submit(inputs)
    except Refused as refused:
        entry.status = refused.status
        await send_body(send, refused.status, refused.body)
        entry.finished_at = sim.clock()
        return
    entry.status = 200
    await batch.reply(send, values, inputs)


def vector(tokens: Sequence[int]) -> "array[float]":
    """Return the unit vector of one input, in single precision."""
    digest = shake_256(array("q", tokens).tobytes()).digest(2 * SIZE)
    drawn = array("h", digest)
    length = math.sqrt(sum(number * number for number in drawn))
    return array("f", (number / length for number in drawn))


def _inputs(sim: Simulator, values: Values) -> Inputs:
    """Return each input's tokens.

    Raises:
        Refused: an input is too long, or there is none, or too many wait already.
    """
    if values["dimensions"] is not None:
        raise bad_request(NO_DIMENSIONS)
    given = values["input"]
    alone = isinstance(given, str) or (given and isinstance(given[0], int))
    begin = [BEGIN] if values["add_special_tokens"] else []
    inputs = [
        [*begin, *tokenize(one)] if isinstance(one, str) else one
        for one in ([given] if alone else given)
    ]
    if not inputs:
        raise bad_request("`input` must not be empty.")
    settings = sim.settings
    for name, limit in (
        ("max_seq_len", settings.max_seq_len),
        ("max_num_tokens", settings.max_num_tokens),
    ):
        longest = max(len(tokens) for tokens in inputs)
        if longest > limit:
            raise bad_request(f"Input length ({longest}) exceeds {name} ({limit}).")
    if sim.engine.queued + len(inputs) > settings.max_queue_size:
        raise Refused(429, flat_error(FULL, code=429))
    return inputs


class _Batch:
    """The inputs of one request in the engine; their sink."""

    def __init__(self, sim: Simulator, arrival: Arrival) -> None:
        self._sim = sim
        self._arrival = arrival
        self._outbox = Outbox()
        self._left = 0

    def submit(self, inputs: Inputs) -> None:
        """Hand every input to the engine: to read it is all there is to do.

        Raises:
            Refused: the engine objects; what it took before is computed for nobody.
        """
        self._arrival.entry.prompt_tokens = sum(len(tokens) for tokens in inputs)
        for tokens in inputs:
            request = EngineRequest(self._sim.next_number(), tokens, 1, streamed=False)
            try:
                self._sim.driver.submit(request, self)
            except ValueError as wrong:
                raise internal_error(str(wrong)) from wrong
            self._left += 1

    def deliver(self, output: Output) -> None:  # noqa: ARG002 - as the driver calls it
        """Note when the engine had read an input."""
        entry, now = self._arrival.entry, self._sim.clock()
        entry.first_token_at = entry.first_token_at or now
        entry.last_token_at = now

    def end(self, record: RequestRecord) -> None:  # noqa: ARG002 - as the driver calls it
        """Count the inputs that are left."""
        self._left -= 1
        if not self._left:
            self._outbox.end()

    async def reply(self, send: Send, values: Values, inputs: Inputs) -> None:
        """Send the vectors when all are there."""
        sim, fault, connection = self._sim, self._arrival.fault, self._arrival.connection
        faulty = None
        if fault is not None:
            faulty = AnswerFault(fault, connection=connection, process=sim)
        sim.outboxes.add(self._outbox)
        connection.watch(self._on_lost)
        try:
            await send_when_ready(
                send,
                connection,
                self._outbox,
                faulty,
                body=lambda: _body(sim, values, inputs),
                failed=REFUSALS.of_fault,
            )
        finally:
            sim.outboxes.discard(self._outbox)
            connection.unwatch(self._on_lost)
            if faulty is not None:
                faulty.release()
            if not connection.lost:
                self._arrival.entry.finished_at = sim.clock()

    def _on_lost(self) -> None:
        self._arrival.entry.closed_at = self._sim.clock()
        self._outbox.end()


def _body(sim: Simulator, values: Values, inputs: Inputs) -> bytes:
    data = []
    for index, tokens in enumerate(inputs):
        numbers = vector(tokens)
        as_text = values["encoding_format"] == "base64"
        embedding = b64encode(numbers.tobytes()).decode() if as_text else numbers.tolist()
        data.append({"index": index, "object": "embedding", "embedding": embedding})
    count = sum(len(tokens) for tokens in inputs)
    return encode(
        {
            "id": f"embd-{sim.new_id()}",
            "object": "list",
            "created": int(sim.wall()),
            "model": values["model"],
            "data": data,
            "usage": {"prompt_tokens": count, "total_tokens": count},
        }
    )
