"""A request inside the engine: what was computed of its prompt, and its sequences."""

from backends.simulator.iteration import EngineRequest, Output
from backends.simulator.kv_cache import TOKENS_PER_BLOCK, BlockPool, Reservation, blocks_for
from backends.simulator.stats import RequestRecord


def blocks_needed(request: EngineRequest) -> int:
    """Return the KV blocks for the prompt and all ``max_tokens`` of every sequence.

    The prompt's full blocks are shared; its last, partly filled block is copied for each
    sequence.
    """
    shared = len(request.prompt) // TOKENS_PER_BLOCK
    each = blocks_for(len(request.prompt) + request.max_tokens) - shared
    return shared + request.sequences * each


class Sequence:
    """One sequence of a running request; its methods are the engine's hot path."""

    __slots__ = (
        "ended",
        "index",
        "iterations",
        "length",
        "limit",
        "owner",
        "room",
        "tokens",
        "told",
    )

    def __init__(self, owner: "Running", index: int, limit: int, room: int) -> None:
        self.owner = owner
        self.index = index
        self.limit = limit
        """Tokens after which it ends by itself."""
        self.tokens = 0
        self.told = 0
        """Tokens that were delivered."""
        self.iterations = 0
        self.length = len(owner.request.prompt)
        """Prompt and output tokens: what the next iteration reads of the KV cache."""
        self.room = room
        """Tokens that its blocks can hold."""
        self.ended = False

    def advance(self, gained: int, interval: int, pool: BlockPool) -> Output | None:
        """Add ``gained`` tokens; return the output if the ``interval`` says that one is due."""
        self.tokens += gained
        self.length += gained
        self.iterations = iterations = self.iterations + 1
        while self.length > self.room:
            pool.take(self.owner.reservation)
            self.room += TOKENS_PER_BLOCK
        if self.tokens >= self.limit:
            self.ended = True
        elif interval == 0 or (iterations > 1 and iterations % interval):
            return None
        return self._output()

    def _output(self) -> Output:
        told, self.told = self.told, self.tokens
        return Output(
            self.owner.request.id,
            self.index,
            self.tokens - told,
            self.tokens,
            self.iterations,
            self.owner.cached_tokens,
            told == 0,
            self.ended,
        )


class Running:
    """A request that was admitted."""

    __slots__ = (
        "accepted_draft_tokens",
        "cached_tokens",
        "computed",
        "draft_tokens",
        "first_iteration",
        "first_scheduled_at",
        "first_token_at",
        "live",
        "request",
        "reservation",
        "sequences",
        "submitted_at",
    )

    def __init__(self, request: EngineRequest, at: float, reservation: Reservation) -> None:
        self.request = request
        self.submitted_at = at
        self.reservation = reservation
        self.computed = 0
        """Prompt tokens whose keys and values exist."""
        self.cached_tokens = 0
        self.sequences: list[Sequence] = []
        """Empty until the context phase ends."""
        self.live = request.sequences
        """Sequences that did not end."""
        self.first_scheduled_at: float | None = None
        self.first_iteration: int | None = None
        self.first_token_at: float | None = None
        self.draft_tokens = 0
        self.accepted_draft_tokens = 0

    def start_context(self, pool: BlockPool, at: float, iteration: int) -> None:
        """Take the prompt's blocks, reused ones first, as the first chunk is about to run."""
        self.first_scheduled_at = at
        self.first_iteration = iteration
        self.cached_tokens = pool.start(
            self.reservation, self.request.prompt, self.request.salt
        )
        self.computed = self.cached_tokens

    def fork(self) -> list[Sequence]:
        """Make the sequences: the prompt is computed; the first owns its last block."""
        request = self.request
        prompt = len(request.prompt)
        limits = request.ends_after or (request.max_tokens,) * request.sequences
        shared = prompt // TOKENS_PER_BLOCK * TOKENS_PER_BLOCK
        rooms = [blocks_for(prompt) * TOKENS_PER_BLOCK] + [shared] * (request.sequences - 1)
        self.sequences = [
            Sequence(self, i, min(limit, request.max_tokens), room)
            for i, (limit, room) in enumerate(zip(limits, rooms, strict=True))
        ]
        return self.sequences

    def record(
        self, last_token_at: float, last_iteration: int, *, aborted: bool
    ) -> RequestRecord:
        """Return its facts; the arguments count only where it has got so far."""
        started = self.first_iteration is not None
        output_tokens = sum(sequence.tokens for sequence in self.sequences)
        return RequestRecord(
            request_id=self.request.id,
            aborted=aborted,
            arrival_at=self.submitted_at,
            first_scheduled_at=self.first_scheduled_at,
            first_token_at=self.first_token_at,
            last_token_at=last_token_at if output_tokens else None,
            first_iteration=self.first_iteration,
            last_iteration=last_iteration if started else None,
            prompt_tokens=len(self.request.prompt),
            cached_tokens=self.cached_tokens,
            output_tokens=output_tokens,
            decode_iterations=sum(sequence.iterations for sequence in self.sequences),
            draft_tokens=self.draft_tokens,
            accepted_draft_tokens=self.accepted_draft_tokens,
            allocated_blocks=self.reservation.new + self.reservation.reused,
            new_blocks=self.reservation.new,
            reused_blocks=self.reservation.reused,
            missed_blocks=self.reservation.missed,
        )


def queued_record(request: EngineRequest, at: float) -> RequestRecord:
    """Return the facts of a request that was aborted before it was admitted."""
    return Running(request, at, Reservation(0)).record(at, 0, aborted=True)
