"""Why an object fails: in the platform's words for the log, and for people what, where and what to do."""

from __future__ import annotations

from seaproof.batch.journal import Mark
from seaproof.batch.payload import Failure, Outcome, RecordError, SendFailed
from seaproof.batch.records import cells
from seaproof.batch.source import Source
from seaproof.batch.split import FramingError
from seaproof.errors import SeaproofError


def unreadable(error: SeaproofError | OSError) -> Failure:
    """The input cannot be read on."""
    if isinstance(error, FramingError):
        return Failure("ClientError", [f"ClientError: {error}"], str(error), unreadable=True)
    text = str(error) if isinstance(error, SeaproofError) else f"{error.strerror or error}"
    lines = [f"Unable to read the input: {text}"]
    return Failure("ClientError", lines, f"the input cannot be read: {text}", unreadable=True)


def explain(error: SendFailed | RecordError) -> Failure:
    """Why an object fails, in the platform's words and in ours."""
    if isinstance(error, RecordError):
        return Failure(
            "ClientError", [f"ClientError: {error.what}"], f"record {error.index + 1} of a request: {error.what}"
        )
    kind = "ClientError" if error.is_clients else "AlgorithmError"
    lines = [error.what]
    if error.body:
        lines += ["", "Message:", *error.body.splitlines()]
    return Failure(kind, lines, f"{error}{f'. {error.detail}' if error.detail else ''}", status=error.status)


def placed(outcome: Outcome, mark: Mark, header_lines: int, source: Source | None) -> Failure:
    """The failure of an outcome, with its place in the object: after `mark`, and the repeated header's lines."""
    failure = outcome.failure
    assert failure is not None
    if outcome.last:
        return failure
    line = header_lines + mark.records + 1
    to = f" to {outcome.stop:,}" if outcome.stop > mark.offset else ""
    failure.header_suspected = outcome.number > 0 and not header_lines and _seems_to_have_header(source)
    place = f"request {outcome.number + 1} of the object: from record {line:,}, bytes {mark.offset:,}{to}"
    failure.reason = f"{failure.reason} ({place})"
    return failure


def _seems_to_have_header(source: Source | None) -> bool:
    """Whether the first line has no number, and the second has: only a guess, for advice."""
    if source is None or not source.lazy:
        return False
    lines = source.read(0, 64 * 1024).split(b"\n")
    if len(lines) < 3:
        return False
    first, second = ([_is_number(cell) for cell in cells(line)] for line in lines[:2])
    return not any(first) and any(second)


def _is_number(cell: bytes) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def unwritable(error: SeaproofError | OSError) -> Failure:
    """The output cannot be written."""
    text = str(error) if isinstance(error, SeaproofError) else f"{error.strerror or error}"
    return Failure(
        "InternalServerError", [f"Unable to write the output: {text}"], f"the output cannot be written: {text}"
    )
