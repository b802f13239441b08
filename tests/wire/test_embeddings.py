"""``trtllm-serve embeddings``: another set of routes, a bounded queue, faults of its own."""

import math
from array import array
from base64 import b64decode

import pytest

from backends.simulator.text import tokenize
from tests.wire.bodies import CHAT, EMBEDDINGS, chat
from tests.wire.serving import eventually, read_to_end, serving


@pytest.fixture
def served(simulator):
    return simulator(dialect="main", task="embeddings")


def embedding(given="some words", **fields):
    return {"model": "m", "input": given} | fields


def vectors(reply):
    assert reply.status == 200, reply.body
    return [entry["embedding"] for entry in reply.json["data"]]


def test_only_a_few_routes_exist(served):
    assert served.get("/health").status == 200
    assert served.get("/version").json == {"version": "1.3.0rc25"}
    assert served.get("/v1/models").json["data"][0]["id"] == "m"
    for path in ("/metrics", "/perf_metrics", "/v1/responses/resp_1", "/prometheus/metrics"):
        assert served.get(path).status == 404
    assert served.post(CHAT, chat()).status == 404


def test_a_server_that_generates_has_no_embeddings(simulator):
    for dialect in ("1.2", "main"):
        assert simulator(dialect=dialect).post(EMBEDDINGS, embedding()).status == 404


def test_a_vector_has_length_one_and_depends_on_the_input_alone(served):
    first, again, other = (
        vectors(served.post(EMBEDDINGS, embedding(text)))[0] for text in ("a", "a", "b")
    )
    assert first == again != other
    assert math.isclose(math.hypot(*first), 1, abs_tol=1e-5)


def test_the_four_forms_of_input(served):
    ids = tokenize("hello there")
    plain = {"add_special_tokens": False}
    (text,) = vectors(served.post(EMBEDDINGS, embedding("hello there", **plain)))
    assert vectors(served.post(EMBEDDINGS, embedding(ids))) == [text]
    texts = vectors(served.post(EMBEDDINGS, embedding(["x", "hello there"], **plain)))
    assert texts[1] == text
    lists = vectors(served.post(EMBEDDINGS, embedding([[1, 2], ids])))
    assert lists[1] == text


def test_base64_holds_the_same_numbers(served):
    (numbers,) = vectors(served.post(EMBEDDINGS, embedding()))
    (packed,) = vectors(served.post(EMBEDDINGS, embedding(encoding_format="base64")))
    assert array("f", b64decode(packed)).tolist() == numbers


def test_the_reply_counts_what_was_read(served):
    reply = served.post(EMBEDDINGS, embedding([[1, 2, 3], [4]], user="u")).json
    assert reply["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    assert [entry["index"] for entry in reply["data"]] == [0, 1]
    assert (reply["object"], reply["model"]) == ("list", "m")
    assert reply["id"].startswith("embd-")
    entry = served.entries()[-1]
    assert entry["prompt_tokens"] == 4
    assert entry["finished_at"] >= entry["first_token_at"]


def test_reading_takes_the_profiles_time(served):
    def seconds(tokens):
        served.post(EMBEDDINGS, embedding([[1] * tokens]))
        entry = served.entries()[-1]
        return entry["first_token_at"] - entry["received_at"]

    assert min(seconds(8000) for _ in range(3)) > min(seconds(10) for _ in range(3))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"dimensions": 8}, "`dimensions`"),
        ({"input": []}, "`input` must not be empty."),
        ({"input": [1] * 9000}, "Input length (9000) exceeds max_num_tokens (8192)."),
    ],
)
def test_what_it_cannot_do_is_a_flat_400(served, fields, words):
    reply = served.post(EMBEDDINGS, embedding() | fields)
    assert (reply.status, reply.json["type"]) == (400, "BadRequestError")
    assert words in reply.json["message"]


def test_an_input_beyond_the_models_length_is_a_400(simulator):
    served = simulator(dialect="main", task="embeddings", max_seq_len=50)
    reply = served.post(EMBEDDINGS, embedding([[1], [1] * 51]))
    assert reply.json["message"] == "Input length (51) exceeds max_seq_len (50)."


@pytest.mark.parametrize(
    "fields", [{"dimensions": 0}, {"encoding_format": "int8"}, {"input": None}, {"x": 1}]
)
def test_schema_violations_have_the_newer_shape(served, fields):
    reply = served.post(EMBEDDINGS, embedding() | fields)
    assert reply.status == 400
    assert "validation error" in reply.json["error"]


def test_a_full_queue_is_a_429(simulator):
    served = simulator(dialect="main", task="embeddings", max_queue_size=2)
    assert served.post(EMBEDDINGS, embedding(["a", "b"])).status == 200
    reply = served.post(EMBEDDINGS, embedding(["a", "b", "c"]))
    assert (reply.status, reply.json["code"]) == (429, 429)
    assert "queue is full" in reply.json["message"]


def test_an_input_that_the_engine_objects_to_is_its_own_fault(served):
    reply = served.post(EMBEDDINGS, embedding([[]]))
    assert (reply.status, reply.json["type"]) == (500, "InternalServerError")


@pytest.mark.parametrize("kind", ["internal_error", "engine_error"])
def test_its_own_faults_are_500(served, kind):
    served.arm({"kind": kind})
    reply = served.post(EMBEDDINGS, embedding())
    assert (reply.status, reply.json["type"]) == (500, "InternalServerError")


def test_an_answer_can_be_cut(served):
    served.arm({"kind": "cut"})
    raw = read_to_end(served.raw(EMBEDDINGS, embedding()))
    assert raw.startswith(b"HTTP/1.1 200 OK")
    assert raw.endswith(b"RST")
    served.arm({"kind": "changed_token"})
    assert len(vectors(served.post(EMBEDDINGS, embedding()))) == 1


def test_a_client_that_leaves_is_seen_and_its_inputs_are_computed_for_nobody():
    with serving(dialect="main", task="embeddings") as served:
        served.sim.silence_engine()
        client = served.raw(EMBEDDINGS, embedding())
        eventually(lambda: served.get("/_sim/engine").json["queued"] == 1, "it waits")
        client.close()
        eventually(lambda: served.entries()[-1]["closed_at"], "the close was seen")
        assert served.get("/_sim/engine").json["queued"] == 1
