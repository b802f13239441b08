"""Faults in the middle of an answer; those that end the process are in tests/system."""

import json
import time

import pytest

from backends.simulator.text import find_break
from tests.wire.bodies import CHAT, COMPLETIONS
from tests.wire.serving import eventually, read_to_end, unchunked

STREAM = {
    "model": "m", "prompt": "hello", "max_tokens": 8, "ignore_eos": True, "stream": True,
    "stream_options": {},
}  # fmt: skip
WHOLE = {"model": "m", "prompt": "hello", "max_tokens": 8, "ignore_eos": True}
LAST_CHUNK = b"0\r\n\r\n"


def tokens_in(raw: bytes) -> int:
    return raw.count(b'"text":')


def test_a_cut_stream_ends_in_a_reset_after_its_tokens(simulator):
    served = simulator()
    served.arm({"kind": "cut", "after_tokens": 3})
    raw = read_to_end(served.raw(COMPLETIONS, STREAM))
    assert raw.endswith(b"RST")
    assert tokens_in(raw) == 3
    assert b"[DONE]" not in raw


def test_a_stream_cut_at_a_byte_has_exactly_that_many(simulator):
    served = simulator()
    served.arm({"kind": "cut", "at_byte": 300})
    raw = read_to_end(served.raw(COMPLETIONS, STREAM))
    assert raw.endswith(b"RST")
    assert len(unchunked(raw)) == 300


def test_a_whole_answer_is_cut_in_its_middle(simulator):
    served = simulator()
    served.arm({"kind": "cut"})
    raw = read_to_end(served.raw(COMPLETIONS, WHOLE))
    assert raw.startswith(b"HTTP/1.1 200 OK")
    assert raw.endswith(b"RST")


@pytest.mark.parametrize("kind", ["half_event", "end_early"])
def test_a_whole_answer_that_ends_early_is_shorter_than_it_said(simulator, kind):
    served = simulator()
    served.arm({"kind": kind})
    head, body = read_to_end(served.raw(COMPLETIONS, WHOLE)).split(b"\r\n\r\n", 1)
    said = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert len(body) == said // 2


def test_an_early_end_is_clean_but_lacks_finish_and_done(simulator):
    served = simulator()
    served.arm({"kind": "end_early", "after_tokens": 3})
    body = served.post(COMPLETIONS, STREAM).body
    assert tokens_in(body) == 3
    assert b'"finish_reason":"' not in body
    assert b"[DONE]" not in body
    assert body.endswith(b"\n\n")


def test_half_an_event_ends_a_clean_stream(simulator):
    served = simulator()
    served.arm({"kind": "half_event", "after_tokens": 2})
    body = served.post(COMPLETIONS, STREAM).body
    assert not body.endswith(b"\n\n")
    assert body.split(b"\n\n")[-1].startswith(b'data: {"id":"cmpl-')


def test_an_error_inside_the_engine_cuts_the_connection_without_a_word(simulator):
    served = simulator()
    served.arm({"kind": "engine_error", "after_tokens": 2})
    raw = read_to_end(served.raw(COMPLETIONS, STREAM))
    assert tokens_in(raw) == 2
    assert not raw.endswith(LAST_CHUNK)
    assert b"error" not in raw


def test_main_tells_of_an_error_in_a_completion_and_ends_it_twice(simulator):
    served = simulator(dialect="main")
    served.arm({"kind": "engine_error", "after_tokens": 2})
    body = served.post(COMPLETIONS, STREAM).body
    frame = (
        b'data: {"error": {"message": "fault engine_error", "type": "server_error", '
        b'"code": null, "param": null}}\n\n'
    )
    assert body.endswith(frame + b"data: [DONE]\n\ndata: [DONE]\n\n")


def test_main_cuts_a_chat_like_the_others(simulator):
    served = simulator(dialect="main")
    served.arm({"kind": "engine_error", "after_tokens": 1})
    chat = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    raw = read_to_end(served.raw(CHAT, chat | {"max_tokens": 4}))
    assert not raw.endswith(LAST_CHUNK)
    assert b"error" not in raw


def test_an_error_inside_the_engine_is_a_400_before_a_whole_answer(simulator):
    served = simulator()
    served.arm({"kind": "engine_error"})
    reply = served.post(COMPLETIONS, WHOLE)
    assert (reply.status, reply.json["type"]) == (400, "BadRequestError")


def test_an_engine_that_finds_no_room_breaks_a_stream_after_its_head(simulator):
    served = simulator(max_seq_len=100)
    raw = read_to_end(served.raw(COMPLETIONS, STREAM | {"prompt": [1] * 101}))
    assert raw.startswith(b"HTTP/1.1 200 OK")
    assert b"data:" not in raw
    assert not raw.endswith(LAST_CHUNK)


def test_garbage_is_one_event_and_the_stream_goes_on(simulator):
    served = simulator()
    served.arm({"kind": "garbage", "after_tokens": 2})
    payloads = served.post(COMPLETIONS, STREAM).body.decode().split("\n\n")
    broken = [p for p in payloads if p and not _is_json(p.removeprefix("data: "))]
    assert len(broken) == 2  # the garbage, and [DONE]
    assert payloads[-2] == "data: [DONE]"


def _is_json(text):
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def test_garbage_in_a_whole_answer_is_not_json(simulator):
    served = simulator()
    served.arm({"kind": "garbage"})
    assert not _is_json(served.post(COMPLETIONS, WHOLE).body)


def test_done_comes_twice_or_not_at_all(simulator):
    served = simulator()
    served.arm({"kind": "double_done"})
    assert served.post(COMPLETIONS, STREAM).body.endswith(b"data: [DONE]\n\n" * 2)
    served.arm({"kind": "no_done"})
    body = served.post(COMPLETIONS, STREAM).body
    assert b"[DONE]" not in body
    assert b'"finish_reason":"length"' in body


def test_empty_chunks_come_between_the_others(simulator):
    served = simulator()
    served.arm({"kind": "empty_chunks"})
    body = served.post(COMPLETIONS, STREAM).body
    assert tokens_in(body) == 16
    assert body.count(b'"text":""') >= 8
    assert body.count(b'"finish_reason":"length"') == 1


def test_empty_chunks_of_a_chat_have_no_finish_reason(simulator):
    served = simulator()
    served.arm({"kind": "empty_chunks"})
    chat = {"model": "m", "messages": [], "prompt_token_ids": [1], "stream": True}
    body = served.post(CHAT, chat | {"max_tokens": 2, "ignore_eos": True}).body
    assert body.count(b'"content":""') == 2
    assert body.count(b"finish_reason") == 1


def test_a_changed_token_breaks_the_text(simulator):
    served = simulator()
    body = WHOLE | {"max_tokens": 40}
    clean = served.post(COMPLETIONS, body).json["choices"][0]["text"]
    served.arm({"kind": "changed_token", "after_tokens": 10})
    events = served.post(COMPLETIONS, body | {"stream": True}).body.decode().split("\n\n")[:-2]
    chunks = [json.loads(e.removeprefix("data: ")) for e in events]
    falsified = "".join(c["choices"][0]["text"] for c in chunks)
    assert falsified != clean
    assert len(falsified) == len(clean)
    assert find_break(clean) is None
    assert served.post(COMPLETIONS, body).json["choices"][0]["text"] != clean


def test_a_long_line_is_as_long_as_asked(simulator):
    served = simulator()
    served.arm({"kind": "long_line", "after_tokens": 1, "at_byte": 100_000})
    lines = served.post(COMPLETIONS, STREAM).body.split(b"\n")
    assert 100_000 < max(map(len, lines)) < 101_000


def test_slow_chunks_wait_before_each(simulator):
    served = simulator()
    served.arm({"kind": "slow_chunks", "s": 0.05})
    began = time.monotonic()
    served.post(COMPLETIONS, STREAM)
    assert time.monotonic() - began >= 0.35  # timers may be a little early
    served.post(COMPLETIONS, WHOLE)


def test_a_stall_ends_after_its_time(simulator):
    served = simulator()
    served.arm({"kind": "stall", "after_tokens": 2, "s": 0.3})
    began = time.monotonic()
    assert served.post(COMPLETIONS, STREAM).body.endswith(b"[DONE]\n\n")
    assert time.monotonic() - began >= 0.25
    assert served.post(COMPLETIONS, WHOLE).status == 200


def test_a_stall_without_a_time_lasts_until_the_client_leaves(simulator):
    served = simulator()
    served.arm({"kind": "stall", "after_tokens": 2})
    client = served.raw(COMPLETIONS, STREAM)
    seen = b""
    while tokens_in(seen) < 2:
        seen += client.recv(65536)
    client.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.close()
    eventually(lambda: served.entries()[-1]["closed_at"], "the close was seen")
