import asyncio
import socket
import time

import pytest

from gateway.core.errors import (
    UpstreamConnectFailed,
    UpstreamDisconnected,
    UpstreamTimeout,
)
from gateway.core.snapshot import Timeouts
from gateway.dataplane.upstream import IDLE_S, Upstream, Upstreams
from tests.fakes.replica import (
    REPLY,
    Step,
    answering,
    reply,
    settled,
    stream,
)
from tests.unit.dataplane.asking import ask, read_all, upstream_to

pytestmark = pytest.mark.anyio


async def test_a_request_goes_out_whole_and_its_answer_comes_back():
    async with upstream_to([reply()]) as (upstream, replica):
        answer = await ask(upstream)
        assert (answer.status, answer.connect_s >= 0) == (200, True)
        assert await read_all(answer) == REPLY
    start, body = replica.requests[0]
    lines = start.lower().split(b"\r\n")
    assert lines[0] == b"post /v1/completions http/1.1"
    assert b"host: 127.0.0.1:%d" % replica.port in lines
    assert b"content-length: 7" in lines
    assert b"content-type: application/json" in lines
    assert b"x-request-id: q" in lines
    assert body == {"a": 1}


async def test_a_connection_is_used_again_after_a_whole_answer():
    async with upstream_to([reply()], [stream("a", "b")], [reply()]) as (upstream, replica):
        for _ in range(3):
            answer = await ask(upstream)
            await read_all(answer)
        assert answer.connect_s is None
        assert (len(replica.requests), replica.connections) == (3, 1)


async def test_answers_at_the_same_time_each_have_a_connection_and_the_newest_goes_first():
    async with upstream_to([reply()]) as (upstream, replica):
        answers = await asyncio.gather(*[ask(upstream) for _ in range(3)])
        for answer in answers:
            await read_all(answer)
        assert replica.connections == 3
        newest = upstream._idle[-1]
        answer = await ask(upstream)
        assert answer._carrier is newest
        await read_all(answer)
        assert replica.connections == 3


@pytest.mark.parametrize(
    "script",
    [
        [reply(more=b"connection: close\r\n")],
        [stream("a")[:-5], Step.STALL],
        [reply() + b"x"],
        [reply() + reply()],
        [reply(), reply(), Step.STALL],
    ],
    ids=["said so", "not whole", "extra byte", "two in one", "two"],
)
async def test_a_connection_is_not_used_again_after_anything_else(script):
    async with upstream_to(script, [reply()]) as (upstream, replica):
        answer = await ask(upstream)
        await answer.read(asyncio.get_running_loop().time() + 20)
        await settled(lambda: True)
        answer.close()
        answer.close()  # safe to call twice
        if upstream._idle:  # the second answer has not arrived yet: it will be its end
            await settled(lambda: not upstream._idle)
        answer = await ask(upstream)
        assert await read_all(answer) == REPLY
        assert replica.connections == 2


async def test_a_connection_that_the_server_closed_while_idle_is_forgotten():
    async with upstream_to([reply()]) as (upstream, replica):
        await read_all(await ask(upstream))
        replica.hang_up()
        await settled(lambda: not upstream._idle)
        answer = await ask(upstream)
        assert answer.connect_s is not None
        await read_all(answer)
        assert replica.connections == 2


@pytest.mark.parametrize("end", [Step.CLOSE, Step.RESET])
async def test_a_pooled_connection_that_is_stale_is_replaced_unseen(end):
    async with upstream_to([reply()], [end], [reply()]) as (upstream, replica):
        await read_all(await ask(upstream))
        assert await read_all(await ask(upstream)) == REPLY
        assert (len(replica.requests), replica.connections) == (3, 2)


async def test_a_fresh_connection_that_is_closed_is_not_replaced():
    async with upstream_to([Step.CLOSE], [reply()]) as (upstream, replica):
        with pytest.raises(UpstreamDisconnected, match="closed the connection early"):
            await ask(upstream)
        assert replica.connections == 1


async def test_a_pooled_connection_lost_after_its_answer_began_is_not_replaced():
    async with upstream_to([reply()], [b"HTTP/1.1 2", Step.CLOSE]) as (upstream, replica):
        await read_all(await ask(upstream))
        with pytest.raises(UpstreamDisconnected):
            await ask(upstream)
        assert replica.connections == 1


async def test_a_pooled_connection_lost_long_after_the_request_is_not_replaced():
    now = [0.0]
    crash = asyncio.Event()
    async with upstream_to([reply()], [crash, Step.CLOSE], [reply()], clock=lambda: now[0]) as (
        upstream,
        replica,
    ):
        await read_all(await ask(upstream))
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(_error_of(ask(upstream)))
            await settled(lambda: len(replica.requests) == 2)
            now[0] = 5.0  # it worked on the request for five seconds: it took it down with it
            crash.set()
        assert isinstance(asked.result(), UpstreamDisconnected)
        assert len(replica.requests) == 2


async def _error_of(work):
    try:
        await work
    except Exception as error:  # noqa: BLE001 - the test looks at it
        return error
    return None


async def test_connections_idle_for_too_long_are_all_dropped():
    async with upstream_to([reply()]) as (upstream, replica):
        for answer in await asyncio.gather(ask(upstream), ask(upstream)):
            await read_all(answer)
        for connection in upstream._idle:
            connection.idle_at -= IDLE_S + 1
        await read_all(await ask(upstream))
        assert replica.connections == 3
        await settled(lambda: replica.open == 1)


async def test_bytes_that_nobody_asked_for_end_an_idle_connection():
    async with upstream_to([reply(), b"HTTP/1.1 408"]) as (upstream, replica):
        await read_all(await ask(upstream))
        await settled(lambda: not upstream._idle)
        await settled(lambda: replica.open == 0)


async def test_the_pool_has_a_limit(monkeypatch):
    monkeypatch.setattr("gateway.dataplane.upstream._MOST_IDLE", 1)
    async with upstream_to([reply()]) as (upstream, replica):
        for answer in await asyncio.gather(ask(upstream), ask(upstream)):
            await read_all(answer)
        assert len(upstream._idle) == 1
        await settled(lambda: replica.open == 1)


async def test_a_closed_port_is_a_connection_that_failed():
    async with upstream_to([reply()]) as (upstream, replica):
        pass
    upstream = Upstream("127.0.0.1", replica.port, clock=time.perf_counter)
    with pytest.raises(UpstreamConnectFailed, match="cannot be reached: Connection refused"):
        await ask(upstream)


async def test_a_host_without_an_address_is_a_connection_that_failed():
    upstream = Upstream("no-such-host.invalid", 80, clock=time.perf_counter)
    with pytest.raises(UpstreamConnectFailed, match="host has no address"):
        await ask(upstream)


async def test_connecting_has_a_limit():
    with socket.create_server(("127.0.0.1", 0)) as listening:  # and nobody accepts
        upstream = Upstream(*listening.getsockname(), clock=time.perf_counter)
        with pytest.raises(UpstreamConnectFailed, match="no connection to the replica within"):
            await upstream.ask(
                "/", (b"{}",), headers=b"", timeouts=Timeouts(connect_s=0), wait=None
            )


LARGE = (b" " * (32 << 20),)


async def test_a_replica_that_reads_nothing_of_a_request_is_left():
    with socket.create_server(("127.0.0.1", 0)) as listening:  # it answers to nobody
        upstream = Upstream(*listening.getsockname(), clock=time.perf_counter)
        with pytest.raises(UpstreamTimeout, match=r"read nothing of the request for 0\.05 s"):
            await ask(upstream, write_s=0.05, body=LARGE)


async def test_one_that_reads_slowly_is_not():
    loop, read = asyncio.get_running_loop(), 0
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        upstream = Upstream(*listening.getsockname(), clock=time.perf_counter)
        asking = loop.create_task(ask(upstream, write_s=5.0, body=LARGE))
        peer, _ = await loop.sock_accept(listening)
        with peer:
            while read < len(LARGE[0]):
                read += len(await loop.sock_recv(peer, 1 << 22))
                await asyncio.sleep(0.01)
            await loop.sock_sendall(peer, reply(b"{}"))
            assert await read_all(await asking) == b"{}"
            upstream.close()


async def test_pools_are_kept_by_address_and_closed_with_their_replica():
    upstreams = Upstreams(clock=time.perf_counter)
    async with answering([reply()]).listening() as replica:
        pool = upstreams.get("127.0.0.1", replica.port)
        assert upstreams.get("127.0.0.1", replica.port) is pool
        idle, busy = await ask(pool), await ask(pool)
        await read_all(idle)
        upstreams.keep_only([("127.0.0.1", replica.port)])
        assert upstreams.get("127.0.0.1", replica.port) is pool
        upstreams.close()
        await settled(lambda: replica.open == 1)
        assert await read_all(busy) == REPLY  # an answer under way goes on
        await settled(lambda: replica.open == 0)  # and its connection is not kept
        assert upstreams.get("127.0.0.1", replica.port) is not pool


async def test_an_ipv6_address_stands_in_brackets():
    upstream = Upstream("::1", 8000, clock=time.perf_counter)
    assert b"Host: [::1]:8000\r\n" in upstream._rest
