import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import UpstreamProtocolError
from gateway.core.messages import MessageEvents
from gateway.core.responses import ResponseEvents
from gateway.core.stream import AnswerStream
from gateway.core.usage import CompletionTokensDetails, PromptTokensDetails, Usage, add
from tests.unit.core.transcripts import completion, identity
from tests.unit.core.typed_transcripts import NAMES

maybe = st.none() | st.integers(0, 99)


@st.composite
def usages(draw):
    cached, reasoning = draw(maybe), draw(maybe)
    return Usage(
        prompt_tokens=draw(st.integers(0, 99)),
        total_tokens=draw(st.integers(0, 99)),
        completion_tokens=draw(maybe),
        prompt_tokens_details=None if cached is None else PromptTokensDetails(cached),
        completion_tokens_details=(
            None if reasoning is None else CompletionTokensDetails(reasoning)
        ),
    )


@given(usages(), usages(), usages())
def test_the_order_of_prompts_does_not_change_their_sum(one, two, three):
    assert add(add(one, two), three) == add(add(three, one), two)


@given(usages())
def test_nothing_added_changes_nothing(usage):
    assert add(usage, Usage()) == usage


def test_every_count_is_summed_and_what_nobody_reports_stays_unknown():
    old = Usage(prompt_tokens=5, total_tokens=8, completion_tokens=3)
    new = Usage(6, 8, 2, PromptTokensDetails(4), CompletionTokensDetails(1))
    both = add(old, new)
    assert (both.prompt_tokens, both.total_tokens, both.completion_tokens) == (11, 16, 5)
    assert (both.cached_tokens, both.reasoning_tokens) == (4, 1)
    assert (old.cached_tokens, old.reasoning_tokens) == (None, None)
    assert add(old, old).prompt_tokens_details is None


def test_the_sum_is_written_in_the_order_of_trtllm_serve():
    usage = Usage(5, 8, 3, PromptTokensDetails(0))
    assert msgspec.json.encode(usage) == (
        b'{"prompt_tokens":5,"total_tokens":8,"completion_tokens":3,'
        b'"prompt_tokens_details":{"cached_tokens":0}}'
    )


def of_chunks(counts):
    stream = AnswerStream(completion(b',"stream":true'), identity())
    stream.feed(b"data: %b\n\n" % json.dumps({"choices": [], "usage": counts}).encode(), 0.0)
    return stream.usage


def of_message(counts):
    reader = MessageEvents(NAMES)
    reader.read(json.dumps({"type": "message_delta", "usage": counts}).encode())
    return reader.usage


def of_response(counts):
    response = {"id": "r", "status": "completed", "usage": counts}
    reader = ResponseEvents(NAMES)
    reader.read(json.dumps({"type": "response.completed", "response": response}).encode())
    return reader.usage


@pytest.mark.parametrize("count", [-1, 2**53 + 1, 10**400])
@pytest.mark.parametrize(
    ("name", "read"),
    [("prompt_tokens", of_chunks), ("input_tokens", of_message), ("input_tokens", of_response)],
)
def test_what_is_no_count_of_tokens_is_refused_before_it_is_added_up(name, read, count):
    assert read({name: 2**53}).prompt_tokens == 2**53
    with pytest.raises(UpstreamProtocolError):
        read({name: count})
