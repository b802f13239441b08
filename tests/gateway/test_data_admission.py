import asyncio
from contextlib import asynccontextmanager

import pytest

from gateway.core.outcome import Outcome
from gateway.core.snapshot import Limits, Timeouts
from tests.fakes.replica import (
    DONE,
    LAST,
    STREAM,
    answering,
    chunk,
    reply,
    says,
    settled,
    stream,
)
from tests.gateway.data_gateway import COMPLETION, STREAMED, gateway_over
from tests.gateway.kinds import RESPONSES, as_json
from tests.gateway.test_data_responses import (
    DELETED,
    KEYED,
    ask,
    bearer,
    go_on,
    keeping,
    sealed,
)

pytestmark = pytest.mark.anyio

LAST_OF_IT = chunk(says("b", finish="stop")) + chunk(DONE) + LAST
PATIENT = Timeouts(connect_s=5, queue_s=60)


@asynccontextmanager
async def one_at_a_time(*replicas, limits=None, timeouts=PATIENT):
    async with gateway_over(*replicas, limits=limits or Limits(), timeouts=timeouts) as gateway:
        limit_all(gateway)
        yield gateway


def limit_all(gateway, limit=1):
    """Let every replica have so many sequences at once."""
    for replica in gateway.replicas:
        replica.concurrency = limit
    gateway.publish()


def held():
    """Return a replica that ends its answers only when told, and what tells it."""
    go = asyncio.Event()
    return answering([STREAM + chunk(says("a")), go, LAST_OF_IT]), go


async def test_a_replica_gets_no_more_than_it_can_have_and_the_others_wait():
    replica, go = held()
    async with one_at_a_time(replica) as gateway, asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(gateway.post(STREAMED)) for _ in range(5)]
        await settled(lambda: gateway.queued["m"] == 4 and replica.requests)
        assert len(replica.requests) == 1
        go.set()
        assert [(await each).text for each in asked] == ["ab"] * 5
        assert gateway.leases.peak[0] == 1
        assert (gateway.queued["m"], gateway.leases.open[0]) == (0, 0)


async def test_without_a_limit_it_gets_all_of_them():
    replica, go = held()
    async with one_at_a_time(replica) as gateway, asyncio.TaskGroup() as tasks:
        limit_all(gateway, None)
        asked = [tasks.create_task(gateway.post(STREAMED)) for _ in range(5)]
        await settled(lambda: len(replica.requests) == 5)
        assert gateway.queued["m"] == 0
        go.set()
        assert [(await each).text for each in asked] == ["ab"] * 5


async def test_a_request_takes_a_place_for_each_sequence():
    replica, go = held()
    several = b'{"model":"m","prompt":["p","q","r","s"]}'
    async with one_at_a_time(replica) as gateway, asyncio.TaskGroup() as tasks:
        limit_all(gateway, 4)
        first = tasks.create_task(gateway.post(STREAMED))
        await settled(lambda: len(replica.requests) == 1)
        large = tasks.create_task(gateway.post(several))
        await settled(lambda: gateway.queued["m"] == 1)
        go.set()
        await first
        await large
        assert gateway.leases.peak[0] == 4


async def test_the_urgent_do_not_wait_behind_the_others():
    replica, go = held()
    served = []

    async def post(gateway, name, **headers):
        await gateway.post(STREAMED, headers=headers)
        served.append(name)

    async with one_at_a_time(replica) as gateway, asyncio.TaskGroup() as tasks:
        tasks.create_task(post(gateway, "running"))
        await settled(lambda: len(replica.requests) == 1)
        for number, (name, priority) in enumerate(
            [("usual", "5"), ("patient", "9"), ("urgent", "0")]
        ):
            tasks.create_task(post(gateway, name, **{"x-trtgw-priority": priority}))
            await settled(lambda count=number: gateway.queued["m"] == count + 1)
        go.set()
        await settled(lambda: len(served) == 4)
    assert served == ["running", "urgent", "usual", "patient"]


async def test_whoever_finds_the_queue_full_is_told_at_once_and_when_to_come_back():
    replica, go = held()
    async with (
        one_at_a_time(replica, limits=Limits(queue=1)) as gateway,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(gateway.post(STREAMED))
        await settled(lambda: len(replica.requests) == 1)
        tasks.create_task(gateway.post(STREAMED))
        await settled(lambda: gateway.queued["m"] == 1)
        refused = await gateway.post(COMPLETION)
        assert (refused.status, refused.error["code"]) == (503, "server_overloaded")
        assert 1 <= int(refused.headers[b"retry-after"]) <= 60
        assert b"x-should-retry" not in refused.headers
        assert (gateway.facts.outcome, gateway.facts.rejection) == (
            Outcome.REJECTED,
            "queue_full",
        )
        assert gateway.facts.attempts == []
        urgent = tasks.create_task(gateway.post(COMPLETION, headers={"x-trtgw-priority": "1"}))
        await settled(
            lambda: gateway.facts.rejection == "queue_full" and len(gateway.recorder.facts) == 2
        )
        go.set()
        assert (await urgent).status in {200, 502}  # the script is a stream


async def test_whoever_waits_too_long_is_told():
    replica, go = held()
    async with (
        one_at_a_time(replica, timeouts=Timeouts(queue_s=0.1)) as gateway,
        asyncio.TaskGroup() as tasks,
    ):
        running = tasks.create_task(gateway.post(STREAMED))
        await settled(lambda: len(replica.requests) == 1)
        refused = await gateway.post(STREAMED)
        assert (refused.status, refused.error["code"]) == (503, "server_overloaded")
        assert "had room within 0.1" in refused.error["message"]
        assert gateway.facts.rejection == "queue_timeout"
        go.set()
        assert (await running).text == "ab"


async def test_nobody_waits_longer_than_its_client_does():
    replica, go = held()
    async with one_at_a_time(replica) as gateway, asyncio.TaskGroup() as tasks:
        tasks.create_task(gateway.post(STREAMED))
        await settled(lambda: len(replica.requests) == 1)
        refused = await gateway.post(STREAMED, headers={"x-stainless-read-timeout": "0.2"})
        assert (refused.status, refused.error["code"]) == (503, "server_overloaded")
        go.set()


async def test_whoever_leaves_leaves_the_queue():
    replica, go = held()
    async with one_at_a_time(replica) as gateway, asyncio.TaskGroup() as tasks:
        tasks.create_task(gateway.post(STREAMED))
        await settled(lambda: len(replica.requests) == 1)
        leaving = gateway.client()
        left = tasks.create_task(leaving.post("/v1/completions", STREAMED))
        await settled(lambda: gateway.queued["m"] == 1)
        leaving.gone.set()
        await left
        assert gateway.queued["m"] == 0
        assert gateway.facts.outcome is Outcome.CLIENT_DISCONNECT
        go.set()
    assert len(replica.requests) == 1
    assert gateway.leases.open[0] == 0


async def test_a_place_that_another_worker_gave_back_is_found_too():
    replica = answering([stream("a")])
    async with one_at_a_time(replica) as gateway, asyncio.TaskGroup() as tasks:
        gateway.leases.open[0] += 1
        waits = tasks.create_task(gateway.post(STREAMED))
        await settled(lambda: gateway.queued["m"] == 1)
        gateway.leases.open[0] -= 1
        assert (await waits).text == "a"


async def test_a_place_that_another_worker_took_in_the_same_moment_is_not_taken_twice():
    replica = answering([stream("a")])
    async with one_at_a_time(replica) as gateway, asyncio.TaskGroup() as tasks:
        add = gateway.leases.add

        def both(column, delta):
            add(column, delta + 1)
            gateway.leases.add = add

        gateway.leases.add = both
        waits = tasks.create_task(gateway.post(STREAMED))
        await settled(lambda: gateway.queued["m"] == 1)
        assert gateway.leases.open[0] == 1
        assert replica.requests == []
        add(0, -1)
        assert (await waits).text == "a"


async def test_those_who_wait_go_by_the_newest_snapshot():
    replica, go = held()
    other = answering([stream("new")])
    async with (
        one_at_a_time(replica) as gateway,
        other.listening(),
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(gateway.post(STREAMED))
        await settled(lambda: len(replica.requests) == 1)
        waits = tasks.create_task(gateway.post(STREAMED))
        await settled(lambda: gateway.queued["m"] == 1)
        other.name, other.column = "other", 7
        gateway.replicas.append(other)
        limit_all(gateway)
        assert (await waits).text == "new"
        go.set()


async def test_those_who_wait_are_told_when_there_is_no_replica_any_more():
    replica, go = held()
    async with one_at_a_time(replica) as gateway, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(gateway.post(STREAMED))
        await settled(lambda: len(replica.requests) == 1)
        waits = tasks.create_task(gateway.post(STREAMED))
        await settled(lambda: gateway.queued["m"] == 1)
        gateway.publish(replicas=())
        refused = await waits
        assert (refused.status, refused.error["code"]) == (503, "no_replica")
        go.set()
        assert (await running).text == "ab"


async def test_the_wait_is_no_overhead_of_the_gateway():
    replica, go = held()
    async with one_at_a_time(replica) as gateway, asyncio.TaskGroup() as tasks:
        tasks.create_task(gateway.post(STREAMED))
        await settled(lambda: len(replica.requests) == 1)
        waits = tasks.create_task(gateway.post(STREAMED))
        await settled(lambda: gateway.queued["m"] == 1)
        await asyncio.sleep(0.05)
        go.set()
        overhead_ms = float((await waits).headers[b"x-trtgw-overhead-ms"])
        facts = gateway.facts
    assert facts.queued_s > 0.04  # the loop counts in whole milliseconds
    since_read_s = facts.sent_at - facts.body_read_at
    assert facts.overhead_s == pytest.approx(since_read_s - facts.queued_s)
    assert overhead_ms == pytest.approx(facts.overhead_s * 1000, abs=0.001)


@asynccontextmanager
async def one_kept(*scripts):
    """One sequence at a time at each of two replicas; the first is busy with one."""
    go = asyncio.Event()
    kept = keeping([STREAM + chunk(says("a")), go, LAST_OF_IT], *scripts)
    async with gateway_over(kept, keeping([RESPONSES.reply]), known=dict(KEYED)) as gateway:
        limit_all(gateway)
        gateway.leases.open[1] += 1
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(gateway.post(STREAMED, headers=bearer("mine")))
            await settled(lambda: len(kept.requests) == 1)
            gateway.leases.open[1] -= 1
            yield gateway, tasks
            go.set()


async def test_one_that_waits_for_its_stored_responses_replica_holds_up_nobody():
    async with one_kept([RESPONSES.reply]) as (gateway, tasks):
        waits = tasks.create_task(go_on(gateway, sealed("r0")))
        await settled(lambda: gateway.queued["m"] == 1)
        other = await gateway.post(RESPONSES.body(), RESPONSES.path, headers=bearer("mine"))
        assert (other.status, other.headers[b"x-trtgw-replica"]) == (200, b"r1")
        assert not waits.done()
    assert (waits.result().status, waits.result().headers[b"x-trtgw-replica"]) == (200, b"r0")


async def test_what_generates_nothing_waits_for_nobody():
    async with one_kept([reply(as_json(DELETED))]) as (gateway, _):
        assert (await ask(gateway, "DELETE", sealed("r0"))).status == 200
        assert gateway.facts.queued_s == 0
