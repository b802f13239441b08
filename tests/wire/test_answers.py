"""What a client gets from the two generation endpoints, beyond the transcripts."""

import json

import pytest

from backends.simulator.text import find_break

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
DIALECTS = ["1.0", "1.1", "1.2", "main"]
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


def events(reply):
    assert reply.status == 200, reply.body
    *payloads, end = reply.body.decode().split("\n\n")
    assert end == ""
    assert payloads[-1] == "data: [DONE]"
    return [json.loads(p.removeprefix("data: ")) for p in payloads[:-1]]


def text_of(chunks, index=0):
    choices = [c for chunk in chunks for c in chunk["choices"] if c["index"] == index]
    return "".join(c["text"] if "text" in c else c["delta"].get("content", "") for c in choices)


def completion(**fields):
    return {"model": "m", "prompt": "Tell me a story", "max_tokens": 40} | fields


def chat(text="Tell me a story", **fields):
    return {"model": "m", "messages": [{"role": "user", "content": text}]} | fields


@pytest.mark.parametrize("dialect", DIALECTS)
def test_streamed_and_whole_answers_have_the_same_unbroken_text(simulator, dialect):
    served = simulator(dialect=dialect)
    body = completion(seed=3, ignore_eos=True)
    whole = served.post(COMPLETIONS, body).json["choices"][0]["text"]
    streamed = text_of(events(served.post(COMPLETIONS, body | {"stream": True})))
    assert streamed == whole
    assert find_break(whole) is None


def test_a_seed_changes_the_text_and_the_same_seed_repeats_it(simulator):
    served = simulator()
    texts = [
        served.post(COMPLETIONS, completion(seed=s)).json["choices"][0]["text"]
        for s in (1, 2, 1)
    ]
    assert texts[0] == texts[2] != texts[1]


def test_an_answer_ends_by_itself_with_an_empty_piece_and_stop(simulator):
    body = chat(stream=True, max_tokens=5000)
    last = events(simulator().post(CHAT, body))[-1]["choices"][0]
    assert last["finish_reason"] == "stop"
    assert last["delta"]["content"] == ""
    assert "stop_reason" not in last


@pytest.mark.parametrize("include", [False, True])
def test_a_stop_string_ends_the_text_before_or_after_it(simulator, include):
    served = simulator()
    text = served.post(COMPLETIONS, completion(ignore_eos=True)).json["choices"][0]["text"]
    stop = text[20:24]
    body = completion(ignore_eos=True, stop=[stop, "never"], include_stop_str_in_output=include)
    choice = served.post(COMPLETIONS, body).json["choices"][0]
    expected = text[: text.find(stop)] + (stop if include else "")
    assert choice["text"] == expected
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", stop)
    assert text_of(events(served.post(COMPLETIONS, body | {"stream": True}))) == expected


def test_a_stop_token_ends_the_text_and_is_named_by_its_id(simulator):
    served = simulator()
    ids = served.post(COMPLETIONS, completion(ignore_eos=True, detokenize=False)).json
    fifth = ids["choices"][0]["token_ids"][4]
    body = completion(ignore_eos=True, stop_token_ids=[fifth])
    reply = served.post(COMPLETIONS, body).json
    assert reply["choices"][0]["stop_reason"] == fifth
    assert reply["usage"]["completion_tokens"] <= 5


def test_min_tokens_keeps_an_answer_from_ending_early(simulator):
    body = completion(max_tokens=2000, min_tokens=1500)
    assert simulator().post(COMPLETIONS, body).json["usage"]["completion_tokens"] >= 1500


def test_echo_repeats_the_prompt_first(simulator):
    served = simulator()
    plain = served.post(COMPLETIONS, completion()).json["choices"][0]["text"]
    body = completion(echo=True)
    expected = "Tell me a story" + plain
    assert served.post(COMPLETIONS, body).json["choices"][0]["text"] == expected
    assert text_of(events(served.post(COMPLETIONS, body | {"stream": True}))) == expected


def test_chat_echo_repeats_the_assistants_beginning_in_a_chunk_with_a_space(simulator):
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Well then"},
    ]
    body = {"model": "m", "messages": messages, "echo": True, "max_tokens": 2, "stream": True}
    raw = simulator().post(CHAT, body).body
    assert b'"delta":{"content":"Well then"}}]} \n\n' in raw


def test_choices_of_several_prompts_are_numbered_prompt_by_prompt(simulator):
    body = completion(prompt=["a", "b", "c"], n=2, max_tokens=3, ignore_eos=True)
    served = simulator()
    reply = served.post(COMPLETIONS, body).json
    assert [c["index"] for c in reply["choices"]] == [0, 1, 2, 3, 4, 5]
    assert reply["usage"]["completion_tokens"] == 18
    chunks = events(served.post(COMPLETIONS, body | {"stream": True, "stream_options": {}}))
    for index, choice in enumerate(reply["choices"]):
        assert text_of(chunks, index) == choice["text"]
    usages = [c["usage"] for c in chunks if c["usage"]]
    assert [u["completion_tokens"] for u in usages] == [6, 6, 6]


def test_several_choices_open_with_one_role_chunk_each(simulator):
    body = chat(n=3, max_tokens=2, ignore_eos=True, stream=True, stream_options={})
    chunks = events(simulator().post(CHAT, body))
    roles = [c["choices"][0]["index"] for c in chunks[:3]]
    assert roles == [0, 1, 2]
    assert all(c["choices"][0]["delta"]["role"] == "assistant" for c in chunks[:3])
    assert chunks[-1]["usage"]["completion_tokens"] == 6


def test_best_of_generates_more_than_it_shows(simulator):
    body = completion(n=1, best_of=3, max_tokens=4, ignore_eos=True)
    served = simulator()
    assert len(served.post(COMPLETIONS, body).json["choices"]) == 1
    chunks = events(served.post(COMPLETIONS, body | {"stream": True, "stream_options": {}}))
    assert {c["index"] for chunk in chunks for c in chunk["choices"]} == {0}


def test_a_repeated_prompt_is_read_from_the_cache(simulator):
    served = simulator()
    body = completion(prompt=list(range(100, 400)), max_tokens=1)
    first = served.post(COMPLETIONS, body).json["usage"]["prompt_tokens_details"]
    again = served.post(COMPLETIONS, body).json["usage"]["prompt_tokens_details"]
    assert (first["cached_tokens"], again["cached_tokens"]) == (0, 288)


def test_a_cache_salt_keeps_prefixes_apart(simulator):
    served = simulator()
    body = {"model": "m", "messages": [], "prompt_token_ids": list(range(500, 700))}
    for salt in ("one", "two"):
        usage = served.post(CHAT, body | {"cache_salt": salt, "max_tokens": 1}).json["usage"]
        assert usage["prompt_tokens_details"]["cached_tokens"] == 0


def test_a_longer_conversation_shares_the_prefix_of_the_shorter(simulator):
    served = simulator()
    turns = [{"role": "user", "content": "a sentence of some length " * 20}]
    served.post(CHAT, {"model": "m", "messages": turns, "max_tokens": 1})
    turns += [{"role": "assistant", "content": "yes"}, {"role": "user", "content": "more"}]
    usage = served.post(CHAT, {"model": "m", "messages": turns, "max_tokens": 1}).json["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] >= 64


def test_stream_interval_puts_several_tokens_into_a_chunk(simulator):
    served = simulator(stream_interval=4)
    chunks = events(
        served.post(
            COMPLETIONS,
            completion(ignore_eos=True, stream=True, detokenize=False, max_tokens=10),
        )
    )
    assert [len(c["choices"][0]["token_ids"]) for c in chunks] == [1, 3, 4, 2]


def test_speculation_decodes_more_than_one_token_an_iteration(simulator):
    served = simulator(max_draft_len=3)
    choice = served.post(COMPLETIONS, completion(ignore_eos=True, max_tokens=200)).json
    assert choice["choices"][0]["avg_decoded_tokens_per_iter"] > 1


def test_a_prompt_without_room_for_an_answer_is_a_400_or_a_broken_stream(simulator):
    served = simulator(max_seq_len=100)
    body = completion(prompt=[1] * 101, max_tokens=None)
    reply = served.post(COMPLETIONS, body)
    assert reply.status == 400
    assert reply.json["message"] == (
        "`default_max_tokens` (-1) must be greater than 0, `default_max_tokens` (-1) = "
        "max_seq_len (100) - `splited_prompt_len` (101) - `query_token_len` (0)"
    )


def test_more_tokens_than_there_is_room_for_are_clamped_in_silence(simulator):
    served = simulator(max_seq_len=100)
    body = completion(prompt=[1] * 90, max_tokens=5000, ignore_eos=True)
    choice = served.post(COMPLETIONS, body).json
    assert choice["usage"]["total_tokens"] == 100
    assert choice["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"top_k": -1}, "require top_k >= 0, got top_k=-1"),
        ({"top_p": 1.5}, "require 0 <= top_p <= 1, got top_p=1.5"),
        ({"temperature": -1}, "require temperature >= 0, got temperature=-1.0"),
        ({"n": 0}, "require n >= 1, got n=0"),
        ({"n": 100_000_000}, "100000000 sequences exceed max_batch_size (512)"),
        ({"prompt": []}, "Prompt must not be empty"),
        ({"prompt": ""}, "Prompt must not be empty"),
        ({"prompt": [-1]}, "Token ids must not be negative"),
        (
            {"disaggregated_params": {"request_type": "context_only"}},
            "disaggregated serving is not simulated",
        ),
        (
            {"response_format": {"type": "json_object"}},
            "Guided decoding is not enabled: set guided_decoding_backend",
        ),
    ],
)
def test_bad_parameters_are_flat_400s(simulator, fields, message):
    reply = simulator().post(COMPLETIONS, completion(**fields))
    assert (reply.status, reply.json["message"]) == (400, message)
    assert reply.json["code"] == 400


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n": 3, "best_of": 2}, "best_of should not be smaller than n"),
        ({"suffix": "x"}, "suffix is not supported"),
        ({"logprobs": -1}, "logprobs must be greater than or equal to 0"),
        ({"stream_options": {}}, "Stream options can only be defined when stream is true."),
    ],
)
def test_contradictions_are_schema_violations(simulator, fields, message):
    reply = simulator().post(COMPLETIONS, completion(**fields))
    assert reply.status == 400
    assert f"Value error, {message}" in reply.json["error"]


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


def test_whatever_goes_wrong_before_the_head_is_a_400(simulator):
    odd = {"type": "function", "function": {"name": "f", "parameters": {"properties": 1}}}
    body = chat("f", tools=[odd])
    reply = simulator().post(CHAT, body)
    assert (reply.status, reply.json["type"]) == (400, "BadRequestError")


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


def test_images_are_refused_by_a_text_model(simulator):
    content = [{"type": "image_url", "image_url": {"url": "x"}}]
    reply = simulator().post(
        CHAT, {"model": "m", "messages": [{"role": "user", "content": content}]}
    )
    assert (reply.status, reply.json["message"]) == (400, "Unknown part type: image_url")


def test_bodies_of_another_type_are_not_read_as_json(simulator):
    reply = simulator(dialect="1.0").post(
        COMPLETIONS, b'{"model":"m"}', **{"content-type": "text/plain"}
    )
    assert "model_attributes_type" in reply.json["message"]


def test_text_that_is_not_unicode_and_endless_nesting_are_fastapis_own_400(simulator):
    for body in (b"\xff", b"[" * 100_000):
        reply = simulator().post(COMPLETIONS, body)
        assert (reply.status, reply.json) == (
            400,
            {"detail": "There was an error parsing the body"},
        )


def test_an_empty_body_is_a_missing_field(simulator):
    reply = simulator(dialect="1.0").post(COMPLETIONS, b"")
    assert "'type': 'missing', 'loc': ('body',)" in reply.json["message"]


def test_chat_and_completion_log_probabilities_list_alternatives(simulator):
    served = simulator()
    body = chat(max_tokens=3, logprobs=True, top_logprobs=2)
    content = served.post(CHAT, body).json["choices"][0]["logprobs"]["content"]
    assert [len(entry["top_logprobs"]) for entry in content] == [2, 2, 2]
    assert all(e["top_logprobs"][0]["logprob"] == e["logprob"] for e in content)
    columns = served.post(COMPLETIONS, completion(max_tokens=3, logprobs=2)).json["choices"][0]
    chunks = events(served.post(COMPLETIONS, completion(max_tokens=3, logprobs=2, stream=True)))
    offsets = [o for c in chunks for o in c["choices"][0]["logprobs"]["text_offset"]]
    assert offsets == columns["logprobs"]["text_offset"]
    assert "".join(columns["logprobs"]["tokens"]) == columns["text"]


def test_top_logprobs_alone_is_a_contradiction(simulator):
    assert simulator().post(CHAT, chat(top_logprobs=2)).status == 400
    assert simulator(dialect="1.1").post(CHAT, chat(top_logprobs=2)).status == 400
