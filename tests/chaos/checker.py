"""Whether a client was told the truth: pure judgement of what it saw against what was done.

Rule: a verdict is a sin unless the answer was right and whole, or the client was told, in the
form that it is promised, that it is not; and it may be told so only where no replica was left
that could have answered unseen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile
from typing import Any

from tests.chaos.calls import Call
from tests.chaos.faults import KINDS
from tests.chaos.ledger import Closed, Strike


class Ended(StrEnum):
    """How an answer ended, as its client saw it."""

    WELL = "well"
    """As a good answer does; for a program that uses an SDK: nothing was raised."""
    TOLD = "told"
    """With an error that the API has: by its status, or as the last event."""
    TRANSPORT = "transport"
    """The connection broke."""
    CONFUSED = "confused"
    """What came was no HTTP, no event stream or no JSON, or it went on after its end."""
    HUNG = "hung"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client saw of one answer."""

    number: int
    ended: Ended
    status: int | None = None
    text: str = ""
    finish_reason: str | None = None
    error: dict[str, Any] | None = None
    """OpenAI's object."""
    note: str = ""
    began_at: float = 0.0
    ended_at: float = 0.0
    first_text_s: float | None = None
    attempts: int | None = None
    """As the gateway says."""
    ids: int = 1
    """How many different ids the chunks had."""


class Verdict(StrEnum):
    """What a client's view of one answer comes to."""

    COMPLETE = "complete"
    REFUSED = "refused"
    """By an error before any content, and no replica was left."""
    BROKEN_OFF = "broken off"
    """By an error after a true part of the answer."""
    CUT = "looks whole, is cut"
    HOLED = "looks whole, has a hole"
    DOUBLED = "doubled"
    MIXED = "mixed"
    WRONG = "wrong text"
    TRANSPORT = "transport error"
    CONFUSED = "client confused"
    HUNG = "hangs"
    MISSHAPEN = "misshapen error"
    NEEDLESS = "needless error"
    """A replica was left, and no content of the failed ones had been shown."""
    UNPROVOKED = "unprovoked error"
    """Nothing was done to it."""


GOOD = frozenset({Verdict.COMPLETE, Verdict.REFUSED, Verdict.BROKEN_OFF})
SINS = frozenset(Verdict) - GOOD
UNTRUE = frozenset({Verdict.CUT, Verdict.HOLED, Verdict.DOUBLED, Verdict.MIXED, Verdict.WRONG})
"""The client holds for its answer what is not."""

_CODES = {
    "upstream_error": 502,
    "upstream_disconnected": 502,
    "upstream_protocol_error": 502,
    "server_overloaded": 503,
    "model_loading": 503,
    "no_replica": 503,
    "upstream_timeout": 504,
    "upstream_stalled": 504,
}
"""Errors that a replica's fault may become, and their status (docs/api.md)."""
_NEVER_RIGHT = {
    Ended.HUNG: Verdict.HUNG,
    Ended.TRANSPORT: Verdict.TRANSPORT,
    Ended.CONFUSED: Verdict.CONFUSED,
}
_PIECE = 16
"""Characters: two answers have no longer piece in common by chance."""


def judge(
    call: Call,
    seen: Seen,
    struck: Sequence[Strike],
    windows: Sequence[Closed],
    *,
    sound: bool,
    others: Sequence[str] = (),
) -> Verdict:
    """Return the verdict on what one client saw.

    Args:
        call: what was asked.
        seen: what came.
        struck: the faults that this call's answers met, at any replica.
        windows: those that were open while it ran.
        sound: whether a replica was left.
        others: texts of other calls, to tell whose a foreign text is.
    """
    if seen.ended in _NEVER_RIGHT:
        return _NEVER_RIGHT[seen.ended]
    if seen.ended is Ended.WELL or not call.truth.startswith(seen.text):
        return _of_text(seen, call.truth, others)
    if not well_shaped(seen):
        return Verdict.MISSHAPEN
    return _of_error(call, seen, struck, windows, sound=sound)


def _of_text(seen: Seen, truth: str, others: Sequence[str]) -> Verdict:
    text = seen.text
    if text == truth:
        return Verdict.COMPLETE if seen.finish_reason else Verdict.CUT
    if truth.startswith(text):
        return Verdict.CUT
    return _of_wrong_text(text, truth, others)


def _of_wrong_text(text: str, truth: str, others: Sequence[str]) -> Verdict:
    begins = _common(text, truth)
    ends = _common(text[::-1], truth[::-1])
    if len(text) < len(truth) and begins + ends >= len(text):
        return Verdict.HOLED
    put_in = text[begins : max(begins, len(text) - ends)]
    if len(text) > len(truth) and begins + ends >= len(truth):
        put_in = text[begins : begins + len(text) - len(truth)]
    if put_in and put_in in truth:
        return Verdict.DOUBLED
    if len(put_in) >= _PIECE and any(put_in[:_PIECE] in other for other in others):
        return Verdict.MIXED
    return Verdict.WRONG


def _common(one: str, other: str) -> int:
    """Return how many characters are the same at the start of both."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _of_error(
    call: Call,
    seen: Seen,
    struck: Sequence[Strike],
    windows: Sequence[Closed],
    *,
    sound: bool,
) -> Verdict:
    breaking = [strike for strike in struck if KINDS[strike.kind].breaks]
    if not breaking and not windows:
        return Verdict.UNPROVOKED
    if seen.text:
        # Only the replica that showed content may break the answer off.
        shown = any(strike.content for strike in breaking)
        return Verdict.BROKEN_OFF if shown else Verdict.NEEDLESS
    waited = not call.stream and any(
        KINDS[kind].silent for kind in (*(s.kind for s in struck), *(w.kind for w in windows))
    )
    # Whether an answer that comes whole will come is not known before its whole time is up.
    return Verdict.NEEDLESS if sound and not waited else Verdict.REFUSED


def well_shaped(seen: Seen) -> bool:
    """Say whether an error is one that docs/api.md promises for a replica's fault."""
    error = seen.error
    if error is None or not {"message", "type", "code"} <= error.keys():
        return False
    status = _CODES.get(error["code"] or "")
    return (
        status is not None
        and seen.status in {200, status}
        and error["type"] == "server_error"
        and bool(error["message"])
    )
