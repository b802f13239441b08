"""Send a request to one replica and carry the answer back: one try, with one owner.

The frame of `run` owns the answer: it is given back however the try ends.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.core.answers import StreamReader, read_reply, stream_reader
from gateway.core.dialect import body_for
from gateway.core.outcome import AttemptFacts, RequestFacts
from gateway.core.patience import Patience
from gateway.core.refusal import refusal
from gateway.core.resume import Progress
from gateway.core.snapshot import ReplicaView
from gateway.core.usage import Usage
from gateway.dataplane.answer import Answer
from gateway.dataplane.exchange import Exchange
from gateway.dataplane.gate import waits_s
from gateway.dataplane.relay import collect, waited
from gateway.dataplane.upstream import Upstream
from gateway.telemetry.tracer import AttemptTrace

_OK = 200
_MOST_REPLY_BYTES = 256 << 20
_MOST_ERROR_BYTES = 1 << 20


@dataclass(slots=True)
class Attempt:
    """One try at one replica."""

    exchange: Exchange
    replica: ReplicaView
    facts: AttemptFacts
    trace: AttemptTrace | None
    clock: Callable[[], float]

    async def run(self, upstream: Upstream) -> None:
        """Ask and answer.

        Raises:
            GatewayError: it failed; `client.content_sent` says whether the client saw any of
            it.
        """
        exchange, client = self.exchange, self.exchange.client
        patience = self._patience(upstream.loop_time())
        exchange.sent(self.clock())
        client.headers = exchange.answer_headers(self.replica, self.facts.number)
        answer = await self._ask(upstream, patience)
        self.facts.connect_s = answer.connect_s
        try:
            if answer.status != _OK:
                reply = await collect(answer, client, patience, limit=_MOST_ERROR_BYTES)
                raise refusal(answer.status, reply, exchange.request.operation)
            if exchange.request.stream:
                await self._stream(answer, patience)
            else:
                await self._reply(answer, patience)
        finally:
            answer.close()

    def _patience(self, at: float) -> Patience:
        # Limits run on the loop's clock, which timers use; measurements on the worker's, which
        # is finer. The request's start is carried over as its age.
        request = self.exchange.request
        patience = Patience(
            self.exchange.model.timeouts,
            stream=request.stream,
            prompt_bytes=request.prompt_bytes if request.stream else 0,
            started_at=at - (self.clock() - self.exchange.facts.started_at),
            at=at,
            client_s=waits_s(self.exchange.client.asked),
        )
        if self.exchange.client.committed:  # an attempt before this one showed signs of life
            patience.pinged(at)
        return patience

    async def _ask(self, upstream: Upstream, patience: Patience) -> Answer:
        replica = self.replica
        request, changed = self.exchange.next_request()

        async def wait(answer: Answer) -> None:
            while not answer.status:
                try:
                    await answer.head(patience.until_first())
                except TimeoutError:
                    await waited(self.exchange.client, patience, started=False)

        headers = b"x-request-id: %b\r\n" % self.exchange.facts.request_id.encode()
        if self.trace is not None:
            headers += b"traceparent: %b\r\n" % self.trace.traceparent
            if self.trace.tracestate:
                headers += b"tracestate: %b\r\n" % self.trace.tracestate
        return await upstream.ask(
            request.route,
            body_for(request, source=replica.source, dialect=replica.dialect, changed=changed),
            method=request.operation.method,
            headers=headers,
            timeouts=self.exchange.model.timeouts,
            wait=wait,
        )

    async def _stream(self, answer: Answer, patience: Patience) -> None:
        exchange, facts, client = self.exchange, self.exchange.facts, self.exchange.client
        joins = client.content_sent
        if exchange.progress is not None and not joins:
            exchange.progress = Progress()  # an attempt before this one was seen by nobody
        stream = stream_reader(
            exchange.request, exchange.naming, self.replica.id, exchange.progress
        )
        if joins:
            self.facts.resumed_after = stream.meter.events
        facts.gaps_s = stream.meter.gaps_s  # grows as it streams: metrics look on meanwhile

        def first(arrived_at: float) -> None:
            if joins:  # the answer has begun long since
                return
            self.facts.first_content_at = facts.first_content_at = arrived_at
            facts.first_relay_s = self.clock() - arrived_at

        try:
            await client.relay(answer, stream, patience, first)
        finally:
            client.next_number = stream.next_number
            if client.content_sent:  # else another replica's stream may yet be this request's
                _note_stream(facts, stream)

    async def _reply(self, answer: Answer, patience: Patience) -> None:
        body = await collect(answer, self.exchange.client, patience, limit=_MOST_REPLY_BYTES)
        exchange = self.exchange
        whole = read_reply(body, exchange.request, exchange.naming, self.replica.id)
        self.exchange.facts.finish_reasons = whole.finish_reasons
        _note_usage(self.exchange.facts, whole.usage)
        self.exchange.client.content_sent = True
        await self.exchange.client.reply(_OK, whole.body)


def _note_stream(facts: RequestFacts, stream: StreamReader) -> None:
    meter = stream.meter
    facts.first_content_at = meter.first_at
    facts.last_content_at = None if meter.first_at is None else meter.last_at
    facts.gaps_s = meter.gaps_s
    facts.content_events = meter.events
    facts.finish_reasons = stream.finish_reasons
    _note_usage(facts, stream.usage)


def _note_usage(facts: RequestFacts, usage: Usage | None) -> None:
    if usage is not None:
        facts.input_tokens = usage.prompt_tokens
        facts.output_tokens = usage.completion_tokens
        facts.cached_tokens = usage.cached_tokens
        facts.reasoning_tokens = usage.reasoning_tokens
