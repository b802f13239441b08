from dataclasses import replace

import pytest

from backends.replica import ReplicaState
from gateway.core.snapshot import FleetSnapshot
from gateway.fleet.health import ProbeOutcome, ProbeResult
from tests.fakes.fleet_world import ONE, status, up

pytestmark = pytest.mark.anyio

TEMPLATE = FleetSnapshot(version=0, key_pepper=b"salt")


async def test_the_snapshot_holds_what_may_be_served_and_its_version_grows_with_changes_only(
    world,
):
    fleet = await world.boot()
    empty = fleet.snapshot(TEMPLATE)
    assert fleet.snapshot(TEMPLATE) is empty
    assert empty.models["big"].replicas == ()
    assert not empty.models["big"].loading
    assert empty.key_pepper == b"salt"
    record = await up(world, fleet)
    full = fleet.snapshot(TEMPLATE)
    assert full.version > empty.version
    (view,) = full.find("large").replicas
    assert (view.id, view.source, view.dialect) == (record.id, "org/big", "1.2")
    assert (view.host, f"http://127.0.0.1:{view.port}") == ("127.0.0.1", record.url)
    assert (view.column, view.concurrency) == (record.column, 8)
    draining = fleet.snapshot(replace(TEMPLATE, draining=True))
    assert (draining.version, draining.draining) == (full.version + 1, True)
    created_at = full.models["big"].created_at
    world.at += 1000
    again = (await world.boot()).snapshot(TEMPLATE)
    assert again.version > draining.version
    assert again.models["big"].created_at == created_at
    assert again.models["big"].replicas == full.models["big"].replicas


async def test_a_model_on_its_way_is_shown_as_loading(world):
    fleet = await world.boot()
    await fleet.create(ONE)
    assert fleet.snapshot(TEMPLATE).models["big"].loading
    assert status(fleet).loading == 1


async def test_a_replica_that_fails_its_probes_is_away_and_one_that_is_started_again_is_not(
    world,
):
    fleet = await world.boot()
    record = await up(world, fleet)
    assert fleet.snapshot(TEMPLATE).models["big"].away == ()
    world.probe.answers[record.url] = ProbeResult(ProbeOutcome.UNWELL, "it says so")
    await world.step(fleet, seconds=1, times=5)
    assert fleet.replica(record.id).state is ReplicaState.UNHEALTHY
    away = fleet.snapshot(TEMPLATE).models["big"]
    assert (away.replicas, away.away) == ((), (record.id,))
    del world.probe.answers[record.url]
    await world.step(fleet, seconds=1, times=5)
    back = fleet.snapshot(TEMPLATE).models["big"]
    assert (len(back.replicas), back.away) == (1, ())
    await fleet.drain(record.id)
    assert fleet.snapshot(TEMPLATE).models["big"].away == ()


async def test_every_change_is_told(world):
    fleet = await world.boot()
    told = []
    fleet.subscribe(lambda: told.append(len(fleet.replicas())))
    await up(world, fleet)
    assert len(told) >= 4
