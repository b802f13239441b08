"""What the engine says of itself: per iteration, per request, and per change of its KV cache.

Values only, named in plain words; how an era spells them in JSON or Prometheus text is the
wire's matter. All instants are seconds of the engine's time line (the caller's ``at``), all
counts since its start unless said otherwise.
"""

import msgspec


class KvCacheStats(msgspec.Struct, frozen=True, gc=False):
    """The block pool at the end of an iteration."""

    max_blocks: int
    free_blocks: int
    """Blocks that a new request may take: never used, or cached and unreferenced."""
    used_blocks: int
    """Blocks that running requests hold; ``max_blocks - free_blocks``."""
    tokens_per_block: int
    allocated_blocks: int
    """Blocks handed to requests so far, reused ones included."""
    new_blocks: int
    """Of those, blocks that were taken empty."""
    reused_blocks: int
    missed_blocks: int
    """Full prompt blocks that were looked up and not found."""

    @property
    def hit_rate(self) -> float:
        """Share of the looked-up prompt blocks that were found, 0 to 1."""
        looked_up = self.reused_blocks + self.missed_blocks
        return self.reused_blocks / looked_up if looked_up else 0.0


class IterationStats(msgspec.Struct, frozen=True):
    """One iteration; the counts are those of this iteration alone."""

    iteration: int
    """0 for the engine's first."""
    started_at: float
    latency_s: float
    new_active_queue_s: float
    """Seconds that the requests admitted in this iteration had waited, summed."""
    new_active_requests: int
    active_requests: int
    """Admitted requests, those that finish in this iteration included."""
    queued_requests: int
    completed_requests: int
    max_active_requests: int
    context_requests: int
    """Requests with a prefill chunk in this iteration."""
    generation_requests: int
    context_tokens: int
    generated_tokens: int
    draft_tokens: int
    accepted_draft_tokens: int
    requests_with_draft_tokens: int
    kv_cache: KvCacheStats

    @property
    def scheduled_requests(self) -> int:
        """Active requests that had tokens in this iteration."""
        return self.context_requests + self.generation_requests

    @property
    def decoded_tokens_per_iteration(self) -> float:
        """Mean tokens that a generating sequence gained; 0 when none generated."""
        sequences = self.generated_tokens - self.accepted_draft_tokens
        return self.generated_tokens / sequences if sequences else 0.0


class RequestRecord(msgspec.Struct, frozen=True):
    """The facts of a request that ended, however; None where it did not get so far."""

    request_id: int
    aborted: bool
    arrival_at: float
    first_scheduled_at: float | None
    """Start of the iteration that held its first chunk."""
    first_token_at: float | None
    """End of the iteration that gave its first token."""
    last_token_at: float | None
    first_iteration: int | None
    last_iteration: int | None
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    """Over all sequences."""
    decode_iterations: int
    """Iterations in which sequences gained tokens, over all sequences."""
    draft_tokens: int
    accepted_draft_tokens: int
    allocated_blocks: int
    """KV blocks that it was given, reused ones included."""
    new_blocks: int
    reused_blocks: int
    missed_blocks: int

    @property
    def decoded_tokens_per_iteration(self) -> float:
        """Mean tokens per sequence and iteration: 1 without speculation, 0 without output."""
        return self.output_tokens / self.decode_iterations if self.decode_iterations else 0.0


class CreatedEvent(msgspec.Struct, frozen=True):
    """The pool was made; always event 0, so a reader sees a restart by it."""

    event_id: int
    blocks: int


class StoredBlock(msgspec.Struct, frozen=True):
    """A full block of prompt tokens that became reusable."""

    block_hash: int
    tokens: tuple[int, ...]


class StoredEvent(msgspec.Struct, frozen=True):
    """Blocks that became reusable, each the child of the one before."""

    event_id: int
    parent_hash: int | None
    """Hash of the block before the first; None at the start of a prompt."""
    blocks: tuple[StoredBlock, ...]
    salt: str


class RemovedEvent(msgspec.Struct, frozen=True):
    """Blocks that were evicted."""

    event_id: int
    block_hashes: tuple[int, ...]


KvEvent = CreatedEvent | StoredEvent | RemovedEvent
