"""The engine's output format: HTTP chunks around frames around bytes, cut anywhere."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from seaproof.drivers.docker.output import _frames, _unchunked

_lines = st.lists(st.binary(min_size=1, max_size=300), max_size=30)


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@given(_lines, st.integers(1, 700))
def test_frames_are_stripped_wherever_the_bytes_are_cut(lines: list[bytes], size: int) -> None:
    wire = b"".join(struct.pack(">BxxxL", 1 + number % 2, len(line)) + line for number, line in enumerate(lines))

    assert b"".join(_frames(iter(_cut(wire, size)))) == b"".join(lines)


@given(_lines, st.integers(1, 700))
def test_chunks_are_stripped_and_the_last_one_ends_it(lines: list[bytes], size: int) -> None:
    wire = b"".join(b"%x\r\n%b\r\n" % (len(line), line) for line in lines) + b"0\r\n\r\nHTTP/1.1 200 OK\r\n"

    assert b"".join(_unchunked(iter(_cut(wire, size)))) == b"".join(lines)
