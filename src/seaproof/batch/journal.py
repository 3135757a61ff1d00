"""How far an object has come: its output so far in a `.part`, and beside it what of the input that stands for.

<name>.part      the output up to here
<name>.journal   one JSON line per mark: where the input goes on, bytes of output and of quarantine, records
<name>.bad       records put aside

A mark is written after the output that it stands for, and the output is cut back to the last mark when work goes on:
nothing is lost and nothing is there twice, whenever the process was killed.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

_SECONDS = 0.2


@dataclass
class Mark:
    """How far an object has come."""

    offset: int = 0
    """Byte of the input where the next payload begins."""
    number: int = 0
    """Of the next payload."""
    records: int = 0
    output: int = 0
    """Bytes of the output."""
    bad_bytes: int = 0
    bad: int = 0
    """Records put aside."""
    complete: bool = False
    """Whether the output is whole; it is then about to become an object, or has become it."""


class Part:
    """The unfinished output of one object."""

    def __init__(self, base: Path, stamp: str) -> None:
        """`stamp` is what the input was when work began; with another one, all begins anew."""
        self.path = base.with_name(f"{base.name}.part")
        self.bad_path = base.with_name(f"{base.name}.bad")
        self._journal_path = base.with_name(f"{base.name}.journal")
        self._stamp = stamp
        self.mark = self._last_mark()
        self._file: BinaryIO | None = None
        self._bad: BinaryIO | None = None
        self._journal: BinaryIO | None = None
        self._marked = 0.0

    def open(self) -> None:
        """Begin, or go on after the last mark."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.mark.offset and not self.mark.complete:
            self._journal_path.write_text(json.dumps({"stamp": self._stamp}) + "\n", encoding="utf-8")
        self._file = _cut_back(self.path, self.mark.output)
        if self.mark.bad_bytes or self.bad_path.exists():
            self._bad = _cut_back(self.bad_path, self.mark.bad_bytes)
        self._journal = self._journal_path.open("ab")

    def begin_anew(self) -> None:
        """Forget what was done."""
        self.remove()
        self.mark = Mark()

    def write(self, data: bytes, *, offset: int, records: int) -> None:
        """The answer to the next payload; the rest of the input begins at `offset`."""
        assert self._file is not None
        self._file.write(data)
        mark = self.mark
        mark.offset, mark.number = offset, mark.number + 1
        mark.records, mark.output = mark.records + records, mark.output + len(data)
        now = time.monotonic()
        if now - self._marked > _SECONDS:
            self._marked = now
            self._write_mark()

    def put_aside(self, line: int, reason: str, record: bytes) -> None:
        """A bad record; `line` counts from 1. Before the `write` of its payload."""
        entry: dict[str, object] = {"line": line, "reason": reason}
        try:
            entry["record"] = record.decode("utf-8")
        except UnicodeDecodeError:
            entry["record_hex"] = record.hex()
        text = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
        if self._bad is None:
            self._bad = _cut_back(self.bad_path, self.mark.bad_bytes)
        self._bad.write(text)
        self.mark.bad_bytes += len(text)
        self.mark.bad += 1

    def complete(self) -> None:
        """All is written."""
        self.mark.complete = True
        self._write_mark()
        self.close()

    def close(self) -> None:
        """Keep what there is, for a later run to go on from. Where the disk is full, the last mark stands."""
        if self._file is not None and not self._file.closed and not self.mark.complete and self.mark.offset:
            with suppress(OSError):
                self._write_mark()
        for file in (self._file, self._bad, self._journal):
            if file is not None:
                with suppress(OSError):
                    file.close()

    def remove(self) -> None:
        for path in (self.path, self.bad_path, self._journal_path):
            path.unlink(missing_ok=True)

    def _write_mark(self) -> None:
        assert self._file is not None
        assert self._journal is not None
        self._file.flush()
        if self._bad is not None:
            self._bad.flush()
        self._journal.write(json.dumps(asdict(self.mark)).encode() + b"\n")
        self._journal.flush()

    def _last_mark(self) -> Mark:
        try:
            first, *lines = self._journal_path.read_bytes().split(b"\n")
            if json.loads(first).get("stamp") != self._stamp:
                return Mark()
        except (OSError, ValueError):
            return Mark()
        size = self.path.stat().st_size if self.path.exists() else -1
        bad_size = self.bad_path.stat().st_size if self.bad_path.exists() else 0
        for line in reversed(lines):
            try:
                mark = Mark(**json.loads(line))
            except (ValueError, TypeError):
                continue  # the last line may be half written
            if mark.complete or (mark.output <= size and mark.bad_bytes <= bad_size):
                return mark
        return Mark()


def remove_untouched(folder: Path) -> bool:
    """Remove the files of objects of which nothing was done; whether there are others."""
    others = False
    for journal in folder.glob("*.journal"):
        try:
            marks = journal.read_bytes().count(b"\n") - 1  # the first line is none
        except FileNotFoundError:  # a job that goes on with this one has just taken the folder over
            break
        if marks > 0:
            others = True
            continue
        for ending in (".part", ".bad", ".journal"):
            journal.with_suffix(ending).unlink(missing_ok=True)
    return others


def _cut_back(path: Path, size: int) -> BinaryIO:
    """The file with its first `size` bytes, ready to be written on."""
    file = path.open("r+b" if path.exists() else "w+b", buffering=256 * 1024)
    os.ftruncate(file.fileno(), size)
    file.seek(size)
    return file
