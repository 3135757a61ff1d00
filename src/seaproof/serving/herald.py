"""Answers while the model loads: the port is open from the start, and whoever asks is told to come again.

The platform's connections must succeed within 250 ms, and a ping that is answered says more than one that is refused.
It is a process of its own, forked before anything is imported, for an import keeps the interpreter to itself for
seconds. It listens on the first worker's socket, which that worker goes on with: no connection made in between is lost.
No worker takes one before it has ceased to: who was once answered by a worker is never told again that the model loads.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from contextlib import suppress

from seaproof.contract import http
from seaproof.errors import RequestError
from seaproof.http import encode
from seaproof.http.message import Response
from seaproof.serving.children import ended, kill
from seaproof.serving.replies import error_reply
from seaproof.serving.sockets import BACKLOG

ASKING = 3.0
"""Seconds in which those whose connection was taken may still send their request."""
LINGER = 0.25
"""Seconds in which those who were answered may still read it."""
_HEAD = 65536
"""Bytes of a request that are looked at, at most."""


class Herald:
    """The process that answers, as the master sees it."""

    def __init__(self, listener: socket.socket) -> None:
        listener.listen(BACKLOG)
        read, self._tell = os.pipe()
        self.over, taking = os.pipe()
        """File descriptor that ends when the herald takes no more connections."""
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self._tell)
                os.close(self.over)
                for number in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(number, signal.SIG_IGN)  # Ctrl-C reaches it too; the master says when to end
                _Desk(listener, read, taking).run()
            finally:
                os._exit(0)  # whatever happened: it must never go on as a second master
        os.close(read)
        os.close(taking)

    def dismiss(self) -> None:
        """Let it answer those that it has taken, and end; from now on a worker takes them."""
        if self._tell >= 0:
            with suppress(OSError):  # it is gone
                os.write(self._tell, b".")
            self.forget()

    def forget(self) -> None:
        """Let go of what it is told by: in a worker, so that it sees the end of the master."""
        if self._tell >= 0:
            os.close(self._tell)
            self._tell = -1

    def reap(self) -> None:
        """Collect it, if it has ended."""
        if self.pid and ended(self.pid) is not None:
            self.pid = 0

    def end(self) -> None:
        """End it at once, and with it its hold on the port."""
        self.dismiss()
        if self.pid:
            kill(self.pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
            self.pid = 0


class _Desk:
    """In the herald: takes connections and answers each once."""

    def __init__(self, listener: socket.socket, told: int, taking: int) -> None:
        self._listener = listener
        self._told = told
        self._taking = taking
        self._answered = 0.0
        """When the last answer was given (monotonic seconds)."""
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(told, selectors.EVENT_READ)

    def run(self) -> None:
        """Until the master says so, or is gone."""
        while self._turn(None):
            pass
        self._selector.unregister(self._listener)
        self._selector.unregister(self._told)
        self._listener.close()
        os.close(self._taking)
        last = time.monotonic() + ASKING
        while taken := list(self._selector.get_map().values()):
            until = last if any(key.data is not None for key in taken) else self._answered + LINGER
            if (left := until - time.monotonic()) <= 0:
                return
            self._turn(left)

    def _turn(self, seconds: float | None) -> bool:
        """Do what there is to do; False where the end was told."""
        events = self._selector.select(seconds)
        if any(key.fileobj == self._told for key, _ in events):
            return False
        for key, _ in events:
            if key.fileobj is self._listener:
                self._take()
            else:
                self._read(key.fileobj, key.data)  # type: ignore[arg-type]
        return True

    def _take(self) -> None:
        with suppress(OSError):  # the client has left, or there are too many
            connection, _ = self._listener.accept()
            connection.setblocking(False)
            self._selector.register(connection, selectors.EVENT_READ, bytearray())

    def _read(self, connection: socket.socket, head: bytearray | None) -> None:
        """Read on; answer where the head is whole, and close when the client has."""
        try:
            piece = connection.recv(_HEAD)
            if piece and head is not None:
                head += piece
                if b"\r\n\r\n" in head or len(head) > _HEAD:
                    connection.send(reply(bytes(head)))
                    self._answered = time.monotonic()
                    connection.shutdown(socket.SHUT_WR)
                    # What else comes, the rest of a body, is read and dropped: a reset would take the answer away.
                    self._selector.modify(connection, selectors.EVENT_READ, None)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self._selector.unregister(connection)
            connection.close()


def reply(head: bytes) -> bytes:
    """The answer to a request: 504 for a ping, as H2O's hosted scorers say it; 503 for what may be sent again."""
    method, _, rest = head.partition(b" ")
    ping = rest.partition(b" ")[0].partition(b"?")[0] == http.PING.encode()
    error = RequestError(
        504 if ping else 503,
        "the model is loading",
        where=http.PING if ping else "serve",
        next_step="Ask /ping until it answers 200; the log of the container says how far it is.",
        headers={"Retry-After": "1"},
    )
    response: Response = error_reply(error)
    only_head = method == b"HEAD"
    lines, _, _ = encode.whole_head(response, only_head, False, False)
    return lines if only_head else lines + bytes(response.body)  # type: ignore[arg-type]
