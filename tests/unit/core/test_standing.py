import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from backends.replica import ReplicaId
from gateway.core.outcome import AttemptOutcome
from gateway.core.outlier import Cause, Outlier, Sign
from gateway.core.snapshot import Ejection, ModelView, ReplicaView
from gateway.core.standing import Standings, share_after

RULES = Ejection(base_s=5, max_s=60, slow_start_s=30)
WHY = "3 failures in a row, the last: broken"


def view(name, ejections=0):
    return ReplicaView(ReplicaId(name), "h", 1, "s", "main", 0, ejections=ejections)


def model(*serving, ejected=(), rules=RULES):
    """A model's view; a replica is its name, or name and count of ejections."""

    def views(named):
        return tuple(view(*([each] if isinstance(each, str) else each)) for each in named)

    return ModelView("m", 1, replicas=views(serving), ejected=views(ejected), ejection=rules)


def standings(*serving, at=0.0, **known):
    made = Standings()
    assert made.take([model(*serving, **known)], at) == []
    return made


def fail(stood, name="a", *, at=1.0, began_at=None, times=3, sign=Sign.HARD):
    """Let attempts fail; return what the last one made of the replica."""
    found = None
    for _ in range(times):
        began = at if began_at is None else began_at
        found = stood.note(ReplicaId(name), sign, AttemptOutcome.BROKEN, began_at=began, at=at)
    return found


def out(stood, at=1.0):
    return set(stood.left_out(at))


def test_a_replica_that_fails_is_left_out_at_once_and_reported_once():
    stood = standings("a", "b")
    assert stood.ordinary
    assert fail(stood, times=2) is None
    assert fail(stood, times=1) == Outlier(ReplicaId("a"), 0, Cause.CONSECUTIVE, WHY)
    assert out(stood) == {"a"}
    assert not stood.ordinary
    assert fail(stood, times=30) is None  # those that were under way


def test_no_note_is_taken_of_a_replica_that_is_not_known():
    assert fail(standings("b")) is None
    assert fail(Standings()) is None


def test_a_snapshot_that_does_not_know_of_the_ejection_takes_nobody_back_and_is_told():
    stood = standings("a", "b")
    outlier = fail(stood)
    assert stood.take([model("a", "b")], 2.0) == [outlier]
    assert out(stood, 2.0) == {"a"}
    assert stood.take([model("b", ejected=[("a", 1)])], 3.0) == []
    assert out(stood, 1e9) == {"a"}  # for as long as the supervisor says
    assert stood.take([model(("a", 1), "b")], 9.0) == []
    assert out(stood, 9.0) == set()


def test_one_that_others_saw_fail_is_left_out_too():
    stood = standings("a", "b")
    stood.take([model("b", ejected=[("a", 1)])], 1.0)
    assert out(stood) == {"a"}
    assert fail(stood) is None
    assert stood.share(ReplicaId("a"), 1.0) == 1.0


def test_a_return_that_was_quicker_than_the_snapshots_is_one():
    stood = standings("a", "b")
    fail(stood)
    stood.take([model(("a", 1), "b")], 2.0)
    assert out(stood, 2.0) == set()
    assert stood.share(ReplicaId("a"), 2.0) == pytest.approx(0.1)


def test_without_a_supervisor_the_own_clock_takes_it_back_each_time_later():
    stood, at = standings("a", "b"), 100.0
    for pause in (10, 20, 40, 60, 60):
        fail(stood, at=at)
        assert out(stood, at + pause - 0.1) == {"a"}
        assert out(stood, at + pause) == set()
        at += pause
        assert stood.share(ReplicaId("a"), at) == pytest.approx(0.1)
    assert stood.take([model("a", "b")], at) == []  # nothing is held against it now
    fail(stood, at=at + 60)  # it has served well for as long as the longest ejection
    assert out(stood, at + 60 + 9.9) == {"a"}
    assert out(stood, at + 60 + 10) == set()


def test_what_was_under_way_before_it_came_back_is_not_held_against_it():
    stood = standings("a", "b")
    fail(stood, at=1.0)
    stood.take([model("b", ejected=[("a", 1)])], 2.0)
    stood.take([model(("a", 1), "b")], 10.0)
    assert fail(stood, began_at=0.5, at=61.0, times=50) is None
    assert fail(stood, began_at=10.0, at=61.0) == Outlier(
        ReplicaId("a"), 1, Cause.CONSECUTIVE, WHY
    )


def test_failures_before_an_ejection_do_not_count_after_it():
    stood = standings("a", "b")
    fail(stood, at=1.0)
    stood.take([model(("a", 1), "b")], 10.0)
    assert fail(stood, at=11.0, times=2) is None


def test_new_rules_begin_anew_and_the_same_ones_do_not():
    stood = standings("a", "b")
    fail(stood, times=2)
    stood.take([model("a", "b", rules=Ejection(base_s=5, max_s=60, slow_start_s=30))], 1.5)
    assert fail(stood, times=1) is not None
    stood = standings("a", "b")
    fail(stood, times=2)
    stood.take([model("a", "b", rules=Ejection(consecutive=2))], 1.5)
    assert fail(stood, at=2, times=1) is None
    assert fail(stood, at=2, times=1) is not None


def test_a_replica_that_is_gone_is_forgotten():
    stood = standings("a", "b")
    fail(stood)
    stood.take([model("b")], 2.0)
    assert stood.ordinary
    stood.take([model("a", "b")], 3.0)
    assert stood.share(ReplicaId("a"), 3.0) < 1
    stood.take([], 4.0)
    assert stood.ordinary


def test_all_begin_with_their_full_share_in_the_first_snapshot():
    stood = standings("a", "b", ejected=["c"])
    assert [stood.share(ReplicaId(name), 0.0) for name in "ab"] == [1.0, 1.0]


@pytest.mark.parametrize("before", [["b"], ["b", "c"]])
def test_one_that_comes_while_others_serve_begins_with_a_tenth(before):
    stood = standings(*before)
    stood.take([model("a", *before)], 100.0)
    assert stood.share(ReplicaId("a"), 100.0) == pytest.approx(0.1)
    assert stood.share(ReplicaId("a"), 115.0) == pytest.approx(0.55)
    assert stood.share(ReplicaId("b"), 115.0) == 1.0
    assert stood.share(ReplicaId("a"), 130.0) == 1.0
    assert stood.ordinary


def test_one_that_comes_alone_gets_all():
    stood = standings()
    stood.take([model("a")], 1.0)
    assert stood.share(ReplicaId("a"), 1.0) == 1.0


def test_one_that_fails_while_it_warms_up_is_out_and_not_warming():
    stood = standings("b")
    stood.take([model("a", "b")], 1.0)
    fail(stood, at=2.0)
    assert out(stood, 2.0) == {"a"}
    assert stood.share(ReplicaId("a"), 2.0) == 1.0


def test_a_share_grows_from_a_tenth_to_all():
    assert [share_after(s, 30) for s in (-1, 0, 30, 99)] == [0.1, 0.1, 1, 1]
    assert share_after(0, 0) == 1
    grown = [share_after(s / 10, 7) for s in range(80)]
    assert grown == sorted(grown)


class WorkerAndSupervisor(RuleBasedStateMachine):
    """A worker whose snapshots come late, and a supervisor that may be away.

    The truth of the supervisor is one replica, "a"; "b" is always well.
    """

    def __init__(self):
        super().__init__()
        self.at = 0.0
        self.stood = Standings()
        self.ejected, self.count = False, 0
        self.under_way = []
        self.sent = []
        self.out_since = None
        self.publish()
        self.deliver()

    def publish(self):
        serving = ["b"] if self.ejected else [("a", self.count), "b"]
        away = [("a", self.count)] if self.ejected else []
        self.under_way.append(model(*serving, ejected=away))

    def hear(self, outliers):
        self.sent += outliers

    @rule(seconds=st.sampled_from([0.1, 3.0, 30.0]))
    def wait(self, seconds):
        self.at += seconds

    @rule(sign=st.sampled_from(Sign), began=st.floats(0, 1))
    def attempt(self, sign, began):
        was_out = "a" in self.stood.left_out(self.at)
        outlier = self.stood.note(
            ReplicaId("a"), sign, AttemptOutcome.BROKEN,
            began_at=self.at * began, at=self.at,
        )  # fmt: skip
        if outlier is not None:
            assert not was_out
            assert sign in {Sign.HARD, Sign.SOFT}
            assert "a" in self.stood.left_out(self.at)
            self.out_since = self.at
            self.hear([outlier])

    @precondition(lambda self: self.under_way)
    @rule()
    def deliver(self):
        snapshot = self.under_way.pop(0)
        self.hear(self.stood.take([snapshot], self.at))
        self.seen = snapshot

    @precondition(lambda self: self.sent)
    @rule(lost=st.booleans())
    def message_arrives(self, lost):
        outlier = self.sent.pop(0)
        if not lost and not self.ejected and outlier.ejections == self.count:
            self.ejected, self.count = True, self.count + 1
            self.publish()

    @precondition(lambda self: self.ejected)
    @rule()
    def proven(self):
        self.ejected = False
        self.publish()

    @invariant()
    def what_the_supervisor_ejected_is_out(self):
        out = self.stood.left_out(self.at)
        assert "b" not in out
        if self.seen.ejected:
            assert "a" in out
        elif "a" in out:  # by itself: never for longer than the longest, whoever is away
            assert self.at - self.out_since < RULES.max_s

    @invariant()
    def a_share_is_a_share(self):
        assert 0.1 <= self.stood.share(ReplicaId("a"), self.at) <= 1
        assert self.stood.share(ReplicaId("b"), self.at) == 1

    @invariant()
    def all_who_speak_and_listen_agree_in_the_end(self):
        if not self.under_way and not self.sent and self.seen.ejected:
            assert self.ejected


TestWorkerAndSupervisor = WorkerAndSupervisor.TestCase
TestWorkerAndSupervisor.settings = settings(max_examples=150, stateful_step_count=40)
