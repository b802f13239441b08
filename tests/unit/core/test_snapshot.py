from backends.replica import ReplicaId
from gateway.core.snapshot import Ejection, FleetSnapshot, ModelView, ReplicaView

MODELS = {
    "a": ModelView("a", 1, aliases=("x", "b")),
    "b": ModelView("b", 1, aliases=("y",)),
}


def test_a_model_is_found_by_its_name_and_its_aliases():
    snapshot = FleetSnapshot(version=1, models=MODELS)
    assert snapshot.find("a") is snapshot.find("x") is MODELS["a"]
    assert snapshot.find("y") is MODELS["b"]


def test_a_name_of_its_own_goes_before_an_alias():
    assert FleetSnapshot(version=1, models=MODELS).find("b") is MODELS["b"]


def test_an_unknown_name_finds_nothing():
    assert FleetSnapshot(version=1, models=MODELS).find("z") is None
    assert FleetSnapshot(version=0).find("a") is None


def test_ejected_replicas_serve_where_there_are_no_others_unless_nobody_may_panic():
    one = (ReplicaView(ReplicaId("r0"), "h", 1, "s", "main", 0),)
    assert not ModelView("a", 1).can_serve
    assert ModelView("a", 1, replicas=one).can_serve
    assert ModelView("a", 1, ejected=one).can_serve
    assert not ModelView("a", 1, ejected=one, ejection=Ejection(panic_share=1.0)).can_serve
