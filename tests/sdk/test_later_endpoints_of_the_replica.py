"""The real clients understand what a simulated replica says on the endpoints beyond chat.

They speak to the replica itself: whatever a gateway in front does is tested elsewhere.
"""

import json

import pytest

from tests.sdk.clients import NODE_PROJECT, ROOT
from tests.wire.serving import serving

PYTHON_PROGRAM = ROOT / "tests/sdk/python/later_endpoints.py"
NODE_PROGRAM = NODE_PROJECT / "later_endpoints.mjs"
TOKENS = 24
OPENING = ["response.created", "response.in_progress"]
MESSAGE = [
    "response.output_item.added",
    "response.content_part.added",
    *["response.output_text.delta"] * TOKENS,
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
]


@pytest.fixture(scope="module")
def embedder():
    with serving(dialect="main", task="embeddings") as served:
        yield served


@pytest.fixture(scope="module", params=["1.2", "main"])
def replica(request):
    with serving(dialect=request.param) as served:
        yield served


@pytest.fixture(scope="module")
def _answered():
    return {}


@pytest.fixture
def results(client, replica, embedder, _answered):
    job = {
        "base_url": f"http://127.0.0.1:{replica.port}/v1",
        "embeddings_url": f"http://127.0.0.1:{embedder.port}/v1",
    }
    program = NODE_PROGRAM if client.is_node else PYTHON_PROGRAM
    if (asked := (client.name, replica.port)) not in _answered:
        _answered[asked] = json.loads(client.run(program, stdin=json.dumps(job)))
    return _answered[asked]


def test_responses_and_embeddings_are_what_the_client_takes_them_for(results, replica):
    got = results["responses"]
    assert len(got["text"]) > TOKENS
    texts = [got[key].strip() for key in ("fetched", "deltas", "last")]
    assert texts == [got["text"]] * 3
    assert (got["items"], got["status"], got["follows"]) == (["message"], "incomplete", True)
    counted = replica.sim.dialect.responses_usage
    assert got["usage"] == ([got["usage"][0], TOKENS] if counted else None)
    assert got["types"] == [*OPENING, *MESSAGE, "response.completed"]
    assert got["after_delete"] == got["unknown"] == ["NotFoundError", 404]
    assert results["embeddings"] == {
        "length": 1024,
        "same": True,
        "indexes": [0, 1],
        "tokens": True,
        "cut": ["BadRequestError", 400],
    }


def test_the_helper_of_openai_node_refuses_items_without_ids(results, replica, client):
    got = results["responses"]
    if client.is_node and not replica.sim.dialect.item_ids:
        assert "non-empty output item id" in got["helped"]["refused"]
    else:
        assert got["helped"]["types"] == got["types"]
        assert got["helped"]["text"].strip() == got["text"]
