import json

import pytest

from gateway.core.answers import read_reply, stream_reader
from gateway.core.body import NO_BODY
from gateway.core.errors import UpstreamError
from gateway.core.operation import (
    CHAT,
    COMPLETIONS,
    DELETE,
    EMBEDDINGS,
    MESSAGES,
    OPERATIONS,
    RESPONSES,
    RETRIEVE,
    TOKENIZE,
)
from gateway.core.request import InferenceRequest
from tests.unit.core.transcripts import CHATS, COMPLETION, WHOLE_1_0, WHOLE_CHAT_1_2
from tests.unit.core.typed_transcripts import (
    MESSAGE,
    NAMING,
    REPLICA,
    RESPONSE,
    message,
    response,
)

EMBEDDED = {"object": "list", "model": "source", "data": [{"index": 0, "embedding": [1]}]}
UNCOUNTED = (EMBEDDINGS, TOKENIZE, RETRIEVE, DELETE)
STREAMS = {CHAT: CHATS["main"], COMPLETIONS: COMPLETION, RESPONSES: RESPONSE, MESSAGES: MESSAGE}
WHOLES = {
    CHAT: WHOLE_CHAT_1_2,
    COMPLETIONS: WHOLE_1_0,
    RESPONSES: json.dumps(response()).encode(),
    MESSAGES: json.dumps(message()).encode(),
    EMBEDDINGS: json.dumps(EMBEDDED).encode(),
    TOKENIZE: b'{"count":1,"tokens":[5]}',
    RETRIEVE: json.dumps(response("failed")).encode(),
    DELETE: b'{"id":"resp_1","object":"response","deleted":true}',
}


def request(operation, *, stream):
    return InferenceRequest(
        operation=operation, model="alias", body=NO_BODY, fields={}, unsent=frozenset(),
        stream=stream, usage_wanted=True, usage_everywhere=False, n=1, best_of=1, prompts=1,
        max_tokens=None, cache_salt=None,
    )  # fmt: skip


@pytest.mark.parametrize(("operation", "wire"), STREAMS.items(), ids=lambda o: str(o)[:20])
def test_each_kind_that_streams_is_read_to_its_end(operation, wire):
    stream = stream_reader(request(operation, stream=True), NAMING, REPLICA)
    assert not stream.started
    out = stream.feed(wire, 1.0)
    stream.closed()
    assert stream.done
    assert stream.failure is None
    assert stream.started
    assert stream.between_events
    assert stream.likeness is None
    assert stream.meter.first_at == 1.0
    assert len(stream.finish_reasons) == 1
    assert stream.usage is not None
    assert b'"alias"' in out
    assert b"source" not in out


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_each_kind_of_whole_answer_is_read(operation):
    asked = request(operation, stream=False)
    got = read_reply(WHOLES[operation], asked, NAMING, REPLICA)
    assert json.loads(got.body).get("model", "alias") == "alias"
    assert (got.usage is None) is (operation in UNCOUNTED)
    for no_answer in (b"null", b"", b'{"error":{}}', WHOLES[operation][:-2]):
        with pytest.raises(UpstreamError):
            read_reply(no_answer, asked, NAMING, REPLICA)


def test_a_kind_streams_if_and_only_if_it_says_so():
    assert {operation for operation in OPERATIONS if operation.streams} == STREAMS.keys()
