"""``/v1/responses`` of each release: who has it, what a reply says, what comes of it later."""

import pytest

from tests.wire.bodies import CHAT, RESPONSES, chat, kinds, response, typed_events
from tests.wire.serving import eventually, read_to_end, read_until, unchunked

GPT_OSS = "openai/gpt-oss-20b"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
MESSAGE_KINDS = [
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
]
REASONING_KINDS = [
    "response.output_item.added",
    "response.content_part.added",
    "response.reasoning_text.delta",
    "response.reasoning_text.done",
    "response.output_item.done",
]


def streamed(served, **fields):
    reply = served.post(RESPONSES, response(stream=True, **fields))
    assert reply.status == 200
    return typed_events(reply.body)


def text_of(reply):
    parts = [p["text"] for item in reply["output"] for p in item.get("content") or ()]
    return "".join(parts)


def test_1_0_has_no_such_route(simulator):
    reply = simulator(dialect="1.0").post(RESPONSES, response())
    assert (reply.status, reply.json) == (404, {"detail": "Not Found"})


def test_1_1_serves_gpt_oss_alone_and_neither_fetches_nor_deletes(simulator):
    reply = simulator(dialect="1.1").post(RESPONSES, response())
    assert (reply.status, reply.json["type"]) == (400, "BadRequestError")
    assert reply.json["message"] == "Responses API only supports harmony format for now"
    served = simulator(dialect="1.1", model=GPT_OSS)
    whole = served.post(RESPONSES, response(max_output_tokens=3000)).json
    assert [item["type"] for item in whole["output"]] == ["reasoning", "message"]
    assert whole["max_output_tokens"] == 3000
    assert served.get(f"{RESPONSES}/{whole['id']}").json == {"detail": "Not Found"}


def test_1_1_names_the_room_as_the_limit_where_none_was_asked_for(simulator):
    served = simulator(dialect="1.1", model=GPT_OSS, max_seq_len=500)
    assert 400 < served.post(RESPONSES, response()).json["max_output_tokens"] < 500
    served = simulator(max_seq_len=500)
    assert served.post(RESPONSES, response()).json["max_output_tokens"] is None


@pytest.mark.parametrize("dialect", ["1.2", "main"])
def test_a_response_says_what_a_chat_says(simulator, dialect):
    served = simulator(dialect=dialect)
    said = served.post(CHAT, chat()).json["choices"][0]["message"]["content"]
    whole = served.post(RESPONSES, response()).json
    assert text_of(whole) == said.strip()
    assert whole["status"] == "completed"
    events = streamed(served)
    deltas = [e["delta"] for e in events if e["type"] == "response.output_text.delta"]
    assert "".join(deltas) == said
    assert text_of(events[-1]["response"]) == said.strip()


def test_the_events_of_a_message_are_typed_numbered_and_without_done(simulator):
    served = simulator(dialect="main")
    raw = served.post(RESPONSES, response(stream=True)).body
    assert b"[DONE]" not in raw
    events = typed_events(raw)
    opening = ["response.created", "response.in_progress"]
    assert kinds(events) == [*opening, *MESSAGE_KINDS, "response.completed"]
    assert [e["sequence_number"] for e in events] == list(range(len(events)))
    assert {e["response"]["status"] for e in events[:2]} == {"in_progress"}
    assert {e["response"]["id"] for e in (*events[:2], events[-1])} == {
        events[0]["response"]["id"]
    }


def test_items_have_ids_in_main_and_empty_ones_before(simulator):
    for dialect, has_ids in (("1.2", False), ("main", True)):
        events = streamed(simulator(dialect=dialect), max_output_tokens=3)
        ids = {e["item_id"] for e in events if "item_id" in e}
        ids |= {e["item"]["id"] for e in events if "item" in e}
        (only,) = ids
        assert only.startswith("msg_") if has_ids else only == ""


def test_a_model_that_reasons_streams_its_thoughts_as_an_item_of_their_own(simulator):
    served = simulator(dialect="main", reasoning_parser="qwen3")
    events = streamed(served)
    assert kinds(events[2:-1]) == [*REASONING_KINDS, *MESSAGE_KINDS]
    assert {e["output_index"] for e in events[2:-1]} == {0, 1}
    whole = served.post(RESPONSES, response()).json["output"]
    assert [item["type"] for item in whole] == ["message", "reasoning"]
    done = [e["item"] for e in events if e["type"] == "response.output_item.done"]
    assert [item["type"] for item in done] == ["reasoning", "message"]
    assert done[0]["content"][0]["text"].strip() == whole[1]["content"][0]["text"]


def test_a_response_cut_by_its_limit_is_incomplete_and_yet_ends_as_completed(simulator):
    served = simulator()
    assert served.post(RESPONSES, response(max_output_tokens=2)).json["status"] == "incomplete"
    last = streamed(served, max_output_tokens=2)[-1]
    assert (last["type"], last["response"]["status"]) == ("response.completed", "incomplete")


def test_only_main_counts_tokens(simulator):
    assert simulator().post(RESPONSES, response(max_output_tokens=2)).json["usage"] is None
    served = simulator(dialect="main")
    long = response("word " * 200, max_output_tokens=2)
    served.post(RESPONSES, long)
    usage = served.post(RESPONSES, long).json["usage"]
    assert usage["output_tokens"] == 2
    assert usage["total_tokens"] == usage["input_tokens"] + 2
    assert usage["input_tokens_details"]["cached_tokens"] > 100


def test_a_reply_repeats_what_was_asked_and_names_the_servers_own_model(simulator):
    asked = {
        "instructions": "Be brief.",
        "metadata": {"a": "b"},
        "temperature": 0.5,
        "user": "u",
    }
    whole = simulator().post(RESPONSES, response(model="x", max_output_tokens=1, **asked)).json
    assert {key: whole[key] for key in asked} == asked
    assert (whole["model"], whole["top_p"]) == ("m", 1.0)


def test_unknown_fields_are_refused_before_main(simulator):
    refused = simulator().post(RESPONSES, response(client_metadata={}))
    assert refused.status == 400
    assert "extra_forbidden" in refused.json["error"]
    assert simulator(dialect="main").post(RESPONSES, response(unknown=1)).status == 200


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"background": True, "store": False}, "background can only be used"),
        ({"prompt": {"id": "p"}}, "prompt template is not supported"),
        ({"input": 5}, "'loc': ('body', 'input'"),
    ],
)
def test_contradictions_are_schema_violations(simulator, fields, words):
    reply = simulator().post(RESPONSES, response() | fields)
    assert reply.status == 400
    assert words in reply.json["error"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"input": [{"type": "computer_call"}]}, "Unsupported input item type: computer_call"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
            "Unknown part type: input_image",
        ),
        ({"max_output_tokens": 0}, "max_tokens must be at least 1, got 0"),
        ({"text": {"format": {"type": "json_object"}}}, "json_object is not supported"),
        (
            {"text": {"format": {"type": "json_schema", "schema": {}}}},
            "Guided decoding is not enabled: set guided_decoding_backend",
        ),
    ],
)
def test_what_it_cannot_do_is_a_flat_400(simulator, fields, words):
    reply = simulator().post(RESPONSES, response() | fields)
    assert (reply.status, reply.json["code"]) == (400, 400)
    assert words in reply.json["message"]


def test_items_of_every_known_kind_are_part_of_the_prompt(simulator):
    items = [
        {"role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
        {"type": "message", "role": "user", "content": "weather?"},
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm " * 50}]},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "sunny"},
    ]
    served = simulator(dialect="main")
    counts = [
        served.post(RESPONSES, response(items[:n], max_output_tokens=1)).json["usage"]
        for n in (1, 2, 3, 4, 5)
    ]
    tokens = [usage["input_tokens"] for usage in counts]
    assert tokens[0] < tokens[1] == tokens[2] < tokens[3] < tokens[4]


def test_a_json_schema_guides_the_answer(simulator):
    schema = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 3}}}
    wanted = {"format": {"type": "json_schema", "name": "n", "schema": schema}}
    served = simulator(guided_decoding_backend="xgrammar")
    assert text_of(served.post(RESPONSES, response(text=wanted)).json) == '{"age": 3}'


def test_a_parsed_call_is_an_item_which_streams_show_from_main_on(simulator):
    body = {"input": "What is the weather?", "tools": [WEATHER, {"type": "web_search"}]}
    for dialect, shown in (("1.2", []), ("main", ["function_call", "function_call"])):
        served = simulator(dialect=dialect, tool_parser="qwen3")
        (call,) = served.post(RESPONSES, response() | body).json["output"]
        assert (call["type"], call["name"]) == ("function_call", "get_weather")
        assert call["arguments"] == '{"city": "some city"}'
        events = typed_events(served.post(RESPONSES, response(stream=True) | body).body)
        assert [e["item"]["type"] for e in events if "item" in e] == shown
        (last,) = events[-1]["response"]["output"]
        assert last["arguments"] == call["arguments"]


def test_a_client_that_leaves_has_its_engine_request_aborted(simulator):
    served = simulator(dialect="main", time_scale=20.0)
    client = served.raw(RESPONSES, response(stream=True))
    read_until(client, b"response.output_text.delta")
    client.close()
    eventually(lambda: served.entries()[-1]["aborted"], "the engine was told")
    entry = served.entries()[-1]
    assert entry["stream"]
    assert entry["prompt_tokens"] > 0
    assert entry["finished_at"] is None
    eventually(lambda: served.get("/_sim/engine").json["active"] == 0, "the slot is free")


def test_a_prompt_without_room_is_a_400_or_breaks_the_stream_after_its_head(simulator):
    served = simulator(max_seq_len=100)
    body = response("word " * 200)
    reply = served.post(RESPONSES, body)
    assert reply.status == 400
    assert "default_max_tokens" in reply.json["message"]
    raw = read_to_end(served.raw(RESPONSES, body | {"stream": True}))
    assert kinds(typed_events(unchunked(raw))) == ["response.created", "response.in_progress"]
    assert not raw.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(("dialect", "counted"), [("1.2", 0), ("main", 1)])
def test_metrics_see_responses_from_main_on(simulator, dialect, counted):
    served = simulator(
        dialect=dialect, seed=22, return_perf_metrics=True, perf_metrics_max_requests=9
    )
    served.post(RESPONSES, response(max_output_tokens=2))
    text = served.get("/prometheus/metrics").body
    assert text.count(b"e2e_request_latency_seconds_count") == counted
    assert len(served.get("/perf_metrics").json) == counted
