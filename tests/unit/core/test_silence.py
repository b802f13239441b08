import pytest

from gateway.core.outcome import AttemptFacts, AttemptOutcome, RequestFacts
from gateway.core.silence import Silences, Waits


def attempt(facts, replica="a", *, at):
    """Begin a try of the request at a replica."""
    number = len(facts.attempts) + 1
    facts.attempts.append(AttemptFacts(number, replica, "h", 1, started_at=at))
    return facts.attempts[-1]


def content(facts, *, at):
    """Let content come."""
    now = facts.attempts[-1]
    if now.first_content_at is None:
        now.first_content_at = at
        facts.gaps_s = []
    else:
        facts.gaps_s.append(0.1)


@pytest.fixture
def silences():
    return Silences()


@pytest.fixture
def facts(silences):
    request = RequestFacts(started_at=0.0, operation="chat")
    silences.began(request)
    return request


@pytest.mark.usefixtures("facts")
def test_a_request_that_has_no_replica_yet_waits_for_none(silences):
    assert silences.look(10.0) == {}


def test_the_oldest_request_at_each_replica_counts(silences, facts):
    attempt(facts, at=3.0)
    for replica, at in (("a", 2.0), ("b", 1.0), ("a", 4.0)):
        other = RequestFacts(started_at=0.0, operation="chat")
        silences.began(other)
        attempt(other, replica, at=at)
    found = silences.look(10.0)
    assert {name: waits.since for name, waits in found.items()} == {"a": 2.0, "b": 1.0}


def test_answers_that_come_whole_and_streams_that_have_begun_are_told_apart(silences, facts):
    attempt(facts, at=3.0)
    assert silences.look(4.0)["a"] == Waits(3.0, whole=True, begun=False)
    other = RequestFacts(started_at=0.0, operation="chat", stream=True)
    silences.began(other)
    attempt(other, at=4.0)
    assert silences.look(5.0)["a"] == Waits(3.0, whole=True, begun=False)
    content(other, at=5.0)
    assert silences.look(6.0)["a"] == Waits(3.0, whole=True, begun=True)
    silences.ended(facts)
    assert silences.look(6.0)["a"] == Waits(4.0, whole=False, begun=True)


def test_content_since_the_last_look_is_progress_and_none_is_none(silences, facts):
    attempt(facts, at=1.0)
    silences.look(2.0)
    assert silences.heard_at("a") == 0.0
    content(facts, at=2.5)
    silences.look(3.0)
    assert silences.heard_at("a") == 3.0
    silences.look(4.0)
    assert silences.heard_at("a") == 3.0
    content(facts, at=4.5)
    silences.look(5.0)
    assert silences.heard_at("a") == 5.0


def test_a_second_attempt_begins_with_no_progress(silences, facts):
    first = attempt(facts, at=1.0)
    content(facts, at=1.5)
    silences.look(2.0)
    first.ended_at = 3.0
    assert silences.look(3.0) == {}
    attempt(facts, "b", at=3.5)
    assert {name: waits.since for name, waits in silences.look(4.0).items()} == {"b": 3.5}
    assert silences.heard_at("b") == 0.0
    content(facts, at=4.5)
    silences.look(5.0)
    assert silences.heard_at("b") == 5.0


def test_a_whole_answer_is_progress_and_a_refusal_is_none(silences, facts):
    for number, outcome in enumerate((AttemptOutcome.HTTP_4XX, AttemptOutcome.OK)):
        attempt(facts, at=1.0)
        facts.attempts[-1].ended_at = 5.0 + number
        facts.attempts[-1].outcome = outcome
        if outcome is AttemptOutcome.HTTP_4XX:
            silences.ended(facts)
            assert silences.heard_at("a") == 0.0
            silences.began(facts)
    silences.ended(facts)
    assert silences.heard_at("a") == 6.0
    assert silences.look(9.0) == {}


def test_what_came_of_a_stream_that_broke_off_is_progress(silences, facts):
    attempt(facts, at=1.0)
    content(facts, at=2.0)
    facts.attempts[-1].ended_at = 7.0
    facts.last_content_at = 4.0
    silences.ended(facts)
    assert silences.heard_at("a") == 4.0


def test_a_request_that_was_never_admitted_tells_nothing(silences):
    refused = RequestFacts(started_at=0.0, operation="chat")
    attempt(refused, at=1.0).outcome = AttemptOutcome.OK
    silences.ended(refused)
    assert silences.heard_at("a") == 0.0


def test_what_was_heard_of_replicas_that_are_gone_is_forgotten(silences, facts):
    attempt(facts, at=1.0)
    content(facts, at=2.0)
    silences.look(3.0)
    silences.keep_only({"a"})
    assert silences.heard_at("a") == 3.0
    silences.keep_only({"b"})
    assert silences.heard_at("a") == 0.0
