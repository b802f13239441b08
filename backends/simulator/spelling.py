"""How an endpoint says what the engine yields: the protocol, and the two older endpoints.

A spelling belongs to one answer. It puts into that answer's outbox what comes before the first
token and after the last; in between the sinks that it makes do.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from backends.simulator.bodies import Choice, ReplyHead, chat_body, completion_body
from backends.simulator.driver import Sink
from backends.simulator.frames import DONE, Stamp, Usage, encode, error_frame
from backends.simulator.generation import PromptContext, StreamedPrompt, WholePrompt
from backends.simulator.orders import Order
from backends.simulator.outbox import Outbox, TakesFrames
from backends.simulator.simulator import Simulator

GARBAGE = b'data: {"id":"chatcmpl-garbage","choices":[{"index":0,"delta":{"content":"\n\n'


class Spelling(Protocol):
    """Spells one answer."""

    @property
    def garbage(self) -> bytes:
        """Return an event of a stream that is not JSON."""
        ...

    def begin(self) -> None:
        """Say what comes in a stream before the engine has said anything."""
        ...

    def sink(self, context: PromptContext) -> Sink:
        """Return what streams the answer to one prompt."""
        ...

    def finish(self) -> None:
        """Say that a stream is whole."""
        ...

    def failure(self, message: str) -> bytes | None:
        """Return what a stream tells of an error in the engine; None: it is cut instead."""
        ...

    def body(self, wholes: Sequence[WholePrompt]) -> bytes:
        """Return the reply that is not streamed."""
        ...


MakeSpelling = Callable[[Order, Outbox], Spelling]


class OpenAISpelling:
    """``/v1/completions`` and ``/v1/chat/completions``."""

    garbage = GARBAGE

    def __init__(self, sim: Simulator, order: Order, outbox: TakesFrames) -> None:
        self._sim = sim
        self._order = order
        self._outbox = outbox
        self._name = sim.new_id()

    def begin(self) -> None:
        """Say nothing: the head alone comes early."""

    def sink(self, context: PromptContext) -> Sink:
        """Return what renders one prompt's chunks."""
        sim, order = self._sim, self._order
        stamp = Stamp(
            dialect=sim.dialect,
            model=encode(self._model),
            fixed_id=self._name if order.many else str(context.request_id),
            created=int(sim.wall()),
            new_id=sim.new_id,
            wall=sim.wall,
        )
        return StreamedPrompt(context, self._outbox, stamp)

    def finish(self) -> None:
        """Say ``[DONE]``."""
        self._outbox.put(DONE, closing=True)

    def failure(self, message: str) -> bytes | None:
        """Tell of it in completions of the newest era only."""
        if self._sim.dialect.error_frames and not self._order.chat:
            return error_frame(message) + DONE + DONE
        return None

    def body(self, wholes: Sequence[WholePrompt]) -> bytes:
        """Return the reply with all choices."""
        sim, order = self._sim, self._order
        head = ReplyHead(sim.new_id(), int(sim.wall()), self._model)
        choices: list[Choice] = []
        for whole in wholes:
            choices += [whole.choices[i] for i in sorted(whole.choices)]
        usages = [whole.context.usage for whole in wholes]
        usage = Usage(
            sum(u.prompt_tokens for u in usages),
            sum(u.completion_tokens for u in usages),
            sum(u.cached_tokens for u in usages),
        )
        if order.chat:
            return chat_body(head, choices, usage, sim.dialect)
        return completion_body(head, choices, usage, sim.dialect, many=order.many)

    @property
    def _model(self) -> str:
        return self._sim.settings.own_name if self._order.many else self._order.model
