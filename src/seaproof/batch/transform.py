"""The chain of a transform: objects -> payloads -> engine -> outcomes in order -> one `.part` for each object.

Generators from end to end, so that what is held in memory is a few payloads, however large the objects are. An object
whose payload fails is given up; the next one goes on. Nothing is seen of an object before it is whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from seaproof.batch.engine import Map
from seaproof.batch.failures import placed, unreadable, unwritable
from seaproof.batch.journal import Part
from seaproof.batch.payload import Failure, Outcome, Payload, payload_of
from seaproof.batch.source import Source
from seaproof.batch.split import first_record_end, splitter
from seaproof.batch.work import BAD_LIMIT
from seaproof.errors import SeaproofError


@dataclass(frozen=True)
class Cutting:
    """How objects are cut into payloads."""

    split: str = "None"
    limit: int = 0
    """Bytes of a payload; 0 for no limit."""
    single: bool = False
    quoted: bool = False
    repeat_header: bool = False


class Object(Protocol):
    """One object to be transformed."""

    @property
    def name(self) -> str:
        """`bucket/key`, as logs name it."""
        ...

    @property
    def stamp(self) -> str:
        """Changes when the object does."""
        ...

    @property
    def base(self) -> Path:
        """Where its unfinished output lies, without the endings."""
        ...

    def open(self) -> Source: ...

    def is_finished(self) -> bool:
        """Whether its output is an object."""
        ...

    def finish(self, part: Path, bad: Path | None) -> None:
        """Make the whole output an object. The file may be moved away; where it is gone, that was done before."""
        ...


class Listener(Protocol):
    """Told as it happens, from the thread of the transform."""

    def moved(self, bytes: int, records: int, requests: int) -> None:
        """So much more of the input is done with, in so many requests."""
        ...

    def done(self, object: Object, stats: Stats) -> None: ...

    def failed(self, object: Object, failure: Failure, stats: Stats) -> None: ...


@dataclass
class Stats:
    """What became of one object."""

    bytes: int = 0
    """Of the input."""
    records: int = 0
    payloads: int = 0
    output: int = 0
    bad: int = 0
    seconds: float = 0.0
    resumed: int = 0
    """Byte of the input from which an earlier run was gone on with; 0 where there was none."""


@dataclass
class _Run:
    """One object under way."""

    object: Object
    part: Part
    source: Source | None = None
    failure: Failure | None = None
    begun: float = field(default_factory=time.monotonic)
    resumed: int = 0
    agrees: bool = False
    header_lines: int = 0


def transform(
    objects: Iterable[Object],
    cutting: Cutting,
    map: Map,
    width: int,
    listener: Listener,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Transform the objects in order. What an object brings about is told to the listener and not raised.

    Returns early where `stopped`; what was written is kept for a later run.
    """
    runs: dict[int, _Run] = {}
    payloads = _payloads(objects, cutting, runs, listener, stopped)
    outcomes = map(payloads, width)
    try:
        for outcome in outcomes:
            if stopped():
                break
            _take(runs[outcome.object], outcome, listener)
            if outcome.last:
                del runs[outcome.object]
    finally:
        close = getattr(outcomes, "close", None)
        if close is not None:
            close()
        payloads.close()
        for run in runs.values():
            _keep(run)


def _payloads(
    objects: Iterable[Object], cutting: Cutting, runs: dict[int, _Run], listener: Listener, stopped: Callable[[], bool]
) -> Generator[Payload, None, None]:
    for number, object in enumerate(objects):
        if stopped():
            return
        part = Part(object.base, object.stamp)
        if part.mark.complete and not part.path.exists() and not object.is_finished():
            part.begin_anew()  # somebody took the output away since
        run = runs[number] = _Run(object, part, resumed=part.mark.offset)
        last = Payload(number, -1, 0, 0, last=True)
        if not part.mark.complete:
            try:
                part.open()
                run.source = object.open()
                listener.moved(part.mark.offset, part.mark.records, 0)
                for payload in _of_object(run, run.source, number, cutting):
                    yield payload
                    if stopped():
                        return
                    if run.failure is not None:
                        break
            except (SeaproofError, OSError) as error:
                last.failure = unreadable(error)
        yield last


def _of_object(run: _Run, source: Source, number: int, cutting: Cutting) -> Iterator[Payload]:
    start, count, header = run.part.mark.offset, run.part.mark.number, b""
    if cutting.repeat_header and not source.ends_by(0):
        # The header is of the object's beginning, also where only its end is left to do.
        after = first_record_end(source, 0, quoted=cutting.quoted)
        header = source.read(0, after)
        if not header.endswith(b"\n"):
            header += b"\n"
        start, run.header_lines = max(start, after), 1
    split = splitter(cutting.split, limit=cutting.limit, single=cutting.single, quoted=cutting.quoted, head=len(header))
    source.release(start)
    for cut in split(source, start):
        payload = payload_of(cut, source, number, count, header)
        payload.count = not run.agrees
        count += 1
        yield payload


def _take(run: _Run, outcome: Outcome, listener: Listener) -> None:
    """Write one outcome; finish the object with its last."""
    if run.failure is None:
        try:
            if outcome.failure is not None:
                run.failure = placed(outcome, run.part.mark, run.header_lines, run.source)
            elif outcome.last:
                _finish(run)
            else:
                _write(run, outcome, listener)
        except (SeaproofError, OSError) as error:
            run.failure = unwritable(error)
    if outcome.last:
        _settle(run, listener)


def _write(run: _Run, outcome: Outcome, listener: Listener) -> None:
    mark = run.part.mark
    before = mark.offset
    for bad in outcome.bad:
        run.part.put_aside(run.header_lines + mark.records + bad.index + 1, bad.reason, bad.record)
    if mark.bad > BAD_LIMIT:
        run.failure = Failure(
            "ClientError",
            [f"ClientError: more than {BAD_LIMIT:,} records failed"],
            f"more than {BAD_LIMIT:,} of its records failed, the last one with: {outcome.bad[-1].reason}."
            " So many are no exceptions any more: mend the container or the data",
        )
        return
    run.part.write(outcome.data, offset=outcome.stop, records=outcome.records)
    run.agrees = outcome.agrees
    listener.moved(outcome.stop - before, outcome.records, 1)


def _finish(run: _Run) -> None:
    if not run.part.mark.complete:
        run.part.complete()
    bad = run.part.bad_path if run.part.mark.bad else None
    run.object.finish(run.part.path, bad)


def _settle(run: _Run, listener: Listener) -> None:
    mark = run.part.mark
    stats = Stats(
        bytes=mark.offset,
        records=mark.records,
        payloads=mark.number,
        output=mark.output,
        bad=mark.bad,
        seconds=time.monotonic() - run.begun,
        resumed=run.resumed,
    )
    if run.failure is None:
        run.part.close()
        _close(run)
        listener.done(run.object, stats)
    else:
        _keep(run)
        listener.failed(run.object, run.failure, stats)


def _keep(run: _Run) -> None:
    """Leave what there is for a later run."""
    run.part.close()
    _close(run)


def _close(run: _Run) -> None:
    if run.source is not None:
        run.source.close()
