"""A batch of streams, as all of OpenAI's clients read them: from the replica, and from here."""

import json
import re
from base64 import b64encode
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings

from gateway.core.operation import Form
from tests.fuzz import sse
from tests.fuzz.drawing import inputs
from tests.sdk.clients import CLIENTS

DRAWN = 400
PROGRAMS = Path(__file__).parent / "clients"


@pytest.fixture(scope="module")
def batch():
    """Streams that were kept, and others that are drawn alike each time."""
    found = [*sse.TARGET.corpus(), *(path.read_bytes() for path in sse.TARGET.findings())]

    @settings(max_examples=DRAWN, derandomize=True, database=None, phases=[Phase.generate])
    @given(data=inputs(sse.TARGET))
    def draw(data):
        found.append(data)

    draw()
    return [(sse.ASKED[data[0] % len(sse.ASKED)], data[2:]) for data in found if len(data) > 2]


def decoded(client, streams):
    script = PROGRAMS / ("decode.mjs" if client.is_node else "decode.py")
    return json.loads(client.run(script, stdin=json.dumps([*map(_base64, streams)])))


def _base64(stream):
    return b64encode(stream).decode()


def event_by_event(source):
    """Cut a stream where most of its events end, so that what fails later goes out so far."""
    return [part for part in re.split(rb"(?<=\n\n)", source) if part]


def without_counts(asked, events):
    return [sse._bare(event) for event in events if not sse._is_usage(asked, event)]


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_clients_read_what_the_replica_said_or_are_told_of_an_error(batch, client):
    reads = [sse.read(asked.reader, event_by_event(source)) for asked, source in batch]
    sources = decoded(client, [source for _, source in batch])
    shown = decoded(client, [read.shown for read in reads])
    whole = 0
    for (asked, _), read, source, got in zip(batch, reads, sources, shown, strict=True):
        assert got["broken"] is None
        given = without_counts(asked, got["events"])
        said = without_counts(asked, source["events"])
        common = min(len(given), len(said))
        assert given[:common] == said[:common]
        if source["broken"] is None:
            assert len(given) <= len(said)
            if read.done and asked.form is Form.CHOICES:
                assert given == said
                whole += 1
    assert whole > DRAWN // 20
    assert sum(bool(read.ended and read.shown) for read in reads) > DRAWN // 20
