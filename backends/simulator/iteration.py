"""What goes into the engine and comes out: requests, limits, the outputs of an iteration.

The engine knows how many tokens a sequence has, never which: their ids and their text are made
from prompt and seed by `text`, so the wire may look ahead and say beforehand where a sequence
ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from backends.simulator.stats import IterationStats, RequestRecord


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """One prompt and the sequences to generate from it."""

    id: int
    """Unique among the requests that the engine still holds."""
    prompt: Sequence[int]
    """Token ids; at least one."""
    max_tokens: int
    """Most tokens of each sequence, at least 1. KV blocks for all of them are reserved before
    it starts."""
    sequences: int = 1
    """``n``, ``best_of`` or the beam width: they share the prompt's blocks and decode apart."""
    ends_after: tuple[int, ...] | None = None
    """For each sequence the tokens after which it ends by itself (EOS, stop string); None: at
    ``max_tokens``."""
    streamed: bool = True
    """False: one output per sequence, when it ends."""
    salt: str = ""
    """``cache_salt``: prompts of different salts share no cached blocks."""


@dataclass(frozen=True, slots=True)
class Speculation:
    """Speculative decoding: each iteration checks ``draft_tokens`` guesses per sequence."""

    draft_tokens: int
    acceptance: float = 0.7
    """Chance that a guess is right, given that those before it were."""


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What ``trtllm-serve``'s options set; None takes the profile's value."""

    max_batch_size: int | None = None
    """Sequences that run at once."""
    max_num_tokens: int | None = None
    """Tokens computed in one iteration: decoding first, the rest for prefill."""
    kv_pool_tokens: int | None = None
    enable_block_reuse: bool = True
    event_buffer_size: int = 0
    """KV events kept for `Engine.drain_events`; 0 keeps none."""
    stream_interval: int = 1
    """A streamed sequence is heard of at its 1st iteration, at each multiple of this, and at
    its end."""
    speculation: Speculation | None = None
    noise: float = 0.05
    """Sigma of the lognormal factor (median 1) on each iteration's time; 0 for none."""


class Output(msgspec.Struct, frozen=True, gc=False):
    """New tokens of one sequence, to be delivered when the iteration ends."""

    request_id: int
    sequence_index: int
    new_tokens: int
    """Tokens since the last output of this sequence, at least 1."""
    total_tokens: int
    """Tokens of the sequence so far, these included."""
    decode_iterations: int
    """Iterations it took for them: ``total_tokens / decode_iterations`` is the running mean per
    iteration."""
    cached_tokens: int
    """Prompt tokens that came from reused blocks."""
    is_first: bool
    is_last: bool
    """The sequence ended: at ``max_tokens`` or its ``ends_after``."""


@dataclass(frozen=True, slots=True)
class Step:
    """One iteration, already decided; its outputs exist ``duration_s`` after its start."""

    duration_s: float
    outputs: tuple[Output, ...]
    """In order of admission."""
    finished: tuple[RequestRecord, ...]
    """Requests whose last sequence ended in this iteration."""
    stats: IterationStats


class RequestNeverFits(ValueError):  # noqa: N818 - names the condition
    """The request needs more than the whole engine has; it was not queued."""
