"""A replica that fails requests gets none for a while; each check beside its control."""

import asyncio

import pytest

from gateway.core.outcome import AttemptOutcome
from gateway.core.outlier import Cause
from gateway.core.snapshot import Ejection, Retries, Timeouts
from tests.fakes.replica import STREAM, Step, answering, chunk, reply, says, settled, stream
from tests.gateway.data_gateway import COMPLETION, STREAMED, gateway_over
from tests.gateway.kinds import RESPONSES
from tests.gateway.test_data_responses import KEYED, ask, go_on, keeping, sealed
from tests.gateway.test_data_retry import NEVER

pytestmark = pytest.mark.anyio

DEAD = [Step.CLOSE]
BUSY = [reply(b'{"error":"too many requests"}', 429)]
ENGINES_400 = [reply(b'{"object":"error","message":"CUDA error","code":400}', 400)]
CLIENTS_400 = [reply(b'{"error":"Invalid grammar"}', 400)]
EJECTED = ("r0", Cause.CONSECUTIVE)


async def calls_to_a_dead_replica(dead, requests=12, *, body=STREAMED, **settings):
    """Return how many of the requests a dead replica got, and who was found an outlier.

    A good one is beside it, which serves all of them; requests would rather go to the dead one.
    """
    bad, good = answering(dead), answering([stream("a")] if body == STREAMED else [reply()])
    async with gateway_over(bad, good, **settings) as gateway:
        gateway.leases.open[1] += 1
        for _ in range(requests):
            assert (await gateway.post(body)).status == 200
        gateway.leases.open[1] -= 1
        assert len(good.requests) == requests
        return len(bad.requests), [(o.replica, o.cause) for o in gateway.outliers]


@pytest.mark.parametrize("body", [STREAMED, COMPLETION], ids=["stream", "whole"])
async def test_after_three_failures_nobody_else_is_sent_there(body):
    assert await calls_to_a_dead_replica(DEAD, body=body) == (3, [EJECTED])


async def test_without_ejection_everybody_is():
    assert await calls_to_a_dead_replica(DEAD, ejection=NEVER) == (12, [])


async def test_an_engine_that_blames_the_client_for_its_own_fault_is_found_after_five():
    assert await calls_to_a_dead_replica(ENGINES_400) == (5, [EJECTED])
    assert await calls_to_a_dead_replica([reply(b"{}", 503)]) == (5, [EJECTED])


async def test_a_replica_that_is_only_busy_is_never_ejected():
    assert await calls_to_a_dead_replica(BUSY, requests=50) == (50, [])


async def test_a_replica_that_never_answers_is_found_by_who_waited_for_it():
    quick = Timeouts(connect_s=5, first_token_s=0.05, between_tokens_s=30, total_s=60)
    silent = [STREAM, Step.STALL]
    assert await calls_to_a_dead_replica(silent, timeouts=quick) == (3, [EJECTED])


async def test_half_of_the_last_requests_is_enough():
    rules = Ejection(consecutive=10**6, failure_share=0.5, over_requests=6)
    turns = answering(*[[reply(b"{}", 503)], [stream("a")]] * 20)
    async with gateway_over(turns, answering([stream("b")]), ejection=rules) as gateway:
        gateway.leases.open[1] += 1
        seen = [(await gateway.post(STREAMED)).text for _ in range(12)]
        gateway.leases.open[1] -= 1
        (outlier,) = gateway.outliers
        assert outlier.cause is Cause.FAILURE_SHARE
        assert len(turns.requests) == 7  # the sixth was answered: that ejects nobody
        assert seen[7:] == ["b"] * 5


async def test_what_clients_do_wrong_ejects_nobody():
    picky = answering(CLIENTS_400)
    async with gateway_over(picky, answering([stream("b")])) as gateway:
        gateway.leases.open[1] += 1
        for _ in range(20):
            assert (await gateway.post(STREAMED)).status == 400
        gateway.leases.open[1] -= 1
        assert (len(picky.requests), gateway.outliers) == (20, [])


async def test_clients_that_leave_eject_nobody():
    silent = answering([STREAM, Step.STALL])
    async with gateway_over(silent, answering([stream("b")])) as gateway:
        gateway.leases.open[1] += 100
        for number in range(1, 9):
            client = gateway.client()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(client.post("/v1/completions", STREAMED))
                await settled(lambda n=number: len(silent.requests) == n)
                client.gone.set()
        gateway.leases.open[1] -= 100
        assert gateway.outliers == []
        ends = [facts.attempts[0].outcome for facts in gateway.recorder.facts]
        assert ends == [AttemptOutcome.CANCELLED] * 8


async def test_a_stream_that_breaks_off_counts_as_much():
    bad = answering([STREAM + chunk(says("a")), Step.CLOSE])
    async with gateway_over(bad, answering([stream("b")])) as gateway:
        gateway.leases.open[1] += 1
        seen = [await gateway.post(STREAMED) for _ in range(5)]
        gateway.leases.open[1] -= 1
        assert [client.text for client in seen] == ["a", "a", "a", "b", "b"]
        assert gateway.outliers[0].why == "3 failures in a row, the last: broken"


async def test_an_answer_that_is_only_too_long_is_no_failure():
    short = Timeouts(connect_s=5, first_token_s=30, between_tokens_s=30, total_s=0.3)
    steady = answering([STREAM + chunk(says("a")), Step.STALL])
    async with gateway_over(steady, answering([stream("b")]), timeouts=short) as gateway:
        gateway.leases.open[1] += 1
        for _ in range(4):
            assert (await gateway.post(STREAMED)).error["code"] == "upstream_stalled"
        gateway.leases.open[1] -= 1
        assert (len(steady.requests), gateway.outliers) == (4, [])


async def test_where_most_would_be_left_out_none_is():
    both = [answering(DEAD), answering(DEAD)]
    async with gateway_over(*both, answering([stream("c")])) as gateway:
        gateway.leases.open[2] += 1
        for _ in range(12):
            await gateway.post(STREAMED)
        before = sum(len(replica.requests) for replica in both)
        assert len(gateway.outliers) == 2
        for _ in range(12):
            await gateway.post(STREAMED)
        gateway.leases.open[2] -= 1
        assert sum(len(replica.requests) for replica in both) >= before + 12


async def test_unless_the_configuration_says_so():
    both, panic = [answering(DEAD), answering(DEAD)], Ejection(panic_share=0.7)
    async with gateway_over(*both, answering([stream("c")]), ejection=panic) as gateway:
        gateway.leases.open[2] += 1
        for _ in range(12):
            await gateway.post(STREAMED)
        assert len(gateway.outliers) == 2
        assert [len(replica.requests) for replica in both] == [3, 3]
        assert (await gateway.post(STREAMED)).text == "c"
        gateway.leases.open[2] -= 1


async def test_the_only_replica_is_asked_whatever_it_did():
    moody = answering(DEAD, DEAD, DEAD, [stream("a")])
    async with gateway_over(moody) as gateway:
        for _ in range(3):
            assert (await gateway.post(STREAMED)).status == 502
        assert len(gateway.outliers) == 1
        assert (await gateway.post(STREAMED)).text == "a"
        gateway.ejected = {"r0"}  # the supervisor agrees
        gateway.publish()
        assert (await gateway.post(STREAMED)).text == "a"


async def test_where_there_is_never_panic_the_client_is_told_to_come_back():
    alone, calm = answering(DEAD), Ejection(panic_share=1.0)
    async with gateway_over(alone, ejection=calm) as gateway, gateway.serving() as http:
        for _ in range(3):
            assert (await gateway.post(STREAMED)).status == 502
        client = await gateway.post(STREAMED)
        assert (client.status, client.error["code"]) == (503, "no_replica")
        assert client.headers[b"retry-after"]
        gateway.ejected = {"r0"}
        gateway.publish()
        assert (await gateway.post(STREAMED)).error["code"] == "no_replica"
        assert (await http.get("/health")).status_code == 503
        gateway.publish(ejection=Ejection())
        assert (await http.get("/health")).status_code == 200
        assert len(alone.requests) == 3


async def test_a_retry_does_not_go_to_who_is_left_out():
    dead, shaky = answering(DEAD), answering(DEAD)
    calm = {"retries": Retries(attempts=3, budget_min=100), "ejection": Ejection()}
    async with gateway_over(dead, shaky, **calm) as gateway:
        gateway.ejected = {"r0"}
        gateway.publish()
        assert (await gateway.post(STREAMED)).error["code"] == "upstream_disconnected"
        assert (len(dead.requests), len(shaky.requests)) == (0, 1)


async def test_only_a_snapshot_of_its_return_takes_a_replica_back():
    bad = answering(DEAD, DEAD, DEAD, [stream("a")])
    calm = Ejection(slow_start_s=0)
    async with gateway_over(bad, answering([stream("b")]), ejection=calm) as gateway:
        gateway.leases.open[1] += 1
        for _ in range(3):
            await gateway.post(STREAMED)
        gateway.publish()  # it was under way as the replica failed
        assert (await gateway.post(STREAMED)).text == "b"
        gateway.ejected, gateway.ejections["r0"] = {"r0"}, 1
        gateway.publish()
        assert (await gateway.post(STREAMED)).text == "b"
        gateway.ejected = ()
        gateway.publish()
        assert (await gateway.post(STREAMED)).text == "a"
        gateway.leases.open[1] -= 1


async def shares_after_a_return(slow_start_s, requests=40):
    """Return how many requests one that came back had open, when nine others had ten each."""
    hold = asyncio.Event()
    back, other = (
        answering([stream("a")]),
        answering([STREAM, hold, stream("b")[len(STREAM) :]]),
    )
    async with gateway_over(
        back, other, ejection=Ejection(slow_start_s=slow_start_s)
    ) as gateway:
        back.scripts = other.scripts
        gateway.ejected, gateway.ejections["r0"] = {"r0"}, 1
        gateway.publish()
        gateway.ejected = ()
        gateway.publish()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(requests):
                tasks.create_task(gateway.post(STREAMED))
            await settled(lambda: len(back.requests) + len(other.requests) == requests)
            found = len(back.requests)
            hold.set()
        return found


async def test_a_replica_that_comes_back_begins_with_a_tenth_of_its_load():
    assert await shares_after_a_return(slow_start_s=1e6) == 3  # of 40: (3 + 1) / 0.1 = 37 + 3


async def test_without_a_slow_start_it_gets_half_at_once():
    assert await shares_after_a_return(slow_start_s=0) == 20


async def test_a_stored_response_is_asked_of_its_keeper_even_while_that_is_left_out():
    kept = keeping([RESPONSES.reply])
    async with gateway_over(kept, keeping([RESPONSES.reply]), known=dict(KEYED)) as gateway:
        gateway.ejected, gateway.ejections["r0"] = {"r0"}, 1
        gateway.publish()
        assert (await ask(gateway, "GET", sealed("r0"))).status == 200
        assert (await go_on(gateway, sealed("r0"))).status == 200
        assert len(kept.requests) == 2
