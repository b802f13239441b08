"""What a proxy does to the connections of whoever asks through it."""

import asyncio

import pytest

from tests.chaos.answers import CALL, HEAD, STREAMED
from tests.chaos.calls import Call
from tests.chaos.faults import Injection
from tests.chaos.ledger import Ledger, Strike
from tests.chaos.proxy import Proxy
from tests.chaos.replica import FAULT_HEADER
from tests.chaos.waiting import until

pytestmark = pytest.mark.anyio
PROBE = b"GET /health HTTP/1.1\r\n\r\n"


def asking(call=CALL):
    head = f"POST {call.path} HTTP/1.1\r\nx-request-id: {call.id}\r\n"
    body = b'{"stream": true, "max_tokens": 8}'
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


class Stand:
    """A proxy before a replica that gives every request the same answer, in two parts."""

    def __init__(self):
        self.injection = None
        self.asked = []
        self.writers = []
        self.held = asyncio.Event()
        self.held.set()
        self.ledger = Ledger(asyncio.get_running_loop().time)

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        self.proxy = Proxy("a", port, self.strike, self.ledger)
        await self.proxy.open()
        return self

    async def __aexit__(self, *_):
        self.held.set()
        await self.proxy.close()
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def answer(self, reader, writer):
        self.writers.append(writer)
        self.asked.append(await reader.read(1 << 16))
        writer.write(STREAMED[: len(HEAD) + 9])
        await self.held.wait()
        writer.write(STREAMED[len(HEAD) + 9 :])

    def strike(self, number, arrival, *, stream):
        assert (number, stream) == (CALL.number, True)
        return self.injection if arrival == 0 else None

    async def connect(self, request=None):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.proxy.port)
        self.writers.append(writer)
        writer.write(request or asking())
        return reader, writer


@pytest.fixture
async def stand():
    async with Stand() as made:
        yield made


async def test_what_is_not_struck_comes_as_it_is_and_the_connection_carries_on(stand):
    reader, writer = await stand.connect()
    assert await reader.readexactly(len(STREAMED)) == STREAMED
    writer.write(PROBE)
    assert await reader.readexactly(len(STREAMED)) == STREAMED
    writer.close()
    assert stand.asked == [asking(), PROBE]
    assert stand.ledger.strikes == []


async def test_a_reset_is_a_reset_and_a_half_close_is_an_end(stand):
    at = int(0.5 * len(STREAMED))
    stand.injection = Injection("reset", 0.5, 1)
    reader, _ = await stand.connect()
    with pytest.raises(ConnectionResetError):
        await reader.read(-1)
    stand.ledger.arrivals.clear()
    stand.injection = Injection("half_close", 0.5, 1)
    reader, writer = await stand.connect()
    assert await reader.read(-1) == STREAMED[:at]
    writer.close()
    await until(lambda: len(stand.ledger.strikes) == 2)
    assert stand.ledger.strikes == [
        Strike(CALL.number, "a", "reset", at, 0),
        Strike(CALL.number, "a", "half_close", at, 0),
    ]


async def test_the_simulator_is_told_its_fault(stand):
    stand.injection = Injection("sim_stall", 0.5, 1)
    reader, writer = await stand.connect()
    assert await reader.readexactly(len(STREAMED)) == STREAMED
    writer.close()
    told = f"{FAULT_HEADER}: stall:after_tokens=4\r\n\r\n".encode()
    assert told in stand.asked[0]
    assert stand.ledger.strikes == [], "it was whole all the same"


async def test_a_hole_lasts_until_the_client_leaves(stand):
    stand.injection = Injection("hole", 0.0, 1)
    _, writer = await stand.connect()
    await until(lambda: stand.asked and stand.proxy.busy)
    assert stand.ledger.strikes == []
    writer.close()
    await until(lambda: stand.ledger.strikes == [Strike(CALL.number, "a", "hole", 0, 0)])


async def test_refusing_leaves_what_is_under_way_alone(stand):
    stand.held.clear()
    reader, writer = await stand.connect()
    idle_reader, _ = await stand.connect(PROBE)
    await until(lambda: stand.proxy.busy == 2)
    stand.proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await stand.connect()
    stand.held.set()
    assert await reader.readexactly(len(STREAMED)) == STREAMED
    assert await idle_reader.readexactly(len(STREAMED)) == STREAMED
    await stand.proxy.open()
    again, _ = await stand.connect(PROBE)
    assert await again.readexactly(len(STREAMED)) == STREAMED
    writer.close()
    assert stand.ledger.strikes == []


async def test_falling_resets_all_and_says_whom_it_struck(stand):
    stand.held.clear()
    reader, _ = await stand.connect()
    await reader.readexactly(len(HEAD) + 9)
    stand.proxy.fall()
    with pytest.raises(ConnectionResetError):
        await reader.read(-1)
    assert stand.ledger.strikes == [Strike(CALL.number, "a", "down", len(HEAD) + 9, 0)]


async def test_in_the_dark_everything_is_taken_and_nothing_answered(stand):
    stand.held.clear()
    reader, _ = await stand.connect()
    await reader.readexactly(len(HEAD) + 9)
    stand.proxy.darken()
    stand.held.set()
    probing, _ = await stand.connect(PROBE)
    await until(lambda: stand.proxy.busy == 2)
    stand.proxy.lighten()
    for each in (reader, probing):
        with pytest.raises(ConnectionResetError):
            await each.read(-1)
    assert stand.ledger.strikes == [Strike(CALL.number, "a", "dark", len(HEAD) + 9, 0)]
    assert stand.asked == [asking()], "the probe reached no replica"


async def test_a_client_that_leaves_ends_the_asking(stand):
    stand.held.clear()
    reader, writer = await stand.connect(
        asking(Call(7, "raw", chat=True, stream=True, tokens=8))
    )
    await reader.readexactly(1)
    writer.close()
    await until(lambda: not stand.proxy.busy)
