import json

import pytest

from gateway.core import errors
from gateway.core.errors import (
    GatewayError,
    InvalidRequest,
    MethodNotAllowed,
    Overloaded,
    RequestTooLarge,
    ShuttingDown,
)
from gateway.dataplane.client import PING
from tests.unit.dataplane.lines import connected

pytestmark = pytest.mark.anyio

EVENT = b"data: 1\n\n"


async def test_the_request_is_known_by_name_and_in_order():
    _, client = connected()
    assert client.asked == {b"host": b"h", b"a": b"2"}
    assert client.sent[1:] == [(b"a", b"1"), (b"a", b"2")]


async def test_a_reply_is_one_whole_answer():
    line, client = connected()
    await client.reply(404, b'{"a":1}', more={b"retry-after": b"1"})
    assert line.answer() == (
        404,
        {
            b"date": b"today",
            b"content-type": b"application/json",
            b"content-length": b"7",
            b"retry-after": b"1",
            b"x-request-id": b"q",
        },
        b'{"a":1}',
    )
    assert (client.status, client.committed, client.finished) == (404, True, True)
    assert (line.answers, line.closed) == (1, False)


async def test_a_stream_is_one_too_each_write_a_chunk():
    line, client = connected()
    assert not client.committed
    client.write(EVENT, last=False)
    assert (client.committed, client.content_sent, client.finished) == (True, True, False)
    client.write_chunk(b"9\r\n%b\r\n" % EVENT)
    client.write(EVENT * 2, last=True)
    status, headers, body = line.answer()
    assert (status, body) == (200, EVENT * 4)
    assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert headers[b"x-accel-buffering"] == b"no"
    assert headers[b"x-request-id"] == b"q"
    assert (client.finished, line.answers, line.closed) == (True, 1, False)
    assert line.writes == 3


async def test_signs_of_life_commit_the_status_and_no_content():
    line, client = connected()
    await client.ping()
    assert (client.committed, client.content_sent) == (True, False)
    await client.ping()
    client.write(EVENT, last=True)
    assert line.answer()[2] == PING * 2 + EVENT


async def test_a_connection_that_is_not_kept_says_so_and_is_closed_after_the_answer():
    for streamed in (True, False):
        line, client = connected(keep_alive=False)
        if streamed:
            client.write(EVENT, last=False)
            assert not line.closed
            client.write(EVENT, last=True)
        else:
            await client.reply(200, b"{}")
        assert line.answer()[1][b"connection"] == b"close"
        assert (line.closed, line.answers) == (True, 1)


async def test_a_connection_that_is_given_up_in_mid_answer_is_closed_after_it():
    line, client = connected()
    client.write(EVENT, last=False)
    client.keep_alive = False
    client.write(EVENT, last=True)
    assert b"connection" not in line.answer()[1]
    assert line.closed


def every_error():
    kinds = [GatewayError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return sorted({kind.status for kind in kinds if getattr(kind, "status", None)})


@pytest.mark.parametrize("status", every_error())
async def test_every_status_of_a_failure_has_its_line(status):
    line, client = connected()
    await client.reply(status, b"{}")
    assert line.answer()[0] == status


@pytest.mark.parametrize(
    ("failure", "headers"),
    [
        (InvalidRequest("x", param="n"), {}),
        (
            Overloaded("x", retry_after_s=1.2),
            {b"retry-after": b"2", b"retry-after-ms": b"1200"},
        ),
        (MethodNotAllowed("/x", "PUT", allow="GET"), {b"allow": b"GET"}),
    ],
)
async def test_a_failure_before_the_status_is_a_reply_of_its_own(failure, headers):
    line, client = connected()
    await client.fail(failure)
    status, sent, body = line.answer()
    assert status == failure.status
    assert json.loads(body)["error"]["code"] == failure.code
    assert {name: sent.get(name) for name in headers} == headers


async def test_a_failure_after_the_status_is_the_streams_last_event():
    line, client = connected()
    client.write(EVENT, last=False)
    await client.fail(errors.UpstreamError("x"))
    body = line.answer()[2]
    assert body.startswith(EVENT + b'data: {"error":')
    assert (client.finished, line.answers) == (True, 1)


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_failure_after_the_answer_is_not_told(streamed):
    """The connection may carry the next answer by now."""
    line, client = connected()
    if streamed:
        client.write(EVENT, last=True)
    else:
        await client.reply(200, b"{}")
    await client.fail(ShuttingDown("x"))
    assert line.answer()[0] == 200
    assert line.answers == 1


async def test_nothing_is_written_once_the_connection_is_lost():
    for begun in (False, True):
        line, client = connected()
        if begun:
            client.write(EVENT, last=False)
        client.lost()
        line.lost = True
        client.write(EVENT, last=True)
        await client.ping()
        await client.fail(InvalidRequest("x"))
        line, client = connected()
        client.lost()
        line.lost = True
        await client.reply(200, b"{}")
        assert (line.written, line.answers) == (b"", 0)


async def test_an_answer_that_nobody_completed_ends_the_connection_by_force():
    line, client = connected()
    client.abandon()
    assert line.aborted
    assert (client.finished, line.answers) == (True, 0)


async def test_a_body_announced_over_the_limit_is_not_waited_for():
    _, client = connected()
    with pytest.raises(RequestTooLarge):
        await client.body(declared=3, limit=2)
    client.body_parts.came(b"ab")
    client.body_parts.ended()
    assert await client.body(declared=2, limit=2) == b"ab"
