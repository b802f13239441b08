"""Reading a replica's answer that comes whole, and its refusals.

The laws, whatever the bytes:

* They are an answer, or an `UpstreamError`; a refusal is a `GatewayError`. Nothing else.
* What the client gets is JSON, and the replica's own to the value, but for the names that are
  the gateway's to give.
* An answer says why it ended, and its counts are such as metrics can add up.
* Of a refusal the client gets no text but a field's name and a number.
"""

import json
import re
from typing import Any

from gateway.core.answers import read_reply
from gateway.core.errors import GatewayError, UpstreamError
from gateway.core.operation import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES, TOKENIZE
from gateway.core.refusal import refusal
from tests.fuzz.body import _VALUES
from tests.fuzz.sse import NAMES, _countable
from tests.fuzz.target import Target
from tests.unit.core import typed_transcripts as typed
from tests.unit.core.transcripts import WHOLE_1_0, WHOLE_CHAT_1_2, request

_ASKED = (
    request(b'{"model":"m","prompt":"p"}', operation=COMPLETIONS),
    request(b'{"model":"m","messages":[{"role":"user"}]}', operation=CHAT),
    request(b'{"model":"m","input":"p"}', operation=RESPONSES),
    request(b'{"model":"m","messages":[{"role":"user"}],"max_tokens":9}', operation=MESSAGES),
    request(b'{"model":"m","input":["p","q"]}', operation=EMBEDDINGS),
    request(b'{"model":"m","prompt":"p"}', operation=TOKENIZE),
)
_STATUSES = (400, 404, 405, 422, 429, 500, 503)
_GIVEN = NAMES | {"previous_response_id"}
_ENDS = {"completions", "chat", "responses", "messages"}
_LONGEST = 2400
_WORD = re.compile(r"\w+")


def one(data: bytes) -> None:
    """Read a reply: a byte says to what, one with which status (0: good); the rest is it."""
    if len(data) < 2:
        return
    asked, status, body = _ASKED[data[0] % len(_ASKED)], data[1] % 8, data[2:]
    if status:
        _refusal(_STATUSES[status - 1], body, asked.operation)
        return
    try:
        reply = read_reply(body, asked, typed.NAMING, typed.REPLICA)
    except UpstreamError:
        return
    _countable(reply.usage)
    assert bool(reply.finish_reasons) == (asked.operation.name in _ENDS)
    assert _bare(json.loads(reply.body)) == _bare(json.loads(body))


def _bare(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in _GIVEN}


def _refusal(status: int, body: bytes, operation: Any) -> None:
    error = refusal(status, body, operation)
    assert isinstance(error, GatewayError)
    assert error.param is None or _WORD.fullmatch(error.param)
    assert len(str(error)) < _LONGEST
    assert str(error).isprintable()


_MESSAGE = {
    "id": "x", "type": "message", "content": [], "model": "m", "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 2, "cache_read_input_tokens": 1},
}  # fmt: skip
_VIOLATION = (
    "[{'type': 'extra_forbidden', 'loc': ('body', 'n'), 'msg': 'Value error, b', 'a': 1}]"
)
SEEDS = (
    b"\x00\x00" + WHOLE_1_0,
    b"\x00\x00\n " + WHOLE_1_0,
    b"\x01\x00" + WHOLE_CHAT_1_2,
    b"\x02\x00" + json.dumps(typed.response(previous_response_id="resp_1")).encode(),
    b"\x03\x00" + json.dumps(_MESSAGE).encode(),
    b'\x04\x00{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":"AA"}],"model":"x"}',
    b'\x05\x00{"count":2,"tokens":[1,2]}',
    b'\x00\x01{"object":"error","message":"prompt length (5) exceeds max_num_tokens (4)"}',
    b'\x01\x02{"detail":"Not Found"}',
    b'\x01\x01{"error":"%b"}' % _VIOLATION.encode(),
    b'\x02\x04{"error":{"message":"Response with id \'a\' not found"}}',
    b'\x00\x01{"message":"`logprobs` is not supported"}',
)
WORDS = (
    *_VALUES, b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\n", b"\r", b'"index":1,',
    b'"finish_reason":null,', b'"status":"failed",', b'"error":{},', b'"usage":null,',
    b"'loc': ['body'", b"'msg': '", b"max_seq_len (", b"not supported", b"Field required",
    b"Input should be", b'"message":', b'"error":', b'"detail":', b"Not Found",
)  # fmt: skip
TARGET = Target("reply", one, SEEDS, WORDS)
