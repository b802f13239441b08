"""A request that replicas die of is kept from the others."""

import asyncio

import pytest

from gateway.core.outcome import Outcome
from gateway.core.snapshot import Retries
from tests.fakes.replica import (
    DONE,
    LAST,
    STREAM,
    Step,
    answering,
    chunk,
    says,
    settled,
    stream,
)
from tests.gateway.data_gateway import STREAMED, gateway_over
from tests.gateway.test_data_retry import NEVER

pytestmark = pytest.mark.anyio

POISON = STREAMED.replace(b'"p"', b'"x"')


def mortal(*, dying=None):
    """Return a replica that hangs up on the poison, or on all as long as `dying` is set."""

    def dies(body):
        return body["prompt"] == "x" or (dying is not None and dying.is_set())

    return answering([stream("a")], instead=(dies, [STREAM, Step.CLOSE]))


def patient(attempts=2, **keys):
    return Retries(attempts=attempts, budget_share=1.0, budget_min=1000, **keys)


def deaths(replicas):
    return sum(body["prompt"] == "x" for r in replicas for _, body in r.requests)


async def sendings(gateway, count):
    """Send the poison so often, and something else after each; return how the first ended."""
    codes = []
    for _ in range(count):
        codes.append((await gateway.post(POISON)).error["code"])
        assert (await gateway.post(STREAMED)).text == "a"
    return codes


async def test_a_request_that_three_replicas_died_of_is_sent_to_no_more():
    replicas = [mortal() for _ in range(6)]
    async with gateway_over(*replicas, ejection=NEVER, retries=patient()) as gateway:
        codes = await sendings(gateway, 6)
        assert codes == ["upstream_disconnected"] * 2 + ["request_quarantined"] * 4
        assert deaths(replicas) == 4  # two sendings, of two replicas each
        refused = await gateway.post(POISON)
        assert refused.status == 502
        assert refused.headers[b"x-should-retry"] == b"false"
        assert "replicas died of this very request" in refused.error["message"]
        assert (gateway.facts.outcome, gateway.facts.rejection) == (
            Outcome.REJECTED,
            "quarantined",
        )
        assert gateway.facts.attempts == []


async def test_without_a_quarantine_it_goes_on_to_kill():
    replicas = [mortal() for _ in range(6)]
    retries = patient(quarantine_s=0)
    async with gateway_over(*replicas, ejection=NEVER, retries=retries) as gateway:
        assert await sendings(gateway, 6) == ["upstream_disconnected"] * 6
        assert deaths(replicas) == 12


async def test_one_sending_costs_two_replicas_however_often_it_may_be_tried():
    replicas = [mortal() for _ in range(6)]
    async with gateway_over(*replicas, ejection=NEVER, retries=patient(6)) as gateway:
        assert (await gateway.post(POISON)).error["code"] == "upstream_disconnected"
        assert deaths(replicas) == 2


async def test_others_who_lost_their_replicas_with_it_are_served():
    dying = asyncio.Event()
    replicas = [mortal(dying=dying) for _ in range(4)]
    async with gateway_over(*replicas, ejection=NEVER, retries=patient()) as gateway:
        dying.set()  # a whole host goes down, with all that ran there
        for _ in range(3):
            assert (await gateway.post(STREAMED)).error["code"] == "upstream_disconnected"
        dying.clear()
        other = await gateway.post(STREAMED.replace(b'"p"', b'"q"'))
        assert other.text == "a"
        assert (await gateway.post(STREAMED)).text == "a"


async def test_a_suspect_shares_its_replica_with_no_other():
    go, dying = asyncio.Event(), asyncio.Event()

    def dies(_):
        return dying.is_set()

    script = [
        STREAM + chunk(says("a")),
        go,
        chunk(says("b", finish="stop")) + chunk(DONE) + LAST,
    ]
    replicas = [answering(script, instead=(dies, [STREAM, Step.CLOSE])) for _ in range(2)]
    bodies = [STREAMED.replace(b'"p"', b'"%d"' % number) for number in range(3)]
    async with gateway_over(*replicas, ejection=NEVER, retries=patient()) as gateway:
        dying.set()
        for body in bodies:
            assert (await gateway.post(body)).status == 502
        dying.clear()
        before = [len(replica.requests) for replica in replicas]
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(gateway.post(body)) for body in bodies]
            await settled(lambda: sum(len(r.requests) for r in replicas) == sum(before) + 2)
            assert gateway.queued["m"] == 1
            assert [len(replica.requests) for replica in replicas] == [n + 1 for n in before]
            free = await gateway.post(STREAMED.replace(b'"p"', b'"free"'), begun=go)
            assert [(await each).text for each in asked] == ["ab"] * 3
        assert free.status == 200
