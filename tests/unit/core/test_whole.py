import json

import pytest

from gateway.core.errors import UpstreamProtocolError
from gateway.core.operation import CHAT
from gateway.core.whole import read_whole
from tests.unit.core.transcripts import (
    WHOLE_1_0,
    WHOLE_CHAT_1_2,
    chat,
    completion,
    identity,
)


def test_an_answer_of_1_0_is_shown_under_the_clients_names():
    whole, shown = read_whole(WHOLE_1_0, completion(), identity())
    theirs, ours = json.loads(WHOLE_1_0), json.loads(shown)
    assert ours == theirs | {"id": "id-1", "created": 7, "model": "alias"}
    assert whole.finish_reasons == ("length",)
    assert whole.usage.completion_tokens == 16
    assert whole.usage.cached_tokens is None


@pytest.mark.parametrize("space", [b"\n", b"\r\n\t ", b" "])
def test_white_space_before_an_answer_means_nothing(space):
    _, shown = read_whole(space + WHOLE_1_0, completion(), identity())
    assert json.loads(shown) == json.loads(read_whole(WHOLE_1_0, completion(), identity())[1])


def test_a_chat_answer_of_1_2_is_shown_under_the_clients_names():
    whole, shown = read_whole(WHOLE_CHAT_1_2, chat(), identity(CHAT, stream=False))
    assert json.loads(shown)["choices"] == json.loads(WHOLE_CHAT_1_2)["choices"]
    assert whole.usage.cached_tokens == 0


def answer(*choices):
    return b'{"choices":[%b]}' % b",".join(choices)


ZERO = b'{"index":0,"finish_reason":"stop"}'
ONE = b'{"index":1,"finish_reason":"stop"}'


@pytest.mark.parametrize("choices", [(ZERO, ONE), (ONE, ZERO)])
def test_every_choice_that_was_asked_for_must_be_there(choices):
    whole, _ = read_whole(answer(*choices), completion(b',"n":2'), identity())
    assert whole.finish_reasons == ("stop", "stop")
    assert whole.usage is None


@pytest.mark.parametrize(
    "choices",
    [
        (),
        (ZERO,),
        (ZERO, ZERO),
        (ZERO, ONE, b'{"index":2,"finish_reason":"stop"}'),
        (ZERO, b'{"index":2,"finish_reason":"stop"}'),
        (ZERO, b'{"index":1}'),
        (ZERO, b'{"index":1,"finish_reason":null}'),
        (ZERO, b'{"index":1,"finish_reason":""}'),
    ],
)
def test_an_answer_with_other_choices_or_unfinished_ones_is_none(choices):
    with pytest.raises(UpstreamProtocolError, match="missing or unfinished"):
        read_whole(answer(*choices), completion(b',"n":2'), identity())


@pytest.mark.parametrize(
    "body",
    [
        b"null",  # what trtllm-serve says as its engine dies
        b"",
        b"[]",
        b"{}",
        b'{"error":{"message":"x"}}',
        b'{"choices":null}',
        WHOLE_1_0[:-1],
        WHOLE_1_0.replace(b" New", b" \xff"),
        WHOLE_1_0.replace(b'"prompt_token_ids"', b'"\xff"'),
    ],
)
def test_what_is_no_answer_is_a_fault_of_the_replica(body):
    with pytest.raises(UpstreamProtocolError, match="no answer to this request") as failed:
        read_whole(body, completion(), identity())
    assert failed.value.retryable


def test_text_beyond_ascii_passes_unchanged():
    body = answer('{"index":0,"finish_reason":"stop","text":"é 漢"}'.encode())
    assert "é 漢".encode() in read_whole(body, completion(), identity())[1]
