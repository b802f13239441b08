"""Streams that replicas send, and words that they are made of: what mutation starts from.

The first byte of each says what was asked (`tests.fuzz.sse`), the second where to cut.
"""

from tests.unit.core import typed_transcripts as typed
from tests.unit.core.transcripts import CHATS, COMPLETION


def _finished(text: bytes) -> bytes:
    """Return a completion of two prompts as one stream."""
    head = b'{"id":"a","object":"text_completion","created":1,"model":"m","choices":['
    events = [
        head + b'{"index":%d,"text":"%b","finish_reason":%b}]}' % each
        for each in (
            (0, b"a", b"null"),
            (1, b"b", b"null"),
            (1, text, b'"stop"'),
            (0, text, b'"length"'),
        )
    ]
    counted = b'{"choices":[],"usage":{"prompt_tokens":2,"total_tokens":3}}'
    return b"".join(b"data: %b\n\n" % each for each in [*events, counted, counted, b"[DONE]"])


_MESSAGE = b"".join(
    typed.event(kind, **fields)
    for kind, fields in (
        (
            "message_start",
            {"message": {"id": "x", "content": [], "model": "m", "usage": {"input_tokens": 3}}},
        ),
        ("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": "hi"}}),
        (
            "message_delta",
            {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        ),
        ("message_stop", {}),
    )
)
_RESPONSE = typed.opening() + typed.says("the") + typed.says(" end") + typed.closing()
_STREAMS = (
    (0, COMPLETION),
    (1, _finished(b"c")),
    (2, CHATS["1.0"]),
    (2, CHATS["main"]),
    (3, _RESPONSE),
    (4, _MESSAGE),
)
_SMALL = (
    b'data: {"choices":[{"text":"a"}]}\n\n'
    b'data: {"choices":[{"text":"b","finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)
SEEDS = tuple(
    bytes([kind, cut]) + stream
    for kind, stream in (*_STREAMS, (0, _SMALL))
    for cut, stream in enumerate((stream, stream.replace(b"\n", b"\r\n")))
)
_MARKS = (
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b",",
    b": ",
    b"\\",
    b"\r",
    b"\n",
    b"\n\n",
    b"\r\n",
    b"\x00",
)
_EVENTS = (
    b"data: [DONE]\n\n",
    b"data:",
    b"data: ",
    b": ",
    b": ping\n\n",
    b"event: error\n",
    b"id: 1\n",
    b"retry: 1\n",
    b'data: {"error":{"message":"m"}}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n',
    b'"finish_reason":"stop"',
    b'"finish_reason":null',
    b'"index":1',
    b"\\u0000",
    b"\xc3\xa9",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xa8",
    b"-1",
    b"1e9",
    b"99999999999999999999",
)
WORDS = (*_MARKS, *_EVENTS)
