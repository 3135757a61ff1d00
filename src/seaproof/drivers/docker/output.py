"""The output of a container as bytes: stdout and stderr as they came, out of the engine's frames."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from seaproof.drivers.docker.engine import Engine, speaking
from seaproof.errors import DriverError

_HEADER = struct.Struct(">BxxxL")
_PIECE = 64 * 1024


def read_output(engine: Engine, container: str, *, follow: bool, offset: int) -> Iterator[bytes]:
    """The output from byte `offset` on, and, to `follow`, all that comes until the container has ended."""
    for piece in _read(engine, container, follow, offset):
        offset += len(piece)
        yield piece
    if follow:
        # Engines before 23 can end what they follow a moment too early, and without the last words, which say why.
        with suppress(DriverError):  # it may be removed by now
            yield from _read(engine, container, False, offset)


def _read(engine: Engine, container: str, follow: bool, offset: int) -> Iterator[bytes]:
    """The engine counts no bytes: what comes before `offset` is read and left out."""
    with speaking("its log cannot be read", container):
        client = engine.client()
        try:
            parameters = {"stdout": 1, "stderr": 1, "follow": int(follow), "timestamps": 0, "tail": "all"}
            # As client.logs, which hands out one frame (one line) at a time: ten times slower on long logs.
            response = client.get(
                client._url("/containers/{0}/logs", container), params=parameters, stream=True, timeout=(10, None)
            )
            client._raise_for_status(response)
            skip = offset
            for piece in _frames(_received(response)):
                if skip >= len(piece):
                    skip -= len(piece)
                    continue
                yield piece[skip:]
                skip = 0
        finally:
            client.close()


def _received(response: Any) -> Iterator[bytes]:
    """The body as it arrives. The engine sends each line as an HTTP chunk of its own, which urllib3 hands out one by
    one; so its buffer is read below it, many chunks at once."""
    with response:
        if not response.raw.chunked:
            while data := response.raw.read1(_PIECE):
                yield data
            return
        reader = response.raw._fp.fp
        yield from _unchunked(iter(lambda: reader.read1(_PIECE), b""))


def _unchunked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Strip the chunk headers of HTTP/1.1 (`<hex length>CRLF<data>CRLF`); ends with the chunk of length 0."""
    rest, left = b"", -1
    for piece in pieces:
        rest += piece
        out, position = [], 0
        while position < len(rest):
            if left > 0:
                out.append(rest[position : position + left])
                position += len(out[-1])
                left -= len(out[-1])
                continue
            # Here stands the CRLF after data (left is 0), then the next header.
            start = position + 2 if left == 0 else position
            end = rest.find(b"\r\n", start)
            if end < 0:
                break
            left, position = int(rest[start:end].partition(b";")[0], 16), end + 2
            if left == 0:
                yield b"".join(out)
                return
        rest = rest[position:]
        if out:
            yield b"".join(out)


def _frames(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Strip the engine's frame headers: 1 byte stream, 3 unused, 4 bytes length."""
    rest, left = b"", 0
    for piece in pieces:
        rest += piece
        out, position = [], 0
        while position < len(rest):
            if left:
                out.append(rest[position : position + left])
                position += len(out[-1])
                left -= len(out[-1])
                continue
            if len(rest) - position < _HEADER.size:
                break
            left, position = _HEADER.unpack_from(rest, position)[1], position + _HEADER.size
        rest = rest[position:]
        if out:
            yield b"".join(out)
