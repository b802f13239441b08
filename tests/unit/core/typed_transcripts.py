"""What trtllm-serve puts on the wire for the Responses and the Messages API; names for it."""

import json

from backends.replica import ReplicaId
from gateway.core.answers import Naming
from gateway.core.response_id import StoredResponse, decode, encode
from gateway.core.sse import SseReader

UPSTREAM_ID = "resp_" + "4a" * 16
PEPPER = b"p" * 32
REPLICA = ReplicaId("r0")
NAMING = Naming(model="alias", answer_id="", created=7, key_id="key", pepper=PEPPER)
NAMES = NAMING.by(REPLICA)
SEALED_ID = encode(StoredResponse(REPLICA, UPSTREAM_ID), key_id="key", pepper=PEPPER)

USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
    "output_tokens": 3,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 12,
}


def response(status="completed", **changes):
    """Return a response as trtllm-serve dumps it; ``...`` leaves a field out."""
    text = {"type": "output_text", "text": "the end", "annotations": [], "logprobs": None}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [text]}
    fields = {
        "id": UPSTREAM_ID, "created_at": 1754294810, "instructions": None, "metadata": None,
        "model": "source", "object": "response", "output": [message],
        "parallel_tool_calls": False, "temperature": 1.0, "tool_choice": "auto", "tools": [],
        "top_p": 1.0, "background": False, "max_output_tokens": 16,
        "previous_response_id": None, "service_tier": "auto", "status": status,
        "top_logprobs": 0, "truncation": "disabled", "usage": USAGE, "user": None,
    } | changes  # fmt: skip
    return {name: value for name, value in fields.items() if value is not ...}


def event(kind, /, **fields):
    body = {"type": kind} | fields
    return f"event: {kind}\ndata: {json.dumps(body)}\n\n".encode()


def opening(**changes):
    begun = response("in_progress", output=[], usage=None, **changes)
    return event("response.created", response=begun, sequence_number=0) + event(
        "response.in_progress", response=begun, sequence_number=1
    )


def says(text, kind="response.output_text.delta"):
    return event(
        kind, item_id="msg_1", output_index=0, content_index=0, delta=text, logprobs=[]
    )


def closing(status="completed", kind="response.completed", **changes):
    return event(kind, response=response(status, **changes), sequence_number=9)


ITEM = event("response.output_item.added", output_index=0, item={"id": "msg_1"})
RESPONSE = (
    opening()
    + ITEM
    + says("the")
    + says(" end")
    + event("response.output_text.done", output_index=0, text="the end")
    + event("response.output_item.done", output_index=0, item={"id": "msg_1"})
    + closing()
)


def message(**changes):
    """Return a message that was not streamed."""
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "source",
        "content": [{"type": "text", "text": "the end"}], "stop_reason": "end_turn",
        "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 3},
    } | changes  # fmt: skip


def started(**changes):
    begun = message(content=[], stop_reason=None, **changes)
    return event("message_start", message=begun)


def adds(**delta):
    return event("content_block_delta", index=0, delta=delta)


BLOCK = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
MESSAGE = (
    started(usage={"input_tokens": 5, "output_tokens": 0, "cache_read_input_tokens": 4})
    + BLOCK
    + adds(type="text_delta", text="the")
    + adds(type="text_delta", text=" end")
    + event("content_block_stop", index=0)
    + event(
        "message_delta",
        delta={"stop_reason": "end_turn", "stop_sequence": None},
        usage={"input_tokens": 5, "output_tokens": 3, "cache_read_input_tokens": 4},
    )
    + event("message_stop")
)


def events(out):
    """Return the events that a client reads, each checked against the name that it goes by."""
    wire = b"".join(out) if isinstance(out, list) else out
    blocks = wire.split(b"\n\n")
    assert blocks.pop() == b""
    bodies = [json.loads(payload) for payload in SseReader().feed(wire)]
    assert len(bodies) == len(blocks)
    for block, body in zip(blocks, bodies, strict=True):
        named, data = block.split(b"\n")
        assert named == b"event: " + body["type"].encode()
        assert data.startswith(b"data: ")
    return bodies


def opened(response_id):
    """Return what the replica calls the response."""
    return decode(response_id, key_id="key", pepper=PEPPER).upstream_id
