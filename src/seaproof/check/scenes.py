"""The scenes of a rehearsal: each does to a container what happens to endpoints, while clients send requests."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from seaproof.check.check import Unchecked
from seaproof.check.holding import stopped
from seaproof.check.rehearsal import BAD, GOOD, Seen, Stage, clients, send
from seaproof.check.run import Run
from seaproof.check.traffic import several

Outcome = tuple[str, str, tuple[Seen, ...], str]
"""Verdict, sentence, what clients saw, fix."""

_FROZEN = 3.0
_SLOW = 40
_CUT = 40
_BURST = 64
_SCRATCH = 8 * 1024 * 1024


def ping_flaps(stage: Stage) -> Outcome:
    """The container stands still for longer than a ping may take, and goes on."""
    run = stage.healthy()
    pids = [pid for pid, _ in run.processes()]
    if not pids:
        raise Unchecked("its processes cannot be seen from here, so they cannot be held")
    with clients(stage, lambda: run) as crowd:
        crowd.settle()
        with stopped(pids):
            time.sleep(0.05)
            ping = run.ping(2.0)
            time.sleep(max(0.0, _FROZEN - 2.0))
        recovered = crowd.settle() and run.ping(2.0).healthy
        seen = crowd.close()
    missed = "one ping was missed" if not ping.healthy else "no ping was missed"
    if recovered:
        return GOOD, f"{missed}, and all went on after it", seen, ""
    return BAD, f"{missed}, and it did not recover", seen, "Let /ping fail only for what a restart cures."


def host_replaced(stage: Stage) -> Outcome:
    """A second container takes over; the first gets SIGTERM with requests under way."""
    old = stage.healthy()
    now = [old]
    with clients(stage, lambda: now[0]) as crowd:
        crowd.settle()
        now[0] = stage.healthy()
        took = old.stop(stage.subject.options.stop_seconds)
        crowd.settle()
        seen = crowd.close()
    lost = [one for one in seen if one.problem]
    if lost:
        fix = "On SIGTERM, stop accepting, finish what is under way, then end: gunicorn --graceful-timeout 25."
        return BAD, f"{len(lost)} requests under way were lost when it was replaced", seen, fix
    return GOOD, f"nothing was lost; the old one ended {took:.1f} s after SIGTERM", seen, ""


def slow_connections(stage: Stage) -> Outcome:
    """Many connections that send a byte now and then, beside clients that are quick."""
    run = stage.healthy()
    with ExitStack() as held, clients(stage, lambda: run) as crowd:
        crowd.settle()
        slow = [held.enter_context(_connect(run)) for _ in range(_SLOW)]
        for piece in (b"POST /invocations HTTP/1.1\r\n", b"Host: a\r\n", b"Content-Le"):
            for connection in slow:
                with suppress(OSError):
                    connection.sendall(piece)
            time.sleep(0.2)
        served = crowd.settle()
        seen = crowd.close()
    if served and not [one for one in seen if one.problem]:
        return GOOD, f"{_SLOW} slow connections held nobody up", seen, ""
    fix = "Put a proxy that buffers in front (nginx), or use an asynchronous server."
    return BAD, f"{_SLOW} slow connections held others up", seen, fix


def cut_connections(stage: Stage) -> Outcome:
    """Clients that go away in the middle of a request, or before its answer."""
    run = stage.healthy()
    payload = stage.payload
    head = (
        f"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Type: {payload.content_type}\r\n"
        f"Content-Length: {len(payload.body)}\r\n\r\n"
    ).encode()
    with clients(stage, lambda: run) as crowd:
        crowd.settle()
        for number in range(_CUT):
            with suppress(OSError), _connect(run) as connection:
                whole = head + payload.body
                connection.sendall(whole[: len(whole) // 2] if number % 2 else whole)
                # The connection is reset, not closed.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        served = crowd.settle()
        seen = crowd.close()
    if served and run.exit() is None and not [one for one in seen if one.problem]:
        return GOOD, f"{_CUT} connections that were cut harmed nobody else", seen, ""
    return (
        BAD,
        f"after {_CUT} connections that were cut others are not answered",
        seen,
        "Catch a broken pipe per request.",
    )


def throttled(stage: Stage) -> Outcome:
    """A burst of many requests at once."""
    run = stage.healthy()
    begun = time.monotonic()
    limit = stage.subject.options.invocation_seconds
    with several(_BURST) as pool:
        seen = tuple(pool.map(lambda _: send(run, stage.payload, limit, begun), range(_BURST)))
    told = [one for one in seen if one.problem in ("429", "503")]
    lost = [one for one in seen if one.problem and one not in told]
    alive = run.ping(2.0).healthy
    if lost or not alive:
        fix = "Answer 503 to what is too much, at once; let no connection be refused."
        return (
            BAD,
            f"of {_BURST} at once {len(lost)} were lost" + ("" if alive else ", and /ping fails after it"),
            seen,
            fix,
        )
    if told:
        return GOOD, f"of {_BURST} at once {len(told)} were told to come again (503 or 429)", seen, ""
    return GOOD, f"all of {_BURST} at once were answered", seen, ""


def disk_full(stage: Stage) -> Outcome:
    """/tmp is full for a while."""
    run = stage.healthy(scratch=_SCRATCH)
    inside = [Path(f"/proc/{pid}/root/tmp") for pid in run.usage().processes]
    folder = next((path for path in reversed(inside) if _is_own(path)), None)
    if folder is None:
        raise Unchecked("its /tmp cannot be reached from here, so it cannot be filled")
    with clients(stage, lambda: run) as crowd:
        crowd.settle()
        filler = folder / "seaproof-filler"
        with suppress(OSError), filler.open("wb") as file:
            while file.write(bytes(64 * 1024)):
                file.flush()
        during = crowd.settle(patience=3.0)
        with suppress(OSError):
            filler.unlink()
        after = crowd.settle() and run.ping(2.0).healthy
        seen = crowd.close()
    if not after:
        return BAD, "it does not recover from a full /tmp", seen, "Write nothing that a request needs to /tmp."
    lost = sum(bool(one.problem) for one in seen)
    how = "nothing was lost" if during and not lost else f"{lost} requests failed while it was full"
    return GOOD, f"{how}, and it went on when there was room again", seen, ""


def half_a_model(stage: Stage) -> Outcome:
    """The model's files end in the middle, as after an upload that was cut."""
    lab = stage.subject.lab
    if lab.model() is None:
        raise Unchecked("no model was given", next_step="Give --model model.tar.gz.")
    root = lab.model_root()
    for path in (root / "model").rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".txt"):
            os.truncate(path, path.stat().st_size // 2)
    from seaproof.check.startup import start_once

    found = start_once(stage.subject, root, patience=min(15.0, stage.subject.options.patience))
    if found.run is not None:
        stage.started.append(found.run)
    if not found.healthy or found.run is None:
        return GOOD, f"with half a model it does not become healthy ({found.kind})", (), ""
    one = send(found.run, stage.payload, 5.0, time.monotonic())
    fix = "Load the model before /ping answers 200, and end where that fails."
    said = one.problem or "an answer of half a model"
    return BAD, f"with half a model /ping is 200, and callers get: {said}", (one,), fix


def stop_grace(stage: Stage) -> Outcome:
    """SIGTERM with requests under way, and the clock of the platform."""
    run = stage.healthy()
    grace = stage.subject.options.stop_seconds
    seen: list[Seen] = []
    begun = time.monotonic()
    usual = send(run, stage.payload, grace, begun).seconds
    threads = [
        threading.Thread(target=lambda: seen.append(send(run, stage.payload, grace, begun)), daemon=True)
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    time.sleep(min(1.0, max(0.005, usual / 2)))  # nobody is sent a request any more when SIGTERM comes
    took = run.stop(grace)
    for thread in threads:
        thread.join(grace + 2)
    if took >= grace:
        fix = "exec the server in shell scripts, and handle SIGTERM."
        return BAD, f"it was killed after {grace:g} s, as it did not end on SIGTERM", tuple(seen), fix
    lost = sum(bool(one.problem) for one in seen)
    if lost:
        fix = "Finish what is under way before you end."
        return (
            BAD,
            f"it ended after {took:.1f} s, and {lost} of {len(seen)} requests under way were lost",
            tuple(seen),
            fix,
        )
    return GOOD, f"it ended {took:.1f} s after SIGTERM, and what was under way was answered", tuple(seen), ""


def _connect(run: Run) -> socket.socket:
    return socket.create_connection((run.handle.host or "", run.handle.port or 0), 2.0)


def _is_own(path: Path) -> bool:
    """Whether this /tmp is not the machine's own."""
    try:
        return path.stat().st_dev != Path("/tmp").stat().st_dev
    except OSError:
        return False


SCENES: dict[str, tuple[str, Callable[[Stage], Outcome]]] = {
    "ping-flaps": ("a ping is missed", ping_flaps),
    "host-replaced": ("the host is replaced during requests", host_replaced),
    "slow-connections": ("connections are slow", slow_connections),
    "cut-connections": ("connections are cut", cut_connections),
    "throttled": ("many requests come at once", throttled),
    "disk-full": ("the disk is full", disk_full),
    "half-a-model": ("the model's archive was half written", half_a_model),
    "stop-grace": ("it is stopped during requests", stop_grace),
}
