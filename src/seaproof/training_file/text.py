"""A training file as text, also a compressed one; where it is none, what it is instead and how to make text of it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

_PACKED: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
"""As pandas reads them in the job, by the end of the name."""
_WIDE = (b"\xff\xfe", b"\xfe\xff")
_ZIP = b"PK\x03\x04"


class NoText(Exception):
    """A file that is no text in UTF-8."""

    def __init__(self, what: str, next_step: str) -> None:
        super().__init__(what)
        self.what, self.next_step = what, next_step


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """Its text, for `csv`. NoText where it is in another encoding, or no text at all."""
    try:
        with (
            _PACKED.get(path.suffix.lower(), _plain)(path) as packed,
            io.TextIOWrapper(packed, "utf-8-sig", newline="") as text,
        ):
            yield text
    except UnicodeDecodeError:
        raise _no_text(path) from None
    except lzma.LZMAError as error:
        raise OSError(str(error)) from None


def _plain(path: Path) -> Any:
    return path.open("rb")


def _no_text(path: Path) -> NoText:
    with path.open("rb") as file:
        start = file.read(4096)
    if start.startswith(_ZIP):
        kind = "an Excel file" if path.suffix.lower() in (".xlsx", ".xlsm") else "a ZIP archive"
        return NoText(f"{path.name} is {kind}", "Save its table as CSV in UTF-8.")
    if start.startswith(_WIDE):
        return NoText(f"{path.name} is text in UTF-16", _converted(path, "UTF-16"))
    if b"\0" in start:
        return NoText(f"{path.name} is no text", "Save it as CSV in UTF-8.")
    return NoText(
        f"{path.name} is no text in UTF-8", _converted(path, "WINDOWS-1252", "; or, of western Windows text,")
    )


def _converted(path: Path, encoding: str, otherwise: str = ":") -> str:
    return f"Save it as CSV in UTF-8{otherwise} iconv -f {encoding} -t UTF-8 {path.name} > utf8.csv"
