"""MetricDefinitions run over a job's log: the last number that each regular expression finds is its final value.

The expressions are the author's, and one with nested repetition can take for ever, holding the whole process
meanwhile. So this file is also a program: it runs beside the tool, is given a time, and the definition on which it
spent it is left out while the others go on. It imports the standard library only.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECONDS = 10.0
_BYTES_PER_SECOND = 5_000_000
_LONGEST_LINE = 65_536


@dataclass(frozen=True)
class Metrics:
    """What was found: FinalMetricDataList as Describe answers it, and a sentence for each definition in trouble."""

    final: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def final_metrics(definitions: Sequence[Mapping[str, str]], logs: Sequence[Path], seconds: float = SECONDS) -> Metrics:
    """Run `[{"Name": ..., "Regex": ...}]` over the logs, taken one after the other.

    Lines end at `\\n` or `\\r`, so that progress bars count; group 1 is the value; what is no finite number is passed
    over. Timestamp is the time of the log's last line, as single lines carry none. `seconds` is the least time that
    one definition gets; long logs get more.
    """
    logs = [log for log in logs if log.is_file()]
    result = Metrics()
    if not definitions or not logs:
        return result
    seconds += sum(log.stat().st_size for log in logs) / _BYTES_PER_SECOND
    left = list(definitions)
    while left:
        found = _run(left, logs, seconds)
        for answer in found:
            definition = left.pop(0)
            if problem := answer.get("problem"):
                result.problems.append(f"metric {definition['Name']!r}: {problem}")
            else:
                result.final.append({"MetricName": definition["Name"], **answer})
        if left:
            definition = left.pop(0)
            result.problems.append(
                f"metric {definition['Name']!r}: its regular expression {definition['Regex']!r} took longer than"
                f" {seconds:.0f} s on the log and was given up; avoid repetition within repetition"
            )
    return result


def _run(definitions: Sequence[Mapping[str, str]], logs: Sequence[Path], seconds: float) -> list[dict[str, Any]]:
    """One answer for each definition, in order, up to the first that does not come to an end."""
    request = json.dumps({"definitions": list(definitions), "logs": [str(log) for log in logs]})
    command = [sys.executable, "-I", "-S", __file__]
    try:
        done = subprocess.run(command, input=request.encode(), stdout=subprocess.PIPE, timeout=seconds, check=False)
        output = done.stdout
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
    return [json.loads(line) for line in output.splitlines(keepends=True) if line.endswith(b"\n")]


def regex_problem(regex: str) -> str:
    """Why this is no regular expression, or ""."""
    try:
        re.compile(regex)
    except (re.error, OverflowError, RecursionError) as error:
        return f"{regex!r} is no regular expression that Python understands: {error}"
    return ""


def last_match(regex: str, logs: Sequence[Path]) -> dict[str, Any]:
    """The last number that group 1 of `regex` finds, as `{"Value", "Timestamp"}`, or `{"problem"}`."""
    if problem := regex_problem(regex):
        return {"problem": problem}
    pattern = re.compile(regex)
    if not pattern.groups:
        return {"problem": f"{regex!r} has no group; put parentheses around the number"}
    result: dict[str, Any] = {"problem": f"{regex!r} matches a number nowhere in the log"}
    for log in logs:
        for line in _lines(log):
            for match in pattern.finditer(line):
                value = _number(match.group(1))
                if value is not None:
                    result = {"Value": value, "Timestamp": log.stat().st_mtime}
    return result


def _lines(log: Path) -> Iterator[str]:
    # Universal newlines: a progress bar's \r ends a line too. A line without end is read in pieces.
    with log.open(encoding="utf-8", errors="replace", newline=None) as file:
        while line := file.readline(_LONGEST_LINE):
            yield line.rstrip("\n")


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _main() -> None:
    request = json.loads(sys.stdin.read())
    logs = [Path(log) for log in request["logs"]]
    for definition in request["definitions"]:
        sys.stdout.write(json.dumps(last_match(definition["Regex"], logs)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
