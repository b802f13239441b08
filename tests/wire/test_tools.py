"""Tool calls, guided output and reasoning."""

import json

from tests.wire.bodies import CHAT, DIALECTS, chat, events

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        },
    },
}


def test_guided_json_obeys_the_schema(simulator):
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 3}},
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    served = simulator(guided_decoding_backend="xgrammar")
    reply = served.post(CHAT, chat(response_format=wanted)).json
    content = json.loads(reply["choices"][0]["message"]["content"])
    assert content == {"name": "some name", "age": 3}
    assert reply["choices"][0]["finish_reason"] == "stop"


def test_regular_expressions_are_refused_in_words(simulator):
    served = simulator(guided_decoding_backend="xgrammar")
    reply = served.post(CHAT, chat(response_format={"type": "regex", "regex": "a"}))
    assert reply.json["message"] == "response_format 'regex' is not simulated"


def test_a_named_tool_gets_guided_arguments_in_every_release(simulator):
    named = {"type": "function", "function": {"name": "get_weather"}}
    for dialect, reason in (("1.0", "stop"), ("1.1", "stop"), ("1.2", "tool_calls")):
        body = chat(tools=[TOOL], tool_choice=named)
        choice = simulator(dialect=dialect).post(CHAT, body).json["choices"][0]
        (call,) = choice["message"]["tool_calls"]
        assert json.loads(call["function"]["arguments"]) == {"city": "some city", "days": 0}
        assert choice["finish_reason"] == reason
        assert choice["message"]["content"] == ""


def test_a_named_tool_that_is_not_there_is_refused(simulator):
    body = chat(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "x"}})
    assert simulator().post(CHAT, body).status == 400


def test_a_tool_that_the_user_speaks_of_is_called_and_parsed(simulator):
    served = simulator(tool_parser="qwen3")
    body = chat("What is the weather?", tools=[TOOL], tool_choice="auto")
    (call,) = served.post(CHAT, body).json["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    chunks = events(served.post(CHAT, body | {"stream": True}))
    deltas = [c["choices"][0]["delta"] for c in chunks]
    calls = [d["tool_calls"][0] for d in deltas if d.get("tool_calls")]
    assert calls[0]["id"].startswith("chatcmpl-tool-")
    assert calls[0]["function"]["name"] == "get_weather"
    assert all("id" not in c and "name" not in c["function"] for c in calls[1:])
    arguments = "".join(c["function"]["arguments"] for c in calls)
    assert arguments == call["function"]["arguments"]
    assert "".join(d.get("content", "") for d in deltas) == ""
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_without_a_tool_parser_the_call_is_plain_text(simulator):
    body = chat("What is the weather?", tools=[TOOL], tool_choice="auto")
    message = simulator().post(CHAT, body).json["choices"][0]["message"]
    assert message["tool_calls"] == []
    assert message["content"].startswith('<tool_call>\n{"name": "get_weather"')


def test_a_model_that_sees_tools_may_call_them_unasked(simulator):
    for dialect in DIALECTS:
        body = chat("What is the weather?", tools=[TOOL])
        message = simulator(dialect=dialect).post(CHAT, body).json["choices"][0]["message"]
        assert message["content"].startswith("<tool_call>")


def test_tools_that_nobody_speaks_of_are_not_called(simulator):
    served = simulator(dialect="main", tool_parser="qwen3")
    for body in (
        chat("Sing", tools=[TOOL]),
        chat("What is the weather?", tools=[TOOL], tool_choice="none"),
    ):
        message = served.post(CHAT, body | {"max_tokens": 5}).json["choices"][0]["message"]
        assert message["tool_calls"] == []
    required = chat("Sing", tools=[TOOL], tool_choice="required")
    assert served.post(CHAT, required).json["choices"][0]["message"]["tool_calls"]


def test_a_reasoning_parser_thinks_first_and_then_says_the_same(simulator):
    body = chat(max_tokens=3000)
    plain = simulator().post(CHAT, body).json["choices"][0]["message"]["content"]
    served = simulator(reasoning_parser="qwen3")
    message = served.post(CHAT, body).json["choices"][0]["message"]
    assert message["content"] == plain
    assert message["reasoning_content"]
    deltas = [
        c["choices"][0]["delta"] for c in events(served.post(CHAT, body | {"stream": True}))
    ]
    thinks = [at for at, d in enumerate(deltas) if d.get("reasoning_content")]
    answers = [at for at, d in enumerate(deltas) if d.get("content")]
    assert thinks[0] == 1
    assert thinks[-1] < answers[0]
    assert (
        "".join(d.get("reasoning_content", "") for d in deltas) == message["reasoning_content"]
    )
    assert "".join(d.get("content", "") for d in deltas) == plain


def test_older_releases_name_a_guided_call_anew_in_every_delta(simulator):
    named = {"type": "function", "function": {"name": "get_weather"}}
    body = chat(tools=[TOOL], tool_choice=named, stream=True)
    chunks = events(simulator(dialect="1.1").post(CHAT, body))
    deltas = [c["choices"][0]["delta"] for c in chunks[1:]]
    calls = [d["tool_calls"][0] for d in deltas if d.get("tool_calls")]
    assert len({call["id"] for call in calls}) == len(calls) > 1
    assert {call["function"]["name"] for call in calls} == {"get_weather"}
    arguments = "".join(call["function"]["arguments"] for call in calls)
    assert json.loads(arguments) == {"city": "some city", "days": 0}
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_1_0_has_reasoning_only_with_a_parser_and_only_while_thinking(simulator):
    body = chat(max_tokens=3000, stream=True)
    thinking = events(simulator(dialect="1.0", reasoning_parser="deepseek-r1").post(CHAT, body))
    keys = [tuple(c["choices"][0]["delta"]) for c in thinking]
    assert keys[1] == ("content", "reasoning_content", "tool_calls")
    assert keys[-1] == ("content", "tool_calls")


def test_a_tool_call_cut_by_the_limit_ends_with_length(simulator):
    served = simulator(tool_parser="qwen3")
    body = chat("What is the weather?", tools=[TOOL], max_tokens=12)
    choice = served.post(CHAT, body).json["choices"][0]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["tool_calls"] == []


def test_earlier_calls_and_their_results_are_part_of_the_prompt(simulator):
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "sunny"}]},
    ]
    body = {"model": "m", "messages": messages, "tools": [TOOL], "max_tokens": 3}
    reply = simulator(dialect="main", tool_parser="qwen3").post(CHAT, body).json
    assert reply["choices"][0]["message"]["tool_calls"] == []
    assert reply["usage"]["prompt_tokens"] > 30
