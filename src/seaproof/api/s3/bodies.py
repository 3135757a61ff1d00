"""The bytes of an upload on their way to a file: taken out of their frames, counted, and held to what was promised.

A body may come in `aws-chunked` frames, with its checksum in a trailer behind the last one. MD5, SHA and CRC32 are
checked here; CRC32C and CRC64NVME where the package `awscrt` is installed (else they are kept as given, and the
client that asks for them checks them).
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from seaproof.errors import ServiceError

_CHECKSUM = "x-amz-checksum-"
_LONGEST_LINE = 8192


class Source(Protocol):
    """Where bytes come from; b"" at the end."""

    def read(self, size: int = -1, /) -> bytes: ...


class Chunked:
    """Takes the frames off an `aws-chunked` body; `trailer` is there once it has been read to its end."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._held = b""
        self._left = 0
        self._ended = False
        self.trailer: dict[str, str] = {}

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes of the body."""
        if self._ended:
            return b""
        if not self._left:
            self._left = self._length()
            if not self._left:
                self._ended = True
                self._read_trailer()
                return b""
        if not self._held:
            self._held = self._more()
        piece, self._held = self._held[: self._left], self._held[self._left :]
        self._left -= len(piece)
        if not self._left and self._line():
            raise _malformed("a chunk is longer than it says")
        return piece

    def _length(self) -> int:
        line = self._line().partition(b";")[0].strip()
        try:
            length = int(line, 16)
        except ValueError:
            raise _malformed(f"{line[:40]!r} is no length of a chunk") from None
        if length < 0 or len(line) > 16:
            raise _malformed("a chunk is too long")
        return length

    def _read_trailer(self) -> None:
        while line := self._line(may_end=True):
            name, _, value = line.partition(b":")
            self.trailer[name.decode("latin-1").strip().lower()] = value.decode("latin-1").strip()
            if len(self.trailer) > 32:
                raise _malformed("the trailer is too long")
        while self._more(may_end=True):
            pass

    def _line(self, may_end: bool = False) -> bytes:
        while b"\r\n" not in self._held:
            if len(self._held) > _LONGEST_LINE:
                raise _malformed("a line is too long")
            more = self._more(may_end)
            if not more:
                return b""
            self._held += more
        line, _, self._held = self._held.partition(b"\r\n")
        return line

    def _more(self, may_end: bool = False) -> bytes:
        piece = self._source.read()
        if not piece and not may_end:
            raise _malformed("the body ends within a chunk")
        return piece


class Checked:
    """Passes bytes on and holds them to the digests of the request's headers and trailer; see `finish`."""

    def __init__(self, source: Source, headers: Mapping[str, str]) -> None:
        self._headers = headers
        sha256 = headers.get("x-amz-content-sha256", "")
        self._chunked = None
        if sha256.startswith("STREAMING-") or "aws-chunked" in headers.get("content-encoding", ""):
            self._chunked = source = Chunked(source)
        self._source = source
        self._sha256 = hashlib.sha256() if len(sha256) == 64 else None
        self._md5 = hashlib.md5(usedforsecurity=False)
        announced = [name.strip().lower() for name in headers.get("x-amz-trailer", "").split(",")]
        wanted = {name for name in (*headers, *announced) if name.startswith(_CHECKSUM)}
        self._algorithms = {name[len(_CHECKSUM) :]: _algorithm(name[len(_CHECKSUM) :]) for name in wanted}
        self._algorithms.pop("type", None)
        self._algorithms.pop("algorithm", None)
        self._algorithms.pop("mode", None)
        self.size = 0

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes of the object."""
        piece = self._source.read(size)
        self.size += len(piece)
        self._md5.update(piece)
        if self._sha256 is not None:
            self._sha256.update(piece)
        for algorithm in self._algorithms.values():
            if algorithm is not None:
                algorithm.update(piece)
        return piece

    @property
    def md5(self) -> str:
        """The MD5 of what was read, in hex."""
        return self._md5.hexdigest()

    def finish(self) -> dict[str, str]:
        """At the end: the checksums under the names of their members. ServiceError where one does not fit."""
        headers = self._headers
        if self._chunked is None and "content-length" in headers and int(headers["content-length"]) != self.size:
            raise ServiceError("IncompleteBody", "The body is shorter than Content-Length says.")
        expected = headers.get("x-amz-decoded-content-length")
        if expected is not None and expected != str(self.size):
            raise ServiceError("IncompleteBody", f"The body has {self.size} bytes, not {expected[:40]} as announced.")
        if "content-md5" in headers and headers["content-md5"] != base64.b64encode(self._md5.digest()).decode():
            raise ServiceError("BadDigest", "The Content-MD5 you specified did not match what we received.")
        if self._sha256 is not None and self._sha256.hexdigest() != headers["x-amz-content-sha256"]:
            raise ServiceError(
                "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what came."
            )
        found: dict[str, str] = {}
        given = {**headers, **(self._chunked.trailer if self._chunked else {})}
        for name, algorithm in self._algorithms.items():
            value = given.get(_CHECKSUM + name)
            if value is None:
                continue
            if algorithm is not None and value != base64.b64encode(algorithm.digest()).decode():
                raise ServiceError(
                    "BadDigest", f"The {name.upper()} you specified did not match the calculated checksum."
                )
            found[f"Checksum{name.upper()}"] = value
        return found


class _Crc:
    """A running CRC with the methods of a hash."""

    def __init__(self, function: Callable[[bytes, int], int], size: int) -> None:
        self._function = function
        self._size = size
        self._value = 0

    def update(self, piece: bytes) -> None:
        self._value = self._function(piece, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


def _algorithm(name: str) -> Any:
    """A new digest by its name in a header; None for one that cannot be calculated here."""
    if name == "crc32":
        return _Crc(zlib.crc32, 4)
    if name in ("sha1", "sha256", "sha512", "md5"):
        return hashlib.new(name, usedforsecurity=False)
    if name in ("crc32c", "crc64nvme"):
        try:
            from awscrt import checksums
        except ImportError:
            return None
        return _Crc(getattr(checksums, name), 4 if name == "crc32c" else 8)
    return None


def _malformed(what: str) -> ServiceError:
    return ServiceError("IncompleteBody", f"The aws-chunked body cannot be read: {what}.")
