"""Verdicts, one by one."""

import pytest

from tests.chaos.calls import Call
from tests.chaos.checker import GOOD, SINS, Ended, Seen, Verdict, judge, well_shaped
from tests.chaos.ledger import Closed, Ledger, Strike, sound_replica

CALL = Call(number=3, client="raw", chat=True, stream=True, tokens=40)
PLAIN = Call(number=3, client="raw", chat=True, stream=False, tokens=40)
TRUTH = CALL.truth
OTHER = Call(number=4, client="raw", chat=True, stream=True, tokens=40).truth
ERROR = {
    "message": "lost",
    "type": "server_error",
    "code": "upstream_disconnected",
    "param": None,
}
BEFORE = Strike(3, "a", "reset", 20, 0)
AFTER = Strike(3, "a", "reset", 900, 4)
SLOW = Strike(3, "a", "latency", 900, 9)
REFUSED = Closed("refused", "a", 0.0)
DARK = Closed("dark", "a", 0.0)


def well(text, finish_reason="length"):
    return Seen(3, Ended.WELL, 200, text, finish_reason)


def told(text="", status=200, **changes):
    return Seen(3, Ended.TOLD, status, text, error={**ERROR, **changes})


def verdict(seen, *struck, call=CALL, windows=(), sound=True):
    return judge(call, seen, struck, windows, sound=sound, others=[OTHER])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (TRUTH, Verdict.COMPLETE),
        (TRUTH[:-1], Verdict.CUT),
        ("", Verdict.CUT),
        (TRUTH[:30] + TRUTH[36:], Verdict.HOLED),
        (TRUTH[6:], Verdict.HOLED),
        (TRUTH[:30] + TRUTH[24:30] + TRUTH[30:], Verdict.DOUBLED),
        (TRUTH + TRUTH, Verdict.DOUBLED),
        (TRUTH[:40] + OTHER[20:60], Verdict.MIXED),
        (OTHER, Verdict.MIXED),
        (TRUTH[:40] + "#" + TRUTH[41:], Verdict.WRONG),
        (TRUTH + "#", Verdict.WRONG),
    ],
)
def test_a_text_that_ends_well_is_right_or_a_sin(text, found):
    assert verdict(well(text)) is found
    assert verdict(well(text), AFTER) is found, "no fault excuses it"


def test_an_end_without_a_finish_reason_is_a_cut():
    assert verdict(well(TRUTH, None)) is Verdict.CUT


@pytest.mark.parametrize(
    ("ended", "found"),
    [
        (Ended.HUNG, Verdict.HUNG),
        (Ended.TRANSPORT, Verdict.TRANSPORT),
        (Ended.CONFUSED, Verdict.CONFUSED),
    ],
)
def test_what_is_no_answer_is_a_sin_whatever_was_done(ended, found):
    assert verdict(Seen(3, ended, 200, TRUTH, "length"), BEFORE, AFTER, sound=False) is found


def test_an_error_after_a_true_part_is_the_truth_only_if_that_replica_failed():
    assert verdict(told(TRUTH[:9]), AFTER) is Verdict.BROKEN_OFF
    assert verdict(told(TRUTH[:9]), BEFORE, AFTER) is Verdict.BROKEN_OFF
    assert verdict(told(TRUTH[:9]), BEFORE) is Verdict.NEEDLESS
    assert verdict(told(TRUTH[:9]), SLOW) is Verdict.UNPROVOKED
    assert verdict(told(TRUTH[:9])) is Verdict.UNPROVOKED
    assert verdict(told("#"), AFTER) is Verdict.WRONG
    assert verdict(told(OTHER[:40]), AFTER) is Verdict.MIXED


def test_an_error_before_any_content_is_the_truth_only_if_no_replica_was_left():
    refused = told(status=502)
    assert verdict(refused, BEFORE, sound=False) is Verdict.REFUSED
    assert verdict(refused, BEFORE, sound=True) is Verdict.NEEDLESS
    assert verdict(refused, AFTER, sound=True) is Verdict.NEEDLESS
    assert verdict(refused, windows=[REFUSED], sound=True) is Verdict.NEEDLESS
    assert verdict(refused, sound=True) is Verdict.UNPROVOKED
    assert verdict(refused, SLOW) is Verdict.UNPROVOKED


def test_an_answer_that_is_not_streamed_may_be_refused_after_a_silence():
    late = told(status=504, code="upstream_timeout")
    assert verdict(late, call=PLAIN, windows=[DARK]) is Verdict.REFUSED
    assert verdict(late, call=CALL, windows=[DARK]) is Verdict.NEEDLESS
    assert verdict(late, BEFORE, call=PLAIN) is Verdict.NEEDLESS


@pytest.mark.parametrize(
    "seen",
    [
        told(status=500),
        told(status=503),
        told(code="invalid_request", status=400),
        told(code=None),
        told(type="InternalError"),
        told(message=""),
        Seen(3, Ended.TOLD, 502, error=None),
        Seen(3, Ended.TOLD, 502, error={"object": "error", "message": "x"}),
    ],
)
def test_an_error_in_another_shape_than_promised_is_a_sin(seen):
    assert not well_shaped(seen)
    assert verdict(seen, BEFORE, sound=False) is Verdict.MISSHAPEN
    assert verdict(seen, AFTER, sound=False) is Verdict.MISSHAPEN


def test_three_verdicts_are_good():
    assert set(Verdict) == GOOD | SINS
    assert {str(each) for each in GOOD} == {"complete", "refused", "broken off"}


def test_a_replica_is_left_that_neither_failed_nor_was_in_a_window():
    assert sound_replica(["a", "b"], [BEFORE], [])
    assert sound_replica(["a"], [SLOW], [])
    assert not sound_replica(["a", "b"], [BEFORE], [Closed("down", "b", 0.0)])
    assert not sound_replica(["a"], [], [REFUSED])


def test_the_ledger_counts_what_struck_and_when():
    ledger = Ledger(lambda: 10.0)
    assert [ledger.arrive(3), ledger.arrive(3), ledger.arrive(4)] == [0, 1, 0]
    ledger.strike(3, "a", "reset", b"HTTP/1.1 200 OK\r\n")
    assert ledger.by_call() == {3: [Strike(3, "a", "reset", 17, 0)]}
    window = ledger.open_window("down", "b")
    assert ledger.windows_between(0.0, 9.0) == []
    assert ledger.windows_between(12.0, 13.0) == [window]
    window.closed_at = 11.0
    assert ledger.windows_between(12.0, 13.0) == []
