import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.chunks import has_content, read
from gateway.core.errors import UpstreamError, UpstreamProtocolError
from gateway.core.operation import CHAT, COMPLETIONS
from tests.unit.core.transcripts import identity

texts = st.text() | st.sampled_from(['"model":"x"', '{"id":"y","object":"z"', "\\", "\n\n"])
inner = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(texts, deeper, max_size=3),
    max_leaves=8,
)
OWN = ("id", "object", "created", "model")


@given(
    data=st.data(),
    rest=st.dictionaries(texts.filter(lambda name: name not in OWN), inner, max_size=4),
    owned=st.sets(st.sampled_from(OWN)),
    model=texts,
    compact=st.booleans(),
)
def test_an_answer_keeps_all_but_its_identity_whatever_is_in_it(
    data, rest, owned, model, compact
):
    theirs = {"id": "cmpl-9", "object": "o", "created": 5, "model": data.draw(texts)}
    answer = {name: theirs[name] for name in OWN if name in owned} | rest
    answer = dict(data.draw(st.permutations(list(answer.items()))))
    separators = (",", ":") if compact else None
    wire = json.dumps(answer, separators=separators, ensure_ascii=data.draw(st.booleans()))
    try:
        payload = wire.encode()
        shown = identity(model=model).of(payload)
    except UnicodeEncodeError:  # half a surrogate pair is no text
        return
    pairs = json.loads(shown, object_pairs_hook=list)
    assert [name for name, _ in pairs[:4]] == list(OWN)
    assert len(pairs) == len(dict(pairs))
    own = {"id": "id-1", "object": "text_completion", "created": 7, "model": model}
    assert json.loads(shown) == rest | own


def test_trtllm_serves_own_order_takes_the_short_way():
    payload = b'{"id":"a","object":"b","created":1,"model":"m\\"x","choices":[ ]}'
    shown = identity(CHAT).of(payload)
    assert shown.endswith(b',"choices":[ ]}')  # the rest is the very bytes that came
    assert json.loads(shown)["object"] == "chat.completion.chunk"


@pytest.mark.parametrize(
    ("operation", "stream", "kind"),
    [
        (CHAT, True, "chat.completion.chunk"),
        (CHAT, False, "chat.completion"),
        (COMPLETIONS, True, "text_completion"),
        (COMPLETIONS, False, "text_completion"),
    ],
)
def test_the_object_tells_what_kind_of_answer_it_is(operation, stream, kind):
    assert json.loads(identity(operation, stream=stream).of(b"{}"))["object"] == kind


@given(st.binary(max_size=80))
def test_garbage_is_read_or_called_a_fault_of_the_replica(payload):
    with suppress(UpstreamError):
        read(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b"null",
        b"[]",
        b"{",
        b'{"choices":5}',
        b'{"choices":[{"index":"0"}]}',
        b'{"choices":[{"text":"\xff"}]}',
        b'{"choices":[{"logprobs":"\xff"}]}',  # not decoded here, but sent on
        b'{"choices":[],"\xff":1}',
        b"{" + b'"a":[' * 50_000,
    ],
)
def test_what_is_not_a_chunk_is_refused(payload):
    with pytest.raises(UpstreamProtocolError, match="not JSON"):
        read(payload)


@pytest.mark.parametrize("payload", [b"{}", b'{"choices":null}', b'{"object":"error"}'])
def test_an_object_without_choices_is_no_chunk(payload):
    with pytest.raises(UpstreamProtocolError, match="no chunk of an answer"):
        read(payload)


@pytest.mark.parametrize("error", [b'{"message":"x"}', b'"x"', b"5"])
def test_an_error_in_any_form_is_one(error):
    with pytest.raises(UpstreamError, match="failed while it was answering"):
        read(b'{"error":%b}' % error)


def test_an_error_that_is_null_is_none():
    assert read(b'{"choices":[],"error":null}').error is None


@pytest.mark.parametrize(
    ("choice", "content"),
    [
        (b'{"text":"a"}', True),
        (b'{"text":" "}', True),
        (b'{"text":""}', False),
        (b'{"text":"","token_ids":[5]}', True),
        (b'{"text":"","token_ids":null}', False),
        (b'{"delta":{"role":"assistant","tool_calls":[]}}', False),
        (b'{"delta":{"content":"","reasoning_content":""}}', False),
        (b'{"delta":{}}', False),
        (b'{"delta":{"content":"a"}}', True),
        (b'{"delta":{"content":"","reasoning_content":"a"}}', True),
        (b'{"delta":{"reasoning":"a"}}', True),
        (b'{"delta":{"refusal":"a"}}', True),
        (b'{"delta":{"tool_calls":[{}]}}', True),
    ],
)
def test_content_is_any_part_of_the_answer_but_no_empty_one(choice, content):
    chunk = read(b'{"choices":[%b]}' % choice)
    assert has_content(chunk.choices[0]) is content
