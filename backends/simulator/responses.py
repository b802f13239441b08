"""``/v1/responses``, as far as a text model without tools goes.

1.1 has the route for gpt-oss alone. Afterwards a reply is kept in memory, to be fetched or
deleted; a stream is typed events and ends without ``[DONE]``.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from backends.simulator.chat import render_chat
from backends.simulator.connection import connection_of
from backends.simulator.errors import Refused, bad_request, check_body, flat_error
from backends.simulator.frames import encode
from backends.simulator.iteration import EngineRequest, Output
from backends.simulator.outbox import Outbox
from backends.simulator.replies import (
    END,
    Receive,
    Scope,
    Send,
    read_body,
    send_body,
    start_events,
)
from backends.simulator.sequences import Sampling, SequenceDecoder, plan_sequence
from backends.simulator.simulator import Simulator
from backends.simulator.stats import RequestRecord
from backends.simulator.text import choose_seed
from backends.simulator.wire_types import OpenMessage

HARMONY_ONLY = "Responses API only supports harmony format for now"
PREFIX = "resp_"


class ResponsesRequest(BaseModel):
    """The fields that a reply depends on; the others are taken and left."""

    model_config = ConfigDict(extra="allow")
    model: str
    input: str | list[OpenMessage]
    instructions: str | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    stream: bool | None = False
    store: bool | None = True
    previous_response_id: str | None = None


async def create(sim: Simulator, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer ``POST /v1/responses``."""
    entry = sim.requests.open(scope["path"], sim.clock())
    body = await read_body(receive)
    if body is None:
        entry.closed_at = sim.clock()
        return
    try:
        if sim.dialect.era == "B":
            raise bad_request(HARMONY_ONLY)
        values = check_body(body, ResponsesRequest, sim.dialect, scope["path"])
        writer = _Writer(sim, values)
    except Refused as refused:
        entry.status = refused.status
        await send_body(send, refused.status, refused.body)
        return
    entry.status = 200
    connection = connection_of(scope)
    connection.watch(writer.abort)
    try:
        await (writer.stream(send) if values["stream"] else writer.whole(send))
    finally:
        connection.unwatch(writer.abort)
        entry.finished_at = sim.clock()


def _not_found(response_id: str) -> bytes:
    message = f"Response with id '{response_id}' not found."
    return flat_error(message, kind="InvalidRequestError", code=404)


async def get(sim: Simulator, scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer ``GET /v1/responses/{id}``."""
    await _with_stored(sim, scope, send, delete=False)


async def delete(sim: Simulator, scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer ``DELETE /v1/responses/{id}``."""
    await _with_stored(sim, scope, send, delete=True)


async def _with_stored(sim: Simulator, scope: Scope, send: Send, *, delete: bool) -> None:
    response_id = scope["path"].rsplit("/", 1)[1]
    if not response_id.startswith(PREFIX):
        message = (
            f"Invalid 'response_id': '{response_id}'. Expected an ID that begins with 'resp'."
        )
        await send_body(send, 400, flat_error(message, kind="InvalidRequestError"))
        return
    stored = sim.responses.pop(response_id, None) if delete else sim.responses.get(response_id)
    if stored is None:
        await send_body(send, 404, _not_found(response_id))
        return
    gone = encode({"id": response_id, "object": "response", "deleted": True})
    await send_body(send, 200, gone if delete else stored)


class _Writer:
    """Generates one response and spells it; the driver's sink."""

    def __init__(self, sim: Simulator, values: Mapping[str, Any]) -> None:
        self._sim = sim
        self._values = values
        self._prompt = render_chat(_messages(values), ())
        room = sim.settings.max_seq_len - len(self._prompt)
        if room <= 0:
            raise bad_request(f"prompt of {len(self._prompt)} tokens exceeds max_seq_len")
        limit = min(values["max_output_tokens"] or room, room)
        seed = choose_seed(None, values["temperature"], sim.rng)
        self._plan = plan_sequence(self._prompt, 0, Sampling(max_tokens=limit, seed=seed))
        self._decoder = SequenceDecoder(self._plan)
        self._text = ""
        self._usage = (0, 0)
        self._sequence = 0
        self._outbox = Outbox()
        self._id = PREFIX + sim.new_id()
        self._item = f"msg_{sim.new_id()}"
        self._created = int(sim.wall())
        self._number = sim.next_number()

    def _submit(self) -> None:
        plan = self._plan
        request = EngineRequest(
            self._number,
            self._prompt,
            plan.sampling.max_tokens,
            ends_after=(plan.ends_after,),
        )
        self._sim.driver.submit(request, self)

    def abort(self) -> None:
        """Stop: the client is gone."""
        self._sim.driver.abort(self._number)
        self._outbox.end()

    def deliver(self, output: Output) -> None:
        """Take new tokens."""
        piece = self._decoder.feed(output.new_tokens, last=output.is_last)
        self._usage = (output.total_tokens, output.cached_tokens)
        self._text += piece.text
        if piece.text:
            self._event("response.output_text.delta", delta=piece.text, **self._place())

    def end(self, record: RequestRecord) -> None:
        """Close."""
        if not record.aborted:
            self._finish()
        self._outbox.end()

    async def stream(self, send: Send) -> None:
        """Send typed events."""
        self._begin()
        self._submit()
        await start_events(send)
        while not self._outbox.ended or self._outbox.frames:
            for frame in await self._outbox.take():
                body = {"type": "http.response.body", "body": frame.body, "more_body": True}
                await send(body)
        await send(END)

    async def whole(self, send: Send) -> None:
        """Send the finished response."""
        self._submit()
        while not self._outbox.ended:
            await self._outbox.take()
            await asyncio.sleep(0)
        await send_body(send, 200, encode(self._response("completed")))

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._item, "output_index": 0, "content_index": 0}

    def _event(self, kind: str, **fields: object) -> None:
        event = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        self._outbox.put(b"event: %b\ndata: %b\n\n" % (kind.encode(), encode(event)))

    def _begin(self) -> None:
        self._event("response.created", response=self._response("in_progress"))
        self._event("response.in_progress", response=self._response("in_progress"))
        self._event(
            "response.output_item.added", output_index=0, item=self._message("in_progress")
        )
        self._event("response.content_part.added", part=self._part(), **self._place())

    def _finish(self) -> None:
        self._event("response.output_text.done", text=self._text, **self._place())
        self._event("response.content_part.done", part=self._part(), **self._place())
        self._event(
            "response.output_item.done", output_index=0, item=self._message("completed")
        )
        response = self._response("completed")
        self._event("response.completed", response=response)
        if self._values["store"]:
            self._sim.responses[self._id] = encode(response)

    def _part(self) -> dict[str, Any]:
        return {"type": "output_text", "text": self._text, "annotations": []}

    def _message(self, status: str) -> dict[str, Any]:
        content = [self._part()] if status == "completed" else []
        return {
            "id": self._item,
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": content,
        }

    def _response(self, status: str) -> dict[str, Any]:
        generated, cached = self._usage
        usage = {
            "input_tokens": len(self._prompt),
            "input_tokens_details": {"cached_tokens": cached},
            "output_tokens": generated,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": len(self._prompt) + generated,
        }
        done = status == "completed"
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "model": self._values["model"],
            "output": [self._message(status)] if done else [],
            "usage": usage if done else None,
            "error": None,
            "incomplete_details": None,
        }


def _messages(values: Mapping[str, Any]) -> list[OpenMessage]:
    asked = values["input"]
    if isinstance(asked, str):
        asked = [OpenMessage(role="user", content=asked)]
    if values["instructions"]:
        return [OpenMessage(role="system", content=values["instructions"]), *asked]
    return list(asked)
