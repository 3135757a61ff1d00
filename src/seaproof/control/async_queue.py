"""The queue of asynchronous invocations: in memory what is on record, worked on as the endpoints have room.

    accepted -> waiting -> running -> output or failure written, a notice sent, the record gone
                   ^ where no instance takes it (an update, a restart)

One thread looks after all that waits, and each invocation that runs has one; neither is there while nothing waits.
"""

from __future__ import annotations

import io
import shutil
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Condition

from seaproof.contract.limits import ASYNCHRONOUS
from seaproof.control import async_notices
from seaproof.control.async_invocations import KIND, Accepted, read
from seaproof.control.async_notices import INLINE_BYTES, Answer, Publish
from seaproof.control.containers import KIND as ENDPOINT
from seaproof.control.plane import Plane
from seaproof.errors import HttpError, SeaproofError, ServiceError, StorageError
from seaproof.http.message import Request
from seaproof.invocations import flow
from seaproof.invocations.stored_body import StoredBody
from seaproof.invocations.streaming import to_file
from seaproof.invocations.terms import asynchronous
from seaproof.storage.storage import Address, parse_address

TICK = 0.25
"""Seconds between two looks at what has to wait for an instance."""
WRITES = 3
"""Attempts to write an answer."""


class Failed(SeaproofError):
    """An invocation ends as a failure, with this text."""


class _NotNow(Exception):
    """It stays on record, for a later attempt."""


class AsyncQueue:
    """All asynchronous invocations of one coordinator. Usable from any thread."""

    def __init__(self, plane: Plane, report: flow.Report, publish: Publish) -> None:
        self._plane = plane
        self._report = report
        self._publish = publish
        self._changed = Condition()
        self._waiting: dict[str, deque[Accepted]] = {}
        self._running: Counter[str] = Counter()
        self._watched = False
        self._resting = False

    def recover(self) -> None:
        """Take up what is on record; called once, before anything else is put in."""
        shutil.rmtree(_folder(self._plane), ignore_errors=True)
        for record in self._plane.store.records(KIND):
            self.put(read(record))

    def put(self, accepted: Accepted) -> None:
        """Have it worked on."""
        with self._changed:
            self._waiting.setdefault(accepted.endpoint, deque()).append(accepted)
            self._start_those_that_fit(accepted.endpoint)
            self._watch()

    def rest(self) -> None:
        """Begin nothing more; what ends from now on without an answer stays on record for the next coordinator."""
        with self._changed:
            self._resting = True
            self._changed.notify_all()

    def backlog(self) -> dict[str, int]:
        """How many of each endpoint wait or run."""
        with self._changed:
            names = {*self._waiting, *self._running}
            return {name: len(self._waiting.get(name, ())) + self._running[name] for name in sorted(names)}

    def _watch(self) -> None:
        if not self._watched and any(self._waiting.values()) and not self._resting:
            self._watched = True
            self._plane.spawn("async queue", self._look_after)

    def _look_after(self) -> None:
        """Until nothing waits: begin what there is room for, end what has waited too long or for a lost endpoint."""
        while True:
            with self._changed:
                if self._resting or not any(self._waiting.values()):
                    self._watched = False
                    return
                over = [accepted for endpoint in list(self._waiting) for accepted in self._look_at(endpoint)]
            for accepted, why in over:
                self._end(accepted, why)
            with self._changed:
                self._changed.wait(TICK)

    def _look_at(self, endpoint: str) -> list[tuple[Accepted, str]]:
        """Begin what fits; what is over, and why."""
        waiting = self._waiting[endpoint]
        if not waiting:
            del self._waiting[endpoint]
            return []
        self._start_those_that_fit(endpoint)
        if self._plane.store.get(ENDPOINT, endpoint) is None:
            over = [
                (accepted, f"Endpoint {endpoint} was deleted before the request was processed.") for accepted in waiting
            ]
        else:
            now = time.time()
            over = [
                (
                    accepted,
                    f"The request expired: it was not processed within {accepted.expires - accepted.received:g} s.",
                )
                for accepted in waiting
                if accepted.expires <= now
            ]
        for accepted, _ in over:
            waiting.remove(accepted)
        return over

    def _start_those_that_fit(self, endpoint: str) -> None:
        routing = self._plane.fleets.routes.get(endpoint)
        if routing is None or self._resting:
            return
        room = routing.asynchronous * sum(len(variant.instances) for variant in routing.variants)
        waiting = self._waiting.get(endpoint)
        while waiting and self._running[endpoint] < room and waiting[0].expires > time.time():
            self._running[endpoint] += 1
            self._plane.spawn(f"async {endpoint}", partial(self._run, waiting.popleft()))

    def _run(self, accepted: Accepted) -> None:
        """One invocation, from its input to its end."""
        try:
            self._answer(accepted)
        except _NotNow:
            with self._changed:
                self._waiting.setdefault(accepted.endpoint, deque()).appendleft(accepted)
        except Exception as error:
            # Whatever it is, the caller looks for an answer.
            self._end(accepted, f"seaproof failed: {error!r}")
            raise
        finally:
            with self._changed:
                self._running[accepted.endpoint] -= 1
                self._start_those_that_fit(accepted.endpoint)
                self._watch()
                self._changed.notify_all()

    def _answer(self, accepted: Accepted) -> None:
        plane = self._plane

        def report(outcome: flow.Outcome) -> None:
            self._report(outcome)
            _log(plane, accepted, outcome)

        try:
            request = Request("POST", "", headers=accepted.headers, body=accepted.body or b"")
            # Up to 1 GB each: what is sent comes from storage while it goes, and what is answered goes to a file.
            stored = None if accepted.body is not None else _input(plane, accepted)
            steps = flow.invocation(
                plane.fleets.routes,
                accepted.endpoint,
                request,
                plane.settings,
                terms=asynchronous(accepted.timeout),
                report=report,
                stored=stored,
            )
            answer = self._ask(steps, accepted)
        except ServiceError as error:
            self._refused(accepted, error)
        except Failed as error:
            self._end(accepted, error.what)
        else:
            async_notices.send(plane, accepted, answer, self._publish)
            plane.store.delete(KIND, accepted.id)

    def _ask(self, steps: flow.Steps, accepted: Accepted) -> Answer:
        """Drive the steps, with the answer as an object at last."""
        plane = self._plane
        path = _folder(plane) / f"{accepted.id}.part"
        try:
            path.parent.mkdir(exist_ok=True)
            response = plane.sender.run(lambda client: to_file(client, steps, path, ASYNCHRONOUS.value))
            body = path.read_bytes() if path.stat().st_size <= INLINE_BYTES else None
            _write(accepted.output, lambda address: plane.storage.move(path, address), plane)
        except HttpError as error:
            if error.kind != "oversize":
                raise _NotNow from error  # the server ends
            raise Failed(f"The answer is over {ASYNCHRONOUS}.") from error
        except (StorageError, OSError) as error:
            raise Failed(f"The input cannot be read, or the answer cannot be kept: {error}") from error
        finally:
            path.unlink(missing_ok=True)
        return Answer(response.headers, body)

    def _refused(self, accepted: Accepted, error: ServiceError) -> None:
        """The invocation has failed, unless nothing was wrong with it."""
        gone = self._plane.fleets.routes.get(accepted.endpoint) is None
        if self._resting or self._plane.closing.is_set() or error.code == "ServiceUnavailable" or gone:
            raise _NotNow
        self._end(accepted, error.message, explained=error.code == "ModelError")

    def _end(self, accepted: Accepted, why: str, *, explained: bool = False) -> None:
        """It has failed: the text is written where failures go, and told."""
        plane = self._plane
        if accepted.failure:
            said = why.encode()
            try:
                _write(accepted.failure, lambda address: plane.storage.write(address, io.BytesIO(said)), plane)
            except Failed as error:
                why = f"{why} That could not be written: {error.what}"
        # What a container answered is explained by an event anyhow; here it is told where nobody would find it.
        if not (explained and accepted.failure) and plane.store.get(ENDPOINT, accepted.endpoint):
            text = f"Asynchronous invocation {accepted.inference_id}: {why}"
            plane.store.add_event(ENDPOINT, accepted.endpoint, "async-failed", text)
        async_notices.send(plane, accepted, why, self._publish)
        plane.store.delete(KIND, accepted.id)


def _log(plane: Plane, accepted: Accepted, outcome: flow.Outcome) -> None:
    """A line in the instance's data log, which the platform keeps for asynchronous endpoints."""
    path = plane.log_file("Endpoints", outcome.endpoint, f"{outcome.variant}-{outcome.instance}", "data-log")
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    how = f"failed: {outcome.failed.what}" if outcome.failed else f"answered in {outcome.seconds:.3f} s"
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{moment}: [{accepted.inference_id}] {how}; output {accepted.output}\n")


def _input(plane: Plane, accepted: Accepted) -> StoredBody:
    where = accepted.members["InputLocation"]
    address = parse_address(where)
    try:
        # Where there is none, opening it says so best.
        plane.storage.open(address).close()
        size = next(found.size for found in plane.storage.list(address) if found.address == address)
    except (StorageError, OSError, StopIteration) as error:
        raise Failed(f"The input cannot be read from {where}: {error}") from error
    if size > ASYNCHRONOUS.value:
        raise Failed(f"The input at {where} is over {ASYNCHRONOUS}.")
    return StoredBody(lambda: plane.storage.open(address), size)


def _folder(plane: Plane) -> Path:
    """Where answers are that are not whole yet."""
    return plane.folder / "async"


def _write(where: str, write: Callable[[Address], None], plane: Plane) -> None:
    for attempt in range(1, WRITES + 1):
        try:
            write(parse_address(where))
            return
        except (StorageError, OSError) as error:
            if attempt == WRITES:
                raise Failed(f"The answer cannot be written to {where}: {error}") from error
            plane.closing.wait(0.2)
