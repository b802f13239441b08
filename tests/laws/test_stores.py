"""Laws of the `Store` protocol, over every implementation."""

import asyncio
import subprocess
import sys
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from backends.replica import ReplicaId, ReplicaSpec, ReplicaState
from gateway.state.memory import MemoryStore
from gateway.state.sqlite import SqliteStore
from gateway.state.store import (
    CLAIM_S,
    KEPT_OPERATIONS,
    Change,
    Claim,
    Desired,
    HistoryEntry,
    ModelDesired,
    Operation,
    OperationState,
    ReplicaRecord,
)

pytestmark = pytest.mark.anyio

SPEC = ReplicaSpec(
    model="m", source="org/m", launcher="sim", argv=("run", "{port}"), env={"A": "b"},
    files={"config.yml": "x: 1\n"}, gpus=("GPU-1",), concurrency=8, plan={"reasons": ["only"]},
)  # fmt: skip


def record(name, **changes):
    made = ReplicaRecord(
        id=ReplicaId(name), spec=SPEC, desired=Desired.RUN, state=ReplicaState.READY,
        created_at=12.5, url="http://127.0.0.1:1", handle={"pid": 7, "nested": {"a": [1]}},
        column=3, dialect="1.1", history=(HistoryEntry(12.5, ReplicaState.READY, "up"),),
    )  # fmt: skip
    return replace(made, **changes)


def operation(name, **changes):
    made = Operation(
        id=name, kind="create", state=OperationState.RUNNING, created_at=1.0, updated_at=1.0
    )
    return replace(made, **changes)


@pytest.fixture(params=["memory", "sqlite"])
async def reopen(request, tmp_path):
    """Return a function that closes the store and opens it again; memory stays as it is."""
    async with AsyncExitStack() as stack:
        opened = []
        kept = MemoryStore()

        async def again():
            while opened:
                await opened.pop().close()
            store = kept
            if request.param == "sqlite":
                store = await SqliteStore.open(tmp_path / "state.db")
            opened.append(store)
            return store

        async def close():
            for store in opened:
                await store.close()

        stack.push_async_callback(close)
        yield again


async def test_everything_is_there_again_after_reopening(reopen):
    store = await reopen()
    instance = await store.instance_id()
    desired = ModelDesired("m", 3, pinned=True)
    await store.commit(
        Change(replicas=(record("a"),), operations=(operation("o"),), models=(desired,))
    )
    await store.note("colour", "blue")
    store = await reopen()
    assert await store.instance_id() == instance
    assert await store.replicas() == [record("a")]
    assert await store.operations() == [operation("o")]
    assert await store.models() == [desired]
    assert await store.note("colour") == "blue"


async def test_records_come_oldest_first_though_they_were_replaced_since(reopen):
    store = await reopen()
    for name in "cab":
        await store.commit(Change(replicas=(record(name),), operations=(operation(name),)))
    newer = record("c", state=ReplicaState.UNHEALTHY)
    await store.commit(Change(replicas=(newer,), operations=(operation("c", step="later"),)))
    store = await reopen()
    assert await store.replicas() == [newer, record("a"), record("b")]
    assert [o.id for o in await store.operations()] == ["c", "a", "b"]


async def test_a_change_drops_and_undoes_and_unknown_names_are_no_error(reopen):
    store = await reopen()
    await store.commit(
        Change(replicas=(record("a"), record("b")), models=(ModelDesired("m", 1),))
    )
    await store.commit(Change(dropped=(ReplicaId("a"), ReplicaId("zz")), undone=("m", "zz")))
    assert await store.replicas() == [record("b")]
    assert await store.models() == []


async def test_only_the_newest_operations_are_remembered(reopen):
    store = await reopen()
    many = tuple(operation(f"o{n}") for n in range(KEPT_OPERATIONS + 5))
    await store.commit(Change(operations=many))
    kept = await store.operations()
    assert [o.id for o in kept] == [o.id for o in many[5:]]


async def test_a_claim_holds_its_key_for_a_day(reopen):
    store = await reopen()
    first = Claim("key", "print", "op-1", created_at=1000.0)
    assert await store.claim(first) == first
    late = Claim("key", "other", "op-2", created_at=1000.0 + CLAIM_S - 1)
    store = await reopen()
    assert await store.claim(late) == first
    next_day = Claim("key", "other", "op-3", created_at=1000.0 + CLAIM_S)
    assert await store.claim(next_day) == next_day
    assert await store.claim(late) == next_day


async def test_a_note_that_was_never_set_is_none(reopen):
    store = await reopen()
    assert await store.note("colour") is None
    assert await store.note("colour", "") == ""
    assert await store.note("colour") == ""


async def test_a_store_keeps_its_own_values(reopen):
    store = await reopen()
    handle = {"pid": 1}
    await store.commit(Change(replicas=(record("a", handle=handle),)))
    (kept,) = await store.replicas()
    assert kept.handle == {"pid": 1}


WRITER = """
import asyncio, sys
from pathlib import Path
from gateway.state.sqlite import SqliteStore
from gateway.state.store import Change, Operation, OperationState, ModelDesired

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]))
    number = 0
    while True:
        number += 1
        running = Operation(str(number), "create", OperationState.RUNNING, 1.0, 1.0)
        await store.commit(Change(operations=(running,), models=(ModelDesired("m", number),)))
        print(number, flush=True)

asyncio.run(main())
"""


def killed_writer(path, after):
    """Let a process write until ``after`` changes were promised, kill it, return the last."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        promised = 0
        while promised < after:
            promised = int(writer.stdout.readline())
        writer.kill()
        return max([promised, *map(int, writer.stdout.read().split())])


@pytest.mark.parametrize("after", [1, 7, 40])
async def test_a_kill_between_or_within_calls_loses_nothing_that_was_promised(tmp_path, after):
    path = tmp_path / "state.db"
    promised = await asyncio.to_thread(killed_writer, path, after)
    store = await SqliteStore.open(path)
    (desired,) = await store.models()
    operations = await store.operations()
    await store.close()
    assert desired.replicas >= promised
    # both halves of each change are there, or neither
    assert [o.id for o in operations] == [str(n + 1) for n in range(desired.replicas)]
