"""The failure file: what went wrong first, then the traceback. Its first 1,024 characters become FailureReason."""

from __future__ import annotations

import traceback
from pathlib import Path

from seaproof.errors import SeaproofError


def describe(error: BaseException, script: Path | None) -> tuple[str, str]:
    """An exception for the failure file, and for the log: its message and traceback, and its traceback alone.

    The traceback begins at the author's own file. An error of ours that no line of the author's led to has none.
    """
    own = error.__traceback__
    while own is not None and own.tb_frame.f_code.co_filename != str(script):
        own = own.tb_next
    if isinstance(error, SeaproofError):
        message = str(error)
        if own is None:
            return f"{message}\n", f"{message}\n"
    else:
        text = str(error)
        message = f"{type(error).__name__}: {text}" if text else type(error).__name__
    trace = "".join(traceback.format_exception(type(error), error, own or error.__traceback__))
    return f"{message}\n\n{trace}", trace


def write_failure(path: Path, text: str) -> None:
    """Write the failure file, unless the author has written one; a folder that cannot be written to is passed over,
    for the reason stands in the log as well."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or not path.stat().st_size:
            path.write_text(text, encoding="utf-8", errors="replace")
    except OSError:
        return
