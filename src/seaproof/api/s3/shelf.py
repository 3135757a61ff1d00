"""What every S3 operation works on: the folder of objects, and what a file cannot say about itself.

A file holds bytes and a time. Its content type, metadata, tags and ETag lie in `.seaproof/s3.db` beside its size and
modification time: a file that was replaced by hand no longer fits its row, and counts as new, with what a plain file
has. A row is written before the file takes its place, so that a kill in between loses neither.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

from seaproof.errors import ServiceError
from seaproof.storage.local import LocalStorage
from seaproof.storage.storage import Address

Facts = dict[str, Any]
"""Of one object, under the names of the API's members: ETag, ContentType, Metadata, TagSet, ChecksumCRC32 ..."""

_PLACES = 64
_TABLES = """
CREATE TABLE IF NOT EXISTS objects (
  bucket TEXT, key TEXT, size INTEGER, modified INTEGER, facts TEXT, PRIMARY KEY (bucket, key, size, modified)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS buckets (bucket TEXT PRIMARY KEY, facts TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads (
  id TEXT PRIMARY KEY, bucket TEXT, key TEXT, started REAL, facts TEXT
) WITHOUT ROWID;
"""


class Shelf:
    """The objects of one project. Usable from any thread."""

    def __init__(self, storage: LocalStorage, database: Path, region: str, account: str) -> None:
        self.storage = storage
        self.region = region
        self.account = account
        self._lock = threading.Lock()
        self._places = [threading.Lock() for _ in range(_PLACES)]
        database.parent.mkdir(parents=True, exist_ok=True)
        database.touch(mode=0o600)
        self._database = sqlite3.connect(database, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(_TABLES)

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    def bucket(self, name: str) -> Path:
        """The folder of a bucket; ServiceError NoSuchBucket where there is none."""
        folder = self.storage.bucket(name)
        if folder is None or not folder.is_dir():
            raise ServiceError(
                "NoSuchBucket",
                f"The specified bucket does not exist: {name}. Create it (`aws s3 mb s3://{name}`), or make the"
                f" folder {self.storage.root / name}.",
                status=404,
            )
        return folder

    def placing(self, address: Address) -> threading.Lock:
        """Held while a file takes or leaves its place and its row with it, and while a condition on that is tried."""
        return self._places[hash(address) % _PLACES]

    def facts(self, address: Address, status: os.stat_result) -> Facts:
        """What is kept of an object whose file has this status."""
        row = self._one(
            "SELECT facts FROM objects WHERE bucket=? AND key=? AND size=? AND modified=?",
            (address.bucket, address.key, status.st_size, status.st_mtime_ns),
        )
        if row:
            return dict(json.loads(row[0]))
        kind = mimetypes.guess_type(address.key)[0]
        etag = {"ETag": _plain_etag(status.st_size, status.st_mtime_ns)}
        return {**etag, "ContentType": kind} if kind else etag

    def listed_etag(self, address: Address, size: int, modified_ns: int) -> str:
        """The ETag of an object that a listing shows."""
        row = self._one(
            "SELECT facts FROM objects WHERE bucket=? AND key=? AND size=? AND modified=?",
            (address.bucket, address.key, size, modified_ns),
        )
        return str(json.loads(row[0]).get("ETag")) if row else _plain_etag(size, modified_ns)

    def keep(self, address: Address, status: os.stat_result, facts: Facts) -> None:
        """Keep facts of the file that has this status, or is about to take its place under this key."""
        self._run(
            "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)",
            (address.bucket, address.key, status.st_size, status.st_mtime_ns, json.dumps(facts)),
        )

    def forget(self, address: Address, but: os.stat_result | None = None) -> None:
        """Forget what was kept of an object, except of the file with the status `but`."""
        kept = (but.st_size, but.st_mtime_ns) if but else (-1, -1)
        self._run(
            "DELETE FROM objects WHERE bucket=? AND key=? AND NOT (size=? AND modified=?)",
            (address.bucket, address.key, *kept),
        )

    def markers(self, bucket: str, prefix: str) -> list[str]:
        """Keys that end in a slash and hold nothing: folders that somebody made by name, in order."""
        rows = self._all("SELECT DISTINCT key FROM objects WHERE bucket=? AND size=0 AND key LIKE '%/'", (bucket,))
        return sorted((key for (key,) in rows if key.startswith(prefix)), key=str.encode)

    def keep_marker(self, address: Address) -> None:
        """Remember a folder that was made by name."""
        row = (address.bucket, address.key, 0, time.time_ns(), "{}")
        self._run("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)", row)

    def marker_time(self, address: Address) -> float | None:
        """When a folder was made by name, in seconds since the epoch; None where it was not."""
        row = self._one("SELECT modified FROM objects WHERE bucket=? AND key=?", (address.bucket, address.key))
        return row[0] / 1e9 if row else None

    def bucket_facts(self, name: str) -> Facts:
        """What is kept of a bucket beside its folder: region, tags."""
        row = self._one("SELECT facts FROM buckets WHERE bucket=?", (name,))
        return dict(json.loads(row[0])) if row else {}

    def keep_bucket(self, name: str, facts: Facts | None) -> None:
        """Keep facts of a bucket; None forgets it and all its objects."""
        if facts is not None:
            self._run("INSERT OR REPLACE INTO buckets VALUES (?, ?)", (name, json.dumps(facts)))
            return
        for table in ("buckets", "objects", "uploads"):
            self._run(f"DELETE FROM {table} WHERE bucket=?", (name,))

    def begin_upload(self, upload: str, address: Address, facts: Facts) -> None:
        """Remember a multipart upload."""
        row = (upload, address.bucket, address.key, time.time(), json.dumps(facts))
        self._run("INSERT INTO uploads VALUES (?, ?, ?, ?, ?)", row)

    def upload(self, upload: str, address: Address) -> Facts:
        """The facts of a multipart upload; ServiceError NoSuchUpload where it is over or never was."""
        row = self._one(
            "SELECT facts FROM uploads WHERE id=? AND bucket=? AND key=?", (upload, address.bucket, address.key)
        )
        if row is None:
            what = "The specified multipart upload does not exist. It may have been completed or aborted."
            raise ServiceError("NoSuchUpload", what, status=404)
        return dict(json.loads(row[0]))

    def uploads(self, bucket: str) -> list[tuple[str, str, float]]:
        """The multipart uploads of a bucket that are under way: key, id, when it began; in order."""
        rows = self._all("SELECT key, id, started FROM uploads WHERE bucket=?", (bucket,))
        return sorted(rows, key=lambda row: (row[0].encode(), row[2]))

    def end_upload(self, upload: str) -> None:
        """Forget a multipart upload."""
        self._run("DELETE FROM uploads WHERE id=?", (upload,))

    def _run(self, statement: str, values: tuple[Any, ...]) -> None:
        with self._lock:
            self._database.execute(statement, values)

    def _one(self, statement: str, values: tuple[Any, ...]) -> Any:
        with self._lock:
            return self._database.execute(statement, values).fetchone()

    def _all(self, statement: str, values: tuple[Any, ...]) -> list[Any]:
        with self._lock:
            return self._database.execute(statement, values).fetchall()


def _plain_etag(size: int, modified_ns: int) -> str:
    """The ETag of a file that nobody uploaded: changes when the file does, and shows (`-1`) that it is no MD5."""
    return f'"{hashlib.md5(f"{size} {modified_ns}".encode(), usedforsecurity=False).hexdigest()}-1"'
