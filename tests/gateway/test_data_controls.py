"""Each mechanism is switched off, and the very test that holds it to its promise must fail.

A test that stays green here tests nothing. Mechanisms that a setting switches off have their
control beside their test; a row below is one that no setting can switch off.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial

import pytest

from gateway.core import stream
from gateway.core.chunks import Chunk
from gateway.core.errors import NoReplica, ReplicaBusy, UpstreamError
from gateway.core.patience import Patience
from gateway.core.steps import finish
from gateway.core.stream import AnswerStream
from gateway.dataplane import opening, placing
from gateway.dataplane.client import Leaving
from gateway.dataplane.pipeline import Pipeline
from tests.fakes.replica import LAST, chunk
from tests.gateway import test_data_bodies as bodies
from tests.gateway import test_data_kinds as kinds
from tests.gateway import test_data_leaving as leaving
from tests.gateway import test_data_refusals as refusals
from tests.gateway import test_data_retry as retry
from tests.gateway import test_data_timeouts as timeouts
from tests.gateway.data_gateway import STREAMED
from tests.gateway.kinds import EMBEDDINGS

pytestmark = pytest.mark.anyio
LONG_ENOUGH_S = 1.0
"""For a test that is green in a tenth of it: what hangs without its mechanism is red."""

Off = Callable[[pytest.MonkeyPatch], None]
Held = Callable[[], Coroutine[None, None, None]]


def patched(owner, name, value) -> Off:
    return lambda monkeypatch: monkeypatch.setattr(owner, name, value)


async def paced_at_once(steps):
    return finish(steps)


NO_RETRY = patched(Pipeline, "_may_go_elsewhere", lambda *_: False)
NO_LIMIT = patched(Patience, "fault", lambda *_, **__: None)
NEVER_LEFT = patched(Leaving, "_leave", lambda _: None)
moves = retry.test_a_stream_that_fails_before_content_goes_to_another_replica_unseen
breaks = retry.test_a_failure_after_content_ends_the_stream_and_asks_nobody_else

CONTROLS: dict[str, tuple[Off, Held]] = {
    "refused, not retried": (
        NO_RETRY,
        retry.test_a_replica_that_cannot_be_reached_is_passed_over,
    ),
    "503, not retried": (NO_RETRY, partial(moves, retry.FAULTS["503"])),
    "lost after its head, not retried": (
        NO_RETRY,
        partial(moves, retry.STREAM_FAULTS["reset after the role"]),
    ),
    "never answers, no limit": (
        NO_LIMIT,
        partial(timeouts.test_without_another_replica_the_client_is_told, timeouts.SILENT[0]),
    ),
    "stalls, no limit": (
        NO_LIMIT,
        timeouts.test_a_stream_that_falls_silent_ends_in_an_error_event,
    ),
    "full queue, taken for a failure": (
        patched(ReplicaBusy, "code", UpstreamError.code),
        partial(
            kinds.test_a_full_queue_of_a_replica_is_tried_elsewhere_and_then_told_as_a_503,
            EMBEDDINGS,
        ),
    ),
    "ends early, believed": (
        patched(AnswerStream, "closed", lambda _: None),
        partial(breaks, [LAST], "upstream_disconnected"),
    ),
    "garbage, passed over": (
        patched(stream, "read", lambda _: Chunk(choices=[])),
        partial(breaks, [chunk(b"data: garbage\n\n") + LAST], "upstream_protocol_error"),
    ),
    "loading, taken for gone": (
        patched(placing, "ModelLoading", NoReplica),
        refusals.test_a_model_without_replicas_says_whether_to_come_back,
    ),
    "client leaves, not noticed": (
        NEVER_LEFT,
        partial(
            leaving.test_a_client_that_leaves_closes_the_connection_to_the_replica,
            leaving.BEFORE_THE_HEAD,
            STREAMED,
        ),
    ),
    "long body, read at once": (
        patched(opening, "paced", paced_at_once),
        bodies.test_a_long_body_lets_others_run_while_it_is_read,
    ),
}


@pytest.mark.parametrize(("off", "held"), CONTROLS.values(), ids=CONTROLS)
async def test_without_its_mechanism_the_test_of_a_fault_is_red(off, held, monkeypatch):
    off(monkeypatch)
    with pytest.raises((AssertionError, KeyError, TimeoutError, ExceptionGroup)):
        async with asyncio.timeout(LONG_ENOUGH_S):
            await held()
