"""How a broken stream of the Responses API must end for every client to raise.

Its own ``error`` event will not do: see the last test. What the gateway sends is checked here
byte for byte against the clients, without a gateway.
"""

import pytest

from gateway.core.error_shapes import event_of
from gateway.core.errors import UpstreamDisconnected
from gateway.core.operation import ErrorShape
from tests.fakes.canned import answering_always
from tests.sdk.calls import call
from tests.sdk.clients import PYTHON_CLIENTS
from tests.unit.core.typed_transcripts import ITEM, RESPONSE, event, opening, says

STREAMED = call("streamed", "responses", model="m", input="Once", stream=True)
BROKEN = UpstreamDisconnected("the replica was lost")
BEGUN = opening() + ITEM + says("the")


def given(client, wire):
    with answering_always(wire) as url:
        return client.call(url, STREAMED)["streamed"]


@pytest.mark.parametrize("shape", [ErrorShape.TYPED, ErrorShape.CHUNK])
@pytest.mark.parametrize("begun", [BEGUN, b""], ids=["begun", "not begun"])
def test_a_stream_that_breaks_off_raises_after_the_text_so_far(client, shape, begun):
    result = given(client, begun + event_of(BROKEN, shape))
    assert result["error"]["class"] == "APIError"
    assert result["error"]["code"] == "upstream_disconnected"
    assert result["error"]["type"] == "server_error"
    assert result["text"] == ("the" if begun else "")
    assert result["status"] is None


def test_a_stream_that_ends_well_raises_nothing(client):
    result = given(client, RESPONSE)
    assert (result["error"], result["text"]) == (None, "the end")
    assert result["status"] == "completed"


@pytest.mark.parametrize("client", PYTHON_CLIENTS, ids=lambda client: client.name)
def test_openais_own_error_event_alone_would_be_passed_over(client):
    own = event("error", message="lost", code="x", param=None, sequence_number=3)
    result = given(client, BEGUN + own)
    assert result["error"] is None
