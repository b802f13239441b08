"""The tally of a run."""

import json

import pytest

from tests.chaos.calls import CLIENTS, RAW, make_calls, number_of
from tests.chaos.checker import Ended, Seen, Verdict
from tests.chaos.latency import summed_up
from tests.chaos.ledger import Closed, Strike
from tests.chaos.report import Report
from tests.chaos.running import Judged
from tests.chaos.test_chaos import Kept

CALLS = list(make_calls(1, 400))
RESET = Strike(0, "a", "reset", 9, 0)
LATE = Strike(0, "a", "reset", 900, 3)
SLOW = Strike(0, "a", "latency", 900, 3)


def judged(verdict, *struck, windows=(), attempts=None, sound=True):
    call = next(call for call in CALLS if call.stream and call.client == RAW)
    seen = Seen(call.number, Ended.WELL, attempts=attempts)
    return Judged(call, seen, struck, windows, sound, verdict)


def report(*each):
    made = Report()
    made.add(each)
    return made


MANY = (
    judged(Verdict.COMPLETE),
    judged(Verdict.COMPLETE, RESET),
    judged(Verdict.COMPLETE, SLOW),
    judged(Verdict.REFUSED, RESET, sound=False),
    judged(Verdict.BROKEN_OFF, RESET, LATE),
    judged(Verdict.CUT, LATE),
    judged(Verdict.NEEDLESS, RESET),
    judged(Verdict.HUNG, LATE),
    judged(Verdict.MISSHAPEN, RESET),
)


def test_every_call_is_counted_by_fault_client_and_verdict():
    figures = report(*MANY).figures()
    assert figures["calls"] == figures["streams"] == 9
    assert (figures["faulted_streams"], figures["faults"]) == (8, 9)
    assert (figures["faulted_before_content"], figures["saved_by_another_replica"]) == (3, 1)
    assert figures["faulted_after_content"] == 3
    assert figures["truncated_or_wrong_that_look_complete"] == 1
    assert figures["errors_before_content_though_a_replica_was_left"] == 1
    assert (figures["hangs"], figures["transport_errors"], figures["other_sins"]) == (1, 0, 1)
    assert (figures["complete"], figures["refused_in_form"]) == (3, 1)
    assert figures["by_fault"]["latency"] == {"complete": 1}
    assert figures["by_fault"]["none"] == {"complete": 1}
    assert sum(figures["by_fault"]["reset"].values()) == 7


def test_sins_are_told_in_words():
    made = report(*MANY)
    assert made.sins == len(made.examples) == 4
    assert "looks whole, is cut; met ['reset at a after 900 bytes']" in made.examples[0]


def test_the_table_has_a_row_for_each_fault_and_client():
    rows = report(*MANY).table().splitlines()
    assert rows[0].split()[:3] == ["fault", "client", "complete"]
    assert [row.split()[:2] for row in rows[1:]] == [
        ["none", "raw"], ["latency", "raw"], ["reset", "raw"],
    ]  # fmt: skip
    assert "mixed" not in rows[0]


def test_a_refused_connection_is_known_by_the_attempts_that_it_cost():
    refused = Closed("refused", "a", 0.0)
    assert judged(Verdict.COMPLETE, windows=(refused,), attempts=2).fault == "refused"
    assert judged(Verdict.COMPLETE, windows=(refused,), attempts=1).fault == "none"
    assert judged(Verdict.COMPLETE, attempts=2).fault == "none"


def test_tallies_go_to_json_and_back_and_add_up():
    made = report(*MANY)
    again = Report.from_json(json.loads(json.dumps(made.as_json())))
    assert again == made
    again.merge(made)
    assert again.counts["calls"] == 18
    assert again.sins == 8


def test_a_run_that_was_broken_off_goes_on_from_the_slices_that_it_kept(tmp_path):
    path = tmp_path / "figures" / "partial.json"
    first = Kept(path)
    first.add(report(*MANY))
    second = Kept(path)
    assert (second.slices, second.report) == (1, first.report)
    path.write_text(path.read_text().replace(first.sources, "other"))
    assert Kept(path).slices == 0, "what other sources came to counts for nothing"
    second.forget()
    assert not path.exists()


def test_what_a_fault_adds_is_over_the_median_without_it():
    taken = {"none": [0.010] * 50, "eof": [0.012] * 50}
    figures = summed_up(taken)
    assert figures["none"]["added_p50_ms"] == 0
    assert figures["eof"]["added_p50_ms"] == figures["eof"]["added_p99_ms"] == pytest.approx(2)


def test_calls_are_the_same_for_the_same_seed_and_each_has_a_text_of_its_own():
    assert list(make_calls(1, 400)) == CALLS
    assert list(make_calls(1, 100, first=300)) == CALLS[300:]
    assert {call.client for call in CALLS} == set(CLIENTS)
    assert len({call.truth for call in CALLS}) == 400
    assert {call.chat for call in CALLS} == {call.stream for call in CALLS} == {True, False}
    assert [number_of(call.id) for call in CALLS] == [call.number for call in CALLS]
    assert number_of("req-17") is number_of("chaos-x") is number_of("17") is None
