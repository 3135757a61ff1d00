"""Finding the program of a command as the platform finds it, and saying why one cannot be executed."""

# Exec speaks in strings, and so does PATH.
# ruff: noqa: PTH110, PTH112, PTH113, PTH118, PTH119, PTH120, PTH123

from __future__ import annotations

import errno
import os
import sys

VERBS = ("train", "serve")
_SYSTEM = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


class CannotExecute(Exception):
    """The program cannot be run: `code` as a shell gives it (127 not found, 126 not executable)."""

    def __init__(self, code: int, what: str, next_step: str) -> None:
        super().__init__(what)
        self.code, self.what, self.next_step = code, what, next_step


def find_program(word: str, path: str) -> str:
    """The file that `word` names: itself where it has a slash, else the first executable of that name on `path`."""
    if "/" in word:
        return word
    refused = ""
    for folder in path.split(":"):
        if is_the_tools_own(word, folder):
            continue
        candidate = os.path.join(folder, word)
        if not os.path.isfile(candidate):
            continue
        if os.access(candidate, os.X_OK):
            return candidate
        refused = refused or candidate
    if refused:
        raise _not_executable(refused)
    raise CannotExecute(
        127,
        f"exec {word} failed: there is no executable file of that name on PATH ({path})",
        f"Put an executable file `{word}` into the program's folder, or name the command in seaproof.toml.",
    )


def is_the_tools_own(word: str, folder: str) -> bool:
    """Whether a `train` or `serve` found there would be one of seaproof's own environment, and none of the image's.

    That environment is on PATH for its python; some packages bring a command `serve` (Ray does).
    """
    return word in VERBS and folder == os.path.dirname(sys.executable) and folder not in _SYSTEM


def check_lines(program: str) -> None:
    """Refuse a script whose first line ends with CRLF: no interpreter is ever found by it."""
    first = _first_line(program)
    if first.startswith(b"#!") and first.endswith(b"\r\n"):
        raise CannotExecute(
            127,
            f"exec {program} failed: its lines end with CRLF, so the system looks for "
            f"{first[2:-1].decode('utf-8', 'replace').strip(' ')!r} with the carriage return",
            f"Save it with LF line endings: sed -i 's/\\r$//' {os.path.basename(program)}",
        )


def explain(program: str, error: OSError) -> CannotExecute:
    """What an OSError of exec means, with the first line of the file looked at."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR) and not os.path.exists(program):
        return CannotExecute(127, f"exec {program} failed: there is no such file", "Check the command.")
    if error.errno == errno.EACCES or os.path.isdir(program):
        return _not_executable(program)
    first = _first_line(program)
    if first.startswith(b"#!") and error.errno in (errno.ENOENT, errno.ENOTDIR):
        interpreter = first[2:].split()[0].decode("utf-8", "replace") if first[2:].split() else ""
        return CannotExecute(
            127,
            f"exec {program} failed: its first line names the interpreter {interpreter!r}, which does not exist",
            "Correct the first line, for example to #!/usr/bin/env python3.",
        )
    if error.errno == errno.ENOEXEC:
        return CannotExecute(
            126,
            f"exec {program} failed: exec format error; it has no `#!` line and is no program for this machine",
            "Write #!/usr/bin/env python3 (or #!/bin/sh) as its first line, or build it for this processor.",
        )
    return CannotExecute(126, f"exec {program} failed: {error.strerror}", "Check the file and its permissions.")


def _not_executable(program: str) -> CannotExecute:
    if os.path.isdir(program):
        return CannotExecute(126, f"exec {program} failed: it is a folder", "Name the program in it.")
    return CannotExecute(
        126, f"exec {program} failed: Permission denied; it is not executable", f"chmod +x {os.path.basename(program)}"
    )


def _first_line(program: str) -> bytes:
    try:
        with open(program, "rb") as file:
            return file.readline(256)
    except OSError:
        return b""
