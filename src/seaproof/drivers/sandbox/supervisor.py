"""The supervisor: the small process beside each workload of the process driver; it outlives the coordinator.

    coordinator ── starts, may be killed at any time
    supervisor     host's namespaces; copies output to the log, forwards SIGTERM, records the exit on disk
    └── init       process 1 of the workload's namespaces: mounts, reaps; everything dies with it
        ├── program
        └── relay  where the workload has a network of its own

SIGTERM to the supervisor is passed on to the program; SIGUSR1 kills all of the workload. Everything it needs is in
`spec.json` of its folder; what it leaves is `handle.json` (that it lives) and `exit.json` (how it ended). Standard
library only, started with `python -I -S`, so that nothing of the user's environment is loaded.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

from seaproof.drivers.driver import Handle
from seaproof.drivers.sandbox import init_process, namespaces, processes
from seaproof.drivers.sandbox.spec import EXIT, HANDLE, LOG, Spec

_RESERVED = 256
_LOOK_SECONDS = 0.1
_TOLD = (signal.SIGTERM, signal.SIGUSR1)


def launch(folder: Path, listener: socket.socket | None) -> str:
    """Start a supervisor for the Spec in `folder`; returns when the program was executed.

    "" on success, else the problem as JSON with `what` and `next_step`.
    """
    descriptors = [listener.fileno()] if listener else []
    number = str(descriptors[0]) if descriptors else ""
    with (
        (folder / LOG).open("ab") as log,
        subprocess.Popen(
            [*_python(), "run", str(folder), number],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=descriptors,
            start_new_session=True,
            cwd="/",
            env={},
        ) as process,
    ):
        return process.communicate()[0].decode("utf-8", "replace")


def probe() -> str:
    """Try out in a process of its own what a workload needs; "" where all of it works, else what does not."""
    done = subprocess.run([*_python(), "probe"], capture_output=True, text=True, timeout=20, cwd="/", env={})
    return done.stdout.strip() or (done.stderr.strip().splitlines() or [""])[-1]


def _python() -> list[str]:
    root = str(Path(__file__).parents[3])
    code = f"import sys; sys.path.insert(0, {root!r}); from seaproof.drivers.sandbox.supervisor import main; main()"
    return [sys.executable, "-I", "-S", "-c", code]


def main() -> None:
    """Entry of the process that `launch` and `probe` start."""
    if sys.argv[1] == "probe":
        _probe()
    # Detached: the coordinator neither waits for the supervisor nor takes it along when it ends.
    if os.fork():
        os._exit(0)
    folder = Path(sys.argv[2])
    listener = socket.socket(fileno=int(sys.argv[3])) if sys.argv[3] else None
    report = os.dup(1)
    os.dup2(0, 1)
    try:
        _supervise(Spec.read(folder), folder, listener, report)
    except OSError as error:
        _complain(report, f"the workload could not be set up: {error}", "`seaproof doctor` says what works here.")
        os._exit(1)
    os._exit(0)


def _complain(report: int, what: str, next_step: str) -> None:
    with suppress(OSError):
        os.write(report, json.dumps({"what": what, "next_step": next_step}).encode())


def _supervise(spec: Spec, folder: Path, listener: socket.socket | None, report: int) -> None:
    # Blocked until they are handled: whoever reads the handle may stop the workload at once.
    signal.pthread_sigmask(signal.SIG_BLOCK, _TOLD)
    namespaces.adopt_orphans()
    # The workload may fill the disk to the last byte, and how it ended has to be written all the same.
    exit_file = _Reserved(folder / EXIT)
    _write_handle(spec, folder)
    if spec.namespaces:
        if spec.join_network and not _join(spec):
            spec = replace(spec, join_network="")
        namespaces.leave_process_table()
    output, output_end = os.pipe()
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _TOLD)
        os.close(output)
        init_process.run(spec, listener, report, output_end)
    for handle in (report, output_end):
        os.close(handle)
    if listener:
        listener.close()
    watch = _Watch(spec, folder, child, output)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _TOLD)
    code = watch.run()
    exit_file.write({"code": code, "out_of_memory": watch.out_of_memory})


class _Reserved:
    """A small file whose place on the disk is taken now, and which appears, whole, once it is written."""

    def __init__(self, path: Path) -> None:
        self._path, self._part = path, path.with_suffix(".part")
        self._part.write_bytes(b" " * _RESERVED)

    def write(self, value: dict[str, Any]) -> None:
        """Overwrite what was kept; spaces after JSON do no harm."""
        with self._part.open("r+b") as file:
            file.write(json.dumps(value).encode().ljust(_RESERVED))
        self._part.replace(self._path)


class _Watch:
    """One workload, from its start until nothing is left of it."""

    def __init__(self, spec: Spec, folder: Path, child: int, output: int) -> None:
        self.spec, self.child, self.output = spec, child, output
        self.log = os.open(folder / LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self.status: int | None = None
        self.killed = False
        self.out_of_memory = False
        self.next_look = 0.0
        self.woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGTERM, self._forward)
        signal.signal(signal.SIGUSR1, self._kill)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def run(self) -> int:
        """Copy the output and keep to the memory limit until all has ended; gives the exit code."""
        open_end = True
        while self.status is None or open_end:
            ready = select.select([self.woken, *([self.output] if open_end else [])], [], [], self._tick())[0]
            if self.woken in ready:
                os.read(self.woken, 4096)
            if self.output in ready:
                piece = os.read(self.output, 1 << 18)
                open_end = bool(piece)
                self._keep(piece)
            self._reap()
            if self.status is not None:
                self._kill_rest()
            elif self._too_much():
                self._kill(signal.SIGUSR1, None)
        code = os.waitstatus_to_exitcode(self.status)
        return 137 if self.killed else 128 - code if code < 0 else code

    def _too_much(self) -> bool:
        """Whether it has more memory or more processes than it may; looked at about ten times a second."""
        if self.killed or not (self.spec.memory or self.spec.processes) or time.monotonic() < self.next_look:
            return False  # one that is being killed has less and less, and why it was killed stays
        members = self._members()
        if self.spec.processes and len(members) > self.spec.processes:
            return True
        self.out_of_memory = bool(self.spec.memory) and processes.resident_memory(members) > (self.spec.memory or 0)
        self.next_look = time.monotonic() + _LOOK_SECONDS
        return self.out_of_memory

    def _tick(self) -> float | None:
        return _LOOK_SECONDS if self.spec.memory or self.spec.processes else None

    def _members(self) -> list[int]:
        return processes.descendants(os.getpid())

    def _forward(self, number: int, frame: object) -> None:
        if self.status is None:
            with suppress(ProcessLookupError):  # its end was taken in this moment
                os.kill(self.child, signal.SIGTERM)

    def _kill(self, number: int, frame: object) -> None:
        self.killed = True
        for pid in self._members():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def _kill_rest(self) -> None:
        """What the program left behind; with a process table of its own the kernel has done that already."""
        while members := self._members():
            for pid in members:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)
            self._reap()

    def _reap(self) -> None:
        """Take the exits of the child, and of orphans that were adopted."""
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == self.child:
                    self.status = found[1]

    def _keep(self, piece: bytes) -> None:
        """Append to the log; on a full disk the output is lost, and the program is not held up by it."""
        while piece:
            try:
                piece = piece[os.write(self.log, piece) :]
            except OSError:
                return


def _write_handle(spec: Spec, folder: Path) -> None:
    detail = {"note": spec.note} if spec.note else {}
    if not spec.namespaces:
        # There is no /opt/ml of its own then: paths in it are told as they are on the host.
        detail["opt_ml"] = spec.opt_ml
    handle = Handle(
        driver="process",
        name=spec.name,
        id=str(processes.this_process()),
        host="127.0.0.1" if spec.host_port else None,
        port=spec.host_port,
        detail=detail,
    )
    _write_json(folder / HANDLE, asdict(handle))


def _write_json(path: Path, value: dict[str, Any]) -> None:
    """Whole or not at all: a reader may look at any moment."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value), encoding="utf-8")
    part.replace(path)


def _join(spec: Spec) -> bool:
    """Enter the network of a peer (unprivileged that takes its user namespace first); False where it has ended."""
    members = processes.descendants(processes.parse(spec.join_network).pid)
    if not members:
        return False
    try:
        if os.geteuid() != 0:
            namespaces.join(members[0], "user", namespaces.NEWUSER)
        namespaces.join(members[0], "net", namespaces.NEWNET)
    except FileNotFoundError:
        return False
    return True


def _probe() -> NoReturn:
    """Do what a workload needs, with nothing to show for it, and print what failed."""
    try:
        namespaces.leave_process_table()
        child = os.fork()
        if child == 0:
            init_process.probe()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except OSError as error:
        print(error.strerror or error)  # noqa: T201  the answer to `probe`
        code = 1
    sys.stdout.flush()
    os._exit(code)
