"""The requests that run: who may enter, whose prompt is next, what an iteration yields."""

from dataclasses import dataclass, field
from random import Random

from backends.simulator.iteration import EngineRequest, Output, Speculation
from backends.simulator.kv_cache import BlockPool
from backends.simulator.profiles import Workload
from backends.simulator.running import Running, Sequence, blocks_needed


@dataclass(slots=True)
class Chunk:
    """Prompt tokens of one request that one iteration computes."""

    running: Running
    past: int
    """Prompt tokens before it."""
    tokens: int


@dataclass(slots=True)
class Decoded:
    """What decoding gave in one iteration."""

    outputs: list[Output] = field(default_factory=list)
    ended: list[Sequence] = field(default_factory=list)
    tokens: int = 0
    draft_tokens: int = 0
    accepted_draft_tokens: int = 0


class Batch:
    """Admitted requests; first those whose prompt is being computed, then those that decode."""

    def __init__(
        self,
        pool: BlockPool,
        *,
        slots: int,
        stream_interval: int,
        speculation: Speculation | None,
        rng: Random,
    ) -> None:
        """Run at most ``slots`` sequences on the blocks of ``pool``."""
        self.pool = pool
        self.slots = slots
        self.requests: dict[int, Running] = {}
        self.context: list[Running] = []
        """In order of admission."""
        self.decoding: list[Sequence] = []
        self._taken_slots = 0
        self._stream_interval = stream_interval
        self._speculation = speculation
        self._rng = rng

    @property
    def tokens_per_sequence(self) -> int:
        """Tokens that one decoding sequence computes in an iteration, its draft included."""
        return 1 + (self._speculation.draft_tokens if self._speculation else 0)

    def enter(self, request: EngineRequest, submitted_at: float) -> bool:
        """Admit ``request`` if slots and blocks for all of it exist."""
        if self._taken_slots + request.sequences > self.slots:
            return False
        reservation = self.pool.reserve(blocks_needed(request))
        if reservation is None:
            return False
        running = Running(request, submitted_at, reservation)
        self.requests[request.id] = running
        self.context.append(running)
        self._taken_slots += request.sequences
        return True

    def next_chunks(self, max_tokens: int, at: float, iteration: int) -> list[Chunk]:
        """Cut the next chunks, ``max_tokens`` in all, in order of admission."""
        chunks: list[Chunk] = []
        for running in self.context:
            if max_tokens <= 0:
                break
            if running.first_iteration is None:
                running.start_context(self.pool, at, iteration)
            past = running.computed
            tokens = min(max_tokens, len(running.request.prompt) - past)
            running.computed += tokens
            max_tokens -= tokens
            chunks.append(Chunk(running, past, tokens))
        return chunks

    def workload(self, chunks: list[Chunk]) -> Workload:
        """Return what an iteration of ``chunks`` and one decoding step computes."""
        prompt_tokens = sum(chunk.tokens for chunk in chunks)
        past = sum(chunk.past for chunk in chunks)
        return Workload(
            tokens=prompt_tokens + len(self.decoding) * self.tokens_per_sequence,
            attention_pairs=sum(c.tokens * (c.past + c.tokens / 2) for c in chunks),
            kv_tokens_read=past + sum(sequence.length for sequence in self.decoding),
            has_prefill=bool(chunks),
        )

    def decode(self) -> Decoded:
        """Give every decoding sequence its tokens."""
        result = Decoded(draft_tokens=len(self.decoding) * (self.tokens_per_sequence - 1))
        for sequence in self.decoding:
            gained = self._gain(sequence, self._speculation) if self._speculation else 1
            self._advance(sequence, gained, result)
        result.accepted_draft_tokens = result.tokens - len(self.decoding)
        return result

    def finish_context(self, running: Running, ends_at: float, result: Decoded) -> None:
        """Publish the prompt's blocks; add the first token of each sequence to ``result``."""
        request = running.request
        self.context.remove(running)
        self.pool.publish(running.reservation, request.prompt, request.salt)
        running.first_token_at = ends_at
        for sequence in running.fork():
            self._advance(sequence, 1, result)
            self.decoding.append(sequence)

    def drop(self, ended: list[Sequence]) -> list[Running]:
        """Free the slots of ``ended``; return the requests that have no other sequence."""
        finished = []
        for sequence in ended:
            sequence.ended = True
            sequence.owner.live -= 1
            if not sequence.owner.live:
                finished.append(sequence.owner)
        self._taken_slots -= len(ended)
        if ended:
            self.decoding = [s for s in self.decoding if not s.ended]
        return finished

    def leave(self, running: Running) -> None:
        """Give back all that is left of a request; its blocks go at once, not by sequence."""
        if not running.sequences:
            self.context.remove(running)
            self._taken_slots -= running.live
        self.drop([s for s in running.sequences if not s.ended])
        self.pool.release(running.reservation)
        del self.requests[running.request.id]

    def _advance(self, sequence: Sequence, gained: int, result: Decoded) -> None:
        interval = self._stream_interval if sequence.owner.request.streamed else 0
        output = sequence.advance(gained, interval, self.pool)
        result.tokens += gained
        if output is not None:
            result.outputs.append(output)
            if output.is_last:
                result.ended.append(sequence)

    def _gain(self, sequence: Sequence, speculation: Speculation) -> int:
        """Return 1 plus the draft tokens accepted before the first wrong one."""
        owner = sequence.owner
        accepted = 0
        while (
            accepted < speculation.draft_tokens and self._rng.random() < speculation.acceptance
        ):
            accepted += 1
        accepted = min(accepted, sequence.limit - sequence.tokens - 1)
        owner.draft_tokens += speculation.draft_tokens
        owner.accepted_draft_tokens += accepted
        return 1 + accepted
