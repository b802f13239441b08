"""The series of one model in one worker: what a finished request adds to them.

Definitions follow NVIDIA's deployment guides: the average TPOT weighs requests equally (sum /
count of the TPOT histogram), the average ITL weighs tokens equally (generation seconds /
generation output tokens, the divisor being output tokens and not the gaps). A stream whose
number of output tokens is unknown adds to neither.
"""

from dataclasses import dataclass

from gateway.core.outcome import Outcome, RequestFacts
from gateway.telemetry.series import Exemplar, Histogram, Registry, TraceMark


@dataclass(slots=True)
class Counted:
    """How much of a running request is counted: long streams move the views while they run."""

    gaps: int = 0
    events: int = 0
    ttft: bool = False


class ModelSeries:
    """Children of every family that is labelled by model, resolved once."""

    def __init__(self, registry: Registry, model: str) -> None:
        """Create the series of ``model``, at 0, so that a view shows 0 and not a gap."""
        self._labels = (model,)
        self._registry = registry
        numbers = registry.numbers
        self._generation_s = numbers("trtgw_generation_seconds_total")
        self._generation_tokens = numbers("trtgw_generation_output_tokens_total")
        self._chunks = numbers("trtgw_stream_chunks_total")
        self._input_tokens = numbers("trtgw_input_tokens_total")
        self._output_tokens = numbers("trtgw_output_tokens_total")
        self._cached_tokens = numbers("trtgw_cached_input_tokens_total")
        self._reasoning_tokens = numbers("trtgw_reasoning_output_tokens_total")
        for counter in (
            self._generation_s, self._generation_tokens, self._chunks, self._input_tokens,
            self._output_tokens, self._cached_tokens, self._reasoning_tokens,
        ):  # fmt: skip
            counter.setdefault(self._labels, 0)
        self._ttft = self._histogram("trtgw_time_to_first_token_seconds")
        self._itl = self._histogram("trtgw_inter_token_latency_seconds")
        self._tpot = self._histogram("trtgw_time_per_output_token_seconds")
        self._input_sizes = self._histogram("trtgw_request_input_tokens")
        self._output_sizes = self._histogram("trtgw_request_output_tokens")
        self._throughput = self._histogram("trtgw_user_throughput_tokens_per_second")
        self._durations = {
            (stream == "true", result == "ok"): registry.histogram(
                "trtgw_request_duration_seconds", model, stream, result
            )
            for stream in ("true", "false")
            for result in ("ok", "error")
        }

        self._waits = {
            result: registry.histogram("trtgw_queue_wait_seconds", model, result)
            for result in ("admitted", "rejected", "abandoned")
        }

    def _histogram(self, name: str) -> Histogram:
        return self._registry.histogram(name, *self._labels)

    def progress(
        self, facts: RequestFacts, counted: Counted, mark: TraceMark | None = None
    ) -> None:
        """Count what the stream brought since the last call; cheap when that is nothing."""
        ttft_s = facts.ttft_s
        if ttft_s is not None and not counted.ttft:
            counted.ttft = True
            self._ttft.observe(ttft_s)
            if mark is not None:
                self._ttft.mark(Exemplar(mark.trace_id, ttft_s, mark.at))
        gaps = facts.gaps_s
        if len(gaps) > counted.gaps:
            new = gaps[counted.gaps :] if counted.gaps else gaps
            self._itl.observe_all(new)
            counted.gaps += len(new)
        if facts.content_events > counted.events:
            self._chunks[self._labels] += facts.content_events - counted.events
            counted.events = facts.content_events

    def finish(
        self, facts: RequestFacts, counted: Counted | None, mark: TraceMark | None
    ) -> None:
        """Count the rest of a request that has ended."""
        if facts.stream:
            self.progress(facts, counted or Counted(), mark)
        ok = facts.outcome is Outcome.OK
        e2e_s = facts.e2e_s
        self._durations[facts.stream, ok].observe(e2e_s)
        if facts.queued_s:
            self._waits[_end_of_wait(facts)].observe(facts.queued_s)
        self._count_tokens(facts)
        self._count_generation(facts, mark)
        if ok:
            self._count_sizes(facts, e2e_s)

    def _count_tokens(self, facts: RequestFacts) -> None:
        labels = self._labels
        if facts.input_tokens:
            self._input_tokens[labels] += facts.input_tokens
        if facts.output_tokens:
            self._output_tokens[labels] += facts.output_tokens
        if facts.cached_tokens:
            self._cached_tokens[labels] += facts.cached_tokens
        if facts.reasoning_tokens:
            self._reasoning_tokens[labels] += facts.reasoning_tokens

    def _count_generation(self, facts: RequestFacts, mark: TraceMark | None) -> None:
        generation_s = facts.generation_s
        if generation_s is None or facts.output_tokens is None:
            return
        self._generation_s[self._labels] += generation_s
        self._generation_tokens[self._labels] += facts.output_tokens
        tpot_s = facts.tpot_s
        if tpot_s is not None:
            self._tpot.observe(tpot_s)
            if mark is not None:
                self._tpot.mark(Exemplar(mark.trace_id, tpot_s, mark.at))

    def _count_sizes(self, facts: RequestFacts, e2e_s: float) -> None:
        if facts.input_tokens is not None:
            self._input_sizes.observe(facts.input_tokens)
        if facts.output_tokens is not None:
            self._output_sizes.observe(facts.output_tokens)
            if e2e_s > 0:
                self._throughput.observe(facts.output_tokens / e2e_s)


def _end_of_wait(facts: RequestFacts) -> str:
    if facts.attempts:
        return "admitted"
    return "abandoned" if facts.outcome is Outcome.CLIENT_DISCONNECT else "rejected"
