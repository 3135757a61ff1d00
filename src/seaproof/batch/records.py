"""The records of a payload and of an answer, by content type: filtered, and joined to each other.

CSV cells stay as they were written, quotes included. JSON is read and written anew, one document a line where the
payload is lines, else one document.

Source: developer guide, "Associate prediction results with input records". A JSON object gets the key
`SageMakerOutput`, any other JSON value becomes `{"SageMakerInput": ..., "SageMakerOutput": ...}`, a CSV row gets the
columns of the output appended. OutputFilter is applied to what came of that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from seaproof.batch import jsonpath
from seaproof.batch.jsonpath import PathError, Step
from seaproof.batch.payload import RecordError

INPUT, OUTPUT = "SageMakerInput", "SageMakerOutput"
CSV, JSON, JSON_LINES = "csv", "json", "jsonlines"
FAMILIES = {
    "text/csv": CSV,
    "application/json": JSON,
    "application/jsonlines": JSON_LINES,
    "application/x-jsonlines": JSON_LINES,
    "application/jsonlines+json": JSON_LINES,
}
"""Content types that filters and joins know."""

_CELL = re.compile(rb'"(?:[^"]|"")*"[^,]*|[^,]*')


@dataclass(frozen=True)
class Processing:
    """DataProcessing of one job, with what it needs to know of the formats."""

    input_filter: tuple[Step, ...] = ()
    output_filter: tuple[Step, ...] = ()
    join: bool = False
    family: str = ""
    """`csv`, `json` or `jsonlines`; "" where nothing is to be done."""
    lines: bool = False
    """Whether a payload is lines, one record each; else it is one document."""
    quoted: bool = False

    @property
    def before(self) -> bool:
        """Whether a payload is changed before it is sent."""
        return bool(self.input_filter)

    @property
    def after(self) -> bool:
        """Whether the answer is changed before it is stored."""
        return self.join or bool(self.output_filter)


def split_records(data: bytes, *, lines: bool = True, quoted: bool = False) -> list[bytes]:
    """The records of a payload, line ends included."""
    if not lines:
        return [data] if data else []
    # `splitlines` takes "\r" for a line end, too.
    found = _at_newlines(data) if b"\r" in data else data.splitlines(keepends=True)
    if not quoted or b'"' not in data:
        return found
    whole: list[bytes] = []
    open_quotes = False
    for line in found:
        if open_quotes:
            whole[-1] += line
        else:
            whole.append(line)
        open_quotes ^= bool(line.count(b'"') & 1)
    return whole


def before(processing: Processing, records: Sequence[bytes]) -> bytes:
    """What is sent of these records: InputFilter applied. RecordError names the first that it does not fit."""
    return b"".join(filtered(processing, processing.input_filter, records))


def filtered(processing: Processing, steps: tuple[Step, ...], records: Sequence[bytes]) -> list[bytes]:
    """Each record as the filter leaves it, with its line end."""
    if not steps:
        return list(records)
    one = _csv_filter(steps) if processing.family == CSV else _json_filter(steps)
    return [_each(one, record, index) for index, record in enumerate(records)]


def after(processing: Processing, records: Sequence[bytes], answer: bytes) -> bytes:
    """What is stored: the answer joined to the records that were sent, and OutputFilter applied to that.

    RecordError where the answer has not as many records, or one does not fit.
    """
    found = split_records(answer, lines=processing.lines, quoted=processing.quoted)
    if processing.join:
        if len(found) != len(records):
            raise RecordError(
                f"JoinSource=Input needs one output record for each input record: the container answered"
                f" {len(found):,} records to {len(records):,}",
                min(len(found), max(0, len(records) - 1)),
            )
        join = join_csv if processing.family == CSV else join_json
        pairs = zip(records, found, strict=True)
        found = [_each(lambda pair: join(*pair), pair, index) for index, pair in enumerate(pairs)]
    return b"".join(filtered(processing, processing.output_filter, found))


def join_csv(record: bytes, output: bytes) -> bytes:
    """The row with the output's columns appended."""
    text, end = _stripped(record)
    more, its_end = _stripped(output)
    return text + b"," + more + (end or its_end)


def join_json(record: bytes, output: bytes) -> bytes:
    """The JSON document with the output in it."""
    given, end = _loads(record, "the input"), _stripped(record)[1]
    told, its_end = _loads(output, "the output"), _stripped(output)[1]
    joined = {**given, OUTPUT: told} if isinstance(given, dict) else {INPUT: given, OUTPUT: told}
    return _dumps(joined) + (end or its_end)


def cells(row: bytes) -> list[bytes]:
    """The cells of one CSV row, as they are written."""
    if b'"' not in row:
        return row.split(b",")
    found, at = [], 0
    while True:
        match = _CELL.match(row, at)
        assert match is not None
        found.append(match[0])
        at = match.end() + 1
        if at > len(row):
            return found


def _csv_filter(steps: tuple[Step, ...]) -> Callable[[bytes], bytes]:
    def one(record: bytes) -> bytes:
        text, end = _stripped(record)
        row = cells(text)
        return b",".join([row[number] for number in jsonpath.columns(steps, len(row))]) + end

    return one


def _json_filter(steps: tuple[Step, ...]) -> Callable[[bytes], bytes]:
    def one(record: bytes) -> bytes:
        return _dumps(jsonpath.select(steps, _loads(record, "the record"))) + _stripped(record)[1]

    return one


def _each(one: Callable[[Any], bytes], record: Any, index: int) -> bytes:
    try:
        return one(record)
    except (PathError, RecordError) as error:
        raise RecordError(error.what, index) from error


def _stripped(record: bytes) -> tuple[bytes, bytes]:
    """A record without its line end, and that."""
    if record.endswith(b"\r\n"):
        return record[:-2], b"\r\n"
    if record.endswith(b"\n"):
        return record[:-1], b"\n"
    return record, b""


def _loads(record: bytes, what: str) -> Any:
    try:
        return json.loads(record)
    except ValueError as error:
        shown = record[:80].decode("utf-8", "replace").strip()
        raise RecordError(f"{what} is no JSON document: {error}; it begins {shown!r}") from error


def _dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _at_newlines(data: bytes) -> list[bytes]:
    found = [line + b"\n" for line in data.split(b"\n")]
    found[-1] = found[-1][:-1]
    return found if found[-1] else found[:-1]
