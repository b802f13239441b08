import pytest

from backends.replica import IllegalTransition, ReplicaId, ReplicaSpec
from backends.replica import ReplicaState as S
from gateway.fleet.addresses import replica_id_of, static_id_of
from gateway.fleet.counting import surplus
from gateway.fleet.errors import ReplicaLimit, UnknownReplica
from gateway.fleet.journal import Journal
from gateway.fleet.registry import HISTORY, Registry
from gateway.state.board import Board
from gateway.state.memory import MemoryStore
from gateway.state.store import Desired

SPEC = ReplicaSpec("m", "m", "sim", argv=("run",))


@pytest.fixture
def registry(tmp_path):
    board = Board.create(tmp_path / "board", rows=1, columns=3)
    yield Registry(Journal(MemoryStore()), board, lambda: 100.0)
    board.close()


def test_an_illegal_move_changes_nothing(registry):
    record = registry.add(ReplicaId("a"), SPEC, "asked for")
    with pytest.raises(IllegalTransition, match="cannot go from pending to draining"):
        registry.move(record.id, S.DRAINING, "no")
    assert registry.find("a") == record


def test_a_spec_or_a_wish_is_a_new_generation_and_nothing_else_is(registry):
    record = registry.add(ReplicaId("a"), SPEC, "asked for")
    assert registry.update(record.id, url="http://h:1").generation == 1
    assert registry.update(record.id, desired=Desired.STOP).generation == 2
    assert registry.move(record.id, S.STOPPED, "stopped").generation == 2


def test_listeners_hear_of_changes_only(registry):
    told = []
    registry.subscribe(lambda: told.append(1))
    record = registry.add(ReplicaId("a"), SPEC, "asked for")
    registry.update(record.id, desired=Desired.RUN)
    registry.move(record.id, S.PENDING, "asked for")
    assert len(told) == 1
    registry.drop(record.id)
    assert len(told) == 2
    with pytest.raises(UnknownReplica):
        registry.find("a")


def test_the_history_is_bounded(registry):
    record = registry.add(ReplicaId("a"), SPEC, "asked for")
    registry.move(record.id, S.READY, "up")
    for _ in range(HISTORY):
        registry.move(record.id, S.UNHEALTHY, "down")
        registry.move(record.id, S.READY, "up")
    assert len(registry.find("a").history) == HISTORY


def test_a_fleet_larger_than_the_board_is_refused_and_says_why(registry):
    for name in "abc":
        registry.add(ReplicaId(name), SPEC, "asked for")
    with pytest.raises(ReplicaLimit, match="all 3 columns"):
        registry.add(ReplicaId("d"), SPEC, "asked for")
    assert registry.get("d") is None


def test_ids_fit_every_launcher_and_are_the_same_for_a_retry():
    assert replica_id_of("Llama 3.3/70B", "op-1") == replica_id_of("Llama 3.3/70B", "op-1")
    assert replica_id_of("Llama 3.3/70B", "op-1").startswith("llama-3-3-70b-")
    assert len(replica_id_of("x" * 200, "op-1")) < 63
    assert replica_id_of("模型", "op-1").startswith("replica-")
    assert static_id_of("http://10.0.0.5:8000").startswith("static-10-0-0-5-8000-")


def test_the_least_useful_replicas_go_first_and_the_youngest_of_them(registry):
    for name in "abc":
        registry.add(ReplicaId(name), SPEC, "asked for")
    registry.move(ReplicaId("a"), S.FAILED, "broken")
    registry.move(ReplicaId("b"), S.READY, "up")
    gone = surplus(registry.records(), "m", 1)
    assert [r.id for r in gone] == ["a", "c"]
