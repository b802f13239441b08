"""One request's answer: its prompts in the engine, and its bytes on the way to the client.

A client that leaves is noticed by looking once a second, so its request goes on in the engine
for up to that long; the log has the very instant.
"""

import asyncio
import logging
from dataclasses import replace
from functools import partial

from backends.simulator.arrival import Arrival
from backends.simulator.driver import Sink
from backends.simulator.endpoint import Reading
from backends.simulator.errors import Refused, flat_error
from backends.simulator.generation import PromptContext, WholePrompt
from backends.simulator.iteration import EngineRequest, Output, RequestNeverFits
from backends.simulator.outbox import Outbox
from backends.simulator.refusals import Refusals
from backends.simulator.replies import END, Send, start_events
from backends.simulator.sequences import plan_sequence
from backends.simulator.simulator import Simulator
from backends.simulator.stats import RequestRecord
from backends.simulator.stream_faults import StreamFault
from backends.simulator.whole_reply import send_when_ready

log = logging.getLogger("backends.simulator")
POLL_S = 1.0
"""How often the server looks whether a client is still there."""


class Answer:
    """One request's answer, from its submission to its last byte."""

    def __init__(
        self, sim: Simulator, reading: Reading, refusals: Refusals, arrival: Arrival
    ) -> None:
        """Answer what was read from the request."""
        order, spelling = reading
        self._sim = sim
        self._refusals = refusals
        self._order = order
        self._arrival = arrival
        self._entry = entry = arrival.entry
        self._connection = arrival.connection
        self._outbox = Outbox()
        self._spelling = spelling(order, self._outbox)
        self._whole: list[WholePrompt] = []
        self._running: set[int] = set()
        for warning in order.warnings:
            log.warning(warning)
        entry.stream = order.stream
        entry.prompt_tokens = sum(len(p) for p in order.prompts)

    def submit(self) -> None:
        """Hand every prompt to the engine.

        Raises:
            Refused: a prompt can never run; none is left in the engine.
        """
        if self._order.stream:
            self._spelling.begin()
        if self._order.late_refusal is not None:
            if not self._order.stream:
                raise Refused(400, flat_error(self._order.late_refusal))
            self._outbox.end(self._order.late_refusal)
            return
        try:
            for number in range(len(self._order.prompts)):
                self._submit_prompt(number)
        except RequestNeverFits as wrong:
            self.abort()
            raise Refused(400, flat_error(str(wrong))) from wrong
        self._connection.watch(self._on_lost)

    def _submit_prompt(self, number: int) -> None:
        sim, order = self._sim, self._order
        prompt, sampling = order.prompts[number], order.samplings[number]
        if sim.faults.of_kind("drift") is not None:
            sampling = replace(sampling, seed=sampling.seed ^ 1)
        shifted = sim.faults.of_kind("low_logprobs")
        plans = tuple(plan_sequence(prompt, i, sampling) for i in range(order.best_of))
        context = PromptContext(
            order=order,
            dialect=sim.dialect,
            number=number,
            request_id=sim.next_number(),
            plans=plans,
            new_id=sim.new_id,
            on_output=self._on_output,
            on_end=self._on_end,
            logprob_shift=0.0 if shifted is None else -(shifted.s or 1.0),
        )
        request = EngineRequest(
            id=context.request_id,
            prompt=prompt,
            max_tokens=sampling.max_tokens,
            sequences=order.best_of,
            ends_after=tuple(plan.ends_after for plan in plans),
            streamed=order.stream,
            salt=order.salt,
        )
        sim.driver.submit(request, self._sink(context))
        self._running.add(context.request_id)

    def _sink(self, context: PromptContext) -> Sink:
        if self._order.stream:
            return self._spelling.sink(context)
        self._whole.append(WholePrompt(context))
        return self._whole[-1]

    def abort(self) -> None:
        """Take what still runs out of the engine."""
        for request_id in list(self._running):
            self._sim.driver.abort(request_id)

    def _on_output(self, output: Output) -> None:
        entry = self._entry
        entry.last_token_at = self._sim.clock()
        if output.is_first and entry.first_token_at is None:
            entry.first_token_at = entry.last_token_at

    def _on_end(self, context: PromptContext, record: RequestRecord) -> None:
        self._running.discard(context.request_id)
        self._entry.aborted = self._entry.aborted or record.aborted
        self._sim.observations.on_request(
            record, self._entry, context.plans[0].finish_reason, self._sim.clock_offset_s
        )
        if not self._running:
            if self._order.stream and not record.aborted:
                self._spelling.finish()
            self._outbox.end()

    def _on_lost(self) -> None:
        entry, now = self._entry, self._sim.clock()
        entry.closed_at = now
        until_poll = POLL_S - (now - entry.received_at) % POLL_S
        asyncio.get_running_loop().call_later(until_poll, self._abort_after_poll)
        self._outbox.end()

    def _abort_after_poll(self) -> None:
        for request_id in self._running:
            log.info("%s is disconnected, abort %d", self._connection.peer, request_id)
        self.abort()

    async def reply(self, send: Send) -> None:
        """Send the answer as it comes."""
        sim, outbox, fault = self._sim, self._outbox, self._arrival.fault
        sim.outboxes.add(outbox)
        faulty = None
        if fault is not None:
            faulty = StreamFault(
                fault,
                arrival=self._arrival,
                send=send,
                process=sim,
                garbage=self._spelling.garbage,
                end_badly=partial(self._end_badly, send, f"fault {fault.kind}"),
            )
        try:
            if self._order.stream:
                await self._stream(send, faulty)
            else:
                await self._send_whole(send, faulty)
        finally:
            sim.outboxes.discard(outbox)
            self._connection.unwatch(self._on_lost)
            if faulty is not None:
                faulty.release()
            if not self._connection.lost:
                self._entry.finished_at = sim.clock()
                self.abort()

    async def _stream(self, send: Send, faulty: StreamFault | None) -> None:
        outbox, entry = self._outbox, self._entry
        await start_events(send)
        while not self._connection.lost:
            for taken in await outbox.take():
                frame = taken if faulty is None else await faulty.before(taken)
                if frame is None:
                    return
                body = {"type": "http.response.body", "body": frame.body, "more_body": True}
                await send(body)
                entry.tokens_sent += frame.tokens
            if outbox.ended and not outbox.frames:
                break
        if outbox.failure is not None:
            await self._end_badly(send, outbox.failure)
        elif not self._connection.lost:
            await send(END)

    async def _end_badly(self, send: Send, message: str) -> None:
        """End a stream as an error inside the engine does: a cut, or an event that tells."""
        told = self._spelling.failure(message)
        if told is not None:
            await send({"type": "http.response.body", "body": told, "more_body": True})
            await send(END)
            return
        log.error("Exception in ASGI application: %s", message)
        gone = asyncio.Event()
        self._connection.watch(gone.set)
        self._connection.close()
        await gone.wait()

    async def _send_whole(self, send: Send, faulty: StreamFault | None) -> None:
        sent = await send_when_ready(
            send,
            self._connection,
            self._outbox,
            faulty,
            body=lambda: self._spelling.body(self._whole),
            failed=self._refusals.of_fault,
        )
        if sent:
            self._entry.tokens_sent = sum(w.context.completion_tokens for w in self._whole)
