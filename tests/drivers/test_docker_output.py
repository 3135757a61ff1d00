"""The engine's output format: HTTP chunks around frames around bytes, cut anywhere."""

from __future__ import annotations

import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seaproof.drivers.docker.engine import Engine
from seaproof.drivers.docker.output import _frames, _unchunked, read_output

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


class Hasty(BaseHTTPRequestHandler):
    """An engine as they were before Docker 23: who follows an output may not get the end of it."""

    def do_GET(self) -> None:
        words = [b"one\n", b"two"][: 1 if "follow=1" in self.path else 2]
        body = b"".join(struct.pack(">BxxxL", 1, len(word)) + word for word in words)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("offset", [0, 2, 5, 7, 9])
def test_the_last_words_come_also_from_an_engine_that_ends_what_it_follows_too_early(offset: int) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hasty) as server:
        threading.Thread(target=server.serve_forever).start()
        engine = Engine(f"tcp://127.0.0.1:{server.server_address[1]}", "", "", "", "1.41", (), "")
        try:
            came = b"".join(read_output(engine, "any", follow=True, offset=offset))
        finally:
            server.shutdown()

    assert came == b"one\ntwo"[offset:]
