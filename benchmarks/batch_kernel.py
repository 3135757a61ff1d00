"""What the kernel alone asks of whoever sends a file to an echo server and writes what comes back: no event loop, no
records counted, one connection; prints the seconds of CPU as JSON.

python batch_kernel.py PORT INPUT

copied    read, sent, received into one buffer, written: as any program does it
sendfile  sendfile out, the rest as before
spliced   sendfile out, and splice from the connection through a pipe into the file: no byte comes into the process
"""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

PAYLOAD = 6 * 1024 * 1024
HEAD = (
    b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nAccept: text/csv\r\n"
    b"Content-Length: %d\r\n\r\n"
)
BUFFER = memoryview(bytearray(PAYLOAD + 4096))

Send = Callable[[socket.socket, int, int, int], None]
"""Sends so many bytes of a file, from an offset on."""
Take = Callable[[socket.socket, int], None]
"""Receives an answer and writes its body into a file."""


def main(port: int, path: Path) -> None:
    ways = {"copied": (copy_out, copy_in), "sendfile": (file_out, copy_in), "spliced": (file_out, splice_in)}
    print(json.dumps({name: cpu_of(send, take, port, path) for name, (send, take) in ways.items()}))


def cpu_of(send: Send, take: Take, port: int, path: Path) -> float:
    """Seconds of CPU for the whole file."""
    begun = cpu()
    with (
        path.open("rb") as given,
        tempfile.TemporaryFile(dir=path.parent) as output,
        socket.create_connection(("127.0.0.1", port)) as server,
    ):
        size = path.stat().st_size
        for start in range(0, size, PAYLOAD):
            length = min(PAYLOAD, size - start)
            server.sendall(HEAD % length)
            send(server, given.fileno(), start, length)
            take(server, output.fileno())
        if output.seek(0, os.SEEK_END) < size:
            raise SystemExit("the answers are not as long as the input")
        return cpu() - begun


def copy_out(server: socket.socket, given: int, start: int, size: int) -> None:
    server.sendall(os.pread(given, size, start))


def file_out(server: socket.socket, given: int, start: int, size: int) -> None:
    sent = 0
    while sent < size:
        sent += os.sendfile(server.fileno(), given, start + sent, size - sent)


def copy_in(server: socket.socket, output: int) -> None:
    begin, got, end = answer(server, len(BUFFER))
    while got < end:
        got += server.recv_into(BUFFER[got:end])
    os.write(output, BUFFER[begin:end])


def splice_in(server: socket.socket, output: int) -> None:
    begin, got, end = answer(server, 2048)
    os.write(output, BUFFER[begin:got])
    out, into = os.pipe()
    while got < end:
        moved = os.splice(server.fileno(), into, end - got)
        got += moved
        while moved:
            moved -= os.splice(out, output, moved)
    os.close(out)
    os.close(into)


def answer(server: socket.socket, most: int) -> tuple[int, int, int]:
    """The beginning of an answer, read into the buffer: where its body begins, what there is of it, where it ends."""
    got = server.recv_into(BUFFER[:most])
    head, _, _ = bytes(BUFFER[:got]).partition(b"\r\n\r\n")
    status, *lines = head.lower().split(b"\r\n")
    if b" 200" not in status:
        raise SystemExit(status.decode())
    (length,) = (int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
    return len(head) + 4, got, len(head) + 4 + length


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
