"""Answers of a replica, for the tests of what is done with answers."""

import json

from tests.chaos.calls import Call
from tests.chaos.wire import DONE

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
LAST = b"0\r\n\r\n"
CALL = Call(number=7, client="raw", chat=False, stream=True, tokens=4)


def event(text="", finish=None, answer_id="cmpl-1"):
    choice = {"index": 0, "text": text, "finish_reason": finish}
    payload = json.dumps({"id": answer_id, "choices": [choice]})
    return b"data: %b\n\n" % payload.encode()


def framed(*events):
    return b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in events)


EVENTS = (event(), event("New"), event(" York →"), event(finish="length"), b"data: [DONE]\n\n")
assert EVENTS[-1] == b"data: " + DONE + b"\n\n"
STREAMED = HEAD + framed(*EVENTS) + LAST
BODY = json.dumps(
    {"id": "1", "choices": [{"index": 0, "text": "New York", "finish_reason": "length"}]}
).encode()
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
