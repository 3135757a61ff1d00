"""Where an object is cut into requests: at ends of records, as many whole records as fit, or one at a time.

    None       the whole object
    Line       a record ends at "\n", or where the object ends
    RecordIO   MXNet's framing: magic, length, data, padding to 4 bytes
    TFRecord   length, checksum, data, checksum

Lines are never looked at one by one where many fit into a request: the last "\n" within the limit is searched from its
end. A record that is over the limit alone is a cut of its own, marked so; what becomes of it is decided elsewhere.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from seaproof.batch.source import Source
from seaproof.errors import SeaproofError

_TAIL = 64 * 1024
_BLOCK = 1024 * 1024
_MAGIC = 0xCED7230A
_MAGIC_BYTES = struct.pack("<I", _MAGIC)
_LENGTH = (1 << 29) - 1


class FramingError(SeaproofError):
    """The object is not in the format that SplitType says; `where` is a byte offset."""


@dataclass(frozen=True, slots=True)
class Cut:
    """One request's part of the object, in bytes from its beginning."""

    start: int
    stop: int
    oversize: bool = False
    """A single record that is over the limit."""
    inner: tuple[tuple[int, int], ...] = ()
    """What is sent of it, where that is not all: the data of a record without its framing."""


Splitter = Callable[[Source, int], Iterator[Cut]]
"""Cuts an object from an offset on, which is the beginning of a record."""


def splitter(kind: str, *, limit: int, single: bool, quoted: bool = False, head: int = 0) -> Splitter:
    """The splitter for a SplitType. `limit` in bytes, 0 for none; `head` are bytes that each request carries besides.

    `quoted`: line ends between double quotes belong to the record (CSV as in RFC 4180).
    """
    room = max(1, limit - head) if limit else 0
    if kind == "Line":
        if single:
            return partial(_each_line, limit=room, quoted=quoted)
        return partial(_lines, limit=room, quoted=quoted)
    if kind in ("RecordIO", "TFRecord"):
        frame = _recordio if kind == "RecordIO" else _tfrecord
        return partial(_framed, frame=frame, limit=room, single=single)
    return partial(_whole, limit=room)


def first_record_end(source: Source, start: int, *, quoted: bool = False) -> int:
    """Where the record that begins at `start` ends, its line end included."""
    at, odd = start, False
    while block := source.read(at, at + _BLOCK):
        found = block.find(b"\n")
        begun = 0
        while found >= 0:
            odd ^= bool(quoted and block.count(b'"', begun, found) & 1)
            if not odd:
                return at + found + 1
            begun, found = found, block.find(b"\n", found + 1)
        odd ^= bool(quoted and block.count(b'"', begun) & 1)
        at += len(block)
    return at


def _whole(source: Source, start: int, limit: int) -> Iterator[Cut]:
    if start or source.ends_by(0):
        return
    if limit and source.ends_by(limit):
        yield Cut(0, _end(source, limit))
    else:
        # How long it is nobody needs to know: it is sent as a stream, or refused.
        yield Cut(0, -1, oversize=bool(limit))


def _end(source: Source, limit: int) -> int:
    """The length of an object that ends by `limit`."""
    low, high = 0, limit
    while low < high:
        middle = (low + high) // 2
        if source.ends_by(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _lines(source: Source, start: int, limit: int, quoted: bool) -> Iterator[Cut]:
    while not source.ends_by(start):
        if not limit:
            yield Cut(start, -1)
            return
        if source.ends_by(start + limit):
            yield Cut(start, _end(source, start + limit))
            return
        stop = (_last_unquoted if quoted else _last_line_end)(source, start, start + limit)
        oversize = stop < 0
        if oversize:
            stop = first_record_end(source, start, quoted=quoted)
        yield Cut(start, stop, oversize)
        start = stop
        source.release(start)


def _last_line_end(source: Source, start: int, stop: int) -> int:
    """Just after the last "\n" between the two, or -1."""
    size, end = _TAIL, stop
    while end > start:
        begin = max(start, end - size)
        found = source.read(begin, end).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        size, end = 4 * size, begin
    return -1


def _last_unquoted(source: Source, start: int, stop: int) -> int:
    """Just after the last "\n" between the two that no quotes are open at, or -1."""
    window = source.read(start, stop)
    end = len(window)
    quotes = window.count(b'"')
    while True:
        found = window.rfind(b"\n", 0, end)
        if found < 0:
            return -1
        quotes -= window.count(b'"', found, end)
        if not quotes & 1:
            return start + found + 1
        end = found


def _each_line(source: Source, start: int, limit: int, quoted: bool) -> Iterator[Cut]:
    """Every line by itself; read in blocks."""
    at, pending, odd = start, start, False
    while block := source.read(at, at + _BLOCK):
        begun, found = 0, block.find(b"\n")
        while found >= 0:
            odd ^= bool(quoted and block.count(b'"', begun, found) & 1)
            if not odd:
                stop = at + found + 1
                yield Cut(pending, stop, bool(limit) and stop - pending > limit)
                pending = stop
            begun, found = found + 1, block.find(b"\n", found + 1)
        odd ^= bool(quoted and block.count(b'"', begun) & 1)
        at += len(block)
        source.release(pending)
    if at > pending:
        yield Cut(pending, at, bool(limit) and at - pending > limit)


Frame = Callable[[Source, int], tuple[int, tuple[tuple[int, int], ...]]]
"""Where the record that begins at an offset ends, and where its data lies."""


def _framed(source: Source, start: int, frame: Frame, limit: int, single: bool) -> Iterator[Cut]:
    while not source.ends_by(start):
        stop, inner = frame(source, start)
        if single:
            size = sum(end - begin for begin, end in inner)
            yield Cut(start, stop, bool(limit) and size > limit, inner)
        else:
            first = stop
            while (not limit or stop - start < limit) and not source.ends_by(stop):
                following, _ = frame(source, stop)
                if limit and following - start > limit:
                    break
                stop = following
            yield Cut(start, stop, bool(limit) and stop == first and stop - start > limit)
        start = stop
        source.release(start)


def _tfrecord(source: Source, start: int) -> tuple[int, tuple[tuple[int, int], ...]]:
    head = source.read(start, start + 12)
    if len(head) < 12:
        raise FramingError("a TFRecord is cut short: its length is missing", where=f"byte {start}")
    size, checksum = struct.unpack("<QI", head)
    if checksum != _masked(crc32c(head[:8])):
        raise FramingError("this is no TFRecord: the checksum of its length is wrong", where=f"byte {start}")
    stop = start + 16 + size
    _check_whole(source, stop, start, "TFRecord")
    return stop, ((start + 12, stop - 4),)


def _recordio(source: Source, start: int) -> tuple[int, tuple[tuple[int, int], ...]]:
    """A record may be of several parts: one that holds the magic number is split there, which then is not stored."""
    at, found = start, list[tuple[int, int]]()
    while True:
        head = source.read(at, at + 8)
        if len(head) < 8:
            raise FramingError("a RecordIO record is cut short: its length is missing", where=f"byte {at}")
        magic, word = struct.unpack("<II", head)
        if magic != _MAGIC:
            raise FramingError(
                "this is no RecordIO record: it does not begin with the magic number", where=f"byte {at}"
            )
        part, size = word >> 29, word & _LENGTH
        if found:
            found.append((at, at + 4))  # stands for the magic number that was left out
        found.append((at + 8, at + 8 + size))
        at += 8 + (size + 3) // 4 * 4
        _check_whole(source, at, start, "RecordIO record")
        if part in (0, 3):
            return at, tuple(found)


def _check_whole(source: Source, stop: int, start: int, what: str) -> None:
    if source.ends_by(stop - 1):
        raise FramingError(f"a {what} is cut short: the object ends within it", where=f"byte {start}")


def _masked(checksum: int) -> int:
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _table() -> tuple[int, ...]:
    rows = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        rows.append(value)
    return tuple(rows)


_CRC = _table()


def crc32c(data: bytes) -> int:
    """The checksum of TFRecord's lengths (Castagnoli); for a few bytes."""
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ _CRC[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF
