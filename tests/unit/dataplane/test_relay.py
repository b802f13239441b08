import asyncio

import pytest

from gateway.core.errors import DeadlineExceeded, UpstreamProtocolError
from gateway.core.patience import Patience
from gateway.core.snapshot import Timeouts
from gateway.dataplane.relay import collect, waited

pytestmark = pytest.mark.anyio


class Client:
    """Counts its signs of life."""

    def __init__(self):
        self.pings = 0

    async def ping(self):
        self.pings += 1


class Pieces:
    """An answer whose body comes as it was scripted; None stands for silence."""

    def __init__(self, *script):
        self.script = list(script)

    async def read(self, until):  # noqa: ARG002 - the answer's signature
        if not self.script:
            return None
        piece = self.script.pop(0)
        if piece is None:
            raise TimeoutError
        return 0.0, piece


def patience(*, age_s=0.0, **limits):
    at = asyncio.get_running_loop().time()
    return Patience(
        Timeouts(**limits), stream=True, prompt_bytes=0, started_at=at - age_s, at=at
    )


async def test_a_body_is_collected_whole_through_silences():
    client = Client()
    pieces = Pieces(b"a", None, b"b", None, None)
    body = await collect(pieces, client, patience(age_s=50, ping_s=0), limit=2)
    assert body == b"ab"
    assert client.pings == 3


async def test_a_body_over_the_limit_is_not_collected():
    with pytest.raises(UpstreamProtocolError, match="longer than 1 bytes"):
        await collect(Pieces(b"a", b"b"), Client(), patience(), limit=1)


async def test_a_wait_that_ended_early_goes_on_in_silence():
    client = Client()
    await waited(client, patience(), started=False)
    await waited(client, patience(age_s=50), started=False)
    assert client.pings == 1


async def test_a_wait_beyond_the_deadline_ends_it():
    with pytest.raises(DeadlineExceeded):
        await waited(Client(), patience(age_s=601), started=False)
