"""``/v1/messages`` of main: Anthropic's protocol, which says what the chat endpoint says."""

import pytest

from tests.wire.bodies import CHAT, MESSAGES, chat, kinds, message, typed_events
from tests.wire.serving import eventually, read_until

COUNT = f"{MESSAGES}/count_tokens"
WEATHER = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
BLOCK = ["content_block_start", "content_block_delta", "content_block_stop"]
ENDING = ["message_delta", "message_stop"]


@pytest.fixture
def served(simulator):
    return simulator(dialect="main", tool_parser="qwen3")


def streamed(served, *args, **fields):
    reply = served.post(MESSAGES, message(*args, stream=True, **fields))
    assert reply.status == 200, reply.body
    return typed_events(reply.body)


def turns(*contents):
    roles = ("user", "assistant")
    return [{"role": roles[at % 2], "content": c} for at, c in enumerate(contents)]


def prompt_tokens(served, body):
    return served.post(COUNT, body).json["input_tokens"]


def test_no_release_has_it(simulator):
    for dialect in ("1.0", "1.1", "1.2"):
        assert simulator(dialect=dialect).post(MESSAGES, message()).status == 404


def test_a_message_says_what_a_chat_says(served):
    said = served.post(CHAT, chat()).json["choices"][0]["message"]["content"]
    whole = served.post(MESSAGES, message()).json
    assert whole["content"] == [{"type": "text", "text": said}]
    assert (whole["type"], whole["role"], whole["model"]) == ("message", "assistant", "m")
    assert (whole["stop_reason"], "stop_sequence" in whole) == ("end_turn", False)
    events = streamed(served)
    deltas = [e["delta"]["text"] for e in events if e["type"] == "content_block_delta"]
    assert "".join(deltas) == said


def test_a_stream_opens_and_closes_one_block_and_then_says_why_it_ended(served):
    events = streamed(served, max_tokens=3)
    assert kinds(events) == ["message_start", *BLOCK, *ENDING]
    assert events[0]["message"]["usage"]["output_tokens"] == 0
    assert events[0]["message"]["content"] == []
    assert events[-2]["delta"] == {"stop_reason": "max_tokens"}
    assert events[-2]["usage"]["output_tokens"] == 3


def test_thoughts_are_a_block_of_their_own(simulator):
    served = simulator(dialect="main", reasoning_parser="qwen3")
    whole = served.post(MESSAGES, message()).json
    assert [block["type"] for block in whole["content"]] == ["thinking", "text"]
    events = streamed(served)
    assert kinds(events) == ["message_start", *BLOCK, *BLOCK, *ENDING]
    starts = [e for e in events if e["type"] == "content_block_start"]
    assert [(s["index"], s["content_block"]["type"]) for s in starts] == [
        (0, "thinking"),
        (1, "text"),
    ]


def test_a_call_has_its_arguments_as_an_object_and_streams_them_as_json(served):
    asked = {"tools": [WEATHER], "tool_choice": {"type": "auto"}}
    whole = served.post(MESSAGES, message("What is the weather?", **asked)).json
    (call,) = whole["content"]
    assert (call["type"], call["name"], call["input"]) == (
        "tool_use", "get_weather", {"city": "some city"},
    )  # fmt: skip
    assert whole["stop_reason"] == "tool_use"
    events = streamed(served, "What is the weather?", **asked)
    (start,) = [e for e in events if e["type"] == "content_block_start"]
    assert start["content_block"]["input"] == {}
    parts = [e["delta"]["partial_json"] for e in events if e["type"] == "content_block_delta"]
    assert "".join(parts) == '{"city": "some city"}'
    assert events[-2]["delta"] == {"stop_reason": "tool_use"}


def test_a_stop_sequence_is_named(served):
    text = served.post(MESSAGES, message()).json["content"][0]["text"]
    stop = text[20:24]
    whole = served.post(MESSAGES, message(stop_sequences=[stop], top_k=3)).json
    assert (whole["stop_reason"], whole["stop_sequence"]) == ("stop_sequence", stop)
    last = streamed(served, stop_sequences=[stop])[-2]["delta"]
    assert last == {"stop_reason": "stop_sequence", "stop_sequence": stop}


def test_an_answer_without_words_still_has_a_block(served):
    text = served.post(MESSAGES, message()).json["content"][0]["text"]
    body = message(stop_sequences=[text[:3]])
    assert served.post(MESSAGES, body).json["content"] == [{"type": "text", "text": ""}]


def test_what_came_from_the_cache_is_counted_apart(served):
    body = message("word " * 200, max_tokens=1)
    served.post(MESSAGES, body)
    usage = served.post(MESSAGES, body).json["usage"]
    assert usage["cache_read_input_tokens"] > 100
    total = usage["input_tokens"] + usage["cache_read_input_tokens"]
    assert total == prompt_tokens(served, body)


def test_system_text_leads_wherever_it_is_given(served):
    plain = prompt_tokens(served, message())
    blocks = [{"type": "text", "text": "Be brief."}]
    billing = [{"type": "text", "text": "x-anthropic-billing-header: a=b;"}, *blocks]
    leading = [{"role": "system", "content": "Be brief."}, *message()["messages"]]
    counts = {
        prompt_tokens(served, message(system="Be brief.")),
        prompt_tokens(served, message(system=blocks)),
        prompt_tokens(served, message(system=billing)),
        prompt_tokens(served, message() | {"messages": leading}),
    }
    assert len(counts) == 1
    assert counts.pop() > plain


def test_calls_and_their_results_are_part_of_the_prompt(served):
    use = {"type": "tool_use", "id": "1", "name": "get_weather", "input": {"city": "Rome"}}
    result = {"type": "tool_result", "tool_use_id": "1", "content": "sunny", "is_error": True}
    listed = result | {"content": [{"type": "text", "text": "sunny"}]}
    thought = {"type": "thinking", "thinking": "hm " * 50}
    after = {"type": "text", "text": "And now?"}
    called = message() | {"messages": turns("weather?", [thought, use])}
    told = message() | {"messages": turns("weather?", [use], [result, after])}
    again = message() | {"messages": turns("weather?", [use], [listed, after])}
    assert prompt_tokens(served, called) < prompt_tokens(served, told)
    assert prompt_tokens(served, told) == prompt_tokens(served, again)
    assert served.post(MESSAGES, told | {"max_tokens": 1}).status == 200


def test_a_json_schema_guides_the_answer(simulator):
    schema = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 3}}}
    wanted = {"format": {"type": "json_schema", "schema": schema}, "effort": "low"}
    served = simulator(dialect="main", guided_decoding_backend="xgrammar")
    whole = served.post(MESSAGES, message(output_config=wanted)).json
    assert whole["content"][0]["text"] == '{"age": 3}'


SEARCH = {"name": "web_search", "type": "web_search_20250305"}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"max_tokens": 0}, "'loc': ('body', 'max_tokens')"),
        ({"messages": []}, "'loc': ('body', 'messages')"),
        ({"temperature": 1.5}, "'loc': ('body', 'temperature')"),
        ({"thinking": {"type": "enabled", "budget_tokens": 10}}, "'budget_tokens'"),
        ({"thinking": {"type": "adaptive", "budget_tokens": 2000}}, "extra_forbidden"),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 2000},
            "budget_tokens must be less than max_tokens",
        ),
        ({"messages": turns([{"type": "text"}])}, "'text', 'text'"),
        ({"messages": turns([{"type": "document"}])}, "'document'"),
        ({"messages": turns([{"type": "thinking", "thinking": "a"}])}, "'thinking'"),
        ({"messages": turns([{"type": "tool_use", "id": "1", "name": "f"}])}, "'tool_use'"),
        (
            {
                "messages": turns(
                    [
                        {
                            "type": "tool_result",
                            "tool_use_id": "1",
                            "content": [{"type": "document"}],
                        }
                    ]
                )
            },
            "in a tool_result",
        ),
        (
            {
                "messages": turns(
                    [{"type": "image", "source": {"type": "url", "url": "http://x"}}]
                )
            },
            "Unknown part type: image_url",
        ),
        ({"tools": [SEARCH]}, "server tool 'web_search'"),
        ({"tools": [{"name": "f"}]}, "needs an input_schema"),
        ({"tool_choice": {"type": "auto"}}, "needs a tool"),
        ({"tools": [WEATHER], "tool_choice": {"type": "any"}}, "'any'"),
        (
            {
                "tools": [WEATHER],
                "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
            },
            "disable_parallel_tool_use",
        ),
        ({"output_config": {"format": {"type": "xml"}}}, "'json_schema'"),
        ({"tools": [{"name": "f", "input_schema": {"properties": 1}}]}, ""),
    ],
)
def test_refusals_have_anthropics_envelope(served, fields, words):
    reply = served.post(MESSAGES, message("f") | fields)
    assert reply.status == 400
    assert list(reply.json) == ["type", "error"]
    assert reply.json["type"] == "error"
    assert reply.json["error"]["type"] == "invalid_request_error"
    assert words in reply.json["error"]["message"]


def test_a_choice_of_none_lets_server_tools_pass_unused(served):
    body = message("weather?", tools=[SEARCH, WEATHER], tool_choice={"type": "none"})
    whole = served.post(MESSAGES, body | {"max_tokens": 5}).json
    assert [block["type"] for block in whole["content"]] == ["text"]


def test_bytes_that_are_no_text_get_fastapis_own_answer(served):
    reply = served.post(MESSAGES, b"\xff")
    assert (reply.status, list(reply.json)) == (400, ["detail"])


def test_counting_refuses_as_the_endpoint_does(served):
    assert served.post(COUNT, message() | {"tools": [SEARCH]}).status == 400
    assert served.post(COUNT, {"model": "m"}).json["type"] == "error"


def test_a_client_that_leaves_has_its_engine_request_aborted(simulator):
    served = simulator(dialect="main", time_scale=20.0)
    client = served.raw(MESSAGES, message(stream=True))
    read_until(client, b"content_block_delta")
    client.close()
    eventually(lambda: served.entries()[-1]["aborted"], "the engine was told")


def test_a_prompt_without_room_is_told_in_the_stream(simulator):
    served = simulator(dialect="main", max_seq_len=100)
    reply = served.post(MESSAGES, message("word " * 200, stream=True))
    assert kinds(typed_events(reply.body)) == ["error"]
