"""The store: every record, handle, event and tag of a project in one SQLite file.

State belongs to the coordinator, and all of it is here: whatever the process knows besides can be lost. A record
is one SageMaker resource as the API's own JSON. Writes are transactions; a reader in another process sees whole
records only (WAL).
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from seaproof.control import reserve
from seaproof.drivers.driver import Handle
from seaproof.errors import StoreError

Body = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    kind TEXT NOT NULL, name TEXT NOT NULL, arn TEXT NOT NULL, status TEXT NOT NULL,
    created REAL NOT NULL, modified REAL NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, name));
CREATE INDEX IF NOT EXISTS records_by_arn ON records (arn);
CREATE TABLE IF NOT EXISTS handles (
    workload TEXT PRIMARY KEY, kind TEXT NOT NULL, owner TEXT NOT NULL, handle TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY, time REAL NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, event TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS events_by_name ON events (kind, name);
CREATE TABLE IF NOT EXISTS tags (
    arn TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (arn, key));
"""


@dataclass(frozen=True)
class Record:
    """One SageMaker resource: `body` is what Describe answers (times as seconds since the epoch), and more
    besides under keys that start with an underscore, which no answer shows."""

    kind: str
    """The resource part of the ARN: training-job, model, endpoint-config, endpoint."""
    name: str
    arn: str
    status: str
    """"" for kinds without one (models, endpoint configs)."""
    created: float
    modified: float
    body: Body


@dataclass(frozen=True)
class Event:
    """Something happened to a record: `event` is a small JSON object with at least `type` and `message`."""

    time: float
    kind: str
    name: str
    event: Body


class Store:
    """One SQLite file. Usable from any thread; each thread has a connection of its own."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._local = threading.local()
        self._connections: dict[threading.Thread, sqlite3.Connection] = {}
        self._lock = threading.Lock()
        self._reserve = path.with_name(f"{path.name}.reserve")
        try:
            with self.transaction() as db:
                # One by one: a script would be a transaction of its own.
                for statement in _SCHEMA.split(";"):
                    db.execute(statement)
        except sqlite3.DatabaseError as error:
            raise _unusable(error, path) from error
        path.chmod(0o600)

    def close(self) -> None:
        """Close all connections; the store is not used afterwards."""
        with self._lock:
            for connection in self._connections.values():
                connection.close()
            self._connections.clear()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: all of it is stored, or, where the block raises, nothing. Nests into the outer one.

        StoreError where the database cannot be written, on a disk that is full above all.
        """
        outer: sqlite3.Connection | None = getattr(self._local, "db", None)
        if outer is not None and outer.in_transaction:
            yield outer
            return
        reserve.give_way(self._reserve)
        try:
            db = self._connection()
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                # Inside the block: a commit that fails (a full disk) leaves the transaction open.
                db.commit()
            except BaseException:
                # SQLite has rolled back by itself where the disk was full.
                with suppress(sqlite3.OperationalError):
                    db.rollback()
                raise
        except sqlite3.OperationalError as error:
            self._make_room()
            raise _unusable(error, self._path) from error
        reserve.restore(self._reserve)

    def insert(self, kind: str, name: str, arn: str, status: str, body: Body) -> Record | None:
        """Store a new record; None, and nothing stored, where the name is taken."""
        now = time.time()
        with self.transaction() as db:
            done = db.execute(
                "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (kind, name, arn, status, now, now, _dump(body)),
            )
            return Record(kind, name, arn, status, now, now, body) if done.rowcount else None

    def get(self, kind: str, name: str) -> Record | None:
        """One record by its exact name, or None."""
        rows = self._read("SELECT * FROM records WHERE kind = ? AND name = ?", (kind, name))
        return _record(rows[0]) if rows else None

    def by_arn(self, arn: str) -> Record | None:
        """One record by its ARN, or None."""
        rows = self._read("SELECT * FROM records WHERE arn = ?", (arn,))
        return _record(rows[0]) if rows else None

    def records(self, kind: str, *, status: str | None = None) -> list[Record]:
        """All records of a kind, oldest first."""
        rows = self._read(
            "SELECT * FROM records WHERE kind = ? AND (? IS NULL OR status = ?) ORDER BY created, name",
            (kind, status, status),
        )
        return [_record(row) for row in rows]

    def update(
        self, kind: str, name: str, change: Callable[[Body], None] | None = None, *, status: str | None = None
    ) -> Record | None:
        """Read, change and write one record in one transaction; None where it is gone.

        `change` edits the body in place. Raising in it leaves the record as it was.
        """
        with self.transaction() as db:
            found = self.get(kind, name)
            if found is None:
                return None
            if change:
                change(found.body)
            now = max(time.time(), found.modified)
            db.execute(
                "UPDATE records SET status = ?, modified = ?, body = ? WHERE kind = ? AND name = ?",
                (status or found.status, now, _dump(found.body), kind, name),
            )
            return Record(kind, name, found.arn, status or found.status, found.created, now, found.body)

    def delete(self, kind: str, name: str) -> bool:
        """Forget a record and its tags; False where there was none."""
        with self.transaction() as db:
            db.execute(
                "DELETE FROM tags WHERE arn = (SELECT arn FROM records WHERE kind = ? AND name = ?)", (kind, name)
            )
            done = db.execute("DELETE FROM records WHERE kind = ? AND name = ?", (kind, name))
            return bool(done.rowcount)

    def add_event(self, kind: str, name: str, type: str, message: str, **more: Any) -> None:
        """Append one event to the history of a record."""
        with self.transaction() as db:
            db.execute(
                "INSERT INTO events (time, kind, name, event) VALUES (?, ?, ?, ?)",
                (time.time(), kind, name, _dump({"type": type, "message": message, **more})),
            )

    def events(self, kind: str, name: str) -> list[Event]:
        """The history of a record, oldest first."""
        rows = self._read(
            "SELECT time, kind, name, event FROM events WHERE kind = ? AND name = ? ORDER BY id", (kind, name)
        )
        return [Event(row[0], row[1], row[2], json.loads(row[3])) for row in rows]

    def put_handle(self, kind: str, owner: str, handle: Handle) -> None:
        """Remember that a workload runs for the record `kind`/`owner`."""
        with self.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO handles VALUES (?, ?, ?, ?)", (handle.name, kind, owner, handle.to_json())
            )

    def drop_handle(self, workload: str) -> None:
        """Forget a workload that was stopped."""
        with self.transaction() as db:
            db.execute("DELETE FROM handles WHERE workload = ?", (workload,))

    def handles(self, kind: str | None = None, owner: str | None = None) -> list[tuple[str, str, Handle]]:
        """What is on record as running: (kind, owner, handle)."""
        rows = self._read(
            "SELECT kind, owner, handle FROM handles WHERE (? IS NULL OR kind = ?) AND (? IS NULL OR owner = ?)"
            " ORDER BY workload",
            (kind, kind, owner, owner),
        )
        return [(row[0], row[1], Handle.from_json(row[2])) for row in rows]

    def set_tags(self, arn: str, tags: dict[str, str]) -> None:
        """Add tags to a resource, or change their values."""
        with self.transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", [(arn, key, value) for key, value in tags.items()]
            )

    def remove_tags(self, arn: str, keys: list[str]) -> None:
        """Remove tags; those that are not there are passed over."""
        with self.transaction() as db:
            db.executemany("DELETE FROM tags WHERE arn = ? AND key = ?", [(arn, key) for key in keys])

    def tags(self, arn: str) -> dict[str, str]:
        """The tags of a resource, by key."""
        rows = self._read("SELECT key, value FROM tags WHERE arn = ? ORDER BY key", (arn,))
        return dict(rows)

    def _make_room(self) -> None:
        """After a write that failed: the write-ahead log becomes part of the database, and the reserve gives way."""
        reserve.give_way(self._reserve, 2 * reserve.NEEDED)
        with suppress(sqlite3.OperationalError):
            self._connection().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _read(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """The rows of a query. StoreError where the database cannot be read."""
        try:
            return self._connection().execute(statement, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise _unusable(error, self._path) from error

    def _connection(self) -> sqlite3.Connection:
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = sqlite3.connect(self._path, timeout=30, isolation_level=None, check_same_thread=False)
            try:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = NORMAL")
            except sqlite3.DatabaseError:
                db.close()
                raise
            self._local.db = db
            with self._lock:
                self._close_left()
                self._connections[threading.current_thread()] = db
        return db

    def _close_left(self) -> None:
        """Close the connections of threads that have ended: each thing that is begun has a thread of its own."""
        for thread in [thread for thread in self._connections if not thread.is_alive()]:
            self._connections.pop(thread).close()


def _unusable(error: sqlite3.DatabaseError, path: Path) -> StoreError:
    next_step = ""
    if "full" in str(error):
        next_step = f"Make room on the disk of {path.parent} and try again."
    elif not isinstance(error, sqlite3.OperationalError):
        next_step = (
            f"The file is damaged: move it away with {path.name}-wal and {path.name}-shm. A new one is made; what the"
            " old one knew (jobs, models, endpoints) is gone, objects and logs stay."
        )
    return StoreError(f"the project's state cannot be used: {error}", where=str(path), next_step=next_step)


def _record(row: tuple[Any, ...]) -> Record:
    kind, name, arn, status, created, modified, body = row
    return Record(kind, name, arn, status, created, modified, json.loads(body))


def _dump(value: Body) -> str:
    return json.dumps(value, separators=(",", ":"), default=_seconds)


def _seconds(value: object) -> float:
    """Times are stored as the wire has them: seconds since the epoch."""
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"{type(value).__name__} is no JSON value")
