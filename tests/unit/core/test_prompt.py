import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import InvalidRequest
from gateway.core.operation import CHAT
from gateway.core.snapshot import Limits
from tests.unit.core.transcripts import request

tokens = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5)
prompts = st.text() | st.lists(st.text(), min_size=1) | tokens | st.lists(tokens, min_size=1)


@settings(deadline=None)
@given(prompt=prompts, indent=st.sampled_from([None, 1]))
def test_each_form_of_prompt_is_counted(prompt, indent):
    body = json.dumps({"model": "m", "prompt": prompt}, indent=indent).encode()
    many = isinstance(prompt, list) and not isinstance(prompt[0], int)
    parsed = request(body)
    assert parsed.prompts == (len(prompt) if many else 1)
    assert json.loads(b"".join(parsed.prompt_texts)) == prompt
    assert parsed.prompt_bytes == len(bytes(parsed.fields["prompt"]))


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        (b"{}", "must be a string, a list of strings, or token ids"),
        (b"5", "must be a string"),
        (b"true", "must be a string"),
        (b"[]", "an empty list"),
        (b"[[]]", "must hold only"),
        (b'["a",[1]]', "must hold only"),
        (b'[[1],"a"]', "must hold only"),
        (b'["a",1]', "must hold only"),
        (b"[1,-1]", "must hold only"),
        (b"[1,4294967296]", "must hold only"),
        (b"[1,1.5]", "must hold only"),
        (b"[[1],[true]]", "must hold only"),
        (b"[null]", "must hold only"),
        (b'["a","b","c"]', "holds 3 prompts; at most 2"),
        (b'["\\"","\\\\","\\\\\\""]', "holds 3 prompts; at most 2"),
        (b"[[1],[2],[3]]", "holds 3 prompts; at most 2"),
        (b'["a",{"b":1}]', "must hold only"),
        (b'["a",["b"]]', "must hold only"),
        (b"[ ]", "an empty list"),
    ],
)
def test_a_prompt_of_another_form_is_refused(prompt, says):
    with pytest.raises(InvalidRequest, match=says) as refused:
        request(b'{"model":"m","prompt":%b}' % prompt, limits=Limits(prompts=2))
    assert refused.value.param == "prompt"


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        (b"", "messages", "is missing"),
        (b',"messages":null', "messages", "is missing"),
        (b',"messages":"null"', "messages", "is missing"),
        (b',"messages":[]', "messages", "is empty"),
        (b',"messages":[\n\n\n\n]', "messages", "is empty"),
        (b',"messages":"hi"', "messages", "expected `array"),
        (b',"messages":[{"content":"x"}]', "messages", "role"),
        (b',"messages":[],"prompt_token_ids":"x"', "prompt_token_ids", "token ids"),
        (b',"messages":[],"prompt_token_ids":[]', "prompt_token_ids", "token ids"),
        (b',"messages":[],"prompt_token_ids":[[1]]', "prompt_token_ids", "token ids"),
        (b',"messages":[],"prompt_token_ids":{}', "prompt_token_ids", "token ids"),
        (b',"messages":[],"prompt_token_ids":null', "messages", "is empty"),
        (b',"messages":[],"prompt_token_ids_b64":null', "messages", "is empty"),
        (b',"prompt_token_ids":[1]', "messages", "is missing"),
    ],
)
def test_a_chat_without_anything_to_answer_is_refused(fields, param, says):
    with pytest.raises(InvalidRequest, match=says) as refused:
        request(b'{"model":"m"%b}' % fields, operation=CHAT)
    assert refused.value.param == param


@pytest.mark.parametrize("ids", [b'"prompt_token_ids":[1,2]', b'"prompt_token_ids_b64":"AQI="'])
def test_token_ids_take_the_place_of_messages(ids):
    parsed = request(b'{"model":"m","messages":[],%b}' % ids, operation=CHAT)
    assert parsed.prompt_bytes == len(ids.partition(b":")[2])


def test_a_long_chat_is_measured_by_its_messages():
    messages = b'[{"role":"user","content":"%b"}]' % (b"x" * 500)
    parsed = request(b'{"model":"m","messages":%b}' % messages, operation=CHAT)
    assert (parsed.prompts, parsed.prompt_bytes) == (1, len(messages))


@pytest.mark.parametrize("length", [10, 3 << 20])
def test_the_text_of_the_prompt_is_what_came_without_a_copy(length):
    text = b'"%b\\n"' % (b"x" * length)
    wire = b'{ "prompt" : %b, "model":"m"}' % text
    (shown,) = request(wire).prompt_texts
    assert (bytes(shown), shown.obj is wire) == (text, length > 1 << 20)


def test_many_prompts_with_quotes_in_them_are_counted_exactly():
    prompts = ['say "hi"', "back\\slash", '\\"', "", ",", "]["] * 100
    body = json.dumps({"model": "m", "prompt": prompts}).encode()
    assert request(body).prompts == 600
