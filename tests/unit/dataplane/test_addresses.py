import asyncio
import time

import pytest

from gateway.core.errors import UpstreamConnectFailed, UpstreamUnresolved
from gateway.core.outlier import Sign, sign_of
from gateway.dataplane import addresses
from gateway.dataplane.addresses import Addresses, is_address
from gateway.dataplane.upstream import Upstreams
from tests.fakes.replica import REPLY, answering, reply, settled
from tests.unit.dataplane.asking import ask, read_all

pytestmark = pytest.mark.anyio


class NameService:
    """Says what it is told to, or nothing."""

    def __init__(self, *found):
        self.found = found
        self.asked = []
        self.answers = asyncio.Event()
        self.answers.set()

    async def __call__(self, host):
        self.asked.append(host)
        await self.answers.wait()
        if not self.found:
            raise OSError
        return self.found


@pytest.fixture
def stale(monkeypatch):
    """Each answer is old as soon as it came."""
    monkeypatch.setattr(addresses, "FRESH_S", -1.0)


async def test_a_name_is_asked_for_once_by_all_who_want_it():
    names = NameService("10.0.0.1")
    found = Addresses(names)
    seen = await asyncio.gather(*(found.of("r") for _ in range(5)))
    assert seen == [("10.0.0.1",)] * 5
    assert await found.of("r") == ("10.0.0.1",)
    assert names.asked == ["r"]


@pytest.mark.usefixtures("stale")
async def test_an_old_answer_serves_while_the_next_one_is_on_its_way():
    names = NameService("10.0.0.1")
    found = Addresses(names)
    await found.of("r")
    names.found = ("10.0.0.2",)
    names.answers.clear()
    for _ in range(5):
        assert await found.of("r") == ("10.0.0.1",)
    names.answers.set()
    await settled(lambda: len(names.asked) == 2)
    await asyncio.sleep(0)
    assert await found.of("r") == ("10.0.0.2",)


@pytest.mark.usefixtures("stale")
async def test_the_last_good_answer_serves_for_as_long_as_no_other_comes():
    names = NameService("10.0.0.1")
    found = Addresses(names)
    await found.of("r")
    names.found = ()
    for count in range(2, 6):
        assert await found.of("r") == ("10.0.0.1",)
        await settled(lambda count=count: len(names.asked) == count)
        await asyncio.sleep(0)


async def test_a_name_that_was_never_found_is_no_fault_of_the_replica():
    found = Addresses(NameService())
    with pytest.raises(UpstreamUnresolved) as failure:
        await found.of("r")
    assert sign_of(failure.value) is Sign.NONE
    assert sign_of(UpstreamConnectFailed("x")) is Sign.HARD


async def test_a_name_service_that_never_answers_is_no_fault_of_the_replica_either():
    names = NameService()
    names.answers.clear()
    upstreams = Upstreams(clock=time.perf_counter, addresses=Addresses(names))
    with pytest.raises(
        UpstreamUnresolved, match=r"no connection to the replica within 0\.05 s"
    ):
        await ask(upstreams.get("replica.test", 80), connect_s=0.05)
    names.answers.set()
    await asyncio.sleep(0.01)


async def test_who_leaves_takes_the_answer_from_nobody():
    names = NameService("10.0.0.1")
    names.answers.clear()
    found = Addresses(names)
    leaves, stays = (asyncio.ensure_future(found.of("r")) for _ in range(2))
    await settled(lambda: names.asked == ["r"])
    leaves.cancel()
    names.answers.set()
    assert await stays == ("10.0.0.1",)


async def test_hosts_that_are_no_more_are_forgotten():
    names = NameService("10.0.0.1")
    found = Addresses(names)
    await found.of("r")
    found.keep_only(set())
    await found.of("r")
    assert names.asked == ["r", "r"]


async def test_the_system_is_asked_where_nobody_else_is():
    assert "127.0.0.1" in await Addresses().of("localhost")


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", True), ("::1", True), ("localhost", False), ("1.2.3", False)],
)
def test_an_address_is_told_from_a_name(host, address):
    assert is_address(host) is address


async def served(upstreams, port):
    return await read_all(await ask(upstreams.get("replica.test", port)))


@pytest.mark.usefixtures("stale")
async def test_a_dead_name_service_costs_no_request():
    names = NameService("127.0.0.1")
    async with answering([reply()]).listening() as replica:
        upstreams = Upstreams(clock=time.perf_counter, addresses=Addresses(names))
        assert await served(upstreams, replica.port) == REPLY
        names.found = ()
        for _ in range(3):
            replica.hang_up()  # so that each request needs a connection of its own
            await settled(lambda: replica.open == 0)
            assert await served(upstreams, replica.port) == REPLY
        upstreams.close()


async def test_the_next_address_is_tried_where_one_cannot_be_reached():
    async with answering([reply()]).listening() as replica:
        names = NameService("127.0.0.2", "127.0.0.1")  # the replica listens at the second only
        upstreams = Upstreams(clock=time.perf_counter, addresses=Addresses(names))
        assert await served(upstreams, replica.port) == REPLY
        upstreams.close()
