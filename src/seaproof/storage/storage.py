"""The storage protocol: seven verbs over `s3://bucket/key` addresses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from seaproof.errors import StorageError


@dataclass(frozen=True)
class Address:
    """A bucket and a key, or a key prefix."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class Object:
    """One stored object: where, how many bytes, and when it was written (seconds since the epoch)."""

    address: Address
    size: int
    modified: float
    modified_ns: int = 0
    """The same time in nanoseconds, where the storage knows it: floats are too coarse to tell two files apart."""


def parse_address(uri: str) -> Address:
    """`s3://bucket/some/key` as an Address; StorageError for anything else."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise StorageError(
            f"{uri!r} is no s3:// address",
            next_step="Write it as s3://bucket/key; a bucket is a folder below .seaproof/s3.",
        )
    return Address(bucket, key)


class Storage(Protocol):
    """Where objects live. Errors are StorageError, NoSuchObject where nothing is there."""

    def list(self, prefix: Address) -> Iterator[Object]:
        """All objects whose key starts with the prefix, in key order (UTF-8 bytes), as S3 lists them."""
        ...

    def open(self, address: Address) -> BinaryIO:
        """Read one object as a stream; the caller closes it."""
        ...

    def write(self, address: Address, source: BinaryIO) -> None:
        """Store the whole stream or nothing: no reader ever sees half an object, whatever fails in between."""
        ...

    def download(self, address: Address, target: Path) -> None:
        """Copy one object to a file, whole or not at all; the parent folder is made."""
        ...

    def upload(self, source: Path, address: Address) -> None:
        """Copy one file to an object, whole or not at all."""
        ...

    def move(self, source: Path, address: Address) -> None:
        """Make a file an object, whole or not at all; the file is gone afterwards. Cheap where it can be."""
        ...

    def delete(self, address: Address) -> None:
        """Remove one object; one that is not there is passed over, as S3 does."""
        ...
