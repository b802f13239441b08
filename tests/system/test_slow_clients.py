"""Clients that are slow on purpose, by the hundred: others are served meanwhile, as if alone.

``slowhttptest`` is the slow side. https://github.com/shekyan/slowhttptest
"""

import asyncio
import re
import statistics
import time

import httpx
import pytest

from tests.system.rolling import CHAT
from tests.system.running import gateway_config
from tests.system.test_streams import MODEL, asked, simulated

pytestmark = pytest.mark.anyio
SLOW = {
    "heads": ["-H", "-i", "2", "-x", "16", "-t", "GET"],
    "bodies": ["-B", "-i", "2", "-s", "8192", "-x", "10", "-t", "POST"],
    "reads": ["-X", "-w", "8", "-y", "16", "-n", "5", "-z", "4", "-k", "3", "-t", "GET"],
}
"""Sockets that send a head, or a body, a little each 2 s, or read 4 bytes each 5 s."""
PATHS = {"heads": "/v1/models", "bodies": CHAT, "reads": "/v1/models"}
SIZES = [
    pytest.param(100, 1, id="small"),
    pytest.param(1000, 5, id="full", marks=[pytest.mark.proof, pytest.mark.timeout(600)]),
]
HEADER_S, BODY_S = 2, 3
LONGEST_S = 60
"""Far longer than any socket may live: the tool ends when it has none left."""
COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
ALL_CLOSED = "Exit status: No open connections left"


async def attack(url, kind, sockets, rounds):
    """Open so many slow sockets, again and again; tell whether all were closed each time."""
    command = ["slowhttptest", *SLOW[kind], "-u", url + PATHS[kind], "-c", str(sockets)]
    closed = True
    longest = LONGEST_S if kind != "reads" else 8
    for _ in range(rounds):
        child = await asyncio.create_subprocess_exec(
            *command, "-r", str(sockets), "-l", str(longest), "-p", "5",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await child.communicate()
        text = COLOURS.sub("", said.decode(errors="replace"))
        assert "Exit status" in text, text[-2000:]
        closed = closed and ALL_CLOSED in text
    return closed


async def ordinary(url, until):
    """Send ordinary requests one by one, on new connections; return how long each took."""
    took, text = [], {**asked(0, 2), "stream_options": None}
    while not until.done() or len(took) < 20:
        for ask in (
            lambda client: client.get(url + "/v1/models"),
            lambda client: client.post(url + CHAT, json=text),
        ):
            began_at = time.monotonic()
            async with httpx.AsyncClient(timeout=60) as client:
                began_at = time.monotonic()
                answer = await ask(client)
            assert answer.status_code == 200, answer.text
            took.append(time.monotonic() - began_at)
        await asyncio.sleep(0.02)
    return took


def p99_ms(seconds):
    return round(statistics.quantiles(seconds, n=100)[98] * 1000, 1)


@pytest.mark.figures
@pytest.mark.parametrize(("sockets", "rounds"), SIZES)
async def test_slow_clients_are_closed_and_ordinary_ones_do_not_notice(
    start_gateway, tmp_path, note_figures, sockets, rounds
):
    server = {"header_s": HEADER_S, "body_s": BODY_S}
    config = gateway_config(tmp_path, server=server, models=[simulated(1)])
    gateway = start_gateway(config=config, ready={MODEL: 1})
    alone = asyncio.ensure_future(asyncio.sleep(3))
    figures = {"alone_p99_ms": p99_ms(await ordinary(gateway.url, alone))}
    for kind in SLOW:
        slow = asyncio.ensure_future(attack(gateway.url, kind, sockets, rounds))
        took = await ordinary(gateway.url, slow)
        closed = await slow
        figures |= {
            f"{kind}_p99_ms": p99_ms(took),
            f"{kind}_ordinary_requests": len(took),
        }
        if kind != "reads":  # those have had all of an answer that is so short
            figures[f"{kind}_all_closed_in_time"] = closed
            assert closed, f"slow {kind} were not all closed in time"
    if sockets >= 1000:
        note_figures("slow_clients", sockets=sockets, rounds=rounds, **figures)
    print(figures)  # noqa: T201 - pytest shows it when the test fails
