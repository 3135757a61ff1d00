"""The frames of `application/vnd.amazon.eventstream`, written and read. Standard library only: a client must be light.

    total length u32 | headers length u32 | CRC32 of both | headers | payload | CRC32 of all before it    (big endian)

A header is name length u8, name, type 7 (text), value length u16, value. Source: the specification of Amazon Event
Stream encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from zlib import crc32

from seaproof.errors import HttpError

_TEXT = 7
_PRELUDE = 12
_AROUND = 16


def message(headers: dict[str, str], payload: bytes) -> bytes:
    """One message."""
    block = b"".join(_header(name.encode(), value.encode()) for name, value in headers.items())
    prelude = struct.pack(">II", _AROUND + len(block) + len(payload), len(block))
    body = b"%b%b%b%b" % (prelude, struct.pack(">I", crc32(prelude)), block, payload)
    return body + struct.pack(">I", crc32(body))


def messages(data: bytearray) -> Iterator[tuple[dict[str, str], bytes]]:
    """The whole messages at the beginning of `data`, which are taken out of it: headers and payload.

    HttpError (`malformed`) where a checksum or a header is not as it should be.
    """
    while len(data) >= _PRELUDE:
        total, block, check = struct.unpack_from(">III", data)
        if crc32(data[:8]) != check or total < _AROUND + block:
            raise HttpError("malformed", "the stream is no event stream, or was damaged on its way")
        if len(data) < total:
            return
        whole = bytes(data[:total])
        del data[:total]
        if crc32(whole[:-4]) != struct.unpack(">I", whole[-4:])[0]:
            raise HttpError("malformed", "a message of the event stream was damaged on its way")
        yield _headers(whole[_PRELUDE : _PRELUDE + block]), whole[_PRELUDE + block : -4]


def _header(name: bytes, value: bytes) -> bytes:
    return struct.pack(f">B{len(name)}sBH", len(name), name, _TEXT, len(value)) + value


def _headers(block: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(block):
        name = block[at + 1 : at + 1 + block[at]].decode()
        at += 1 + block[at]
        kind, length = struct.unpack_from(">BH", block, at)
        if kind != _TEXT:
            raise HttpError("malformed", f"a header of the event stream has type {kind}, which is no text")
        found[name] = block[at + 3 : at + 3 + length].decode()
        at += 3 + length
    return found
