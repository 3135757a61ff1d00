"""The objects of a transform job: which there are, how they are read, and where their output goes."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from seaproof.batch.source import Source, open_source
from seaproof.contract.opt_ml import Channel
from seaproof.control.channels import Input, find_files
from seaproof.control.store import Body
from seaproof.errors import NoSuchObject
from seaproof.storage.storage import Address, Storage, parse_address

OUT = ".out"
QUARANTINE = ".quarantine.jsonl"


@dataclass(frozen=True)
class StoredObject:
    """One object of the input, and its output: `<S3OutputPath>/<key below the prefix>.out`."""

    storage: Storage
    address: Address
    target: Address
    size: int
    modified: float
    base: Path
    gzipped: bool = False

    @property
    def name(self) -> str:
        return f"{self.address.bucket}/{self.address.key}"

    @property
    def stamp(self) -> str:
        return f"{self.size}-{self.modified}"

    def open(self) -> Source:
        stream = self.storage.open(self.address)
        if self.gzipped:
            # Its fileno() is that of the compressed file.
            return open_source(cast(BinaryIO, Unzipped(stream)))
        return open_source(stream)

    def is_finished(self) -> bool:
        try:
            self.storage.open(self._out).close()
        except NoSuchObject:
            return False
        return True

    @property
    def _out(self) -> Address:
        return Address(self.target.bucket, self.target.key + OUT)

    def finish(self, part: Path, bad: Path | None) -> None:
        if bad is not None and bad.exists():
            self.storage.move(bad, Address(self.target.bucket, self.target.key + QUARANTINE))
        if part.exists():
            self.storage.move(part, self._out)


class Unzipped(gzip.GzipFile):
    """A compressed stream, read from front to back."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(fileobj=stream)
        self._below = stream

    def fileno(self) -> int:
        raise OSError("a compressed file is read from front to back")

    def close(self) -> None:
        super().close()
        self._below.close()


def find_objects(storage: Storage, request: Body, folder: Path, region: str) -> list[StoredObject]:
    """The objects of a request, in key order; `folder` is where unfinished output lies. StorageError names what is
    missing, in the platform's words."""
    given = request["TransformInput"]
    source = given["DataSource"]["S3DataSource"]
    channel = Input("input", Channel(), source["S3Uri"], manifest=source["S3DataType"] == "ManifestFile")
    out = parse_address(request["TransformOutput"]["S3OutputPath"])
    prefix = f"{out.key.rstrip('/')}/" if out.key.strip("/") else ""
    gzipped = given.get("CompressionType") == "Gzip"
    found = []
    for file in find_files(storage, channel, region):
        target = Address(out.bucket, prefix + file.path)
        # The name of the unfinished output is the same in every run, and fits any file system.
        base = folder / hashlib.sha256(str(target).encode()).hexdigest()[:24]
        found.append(StoredObject(storage, file.address, target, file.size, file.modified, base, gzipped))
    return found
