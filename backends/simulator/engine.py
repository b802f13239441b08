"""In-flight batching as a pure model: no clock, no I/O; equal calls give equal results.

Each iteration every running sequence decodes, and what is left of ``max_num_tokens`` goes to
prefill chunks in order of arrival. A request enters, first come first served, when slots and KV
blocks for its prompt and all its ``max_tokens`` exist, so nothing is evicted under way
(GUARANTEED_NO_EVICT). The caller decides when time passes: it calls `Engine.step` when an
iteration starts, and not again before ``at + duration_s``.
"""

from random import Random

from backends.simulator.batch import Batch, Chunk, Decoded
from backends.simulator.iteration import EngineLimits, EngineRequest, RequestNeverFits, Step
from backends.simulator.kv_cache import TOKENS_PER_BLOCK, BlockPool
from backends.simulator.profiles import Profile
from backends.simulator.running import Running, blocks_needed, queued_record
from backends.simulator.stats import IterationStats, KvEvent, RequestRecord


class Engine:
    """One replica's engine."""

    def __init__(self, profile: Profile, limits: EngineLimits, *, seed: int = 0) -> None:
        """Start empty; ``seed`` settles the noise and which draft tokens are accepted.

        Raises:
            ValueError: with these limits not even one sequence could run.
        """
        self.profile = profile
        self.limits = limits
        self.max_num_tokens = _given(limits.max_num_tokens, profile.max_num_tokens)
        self._rng = Random(seed)
        draft_tokens = limits.speculation.draft_tokens if limits.speculation else 0
        self.pool = BlockPool(
            _given(limits.kv_pool_tokens, profile.kv_pool_tokens) // TOKENS_PER_BLOCK,
            reuse=limits.enable_block_reuse,
            event_buffer_size=limits.event_buffer_size,
        )
        self._batch = Batch(
            self.pool,
            slots=min(
                _given(limits.max_batch_size, profile.max_batch_size),
                self.max_num_tokens // (1 + draft_tokens),
            ),
            stream_interval=limits.stream_interval,
            speculation=limits.speculation,
            rng=self._rng,
        )
        if min(self._batch.slots, self.pool.blocks, limits.stream_interval) < 1:
            raise ValueError(f"not even one sequence could run with {limits}")
        self._queue: dict[int, tuple[EngineRequest, float]] = {}
        self._iteration = -1
        """Number of the iteration under way, or of the last one."""
        self._ends_at = 0.0
        """When it ends or ended."""

    @property
    def slots(self) -> int:
        """Sequences that run at once."""
        return self._batch.slots

    @property
    def queued(self) -> int:
        """Requests that wait for a slot or for KV blocks."""
        return len(self._queue)

    @property
    def active(self) -> int:
        """Requests that were admitted and did not end."""
        return len(self._batch.requests)

    def submit(self, request: EngineRequest, at: float) -> None:
        """Queue ``request``; an iteration that starts at ``at`` or later may admit it.

        The order of the calls is the order of the queue, so ``at`` may not go back.

        Raises:
            RequestNeverFits: it needs more slots or blocks than there are; nothing changed.
            ValueError: its id is in use, or a count in it makes no sense; nothing changed.
        """
        _check(request)
        if request.id in self._queue or request.id in self._batch.requests:
            raise ValueError(f"request id {request.id} is in use")
        blocks = blocks_needed(request)
        if blocks > self.pool.blocks:
            raise RequestNeverFits(
                f"{len(request.prompt)} prompt and {request.max_tokens} output tokens need "
                f"{blocks} KV blocks; the pool has {self.pool.blocks}"
            )
        if request.sequences > self.slots:
            raise RequestNeverFits(
                f"{request.sequences} sequences need as many slots; there are {self.slots}"
            )
        self._queue[request.id] = (request, at)

    def abort(self, request_id: int) -> RequestRecord | None:
        """End a request now: its slots and blocks are free for the next iteration.

        Outputs of the iteration under way were decided already; the caller drops them.
        Returns None when the request ended before or was never there.
        """
        waiting = self._queue.pop(request_id, None)
        if waiting is not None:
            return queued_record(*waiting)
        running = self._batch.requests.get(request_id)
        if running is None:
            return None
        return self._end(running, aborted=True)

    def stop_sequence(self, request_id: int, index: int) -> RequestRecord | None:
        """End one sequence as of its last output, as for a stop string found in its text.

        Returns the request's record when this was its last sequence, else None; a sequence that
        ended before is no error.
        """
        running = self._batch.requests.get(request_id)
        if running is None or not running.sequences or running.sequences[index].ended:
            return None
        sequence = running.sequences[index]
        sequence.tokens = sequence.told
        if not self._batch.drop([sequence]):
            return None
        return self._end(running, aborted=False)

    def step(self, at: float) -> Step | None:
        """Run an iteration that starts at ``at``; None when there is nothing to run then."""
        batch = self._batch
        known = len(batch.requests)
        waited_s = self._admit(at)
        active = len(batch.requests)
        if not active:
            return None
        self._iteration += 1
        generating = active - len(batch.context)
        room = self.max_num_tokens - len(batch.decoding) * batch.tokens_per_sequence
        chunks = batch.next_chunks(room, at, self._iteration)
        duration_s = self.profile.iteration_s(batch.workload(chunks)) * self._noise()
        self._ends_at = at + duration_s
        result = self._compute(chunks)
        finished = tuple(self._end(r, aborted=False) for r in batch.drop(result.ended))
        stats = IterationStats(
            iteration=self._iteration,
            started_at=at,
            latency_s=duration_s,
            new_active_queue_s=waited_s,
            new_active_requests=active - known,
            active_requests=active,
            queued_requests=len(self._queue),
            completed_requests=len(finished),
            max_active_requests=self.slots,
            context_requests=len(chunks),
            generation_requests=generating,
            context_tokens=sum(chunk.tokens for chunk in chunks),
            generated_tokens=result.tokens,
            draft_tokens=result.draft_tokens,
            accepted_draft_tokens=result.accepted_draft_tokens,
            requests_with_draft_tokens=generating if self.limits.speculation else 0,
            kv_cache=self.pool.stats(),
        )
        return Step(duration_s, tuple(result.outputs), finished, stats)

    def drain_events(self) -> tuple[KvEvent, ...]:
        """Return the KV events since the last call, oldest first."""
        return self.pool.events.drain()

    def _admit(self, at: float) -> float:
        """Admit from the head of the queue; return the seconds waited by the admitted."""
        waited_s = 0.0
        while self._queue:
            request, submitted_at = next(iter(self._queue.values()))
            if submitted_at > at or not self._batch.enter(request, submitted_at):
                break
            del self._queue[request.id]
            waited_s += at - submitted_at
        return waited_s

    def _compute(self, chunks: list[Chunk]) -> Decoded:
        result = self._batch.decode()
        for chunk in chunks:
            if chunk.past + chunk.tokens == len(chunk.running.request.prompt):
                self._batch.finish_context(chunk.running, self._ends_at, result)
        return result

    def _noise(self) -> float:
        sigma = self.limits.noise
        return self._rng.lognormvariate(0.0, sigma) if sigma else 1.0

    def _end(self, running: Running, *, aborted: bool) -> RequestRecord:
        self._batch.leave(running)
        return running.record(self._ends_at, self._iteration, aborted=aborted)


def _given(limit: int | None, default: int) -> int:
    return default if limit is None else limit


def _check(request: EngineRequest) -> None:
    """Refuse counts that make no sense: the wire validates, replay reads files."""
    ends = request.ends_after
    counts = (len(request.prompt), request.max_tokens, request.sequences, *(ends or ()))
    if min(counts) < 1:
        raise ValueError(f"request {request.id}: every count must be at least 1: {counts}")
    if ends is not None and len(ends) != request.sequences:
        raise ValueError(
            f"request {request.id}: ends_after has {len(ends)} entries for "
            f"{request.sequences} sequences"
        )
