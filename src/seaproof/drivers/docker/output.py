"""The output of a container as bytes: stdout and stderr as they came, out of the engine's frames."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from seaproof.drivers.docker.engine import Engine, speaking

_HEADER = struct.Struct(">BxxxL")
_PIECE = 64 * 1024


def read_output(engine: Engine, container: str, *, follow: bool, offset: int) -> Iterator[bytes]:
    """The output from byte `offset` on. The engine counts no bytes, so what comes before is read and left out."""
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
            for piece in _frames(_chunks(response)):
                if skip >= len(piece):
                    skip -= len(piece)
                    continue
                yield piece[skip:]
                skip = 0
        finally:
            client.close()


def _chunks(response: Any) -> Iterator[bytes]:
    """What has arrived, as soon as it has."""
    with response:
        while data := response.raw.read1(_PIECE):
            yield data


def _frames(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Strip the headers: 1 byte stream, 3 unused, 4 bytes length; gives one piece per chunk that holds output."""
    rest = b""
    left = 0
    for chunk in chunks:
        rest += chunk
        out = []
        position = 0
        while position < len(rest):
            if not left:
                if len(rest) - position < _HEADER.size:
                    break
                left = _HEADER.unpack_from(rest, position)[1]
                position += _HEADER.size
                continue
            taken = rest[position : position + left]
            out.append(taken)
            left -= len(taken)
            position += len(taken)
        rest = rest[position:]
        if out:
            yield b"".join(out)
