"""What a client gets from the two generation endpoints, beyond the transcripts."""

import pytest

from backends.simulator.text import find_break
from tests.wire.bodies import CHAT, COMPLETIONS, DIALECTS, chat, completion, events, text_of


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
