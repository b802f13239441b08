"""Turns the engine's outputs into the bytes of one request's answer.

A request with several prompts is several engine requests that share one answer.
`StreamedPrompt` renders as tokens come, `WholePrompt` keeps what the whole reply needs; both
are the driver's sinks, so they run inside its wake-up and never wait.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from backends.simulator.bodies import Choice
from backends.simulator.chat import ToolCallReader
from backends.simulator.dialects import Dialect
from backends.simulator.frames import (
    RUNNING,
    ChatFrames,
    CompletionFrames,
    Ending,
    Stamp,
    Usage,
    encode,
)
from backends.simulator.iteration import Output
from backends.simulator.logprobs import chat_logprobs, completion_logprobs
from backends.simulator.orders import Order
from backends.simulator.outbox import TakesFrames
from backends.simulator.sequences import Piece, SequenceDecoder, SequencePlan
from backends.simulator.stats import RequestRecord


@dataclass(slots=True)
class PromptContext:
    """One prompt of a request."""

    order: Order
    dialect: Dialect
    number: int
    """Position among the request's prompts."""
    request_id: int
    plans: tuple[SequencePlan, ...]
    new_id: Callable[[], str]
    on_output: Callable[[Output], None]
    """Told first of each output."""
    on_end: Callable[["PromptContext", RequestRecord], None]
    """Told when the engine is done with the prompt."""
    completion_tokens: int = 0
    cached_tokens: int = 0
    logprob_shift: float = 0.0
    """Added to the log probabilities of a completion's tokens."""

    @property
    def usage(self) -> Usage:
        """Count what was read and generated so far."""
        prompt = len(self.order.prompts[self.number])
        return Usage(prompt, self.completion_tokens, self.cached_tokens)

    def index(self, sequence: int) -> int:
        """Return the index of the choice."""
        return self.number * self.order.n + sequence

    def ending(self, plan: SequencePlan) -> Ending:
        """Return why a sequence that ended did so."""
        called = self.order.parsed_call and plan.finish_reason == "stop"
        if called and self.dialect.finish_tool_calls:
            return Ending("tool_calls")
        return Ending(plan.finish_reason, plan.stop_reason)


@dataclass(slots=True)
class _Sequence:
    decoder: SequenceDecoder
    call: ToolCallReader | None
    tokens: int = 0
    named: bool = False


class StreamedPrompt:
    """Renders one prompt's answer, event by event."""

    def __init__(self, context: PromptContext, outbox: TakesFrames, stamp: Stamp) -> None:
        self._context = context
        self._outbox = outbox
        self._order = order = context.order
        self._chat = ChatFrames(stamp)
        self._completion = CompletionFrames(stamp)
        self._opened = False
        self._open_sequences = order.best_of
        self._sequences = [
            _Sequence(
                SequenceDecoder(plan),
                ToolCallReader(order.tool_call)
                if order.tool_call and order.parsed_call
                else None,
            )
            for plan in context.plans[: order.n]
        ]

    def deliver(self, output: Output) -> None:
        """Render the new tokens of one sequence."""
        context = self._context
        context.on_output(output)
        context.cached_tokens = output.cached_tokens
        self._open_sequences -= output.is_last
        if output.sequence_index < self._order.n:  # the others are candidates of best_of
            self._show(output)
        if not self._open_sequences and self._order.include_usage:
            frames = self._chat if self._order.chat else self._completion
            self._outbox.put(frames.usage(context.usage))

    def _show(self, output: Output) -> None:
        context = self._context
        if not self._opened:
            self._open()
        sequence = self._sequences[output.sequence_index]
        piece = sequence.decoder.feed(output.new_tokens, last=output.is_last)
        context.completion_tokens += output.new_tokens
        ending = context.ending(sequence.decoder.plan) if output.is_last else RUNNING
        render = self._chat_chunk if self._order.chat else self._completion_chunk
        body = render(output, sequence, piece, ending)
        sequence.tokens = output.total_tokens
        self._outbox.put(body, output.new_tokens)

    def end(self, record: RequestRecord) -> None:
        """Close the prompt's part of the answer."""
        self._context.on_end(self._context, record)

    def _open(self) -> None:
        self._opened = True
        if not self._order.chat:
            return
        usage = self._running_usage(0)
        for sequence in range(self._order.n):
            self._outbox.put(self._chat.role(sequence, usage))
        for text in self._order.echo or ():
            self._outbox.put(self._chat.echo(0, text, usage))

    def _running_usage(self, tokens: int) -> Usage | None:
        if not self._order.continuous_usage:
            return None
        return replace(self._context.usage, completion_tokens=tokens)

    def _chat_chunk(
        self, output: Output, sequence: _Sequence, piece: Piece, ending: Ending
    ) -> bytes:
        order, logprobs = self._order, None
        if order.logprobs is not None:
            logprobs = encode(
                chat_logprobs(piece.token_ids, sequence.tokens, order.logprobs, nulls=False)
            )
        return self._chat.chunk(
            self._context.index(output.sequence_index),
            self._delta(sequence, piece),
            ending,
            output.total_tokens / output.decode_iterations,
            logprobs,
            self._running_usage(output.total_tokens),
        )

    def _delta(self, sequence: _Sequence, piece: Piece) -> bytes:
        call, order = sequence.call, self._order
        if call is None or order.tool_call is None or piece.reasoning:
            return self._chat.content(piece.text, piece.reasoning)
        arguments = call.feed(piece.text)
        if arguments is None or (not arguments and sequence.named):
            return self._chat.content("", "")
        first, sequence.named = not sequence.named, True
        every = self._context.dialect.tool_calls_always
        call_id = f"chatcmpl-tool-{self._context.new_id()}" if first or every else None
        name = order.tool_call.name if first or every else None
        return self._chat.tool_call(call_id, name, arguments)

    def _completion_chunk(
        self, output: Output, sequence: _Sequence, piece: Piece, ending: Ending
    ) -> bytes:
        order, text = self._order, piece.text
        extra = (b"null", b"null")
        if not order.detokenize:
            extra, text = (encode(piece.token_ids), extra[1]), ""
        if order.logprobs is not None:
            offset = sequence.decoder.shown - len(piece.text)
            columns = completion_logprobs(
                piece.token_ids,
                sequence.tokens,
                offset,
                order.logprobs,
                self._context.logprob_shift,
            )
            extra = (extra[0], encode(columns))
        if order.echo and output.is_first:
            text = order.echo[self._context.number] + text
        return self._completion.chunk(
            self._context.index(output.sequence_index),
            text,
            ending,
            output.total_tokens / output.decode_iterations,
            extra,
            self._running_usage(output.total_tokens),
        )


@dataclass(slots=True)
class WholePrompt:
    """Keeps one prompt's finished sequences."""

    context: PromptContext
    choices: dict[int, Choice] = field(default_factory=dict)

    def deliver(self, output: Output) -> None:
        """Take a sequence, which comes whole."""
        context, order = self.context, self.context.order
        context.on_output(output)
        context.cached_tokens = output.cached_tokens
        if output.sequence_index >= order.n:
            return
        context.completion_tokens += output.new_tokens
        plan = context.plans[output.sequence_index]
        piece = SequenceDecoder(plan).feed(output.total_tokens, last=True)
        self.choices[output.sequence_index] = self._choice(output, plan, piece)

    def end(self, record: RequestRecord) -> None:
        """Hand the facts on."""
        self.context.on_end(self.context, record)

    def _choice(self, output: Output, plan: SequencePlan, piece: Piece) -> Choice:
        context, order = self.context, self.context.order
        echo = order.echo[context.number] if order.echo else ""
        logprobs = None
        if order.logprobs is not None:
            ids, top = piece.token_ids, order.logprobs
            logprobs = (
                chat_logprobs(ids, 0, top, nulls=True)
                if order.chat
                else completion_logprobs(ids, 0, 0, top, context.logprob_shift)
            )
        call = None
        if order.parsed_call and order.tool_call and plan.finish_reason == "stop":
            call = (f"chatcmpl-tool-{context.new_id()}", order.tool_call)
        return Choice(
            index=context.index(output.sequence_index),
            text=echo + piece.text if order.detokenize else "",
            ending=context.ending(plan),
            per_iter=output.total_tokens / output.decode_iterations,
            reasoning=piece.reasoning,
            token_ids=None if order.detokenize else piece.token_ids,
            logprobs=logprobs,
            call=call,
        )
