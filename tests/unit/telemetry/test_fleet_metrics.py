from backends.replica import ReplicaState
from gateway.core.drift import Figures
from gateway.core.outlier import Cause
from tests.fakes.scrape import no_fleet, scrape


def test_exactly_one_state_of_a_replica_is_1():
    fleet = no_fleet()
    fleet.replica_state("r1", ReplicaState.LOADING)
    fleet.replica_state("r1", ReplicaState.READY)
    states = scrape(fleet=fleet).all("trtgw_replica_state", replica="r1")
    assert {s.labels["state"] for s in states} == {state.value for state in ReplicaState}
    assert [s.labels["state"] for s in states if s.value == 1] == ["ready"]


def test_a_transition_counts_when_the_state_changes_and_not_when_it_is_first_seen_or_repeated():
    fleet = no_fleet()
    for state in ("ready", "ready", "unhealthy", "ready"):
        fleet.replica_state("r1", ReplicaState(state))
    seen = scrape(fleet=fleet)
    transitions = "trtgw_replica_state_transitions_total"
    assert seen.value(transitions, replica="r1", to="ready") == 1
    assert seen.value(transitions, replica="r1", to="unhealthy") == 1
    assert seen.value(transitions, replica="r1", to="lost") == 0


def test_ejections_are_counted_by_their_cause_from_zero_on():
    fleet = no_fleet()
    fleet.replica_state("r1", ReplicaState.READY)
    fleet.ejected("r1", Cause.CONSECUTIVE)
    fleet.replica_state("r1", ReplicaState.EJECTED)
    fleet.ejected("r1", Cause.CONSECUTIVE)
    fleet.ejected("r2", Cause.FAILURE_SHARE)
    seen, name = scrape(fleet=fleet), "trtgw_replica_ejections_total"
    assert seen.value(name, replica="r1", reason="consecutive") == 2
    assert seen.value(name, replica="r1", reason="failure_share") == 0
    assert seen.value(name, replica="r2", reason="failure_share") == 1


def test_probes_load_and_drops_are_shown_as_they_are_told():
    fleet = no_fleet()
    fleet.health_check("r1", "ok")
    fleet.health_check("r1", "ok")
    fleet.health_check("r1", "timeout")
    fleet.replica_in_flight("r1", 17)
    fleet.dropped("logs", 3)
    seen = scrape(fleet=fleet)
    assert seen.value("trtgw_replica_health_checks_total", replica="r1", result="ok") == 2
    assert seen.value("trtgw_replica_health_checks_total", replica="r1", result="timeout") == 1
    assert seen.value("trtgw_replica_in_flight", replica="r1") == 17
    drops = {"signal": "logs", "worker": "supervisor"}
    assert seen.value("trtgw_telemetry_dropped_total", **drops) == 3


def test_a_forgotten_replica_leaves_no_series():
    fleet = no_fleet()
    for replica in ("r1", "r2"):
        fleet.replica_state(replica, ReplicaState.READY)
        fleet.health_check(replica, "ok")
    fleet.forget_replica("r1")
    fleet.forget_replica("never seen")
    seen = scrape(fleet=fleet)
    assert {s.labels["replica"] for s in seen.samples if "replica" in s.labels} == {"r2"}


def test_the_build_is_shown():
    build = {"version": "1.0", "revision": "abc", "python": "3.11.2"}
    assert scrape().value("trtgw_build_info", **build) == 1


def test_suspicions_are_counted_by_what_came_of_them():
    fleet = no_fleet()
    for result in ("works", "works", "fails"):
        fleet.suspected("r1", Cause.HUNG, result)
    seen, name = scrape(fleet=fleet), "trtgw_replica_suspicions_total"
    assert seen.value(name, replica="r1", reason="hung", result="works") == 2
    assert seen.value(name, replica="r1", reason="hung", result="fails") == 1


def test_drift_is_shown_as_of_the_last_round_in_which_a_replica_was_compared():
    fleet = no_fleet()
    fleet.compared("r1", 2, Figures(0.25, 0.5))
    fleet.compared("r2", 0, None)
    seen = scrape(fleet=fleet)
    assert seen.value("trtgw_replica_drift_rounds", replica="r1") == 2
    assert seen.value("trtgw_replica_agreement_ratio", replica="r1") == 0.25
    assert seen.value("trtgw_replica_logprob_difference", replica="r1") == 0.5
    assert seen.value("trtgw_replica_drift_rounds", replica="r2") == 0
    assert seen.value("trtgw_replica_agreement_ratio", replica="r2") is None
    fleet.forget_replica("r1")
    assert scrape(fleet=fleet).all("trtgw_replica_agreement_ratio") == []
