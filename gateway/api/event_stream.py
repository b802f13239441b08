"""Server-sent events of the admin port.

An error after the first byte cannot change the status: it is a last event named ``error``.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import msgspec
from litestar.response import Stream

from gateway.fleet.errors import FleetError

MEDIA_TYPE = "text/event-stream"
_HEADERS = {"content-type": MEDIA_TYPE, "cache-control": "no-store", "x-accel-buffering": "no"}
_log = logging.getLogger(__name__)


def event_stream(events: AsyncIterator[Any]) -> Stream:
    """Answer with one ``data:`` event of JSON for each of ``events``; closes it at the end."""
    return Stream(_encoded(events), headers=_HEADERS)


async def _encoded(events: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    try:
        async for event in events:
            yield b"data: " + msgspec.json.encode(event) + b"\n\n"
    except FleetError as error:
        yield _failure(str(error))
    except Exception:  # noqa: BLE001 - the status is sent: any failure must become an event
        _log.exception("an event stream broke off")
        yield _failure("the gateway failed; see its log")
    finally:
        if isinstance(events, AsyncGenerator):
            await events.aclose()


def _failure(message: str) -> bytes:
    return b"event: error\ndata: " + msgspec.json.encode({"detail": message}) + b"\n\n"
