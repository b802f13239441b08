import asyncio
import sqlite3
import stat

import pytest

from backends.replica import ReplicaId, ReplicaSpec, ReplicaState
from gateway.state.sqlite import SqliteStore, StoreInUse, StoreTooNew, StoreUnreadable
from gateway.state.store import Change, Desired, ReplicaRecord, StoreUnavailable

pytestmark = pytest.mark.anyio


async def made(path):
    store = await SqliteStore.open(path)
    await store.instance_id()
    await store.close()


async def test_the_file_is_readable_by_its_owner_only(tmp_path):
    path = tmp_path / "state.db"
    await made(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_second_gateway_on_the_same_file_is_refused_with_the_reason(tmp_path):
    first = await SqliteStore.open(tmp_path / "state.db")
    with pytest.raises(StoreInUse, match=r"state\.db is in use: another gateway runs"):
        await SqliteStore.open(tmp_path / "state.db")
    await first.close()


async def test_a_file_of_a_newer_gateway_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "state.db"
    await made(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreTooNew, match="has schema 99, this gateway knows up to 1"):
        await SqliteStore.open(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (99,)
    connection.close()


async def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "state.db"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreUnreadable, match="cannot be read"):
        await SqliteStore.open(path)
    assert path.read_bytes() == b"not a database" * 1000


async def test_another_programs_database_is_refused(tmp_path):
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(StoreUnreadable, match="another program's database"):
        await SqliteStore.open(path)


async def test_a_damaged_page_is_found_at_the_start(tmp_path):
    path = tmp_path / "state.db"
    await made(path)
    whole = bytearray(path.read_bytes())
    whole[4096 * 2 : 4096 * 6] = b"\xff" * (4096 * 4)
    path.write_bytes(whole)
    with pytest.raises(StoreUnreadable, match="cannot be read"):
        await SqliteStore.open(path)


async def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StoreUnavailable, match="No such file or directory"):
        await SqliteStore.open(tmp_path / "nowhere" / "state.db")


async def test_a_path_that_is_a_directory_is_named(tmp_path):
    with pytest.raises(StoreUnavailable, match=r"cannot be (made|used)"):
        await SqliteStore.open(tmp_path)


async def test_a_record_that_makes_no_sense_is_named(tmp_path):
    path = tmp_path / "state.db"
    await made(path)
    with sqlite3.connect(path) as connection:
        connection.execute("""INSERT INTO replicas VALUES ('r1', '{"id": 3}')""")
    connection.close()
    store = await SqliteStore.open(path)
    with pytest.raises(StoreUnreadable, match=r"replicas r1: .*Expected `str`"):
        await store.replicas()
    await store.close()


async def test_a_full_disk_is_an_error_without_effect_and_passes_again(tmp_path):
    store = await SqliteStore.open(tmp_path / "state.db")
    spec = ReplicaSpec("m", "m", "sim", env={"A": "x" * 200_000})
    record = ReplicaRecord(ReplicaId("a"), spec, Desired.RUN, ReplicaState.PENDING, 1.0)
    connection = store._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreUnavailable, match="full"):
        await store.commit(Change(replicas=(record,)))
    assert await store.replicas() == []
    connection.execute("PRAGMA max_page_count = 1000000")
    await store.commit(Change(replicas=(record,)))
    assert await store.replicas() == [record]
    await store.close()


async def test_a_schema_that_somebody_changed_is_told_without_a_traceback(tmp_path):
    store = await SqliteStore.open(tmp_path / "state.db")
    store._connection.execute("DROP TABLE notes")
    with pytest.raises(StoreUnavailable, match="no such table: notes"):
        await store.note("a", "1")
    await store.close()


async def test_calls_made_together_are_done_in_order(tmp_path):
    store = await SqliteStore.open(tmp_path / "state.db")
    answers = await asyncio.gather(*(store.note("n", str(i)) for i in range(50)))
    assert answers == [str(i) for i in range(50)]
    assert await store.note("n") == "49"
    await store.close()
