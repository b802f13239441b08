"""How the answers of ``/v1/responses`` are spelled.

A stream is typed events and ends without ``[DONE]``; its last event is ``response.completed``
even where the response in it is incomplete. Replies bear the server's own name of the model.
"""

from collections.abc import Sequence
from typing import Any

from backends.simulator.bodies import Choice
from backends.simulator.endpoint import Values
from backends.simulator.frames import Usage, encode
from backends.simulator.generation import PromptContext, WholePrompt
from backends.simulator.iteration import Output
from backends.simulator.orders import Order
from backends.simulator.outbox import Outbox
from backends.simulator.response_items import (
    MESSAGE,
    REASONING,
    Item,
    ItemStream,
    call_item,
    message_item,
    reasoning_item,
)
from backends.simulator.response_routes import PREFIX
from backends.simulator.response_store import Conversation, Stored
from backends.simulator.sequences import SequenceDecoder
from backends.simulator.simulator import Simulator
from backends.simulator.stats import RequestRecord

GARBAGE = b'event: response.output_text.delta\ndata: {"content_index":0,"delta":"\n\n'
EVENT_KEYS = (
    "id", "created_at", "error", "incomplete_details", "instructions", "metadata", "model",
    "object", "output", "parallel_tool_calls", "temperature", "tool_choice", "tools", "top_p",
    "background", "conversation", "max_output_tokens", "max_tool_calls",
    "previous_response_id", "prompt", "prompt_cache_key", "reasoning", "safety_identifier",
    "service_tier", "status", "text", "top_logprobs", "truncation", "usage", "user",
)  # fmt: skip
"""A response inside an event is written by OpenAI's own model, which has more keys."""


class ResponseSpelling:
    """Spells one response."""

    garbage = GARBAGE

    def __init__(
        self,
        sim: Simulator,
        values: Values,
        conversation: Conversation,
        order: Order,
        outbox: Outbox,
    ) -> None:
        """Repeat ``values`` in the reply; ``conversation`` is what came before it."""
        self._sim = sim
        self._values = values
        self._conversation = conversation
        self._order = order
        self._id = PREFIX + sim.new_id()
        self._created = int(sim.wall())
        self._items = ItemStream(outbox, sim.new_id, ids=sim.dialect.item_ids)
        self._streamed: StreamedResponse

    def begin(self) -> None:
        """Say that the response is under way."""
        response = _for_event(self._response("in_progress", [], None))
        self._items.event("response.created", response=response)
        self._items.event("response.in_progress", response=response)

    def sink(self, context: PromptContext) -> "StreamedResponse":
        """Return what tells of the items."""
        self._streamed = StreamedResponse(context, self._items)
        return self._streamed

    def finish(self) -> None:
        """Say the whole response once more."""
        streamed = self._streamed
        reply = self._reply(streamed.choice, streamed.context.usage)
        if self._sim.dialect.stores_streamed:
            self._keep(reply, streamed.choice)
        self._items.event(
            "response.completed", streamed.unsaid, closing=True, response=_for_event(reply)
        )

    def failure(self, message: str) -> bytes | None:  # noqa: ARG002 - as the protocol has it
        """Tell nothing: the stream is cut."""
        return None

    def body(self, wholes: Sequence[WholePrompt]) -> bytes:
        """Return the finished response."""
        (whole,) = wholes
        reply = self._reply(whole.choices[0], whole.context.usage)
        self._keep(reply, whole.choices[0])
        return encode(reply)

    def _keep(self, reply: dict[str, Any], choice: Choice) -> None:
        if not self._values["store"] or not self._sim.responses.enabled:
            return
        said = [{"role": "assistant", "content": choice.text.strip()}]
        self._sim.responses.keep(self._id, Stored(encode(reply), [*self._conversation, *said]))

    def _reply(self, choice: Choice, usage: Usage) -> dict[str, Any]:
        status = "incomplete" if choice.ending.finish_reason == "length" else "completed"
        return self._response(status, self._output(choice), usage)

    def _output(self, choice: Choice) -> list[Item]:
        new_id, items = self._sim.new_id, []
        if choice.text and choice.call is None:
            items.append(message_item(f"msg_{new_id()}", choice.text.strip(), "completed"))
        if choice.reasoning:
            thought = reasoning_item(f"rs_{new_id()}", choice.reasoning.strip(), None)
            items.insert(0 if self._sim.settings.harmony else len(items), thought)
        if choice.call is not None:
            _, call = choice.call
            items.append(call_item(new_id, call.name, call.arguments))
        return items

    def _response(self, status: str, output: list[Item], usage: Usage | None) -> dict[str, Any]:
        asked = self._values
        limit = asked["max_output_tokens"]
        if self._sim.dialect.responses_need_harmony:
            limit = self._order.samplings[0].max_tokens
        if not self._sim.dialect.responses_usage:
            usage = None
        return {
            "id": self._id,
            "created_at": self._created,
            "instructions": asked["instructions"],
            "metadata": asked["metadata"],
            "model": self._sim.settings.own_name,
            "object": "response",
            "output": output,
            "parallel_tool_calls": asked["parallel_tool_calls"],
            "temperature": _or_one(asked["temperature"]),
            "tool_choice": asked["tool_choice"],
            "tools": asked["tools"],
            "top_p": _or_one(asked["top_p"]),
            "background": asked["background"],
            "max_output_tokens": limit,
            "max_tool_calls": asked["max_tool_calls"],
            "previous_response_id": asked["previous_response_id"],
            "prompt": None,
            "reasoning": asked["reasoning"],
            "service_tier": asked["service_tier"],
            "status": status,
            "text": asked["text"],
            "top_logprobs": asked["top_logprobs"],
            "truncation": asked["truncation"],
            "usage": None if usage is None else _usage(usage),
            "user": asked["user"],
        }


class StreamedResponse:
    """Tells of the items as tokens come; the driver's sink."""

    def __init__(self, context: PromptContext, items: ItemStream) -> None:
        self.context = context
        self.unsaid = 0
        """Tokens that came since the last words."""
        self._items = items
        order = context.order
        self._parsed = order.tool_call if order.parsed_call else None
        self._decoder = SequenceDecoder(context.plans[0])
        self._text = self._reasoning = ""
        self._per_iter = 1.0

    @property
    def choice(self) -> Choice:
        """Return all that came, as the reply that is not streamed has it."""
        plan = self.context.plans[0]
        whole = self._parsed if plan.finish_reason == "stop" else None
        return Choice(
            index=0,
            text=self._text,
            ending=self.context.ending(plan),
            per_iter=self._per_iter,
            reasoning=self._reasoning,
            call=("", whole) if whole else None,
        )

    def deliver(self, output: Output) -> None:
        """Tell of new tokens."""
        context = self.context
        context.on_output(output)
        context.cached_tokens = output.cached_tokens
        context.completion_tokens = output.total_tokens
        self._per_iter = output.total_tokens / output.decode_iterations
        piece = self._decoder.feed(output.new_tokens, last=output.is_last)
        self.unsaid += output.new_tokens
        self._reasoning += piece.reasoning
        self._text += piece.text
        self._say(REASONING, piece.reasoning)
        if self._parsed is None:
            self._say(MESSAGE, piece.text)

    def end(self, record: RequestRecord) -> None:
        """Close what is open, and say so."""
        if not record.aborted:
            self._items.close()
            call = self.choice.call
            if call is not None and self.context.dialect.streamed_calls:
                self._items.call(call[1].name, call[1].arguments)
        self.context.on_end(self.context, record)

    def _say(self, kind: str, text: str) -> None:
        if text:
            self._items.say(kind, text, self.unsaid)
            self.unsaid = 0


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def _or_one(asked: float | None) -> float:
    return 1.0 if asked is None else asked


def _for_event(response: dict[str, Any]) -> dict[str, Any]:
    """Spell a response as it stands in an event: with all keys, and the time as a float."""
    spelled = {key: response.get(key) for key in EVENT_KEYS}
    return spelled | {"created_at": float(response["created_at"])}
