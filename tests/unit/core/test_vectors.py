import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import UpstreamProtocolError
from gateway.core.vectors import read_embeddings, read_tokens

USAGE = {"prompt_tokens": 5, "total_tokens": 5}


def embeddings(*indexes, **changes):
    data = [{"object": "embedding", "index": i, "embedding": [0.5, -1e-9]} for i in indexes]
    return json.dumps(
        {"object": "list", "data": data, "model": "source", "usage": USAGE} | changes
    ).encode()


def read(body, inputs):
    return read_embeddings(body, inputs=inputs, model=b'"alias"')


def test_embeddings_go_by_the_clients_name_of_the_model():
    got = read(embeddings(0, 1), 2)
    assert json.loads(got.body) == json.loads(embeddings(0, 1, model="alias"))
    assert b"-1e-09" in got.body  # numbers stay as they were written
    assert got.usage.prompt_tokens == 5
    assert got.finish_reasons == ()
    assert read(embeddings(0, usage=None), 1).usage is None


def test_embeddings_may_be_text():
    body = embeddings(data=[{"index": 0, "embedding": "AAAA"}])
    assert json.loads(read(body, 1).body)["data"][0]["embedding"] == "AAAA"


@given(st.lists(st.integers(-1, 4), max_size=5), st.integers(1, 4))
def test_there_is_one_embedding_for_each_input_or_none_at_all(indexes, inputs):
    body = embeddings(*indexes)
    if sorted(indexes) == list(range(inputs)):
        read(body, inputs)
    else:
        with pytest.raises(UpstreamProtocolError, match="missing"):
            read(body, inputs)


@pytest.mark.parametrize("body", [b"null", b"[]", b'{"data":[{"index":0}]}', b"\xff", b"{}"])
def test_what_are_no_embeddings_is_a_breach_of_the_protocol(body):
    with pytest.raises(UpstreamProtocolError):
        read(body, 1)


def test_tokens_are_passed_on_as_they_came():
    body = b'{"count":3, "tokens":[1,2,3]}'
    got = read_tokens(body)
    assert got.body == body
    assert got.usage is None


@pytest.mark.parametrize(
    "body", [b'{"count":2,"tokens":[1]}', b'{"tokens":["a"],"count":1}', b""]
)
def test_tokens_that_do_not_add_up_are_a_breach_of_the_protocol(body):
    with pytest.raises(UpstreamProtocolError):
        read_tokens(body)
