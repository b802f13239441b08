from dataclasses import replace

import pytest

from backends.replica import ReplicaState as S
from gateway.core.snapshot import FleetSnapshot, Timeouts
from gateway.fleet.errors import (
    BadUrl,
    NotPossibleNow,
    UnknownModel,
)
from gateway.fleet.health import ProbeOutcome, ProbeResult
from gateway.fleet.settings import ModelSettings
from gateway.state.store import OperationState
from tests.fakes.fleet_world import status, up

pytestmark = pytest.mark.anyio

TEMPLATE = FleetSnapshot(version=0, key_pepper=b"salt")


URL = "http://10.0.0.5:8000"


async def test_a_registered_replica_is_served_under_the_name_it_reports(world):
    fleet = await world.boot()
    world.probe.answers[URL] = ProbeResult(ProbeOutcome.OK, model="meta/llama", dialect="1.1")
    operation = await fleet.register(URL + "/")
    await world.step(fleet, times=3)
    assert fleet.operation(operation.id).state is OperationState.DONE
    found = fleet.snapshot(TEMPLATE).models["meta/llama"].replicas[0]
    assert (found.host, found.port, found.dialect) == ("10.0.0.5", 8000, "1.1")
    assert status(fleet, "meta/llama").launcher == "static"
    assert status(fleet, "meta/llama").desired == 0


async def test_one_that_reports_a_configured_name_joins_that_model(world):
    fleet = await world.boot()
    world.probe.answers[URL] = ProbeResult(ProbeOutcome.OK, model="large", dialect="1.1")
    await fleet.register(URL)
    await world.step(fleet, times=3)
    assert status(fleet).ready == 1
    assert len(fleet.models()) == 2


async def test_it_is_served_once_it_comes_and_unregistering_leaves_it_running(world):
    fleet = await world.boot()
    world.probe.answers[URL] = ProbeResult(ProbeOutcome.REFUSED, "no connection")
    operation = await fleet.register(URL, "big")
    await world.step(fleet, seconds=5000, times=3)
    assert (
        fleet.operation(operation.id).step == "loading: it loads, its port does not answer yet"
    )
    world.probe.answers.clear()
    await world.step(fleet)
    record = fleet.replica(operation.replica_id)
    assert (record.state, record.spec.source) == (S.READY, "org/big")
    with pytest.raises(NotPossibleNow, match="run by somebody else"):
        await fleet.restart(record.id)
    with pytest.raises(NotPossibleNow, match="run by somebody else"):
        fleet.logs(record.id, tail=1, follow=False)
    gone = await fleet.unregister(record.id)
    await world.step(fleet, seconds=2, times=4)
    assert fleet.operation(gone.id).state is OperationState.DONE
    assert fleet.replicas() == []
    assert world.host.starts == []


async def test_registering_again_serves_a_drained_one_again(world):
    fleet = await world.boot()
    first = await fleet.register(URL, "big")
    await world.step(fleet, times=2)
    await fleet.drain(first.replica_id)
    await world.step(fleet, seconds=2, times=3)
    assert fleet.replica(first.replica_id).state is S.STOPPED
    again = await fleet.register(URL, "small")
    await world.step(fleet, seconds=2, times=3)
    assert again.replica_id == first.replica_id
    assert fleet.replica(first.replica_id).spec.model == "small"
    assert fleet.replica(first.replica_id).state is S.READY


async def test_the_gateways_own_cannot_be_unregistered(world):
    fleet = await world.boot()
    record = await up(world, fleet)
    with pytest.raises(NotPossibleNow, match="delete it instead"):
        await fleet.unregister(record.id)


@pytest.mark.parametrize(
    "url",
    ["ftp://a:1", "http://a:1/v1", "a:1", "http://", "http://u:p@a:1", "http://a:99999"],
)
async def test_an_address_of_another_form_is_refused(world, url):
    fleet = await world.boot()
    with pytest.raises(BadUrl):
        await fleet.register(url)
    with pytest.raises(UnknownModel):
        await fleet.register(URL, "huge")


async def test_configured_ones_come_and_go_with_the_configuration(make_world):
    model = ModelSettings(
        "big", "org/big", launcher="sim", initial=0,
        static=(URL, "http://10.0.0.6:8000"), timeouts=Timeouts(connect_s=9.0),
    )  # fmt: skip
    world = make_world(model, discover=("http://10.0.0.7:8000",))
    fleet = await world.boot()
    await world.step(fleet, times=3)
    assert status(fleet).ready == 2
    assert status(fleet, "found").ready == 1
    assert fleet.snapshot(TEMPLATE).models["big"].timeouts.connect_s == 9.0
    world.settings = replace(
        world.settings, models=(replace(model, static=(URL,)),), discover=()
    )
    fleet = await world.boot()
    await world.step(fleet, seconds=2, times=4)
    assert [r.url for r in fleet.replicas()] == [URL]
    world.settings = replace(world.settings, models=(model,))
    fleet = await world.boot()
    await world.step(fleet, seconds=2, times=4)
    assert status(fleet).ready == 2


async def test_a_drained_one_stays_drained_over_a_restart(make_world):
    model = ModelSettings("big", "org/big", launcher="sim", initial=0, static=(URL,))
    world = make_world(model)
    fleet = await world.boot()
    (record,) = fleet.replicas()
    await fleet.drain(record.id)
    fleet = await world.boot()
    await world.step(fleet, seconds=2, times=4)
    assert fleet.replica(record.id).state is S.STOPPED


async def test_one_that_the_configuration_names_again_before_it_is_gone_stays(make_world):
    model = ModelSettings("big", "org/big", launcher="sim", initial=0, static=(URL,))
    world = make_world(model)
    fleet = await world.boot()
    await world.step(fleet, times=2)
    world.settings = replace(world.settings, models=(replace(model, static=()),))
    await world.boot()
    world.settings = replace(world.settings, models=(model,))
    fleet = await world.boot()
    await world.step(fleet, seconds=2, times=4)
    assert status(fleet).ready == 1


async def test_registering_without_a_model_keeps_the_one_that_is_known(world):
    fleet = await world.boot()
    await fleet.register(URL, "big")
    operation = await fleet.register(URL)
    assert fleet.replica(operation.replica_id).spec.model == "big"


async def test_without_a_source_it_is_asked_for_what_it_reports_under_the_models_own_name(
    make_world,
):
    world = make_world(ModelSettings("own-name", "own-name", initial=0, static=(URL,)))
    fleet = await world.boot()
    await world.step(fleet, times=3)
    (record,) = fleet.replicas()
    assert record.state is S.READY
    assert (record.spec.model, record.spec.source) == ("own-name", "found")
    (view,) = fleet.snapshot(TEMPLATE).models["own-name"].replicas
    assert view.source == "found"


async def test_with_a_source_one_that_reports_something_else_does_not_serve(make_world):
    model = ModelSettings("own-name", "a/b", initial=0, static=(URL,), static_source="a/b")
    world = make_world(model)
    world.probe.answers[URL] = ProbeResult(ProbeOutcome.WRONG_MODEL, "serves c/d", "c/d")
    fleet = await world.boot()
    await world.step(fleet, times=3)
    assert status(fleet, "own-name").ready == 0
    (record,) = fleet.replicas()
    assert record.spec.source == "a/b"
