"""One container that was started for a check: asked, listened to, measured, and never trusted.

Every question has a time limit and every answer a size limit. A watch beside it ends a container that prints, writes
or forks without end, before it harms the machine.
"""

from __future__ import annotations

import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from seaproof.check.listening import Listener, listeners
from seaproof.contract.environ import DEFAULT_PORT
from seaproof.contract.http import INVOCATIONS
from seaproof.drivers import sandbox
from seaproof.drivers.driver import Driver, Exit, Handle, Usage
from seaproof.drivers.sandbox.processes import cpu_seconds, in_disk_wait, resident_memory
from seaproof.drivers.terminal_codes import without_codes
from seaproof.errors import DriverError, HttpError
from seaproof.http.message import Headers
from seaproof.http.reply import Reply
from seaproof.invocations.send import Ping, Sender

if TYPE_CHECKING:
    from seaproof.check.pipes import Feed

_LOG_KEPT = 512 * 1024
_LOG_LIMIT = 64 * 1024 * 1024
_LOOK_SECONDS = 0.3
_LOG_SECONDS, _LOG_ARRIVES = 5.0, 0.2
"""How long the end of a log is waited for once its container has ended, and while it lives."""
_NOT_ITS_OWN = (sandbox.__name__, "/docker-init", "/catatonit")
_BODY_LIMIT = 64 * 1024 * 1024


class Run:
    """A container that was started (or adopted: then `driver` is None, and it is never stopped).

    `port` is the one that it should listen on, inside; `disk` how many bytes it may write.
    """

    def __init__(
        self,
        driver: Driver | None,
        handle: Handle,
        opt_ml: Path,
        sender: Sender,
        disk: int,
        port: int = DEFAULT_PORT,
    ) -> None:
        self.driver, self.handle, self.opt_ml, self._sender, self._disk = driver, handle, opt_ml, sender, disk
        self.port = port
        self.started = time.monotonic()
        self.memory_seen: list[tuple[float, int]] = []
        self.feed: Feed | None = None
        """What feeds its pipes, in Pipe mode."""
        self.stopped_for = ""
        """Why the watch ended it; empty where it did not."""
        self._log = bytearray()
        self._logged = 0
        self._over = threading.Event()
        self._listening = threading.Thread(target=self._listen, name=f"log of {handle.name}", daemon=True)
        if driver is not None:
            self._listening.start()
            threading.Thread(target=self._watch, name=f"watch of {handle.name}", daemon=True).start()

    def ping(self, timeout: float = 2.0) -> Ping:
        """GET /ping once."""
        return self._sender.ping(self.handle.host or "", self.handle.port or 0, timeout)

    def request(
        self,
        method: str,
        target: str,
        *,
        headers: Headers | None = None,
        body: bytes = b"",
        timeout: float = 60.0,
        max_body: int = _BODY_LIMIT,
    ) -> Reply:
        """One request and its whole answer; HttpError where none comes in `timeout` seconds."""
        return self._sender.request(
            self.handle.host or "",
            self.handle.port or 0,
            method,
            target,
            headers=headers,
            body=body,
            timeout=timeout,
            max_body=max_body,
        )

    def invoke(
        self,
        body: bytes,
        content_type: str = "",
        accept: str = "",
        *,
        target: str = INVOCATIONS,
        timeout: float = 60.0,
        extra: Headers | None = None,
    ) -> Reply:
        """POST /invocations with the headers that a container sees on the platform."""
        headers: Headers = [(b"user-agent", b"AHC/2.0")]
        if content_type:
            headers.append((b"content-type", content_type.encode()))
        if accept:
            headers.append((b"accept", accept.encode()))
        return self.request("POST", target, headers=[*headers, *(extra or [])], body=body, timeout=timeout)

    def log(self, *, settle: bool = True) -> str:
        """What it printed: the last half MiB. With `settle`, what it printed just now has come by then."""
        if self.driver is not None and settle:
            if self.exit() is not None:
                self._listening.join(_LOG_SECONDS)
            else:
                time.sleep(_LOG_ARRIVES)
        return without_codes(self._log.decode("utf-8", "replace"))

    def log_tail(self, lines: int = 12) -> str:
        """Its last lines."""
        return "\n".join(self.log().splitlines()[-lines:]) or "(it printed nothing)"

    def exit(self, timeout: float = 0.0) -> Exit | None:
        """How it ended, or None while it lives."""
        if self.driver is None:
            return None
        with suppress(DriverError):
            return self.driver.wait(self.handle, timeout)
        return Exit(137)

    def usage(self) -> Usage:
        """Its processes, and what it has written."""
        if self.driver is None:
            return Usage()
        try:
            return self.driver.usage(self.handle)
        except DriverError:
            return Usage()

    def wrote(self, usage: Usage | None = None) -> int:
        """Bytes that it has written: in its own file system and in its /opt/ml."""
        if self.driver is None:
            return 0
        return (usage or self.usage()).written + _size(self.opt_ml, self._disk)

    def memory(self) -> int:
        """Bytes of memory of all its processes; 0 where that cannot be seen."""
        return resident_memory(list(self.usage().processes))

    def computes(self, seconds: float = 1.0) -> bool:
        """Whether its processes compute, or wait for a disk, for more than a fifth of so many seconds from now."""
        pids = self.usage().processes
        before, waits, begun = cpu_seconds(pids), 0, time.monotonic()
        for _ in range(5):
            time.sleep(seconds / 5)
            waits += in_disk_wait(pids)
        spent = cpu_seconds(pids) - before
        return spent > 0.2 * (time.monotonic() - begun) or waits > 1

    def listening(self) -> list[Listener]:
        """The addresses that its processes listen on, where they can be seen."""
        return listeners(self.usage().processes)

    def processes(self) -> list[tuple[int, list[str]]]:
        """Its own processes, each with its command line; those of the sandbox and the engine's init left out."""
        found = []
        for pid in self.usage().processes:
            with suppress(OSError):
                text = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
                words = [word for word in text.split("\0") if word]
                if words and not any(sign in text for sign in _NOT_ITS_OWN):
                    found.append((pid, words))
        return found

    def stop(self, grace: float) -> float:
        """SIGTERM, SIGKILL after `grace` seconds; how long it took until it was gone, in seconds."""
        if self.driver is None:
            return 0.0
        begun = time.monotonic()
        self._over.set()
        if self.feed is not None:
            self.feed.close()
        with suppress(DriverError):
            self.driver.stop(self.handle, grace)
        return time.monotonic() - begun

    def clear(self) -> None:
        """Stop it at once and remove its folder."""
        self.stop(0)
        if self.driver is not None:
            shutil.rmtree(self.opt_ml, ignore_errors=True)

    def _listen(self) -> None:
        """Keep the end of what it prints."""
        assert self.driver is not None
        with suppress(DriverError, OSError):
            for piece in self.driver.logs(self.handle, follow=True):
                self._logged += len(piece)
                self._log += piece
                del self._log[: max(0, len(self._log) - _LOG_KEPT)]
                if self._logged > _LOG_LIMIT and not self.stopped_for:
                    self._end(f"it printed over {_LOG_LIMIT // 1024**2} MiB")
                if self._over.is_set():
                    return

    def _watch(self) -> None:
        """End it where it writes more than it may, and note its memory."""
        while not self._over.wait(_LOOK_SECONDS):
            if self.exit() is not None:
                return
            usage = self.usage()
            written = self.wrote(usage)
            self.memory_seen.append((time.monotonic() - self.started, resident_memory(list(usage.processes))))
            if written > self._disk and not self.stopped_for:
                self._end(
                    f"it wrote {written / 1024**2:,.0f} MiB, more than the {self._disk // 1024**2:,} MiB allowed here"
                )

    def _end(self, why: str) -> None:
        assert self.driver is not None
        self.stopped_for = why
        with suppress(DriverError):
            self.driver.stop(self.handle, 0)


def _size(folder: Path, enough: int) -> int:
    """Bytes below a folder; stops counting at `enough`."""
    total, pending = 0, [folder]
    while pending and total <= enough:
        try:
            for entry in pending.pop().iterdir():
                if entry.is_symlink():
                    continue
                if entry.is_dir():
                    pending.append(entry)
                else:
                    with suppress(OSError):
                        total += entry.stat().st_blocks * 512
        except OSError:
            continue
    return total


def describe_problem(error: HttpError) -> str:
    """What came of a request that has no reply, as people say it."""
    return {
        "refused": "the connection was refused",
        "timeout": "no whole answer came in time",
        "closed": "it closed the connection without an answer",
        "malformed": "what it sent is no HTTP",
        "oversize": "its answer was too large",
    }.get(error.kind, error.what)
