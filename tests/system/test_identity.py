"""A replica that serves another model than it should gets no request, whatever else happens.

``trtllm-serve`` answers whatever model it is asked for, so nobody would notice. Real processes
on all sides; the control is a replica that comes back as what it was.
"""

import asyncio
import sys
import time
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from tests.system.running import eventually, free_ports, gateway_config, running
from tests.system.streaming import stream
from tests.system.test_ejection import arm, calls
from tests.system.test_hung import soon
from tests.system.test_streams import CHAT, MODEL, asked

pytestmark = pytest.mark.anyio

OURS, ANOTHER = "org/ours", "org/another"


@contextmanager
def serving(folder, port, model):
    """Run a simulator on this port; it is killed as the block ends."""
    argv = [sys.executable, "-m", "backends.simulator", "--model", model, "--port", str(port)]
    with running([*argv, "--time-scale", "0.05"], folder / f"{port}.log") as process:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: httpx.get(f"{url}/health").status_code == 200, "it serves")
        yield {"url": url}
        process.kill()
        process.wait()


class Requests:
    """Clients that ask one after the other, four at a time, until they are stopped."""

    def __init__(self, url):
        self._url = url
        self.seen = []

    async def __aenter__(self):
        self._clients = [asyncio.ensure_future(self._ask(number)) for number in range(4)]
        return self

    async def __aexit__(self, *_):
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _ask(self, number):
        while True:
            self.seen.append(await stream(self._url, CHAT, asked(number, 4)))

    async def more(self, count=60):
        """Wait until so many more were answered."""
        enough = len(self.seen) + count
        await soon(lambda: len(self.seen) >= enough, f"{count} more requests were answered")


@pytest.fixture
def ports():
    return free_ports(2)


@pytest.fixture
def started(start_gateway, tmp_path, ports):
    """A gateway over two replicas that somebody else runs, and what ends the first of them."""
    static = [f"http://127.0.0.1:{port}" for port in ports]
    first, other = ExitStack(), ExitStack()
    with first, other:
        first.enter_context(serving(tmp_path, ports[0], OURS))
        other.enter_context(serving(tmp_path, ports[1], OURS))
        model = {"name": MODEL, "source": OURS, "static": static}
        model["eject"] = {"slow_start_s": 0}  # both get requests from the start
        config = gateway_config(tmp_path, server={"workers": 2}, models=[model])
        yield start_gateway(config=config, ready={MODEL: 2}), first, other


def shown(gateway, port):
    url = f"http://127.0.0.1:{port}"
    return next(r for r in gateway.admin("/admin/replicas")["items"] if r["url"] == url)


async def comes_back_as(model, started, port, folder, stack):
    """Let the first replica come back as this model, under load; return its address."""
    _, first, _ = started
    first.close()
    return await asyncio.to_thread(stack.enter_context, serving(folder, port, model))


async def found_out(gateway, port, name):
    """Wait until the replica on this port is out because it serves ``name``."""

    def is_out():
        now = shown(gateway, port)
        said = now["reason"].startswith(f"it serves {name}, not {OURS}")
        return said and now["state"] == "unhealthy"

    await soon(is_out, "it is found out", every_s=0.01)


async def is_left_alone(stranger, requests, other):
    """Have clients ask on, also when nobody else is left: none of them reaches it."""
    await requests.more()  # what was on its way as it was found out has ended
    before = calls(stranger)
    await requests.more(200)
    other.close()
    await requests.more()
    assert {each.status for each in requests.seen[-20:]} <= {502, 503}
    assert calls(stranger) == before


async def test_a_port_that_comes_back_as_another_model_gets_no_request(
    started, ports, tmp_path
):
    gateway, _, other = started
    with ExitStack() as stack:
        async with Requests(gateway.url) as requests:
            await requests.more()
            stranger = await comes_back_as(ANOTHER, started, ports[0], tmp_path, stack)
            await found_out(gateway, ports[0], ANOTHER)
            await is_left_alone(stranger, requests, other)
    with serving(tmp_path, ports[0], OURS):
        await soon(lambda: shown(gateway, ports[0])["state"] == "ready", "it comes back")


@pytest.mark.figures
async def test_one_that_becomes_another_from_one_moment_to_the_next_gets_none_once_found_out(
    started, ports, note_figures
):
    gateway, _, other = started
    stranger = shown(gateway, ports[0])
    async with Requests(gateway.url) as requests:
        await requests.more()
        assert calls(stranger) > 0
        arm(stranger, {"kind": "wrong_model"})
        since, before = time.monotonic(), calls(stranger)
        await found_out(gateway, ports[0], f"not-{OURS}")
        found_after_s = time.monotonic() - since
        reached = calls(stranger) - before
        await is_left_alone(stranger, requests, other)
    note_figures(
        "another_model",
        found_after_s=round(found_after_s, 2),
        requests_before_it_was_found=reached,
        requests_after=0,
    )


async def test_a_port_that_comes_back_as_what_it_was_is_asked_again(started, ports, tmp_path):
    gateway, _, _ = started
    with ExitStack() as stack:
        async with Requests(gateway.url) as requests:
            await requests.more()
            same = await comes_back_as(OURS, started, ports[0], tmp_path, stack)
            await soon(lambda: calls(same) > 0, "it serves again")


async def test_a_replica_that_is_another_model_from_the_start_never_serves(
    start_gateway, start_simulator, tmp_path
):
    sims = [start_simulator("--time-scale", "0.05", model=name) for name in (OURS, ANOTHER)]
    model = {"name": MODEL, "source": OURS, "static": [sim.url for sim in sims]}
    config = gateway_config(tmp_path, server={"workers": 1}, models=[model])
    gateway = start_gateway(config=config, ready={MODEL: 1})
    async with Requests(gateway.url) as requests:
        await requests.more()
    assert calls({"url": sims[1].url}) == 0
    states = {r["url"]: r["state"] for r in gateway.admin("/admin/replicas")["items"]}
    assert states[sims[1].url] == "unhealthy"
