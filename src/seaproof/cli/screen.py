"""What a command shows while it works: a live line in a terminal, plain lines elsewhere, nothing with --json."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status


class Screen:
    """Progress of one command. All of it goes to stderr, so that stdout holds the result alone."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._started = time.monotonic()
        self._live = sys.stderr.isatty() and not quiet
        self._console: Console | None = None
        self._status: Status | None = None
        self._said = ""
        if self._live:
            from rich.console import Console

            self._console = Console(stderr=True, highlight=False)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is shown."""
        return self._quiet

    @property
    def console(self) -> Console | None:
        """What is drawn on, in a terminal."""
        return self._console

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status:
            self._status.stop()

    def step(self, text: str) -> None:
        """What is being done now: the live line, or one plain line where it differs from the last one."""
        if self._quiet or text == self._said:
            return
        self._said = text
        if self._console is None:
            print(f"{self._elapsed()}  {text}", file=sys.stderr, flush=True)
        elif self._status is None:
            self._status = self._console.status(text)
            self._status.start()
        else:
            self._console.print(f"[dim]{self._elapsed()}[/dim]  {_plain(str(self._status.status))}")
            self._status.update(_plain(text))

    def clear(self) -> None:
        """End the live line, for something else that is drawn; what it said last stays on the screen."""
        if self._console is not None and self._status is not None:
            self._status.stop()
            self._console.print(f"[dim]{self._elapsed()}[/dim]  {_plain(str(self._status.status))}")
            self._status = None

    def line(self, text: str) -> None:
        """Something that stays on the screen."""
        if self._quiet:
            return
        if self._console is None:
            print(text, file=sys.stderr, flush=True)
        else:
            self._console.print(_plain(text), soft_wrap=True)

    def log(self, piece: bytes, prefix: str = "  | ") -> None:
        """Lines of a container's log."""
        for line in piece.decode("utf-8", "replace").splitlines():
            self.line(f"{prefix}{line}")

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._started:6.1f} s"


def table(rows: Iterable[Sequence[Any]], headings: Sequence[str]) -> None:
    """A table on stdout: drawn in a terminal, columns of text elsewhere."""
    texts = [[_text(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table

        drawn = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
        for number, heading in enumerate(headings):
            # The first column is what other commands are given: it is never cut.
            drawn.add_column(heading, no_wrap=number == 0, overflow="fold")
        for row in texts:
            drawn.add_row(*(_plain(cell) for cell in row))
        Console().print(drawn)
        return
    widths = [max(len(line[i]) for line in [list(headings), *texts]) for i in range(len(headings))]
    for line in [list(headings), *texts]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def facts(values: Mapping[str, Any]) -> None:
    """Names and values, one a line, aligned, on stdout; what has no value is left out."""
    shown = {name: _text(value) for name, value in values.items() if value not in (None, "", [], {})}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        first, *rest = value.splitlines() or [""]
        print(f"{name.ljust(width)}  {first}")
        for line in rest:
            print(f"{' ' * width}  {line}")


def moment(seconds: float | None) -> str:
    """A time as people read it, in this machine's zone."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S") if seconds else ""


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell)


def _plain(text: str) -> str:
    """Text that rich shows as it is: square brackets are not markup."""
    from rich.markup import escape

    return escape(text)
