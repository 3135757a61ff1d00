"""The failure file: what went wrong first, then the traceback. Its first 1,024 characters become FailureReason."""

from __future__ import annotations

from pathlib import Path

from seaproof.errors import SeaproofError, authors_traceback


def describe(error: BaseException) -> tuple[str, str]:
    """An exception for the failure file, and for the log: its message and traceback, and its traceback alone.

    An error of ours says all that there is to know: the author's own line is not at fault for it, or is in it.
    """
    if isinstance(error, SeaproofError):
        # Without its full stop: the platform goes on with ", exit code: 255".
        return f"{str(error).rstrip('.')}\n", f"{error}\n"
    text = str(error)
    message = f"{type(error).__name__}: {text}" if text else type(error).__name__
    trace = authors_traceback(error)
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
