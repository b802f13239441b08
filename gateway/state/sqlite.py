"""The store of a gateway that runs alone: one SQLite file in the state directory.

The file is locked for one process (two supervisors on one directory would start every replica
twice), and all calls run on one thread of their own, in the order they were made. Each commit
reaches the disk before its call returns: what the admin API said 202 to survives a power cut.
"""

import asyncio
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from backends.replica import ReplicaId
from gateway.state.store import (
    CLAIM_S,
    KEPT_OPERATIONS,
    Change,
    Claim,
    ModelDesired,
    Operation,
    ReplicaRecord,
    StoreUnavailable,
)

APPLICATION_ID = 0x74726777
"""Marks the file as ours (SQLite's ``application_id``): ``trgw``."""
SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE replicas (id TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE operations (id TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE models (id TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE claims (key TEXT PRIMARY KEY, created_at REAL NOT NULL, body TEXT NOT NULL);
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_BUSY_S = 2.0
"""How long an open waits for a process that is just ending."""

T = TypeVar("T")


class StoreUnreadable(Exception):  # noqa: N818 - names the condition
    """The file is damaged, or is not a gateway's."""

    def __init__(self, path: Path, why: object) -> None:
        """Say which file and what SQLite found."""
        super().__init__(
            f"the state file {path} cannot be read ({why}); restore a copy, or move it away to"
            " start with an empty fleet: replicas that still run are then stopped"
        )


class StoreTooNew(Exception):  # noqa: N818 - names the condition
    """A later version of the gateway wrote the file."""

    def __init__(self, path: Path, version: int) -> None:
        """Say which file and both versions."""
        super().__init__(
            f"the state file {path} has schema {version}, this gateway knows up to"
            f" {SCHEMA_VERSION}; run the newer gateway, or use another state directory"
        )


class StoreInUse(Exception):  # noqa: N818 - names the condition
    """Another process holds the file."""

    def __init__(self, path: Path) -> None:
        """Say which file."""
        super().__init__(
            f"the state file {path} is in use: another gateway runs on this state directory;"
            " stop it, or give this one its own directory"
        )


class SqliteStore:
    """A `Store` of JSON in a SQLite file; made by `open`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open the file, or make it with mode 0600.

        Raises:
            StoreUnreadable: it is damaged or not a gateway's; it is left as it is.
            StoreTooNew: a later gateway wrote it; it is left as it is.
            StoreInUse: another process holds it.
            StoreUnavailable: the directory cannot be written.
        """
        return cls(path, await asyncio.to_thread(_open, path))

    async def instance_id(self) -> str:
        """Return the fleet's id."""
        return await self._call(self._instance_id)

    async def replicas(self) -> list[ReplicaRecord]:
        """Return all records, oldest first."""
        return await self._call(lambda: self._rows("replicas", ReplicaRecord))

    async def commit(self, change: Change) -> None:
        """Apply the whole change."""
        await self._call(lambda: self._commit(change))

    async def operations(self) -> list[Operation]:
        """Return the last operations, oldest first."""
        return await self._call(lambda: self._rows("operations", Operation))

    async def models(self) -> list[ModelDesired]:
        """Return what was set for models."""
        return await self._call(lambda: self._rows("models", ModelDesired))

    async def claim(self, claim: Claim) -> Claim:
        """Keep the claim, or return the one that holds its key."""
        return await self._call(lambda: self._claim(claim))

    async def note(self, name: str, value: str | None = None) -> str | None:
        """Set a named text, or read it."""
        return await self._call(lambda: self._note(name, value))

    async def close(self) -> None:
        """Release everything."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown()

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, self._transaction, work
        )

    def _transaction(self, work: Callable[[], T]) -> T:
        with _translated(self._path), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            return work()

    def _instance_id(self) -> str:
        made = secrets.token_hex(8)
        self._connection.execute(
            "INSERT OR IGNORE INTO notes VALUES ('instance_id', ?)", [made]
        )
        return self._note("instance_id", None) or made

    def _rows(self, table: str, kind: type[T]) -> list[T]:
        # rowid grows with each first insert and an update keeps it: oldest first
        rows = self._connection.execute(
            f"SELECT id, body FROM {table} ORDER BY rowid"  # noqa: S608 - our own table names
        )
        return [self._decode(f"{table} {row_id}", body, kind) for row_id, body in rows]

    def _decode(self, where: str, body: str, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.MsgspecError as problem:
            raise StoreUnreadable(self._path, f"{where}: {problem}") from problem

    def _commit(self, change: Change) -> None:
        self._put("replicas", ((r.id, r) for r in change.replicas))
        self._remove("replicas", change.dropped)
        self._put("operations", ((o.id, o) for o in change.operations))
        self._put("models", ((m.name, m) for m in change.models))
        self._remove("models", change.undone)
        if change.operations:
            self._connection.execute(
                "DELETE FROM operations WHERE rowid NOT IN"
                " (SELECT rowid FROM operations ORDER BY rowid DESC LIMIT ?)",
                [KEPT_OPERATIONS],
            )

    def _put(self, table: str, rows: Iterable[tuple[str, Any]]) -> None:
        self._connection.executemany(
            f"INSERT INTO {table} VALUES (?, ?)"  # noqa: S608 - our own table names
            " ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            ((row_id, msgspec.json.encode(value).decode()) for row_id, value in rows),
        )

    def _remove(self, table: str, ids: Iterable[str | ReplicaId]) -> None:
        self._connection.executemany(
            f"DELETE FROM {table} WHERE id = ?",  # noqa: S608 - our own table names
            ((row_id,) for row_id in ids),
        )

    def _claim(self, claim: Claim) -> Claim:
        self._connection.execute(
            "DELETE FROM claims WHERE created_at <= ?", [claim.created_at - CLAIM_S]
        )
        self._connection.execute(
            "INSERT OR IGNORE INTO claims VALUES (?, ?, ?)",
            [claim.key, claim.created_at, msgspec.json.encode(claim).decode()],
        )
        held = self._connection.execute("SELECT body FROM claims WHERE key = ?", [claim.key])
        return self._decode(f"claims {claim.key}", held.fetchone()[0], Claim)

    def _note(self, name: str, value: str | None) -> str | None:
        if value is not None:
            self._connection.execute(
                "INSERT INTO notes VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                [name, value],
            )
        row = self._connection.execute("SELECT value FROM notes WHERE name = ?", [name])
        found = row.fetchone()
        return None if found is None else str(found[0])


def _open(path: Path) -> sqlite3.Connection:
    with _translated(path), ExitStack() as undo:
        path.touch(mode=0o600)
        connection = sqlite3.connect(
            path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )
        undo.callback(connection.close)
        _prepare(connection, path)
        undo.pop_all()
    return connection


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise StoreUnavailable(
            f"the state file {path} cannot be made: {problem.strerror}; check the state"
            " directory and its owner"
        ) from problem
    except sqlite3.OperationalError as problem:
        if "locked" in str(problem):
            raise StoreInUse(path) from problem
        raise StoreUnavailable(f"the state file {path} cannot be used: {problem}") from problem
    except sqlite3.DatabaseError as problem:
        raise StoreUnreadable(path, problem) from problem


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    # the lock first: everything after it reads a file that nobody else changes
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN IMMEDIATE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION_ID and tables:
        raise StoreUnreadable(path, "another program's database")
    if version > SCHEMA_VERSION:
        raise StoreTooNew(path, version)
    (health,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if health != "ok":
        raise StoreUnreadable(path, health)
    if version < SCHEMA_VERSION:
        for statement in filter(str.strip, _SCHEMA.split(";")):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")
