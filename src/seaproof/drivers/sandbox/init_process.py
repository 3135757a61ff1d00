"""The first process of a workload of the process driver: it makes the namespaces, runs the program, and reaps.

It does what the platform's tini does: passes SIGTERM on, takes the exits of orphans, and ends with the program's
exit code. With a process table of its own its end is the end of all. Standard library only.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from seaproof.drivers.sandbox import command, namespaces, relay
from seaproof.drivers.sandbox.spec import Spec

_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def run(spec: Spec, listener: socket.socket | None, report: int, output: int) -> NoReturn:
    """Never returns. `report` is closed once the program is executed, or gets the problem as JSON."""
    try:
        if spec.namespaces:
            namespaces.die_with_parent(signal.SIGKILL)
            _enter(spec)
        code = _run(spec, listener, report, output)
    except OSError as error:
        _complain(report, f"the namespaces of {spec.name} could not be made: {error}", "See `seaproof doctor`.")
        code = 125
    os._exit(code)


def probe() -> NoReturn:
    """Make all namespaces with an empty /opt/ml; prints what is refused."""
    code = 0
    folder = Path(tempfile.gettempdir())
    try:
        namespaces.unshare(namespaces.NEWNS | namespaces.NEWUTS | namespaces.NEWIPC | namespaces.NEWNET)
        namespaces.raise_loopback()
        namespaces.arrange(namespaces.View(opt_ml=folder, program="/opt/program", folder=folder))
    except OSError as error:
        os.write(1, f"{error.strerror}\n".encode())
        code = 1
    os._exit(code)


def _enter(spec: Spec) -> None:
    own = namespaces.NEWNET if spec.own_network and not spec.join_network else 0
    namespaces.unshare(namespaces.NEWNS | namespaces.NEWUTS | namespaces.NEWIPC | own)
    if own:
        namespaces.raise_loopback()
    namespaces.arrange(
        namespaces.View(
            opt_ml=Path(spec.opt_ml),
            program=spec.program,
            folder=Path(spec.folder),
            read_only=spec.read_only,
            hosts=Path(spec.hosts) if spec.hosts else None,
            hostname=spec.hostname,
            visible=frozenset(spec.visible),
            shared_memory=spec.shared_memory,
            scratch=spec.scratch,
        )
    )


def _run(spec: Spec, listener: socket.socket | None, report: int, output: int) -> int:
    """Program, relay, and the wait for the program's end: its exit code."""
    if not spec.namespaces:
        if listener:
            listener.close()
        # No process table of its own: the supervisor adopts the orphans, and this process becomes the program.
        _execute(spec, report, output)
    program = os.fork()
    if program == 0:
        if listener:
            listener.close()
        _execute(spec, report, output)

    def forward(number: int, frame: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(program, number)

    for number in _HANDLED:
        signal.signal(number, forward)
    os.close(report)
    if listener and spec.port:
        _start_relay(listener, spec.port)
    os.dup2(os.open("/dev/null", os.O_RDWR), 2)
    os.close(output)
    while True:
        pid, status = os.wait()
        if pid == program:
            code = os.waitstatus_to_exitcode(status)
            return 128 - code if code < 0 else code


def _start_relay(listener: socket.socket, port: int) -> None:
    if os.fork() == 0:
        for number in _HANDLED:
            signal.signal(number, signal.SIG_IGN)
        try:
            relay.run(listener, port)
        finally:
            os._exit(1)
    listener.close()


def _execute(spec: Spec, report: int, output: int) -> NoReturn:
    """Become the program. Where that fails, say why on `report` and end as a shell does."""
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGPIPE, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    os.dup2(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.set_inheritable(report, False)
    code = 126
    try:
        os.chdir(spec.program if spec.namespaces else spec.folder)
        if spec.namespaces:
            namespaces.drop_capabilities()
        if spec.user is not None:
            namespaces.become(spec.user)
        program = command.find_program(spec.command[0], spec.environment["PATH"])
        command.check_lines(program)
        try:
            os.execve(program, spec.command, spec.environment)
        except OSError as error:
            raise command.explain(program, error) from error
    except command.CannotExecute as error:
        _complain(report, error.what, error.next_step)
        code = error.code
    except OSError as error:
        _complain(report, f"the program could not be started: {error}", "Check the folder of the image.")
    os._exit(code)


def _complain(report: int, what: str, next_step: str) -> None:
    with suppress(OSError):
        os.write(report, json.dumps({"what": what, "next_step": next_step}).encode())
