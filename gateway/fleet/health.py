"""What a probe says about a replica: pure judgement, no requests.

A replica is READY only after it has generated a token, and again after it was UNHEALTHY or
EJECTED: in most eras /health answers 200 while the engine behind it is dead. One that reports
another model gets no requests at all, since ``trtllm-serve`` answers whatever model it is asked
for.
"""

from dataclasses import dataclass
from enum import StrEnum

from backends.replica import ReplicaState as S

PROBED = frozenset({S.LOADING, S.READY, S.UNHEALTHY, S.EJECTED})
"""States in which a replica is probed."""


class ProbeOutcome(StrEnum):
    """What one probe found; the label of `trtgw_replica_health_checks_total`."""

    OK = "ok"
    REFUSED = "refused"
    """No connection: still loading, or gone."""
    TIMEOUT = "timeout"
    UNWELL = "unwell"
    """It answers, and says or shows that it cannot serve."""
    WRONG_MODEL = "wrong_model"
    NO_GENERATION = "no_generation"
    """/health is fine, but a completion of one token, or an embedding, failed."""


_LOADS = "it loads, its port does not answer yet"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One probe."""

    outcome: ProbeOutcome
    detail: str = ""
    """For people; empty when all is well."""
    model: str | None = None
    """The id that it reports; None where it was not asked or did not say."""
    dialect: str | None = None
    """Era of its wire contract; None where it was not asked."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where a replica stands after a probe."""

    state: S
    reason: str
    failures: int
    """Probes that failed in a row."""


def judge(
    state: S,
    reason: str,
    failures: int,
    result: ProbeResult,
    allowed: int,
    *,
    trial: bool = False,
) -> Verdict:
    """Return the state after ``result``.

    Args:
        state: the present state, one of `PROBED`.
        reason: why it is in that state.
        failures: probes that failed in a row before this one; of a trial, trials.
        result: this probe; one of a replica that was not READY includes a generation, of an
            EJECTED one only if it is its trial.
        allowed: failures in a row that make a ready or ejected replica UNHEALTHY.
        trial: an EJECTED replica's time is over, and this probe is to prove it.
    """
    if result.outcome is ProbeOutcome.OK:
        if state is S.EJECTED and not trial:  # it said as much while it failed requests
            return Verdict(state, reason, 0)
        return Verdict(S.READY, reason if state is S.READY else "answers and generates", 0)
    failures += 1
    if result.outcome is ProbeOutcome.WRONG_MODEL:
        return Verdict(S.UNHEALTHY, result.detail, failures)
    if state is S.LOADING or (state is not S.UNHEALTHY and failures < allowed):
        if trial:
            reason = f"failed its trial: {result.detail}"
        return Verdict(state, _loading(result) if state is S.LOADING else reason, failures)
    return Verdict(S.UNHEALTHY, result.detail, failures)


def _loading(result: ProbeResult) -> str:
    # trtllm-serve opens its port only when the model is loaded.
    return _LOADS if result.outcome is ProbeOutcome.REFUSED else result.detail


def names_model(reported: str, source: str) -> bool:
    """Say whether a replica started from ``source`` would report ``reported``.

    ``trtllm-serve`` reports only the last part of the path if it was started from a directory.
    """
    if reported == source:
        return True
    path = source.rstrip("/")
    is_path = source.startswith(("/", "./", "../", "~"))
    return is_path and reported == path.rpartition("/")[2]
