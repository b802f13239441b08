import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import UpstreamDisconnected, UpstreamError, UpstreamProtocolError
from gateway.core.operation import CHAT
from gateway.core.sse import DONE, MOST_HELD_BYTES, SseReader
from gateway.core.stream import AnswerStream
from tests.unit.core.transcripts import CHATS, COMPLETION, chat, completion, identity, request

ASKED = b',"stream":true,"stream_options":{"include_usage":true}'
UNASKED = b',"stream":true'
END = b"data: [DONE]\n\n"
USAGE = b'{"choices":[],"usage":{"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":%d}}'


def event(payload):
    return b"data: " + payload + b"\n\n"


def says(index, text, finish=b"null"):
    return event(
        b'{"choices":[{"index":%d,"text":"%b","finish_reason":%b}]}' % (index, text, finish)
    )


def follow(wire, sent, cuts=(), operation=None):
    """Return what the client gets, and the stream."""
    stream = AnswerStream(sent, identity(operation) if operation else identity())
    out = []
    for at, (start, end) in enumerate(pairwise([0, *sorted(cuts), len(wire)])):
        out.append(stream.feed(wire[start:end], float(at)))
        if stream.failure is not None:
            break
    return out, stream


def payloads(out):
    return [json.loads(p) for p in SseReader().feed(b"".join(out)) if p != DONE]


@pytest.mark.parametrize("era", CHATS)
def test_a_chat_of_each_era_is_followed_to_its_end(era):
    out, stream = follow(CHATS[era], chat(ASKED), operation=CHAT)
    stream.closed()
    assert stream.next_number == 0
    got = payloads(out)
    assert b"".join(out).endswith(END)
    assert {(p["id"], p["created"], p["model"]) for p in got} == {("id-1", 7, "alias")}
    deltas = [c["delta"] for p in got for c in p["choices"]]
    assert deltas[0]["role"] == "assistant"
    assert "".join(d.get("content", "") for d in deltas) == " the end"
    assert got[-1]["usage"]["completion_tokens"] == 3
    assert stream.finish_reasons == ("stop",)
    assert stream.meter.events == 2
    assert stream.usage.prompt_tokens == 5
    assert stream.usage.cached_tokens == (None if era == "1.0" else 0)


def test_the_usage_event_of_a_completion_becomes_one_of_its_own_kind():
    out, _ = follow(COMPLETION, completion(ASKED))
    assert {p["object"] for p in payloads(out)} == {"text_completion"}


def test_usage_that_the_client_did_not_ask_for_is_counted_and_kept_back():
    out, stream = follow(COMPLETION, completion(UNASKED))
    assert all(p["choices"] for p in payloads(out))
    assert stream.usage.completion_tokens == 2


@given(data=st.data(), era=st.sampled_from(sorted(CHATS)), crlf=st.booleans())
def test_cutting_the_stream_anywhere_gives_the_client_the_same_bytes(data, era, crlf):
    wire = CHATS[era].replace(b"\n", b"\r\n") if crlf else CHATS[era]
    cuts = data.draw(st.lists(st.integers(0, len(wire))))
    out, stream = follow(wire, chat(ASKED), cuts, CHAT)
    whole, _ = follow(CHATS[era], chat(ASKED), operation=CHAT)
    assert b"".join(out) == b"".join(whole)
    assert stream.done
    for piece in out:  # only whole events go out
        assert piece == b"" or piece.endswith(b"\n\n")


@given(data=st.data())
def test_nothing_but_a_complete_answer_ends_in_done(data):
    wire = COMPLETION
    end = data.draw(st.integers(0, len(wire)))
    cuts = data.draw(st.lists(st.integers(0, end)))
    out, stream = follow(wire[:end], completion(ASKED), cuts)
    assert (END in b"".join(out)) is stream.done is (end == len(wire))
    if not stream.done:
        with pytest.raises(UpstreamDisconnected, match="ended early"):
            stream.closed()


@given(drop=st.integers(0, 2), data=st.data())
def test_an_answer_with_a_choice_unfinished_never_ends_in_done(drop, data):
    finish = [b'"stop"'] * 3
    finish[drop] = data.draw(st.sampled_from([b"null", b'""']))
    wire = b"".join(says(i, b"x", f) for i, f in enumerate(finish))
    stream = AnswerStream(completion(b',"n":3,"stream":true'), identity())
    out = stream.feed(wire, 0.0)
    assert stream.feed(END, 1.0) == b""
    assert isinstance(stream.failure, UpstreamDisconnected)
    assert "1 of 3 choices unfinished" in str(stream.failure)
    assert END not in out
    assert not stream.done


def test_nothing_goes_out_before_the_first_content():
    first, second, rest = CHATS["main"].split(b"\n\n", 2)
    stream = AnswerStream(chat(UNASKED), identity(CHAT))
    assert stream.feed(first + b"\n\n", 1.0) == b""
    assert not stream.started
    out = stream.feed(second + b"\n\n", 2.0)
    assert stream.started
    assert stream.meter.first_at == 2.0
    assert out.count(b"data: ") == 2  # the role's chunk waited for it
    assert stream.feed(rest, 3.0).endswith(END)


def test_what_is_held_back_for_the_first_content_is_bounded():
    stream = AnswerStream(chat(UNASKED), identity(CHAT))
    role = event(b'{"choices":[{"delta":{"role":"%b"}}]}' % (b"x" * (1 << 20)))
    fed = 0
    with pytest.raises(UpstreamProtocolError, match="too much without any content"):
        while fed <= MOST_HELD_BYTES:
            assert stream.feed(role, 0.0) == b""
            fed += len(role)
    assert MOST_HELD_BYTES - 2 * len(role) < fed


def test_an_answer_without_any_content_is_complete_too():
    out, stream = follow(says(0, b"", b'"stop"') + END, completion(UNASKED))
    assert b"".join(out).endswith(END)
    assert not stream.started
    assert stream.done


def test_the_usage_of_several_prompts_is_told_once_and_summed():
    sent = request(b'{"model":"m","prompt":["p","q"]%b}' % ASKED)
    wire = (
        says(0, b"a", b'"stop"')
        + event(USAGE % (5, 8, 3))
        + says(1, b"b", b'"stop"')
        + event(USAGE % (6, 8, 2))
        + END
    )
    out, stream = follow(wire, sent)
    last = payloads(out)[-1]
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 11, "total_tokens": 16, "completion_tokens": 5}
    assert stream.usage.total_tokens == 16


def test_choices_are_told_apart():
    wire = (
        says(0, b"a")
        + says(1, b"b")
        + says(1, b"b", b'"length"')
        + says(0, b"a", b'"stop"')
        + END
    )
    out, stream = follow(
        wire, completion(b',"n":2,"stream":true'), range(0, len(wire), len(wire) // 5)
    )
    assert stream.finish_reasons == ("stop", "length")
    assert stream.meter.events == 4
    assert b"".join(out).endswith(END)


@pytest.mark.parametrize("index", [-1, 1, 2**40])
def test_a_choice_that_nobody_asked_for_is_a_fault(index):
    with pytest.raises(UpstreamProtocolError, match="not asked for"):
        follow(says(index, b"x"), completion(UNASKED))


def test_token_ids_without_text_are_content():
    wire = event(b'{"choices":[{"index":0,"text":"","token_ids":[1],"finish_reason":"stop"}]}')
    out, stream = follow(wire + END, completion(b',"detokenize":false,"stream":true'))
    assert stream.meter.events == 1
    assert json.loads(SseReader().feed(out[0])[0])["choices"][0]["token_ids"] == [1]


ERROR = event(b'{"error": {"message": "CUDA", "type": "server_error"}}')


@pytest.mark.parametrize("bad", [ERROR, event(b"garbage"), event(b"{}"), END, says(9, b"x")])
def test_a_failure_before_any_content_went_out_hands_out_nothing(bad):
    stream = AnswerStream(completion(UNASKED), identity())
    with pytest.raises(UpstreamError) as failed:
        stream.feed(says(0, b"a") + bad, 0.0)  # in one read: another replica may be tried
    assert failed.value.retryable
    assert "CUDA" not in str(failed.value)


@pytest.mark.parametrize("bad", [ERROR, event(b"garbage"), event(b"{}"), END, says(9, b"x")])
def test_what_came_before_a_failure_still_reaches_the_client(bad):
    stream = AnswerStream(completion(UNASKED), identity())
    assert b'"a"' in stream.feed(says(0, b"a"), 0.0)
    out = stream.feed(says(0, b"b") + bad + says(0, b"c"), 1.0)
    assert b'"b"' in out
    assert b'"c"' not in out
    assert stream.failure is not None
    assert not stream.done


def test_a_byte_damaged_anywhere_is_never_taken_for_a_whole_answer():
    """With its top bit turned it is no UTF-8, also in a field's name or a line end's place."""
    whole, _ = follow(COMPLETION + END, completion(UNASKED))
    for at in range(len(COMPLETION + END)):
        wire = bytearray(COMPLETION + END)
        wire[at] ^= 0x80
        try:
            out, stream = follow(bytes(wire), completion(UNASKED), cuts=[at])
        except UpstreamError:
            continue
        assert not stream.done or b"".join(out) == b"".join(whole), at


def test_a_failure_that_the_replica_reports_is_its_own():
    with pytest.raises(UpstreamError) as failed:
        follow(ERROR, completion(UNASKED))
    assert failed.value.code == "upstream_error"


def test_what_follows_the_end_is_ignored():
    out, stream = follow(COMPLETION + END + ERROR, completion(ASKED))
    assert b"".join(out).count(END) == 1
    assert stream.failure is None
    stream.closed()


def test_running_counts_reach_the_client_that_asked_for_them():
    sent = completion(b',"stream":true,"stream_options":{"continuous_usage_stats":true}')
    chunk = b'{"choices":[{"index":0,"text":"a","finish_reason":"stop"}],"usage":%b}'
    counts = b'{"prompt_tokens":1,"total_tokens":2,"completion_tokens":1}'
    out, stream = follow(event(chunk % counts) + END, sent)
    assert payloads(out)[0]["usage"]["completion_tokens"] == 1
    assert stream.usage is None  # only the usage event counts


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_garbage_raises_only_faults_of_the_replica(first, second):
    stream = AnswerStream(completion(UNASKED), identity())
    try:
        for at, piece in enumerate((b"data: " + first + b"\n\n", second + b"\n\n")):
            stream.feed(piece, float(at))
        stream.closed()
    except UpstreamError as failed:
        assert failed.status == 502  # noqa: PT017 - garbage may also be no event at all


def test_an_event_that_says_nothing_of_choices_or_usage_is_passed_on():
    wire = says(0, b"a") + event(b'{"choices":[]}') + says(0, b"", b'"stop"') + event(DONE)
    out, stream = follow(wire, completion(UNASKED))
    assert [p["choices"] for p in payloads(out)][1] == []
    assert stream.done
