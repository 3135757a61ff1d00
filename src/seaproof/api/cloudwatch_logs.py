"""CloudWatch Logs, read only: what jobs and endpoints printed, under the names of the platform.

    .seaproof/logs/TrainingJobs/<job>/algo-1-<epoch>.log      /aws/sagemaker/TrainingJobs: <job>/algo-1-<epoch>
    .seaproof/logs/Endpoints/<endpoint>/<variant>-<id>.log    /aws/sagemaker/Endpoints/<endpoint>: <variant>/<id>

A token is a place in a file, so that it stays right while the file grows.
Source: API models of `logs`; DG logging-cloudwatch for the names.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seaproof.control import log_times
from seaproof.control.plane import Plane
from seaproof.errors import ServiceError

Body = dict[str, Any]

PREFIX = "/aws/sagemaker/"
_INSTANCE = re.compile(r"(?P<variant>.+)-(?P<instance>i-[0-9a-f]+)(?P<rest>/.*)?")
_PAGE_BYTES = 1024 * 1024
_PAGE_EVENTS = 10_000
_ALL = 50
_REST_SECONDS = 1.0


@dataclass(frozen=True)
class _Stream:
    group: str
    name: str
    path: Path

    def describe(self, plane: Plane) -> Body:
        status = self.path.stat()
        _, times = log_times.read(self.path)
        first = times[0] if times else int(status.st_mtime * 1000)
        return {
            "logStreamName": self.name,
            "creationTime": first,
            "firstEventTimestamp": first,
            "lastEventTimestamp": int(status.st_mtime * 1000),
            "lastIngestionTime": int(status.st_mtime * 1000),
            "arn": f"{_arn(plane, self.group)}:log-stream:{self.name}",
            "storedBytes": 0,
        }


@dataclass(frozen=True)
class _Line:
    offset: int
    end: int
    time: int
    text: str


def describe_log_groups(plane: Plane, request: Body) -> Body:
    """The groups that hold a stream."""
    prefix, pattern = request.get("logGroupNamePrefix", ""), request.get("logGroupNamePattern", "")
    names = [name for name in _groups(plane) if name.startswith(prefix) and pattern.lower() in name.lower()]
    page, token = _page(names, request)
    groups = [_describe_group(plane, name) for name in page]
    return {"logGroups": groups, **token}


def describe_log_streams(plane: Plane, request: Body) -> Body:
    """The streams of a group, by name or by their last event."""
    streams = _streams(plane, _group(request))
    prefix = request.get("logStreamNamePrefix", "")
    by_time = request.get("orderBy") == "LastEventTime"
    if by_time and prefix:
        raise ServiceError("InvalidParameterException", "Cannot order by LastEventTime with a logStreamNamePrefix.")
    found = [stream for stream in streams if stream.name.startswith(prefix)]
    found.sort(key=lambda stream: (stream.path.stat().st_mtime if by_time else 0, stream.name))
    if request.get("descending"):
        found.reverse()
    page, token = _page(found, request)
    return {"logStreams": [stream.describe(plane) for stream in page], **token}


def get_log_events(plane: Plane, request: Body) -> Body:
    """The lines of one stream from its head or its end; at the end the token given is given again."""
    group, name = _group(request), request["logStreamName"]
    stream = next((stream for stream in _streams(plane, group) if stream.name == name), None)
    if stream is None:
        raise ServiceError("ResourceNotFoundException", "The specified log stream does not exist.")
    limit = min(request.get("limit", _PAGE_EVENTS), _PAGE_EVENTS)
    token = request.get("nextToken", "")
    backward = token.startswith("b/") if token else not request.get("startFromHead")
    if backward:
        every = (line for line in _lines(stream, 0, _place(token, stream)) if _within(line, request))
        lines = list(deque(every, maxlen=limit))
    else:
        lines = _first(stream, _place(token, stream) if token else 0, limit, request)
    # Where nothing came, both tokens stay where they were: that is how a reader knows the end.
    here = _place(token, stream) if token else (stream.path.stat().st_size if backward else 0)
    start, end = (lines[0].offset, lines[-1].end) if lines else (here, here)
    events = [{"timestamp": line.time, "message": line.text, "ingestionTime": line.time} for line in lines]
    return {"events": events, "nextForwardToken": f"f/{end:056d}", "nextBackwardToken": f"b/{start:056d}"}


def filter_log_events(plane: Plane, request: Body) -> Body:
    """Lines of all streams of a group, or of those that are named, by time; words of the pattern must all be there."""
    group, wanted = _group(request), request.get("logStreamNames")
    prefix = request.get("logStreamNamePrefix", "")
    matches = _matcher(request.get("filterPattern", ""))
    limit = min(request.get("limit", _PAGE_EVENTS), _PAGE_EVENTS)
    found: list[tuple[int, str, _Line]] = []
    for stream in _streams(plane, group):
        if (wanted is None or stream.name in wanted) and stream.name.startswith(prefix):
            lines = _lines(stream, 0, stream.path.stat().st_size)
            found += [(line.time, stream.name, line) for line in lines if _within(line, request) and matches(line.text)]
    found.sort(key=lambda entry: (entry[0], entry[1], entry[2].offset))
    after = _after(request.get("nextToken", ""))
    left = [entry for entry in found if after is None or (entry[0], entry[1], entry[2].offset) > after]
    events = [
        {
            "logStreamName": name,
            "timestamp": moment,
            "message": line.text,
            "ingestionTime": moment,
            # Readers that follow a log ask for the same times again, and tell lines by this.
            "eventId": base64.urlsafe_b64encode(f"{group}\0{name}\0{line.offset}".encode()).decode(),
        }
        for moment, name, line in left[:limit]
    ]
    answer: Body = {"events": events, "searchedLogStreams": []}
    if len(left) > limit:
        moment, name, line = left[limit - 1]
        answer["nextToken"] = base64.urlsafe_b64encode(json.dumps([moment, name, line.offset]).encode()).decode()
    return answer


def _describe_group(plane: Plane, name: str) -> Body:
    files = [stream.path.stat() for stream in _streams(plane, name)]
    created = min((status.st_ctime for status in files), default=0.0)
    arn = _arn(plane, name)
    return {
        "logGroupName": name,
        "creationTime": int(created * 1000),
        "arn": f"{arn}:*",
        "logGroupArn": arn,
        "storedBytes": sum(status.st_size for status in files),
        "metricFilterCount": 0,
        "logGroupClass": "STANDARD",
    }


def _arn(plane: Plane, group: str) -> str:
    return f"arn:aws:logs:{plane.settings.region}:{plane.settings.account}:log-group:{group}"


def _group(request: Body) -> str:
    name = request.get("logGroupName") or request.get("logGroupIdentifier") or ""
    return str(name.partition(":log-group:")[2].removesuffix(":*") or name)


def _groups(plane: Plane) -> list[str]:
    root = plane.folder / "logs"
    names = []
    for folder in root.iterdir() if root.is_dir() else ():
        if folder.name == "Endpoints":
            names += [f"{PREFIX}Endpoints/{endpoint.name}" for endpoint in folder.iterdir() if endpoint.is_dir()]
        elif folder.is_dir():
            names.append(PREFIX + folder.name)
    return sorted(names)


def _streams(plane: Plane, group: str) -> list[_Stream]:
    """The streams of a group, by name; ResourceNotFoundException where there is no such group."""
    if group not in _groups(plane):
        # Groups of jobs are there before the first job, so that a reader may come first.
        if group in (f"{PREFIX}TrainingJobs", f"{PREFIX}ProcessingJobs", f"{PREFIX}TransformJobs"):
            return []
        raise ServiceError("ResourceNotFoundException", "The specified log group does not exist.")
    root = plane.folder / "logs" / group[len(PREFIX) :]
    found = []
    for path in root.rglob("*.log"):
        name = path.relative_to(root).as_posix().removesuffix(".log")
        instance = _INSTANCE.fullmatch(name) if group.startswith(f"{PREFIX}Endpoints/") else None
        if instance:
            name = f"{instance['variant']}/{instance['instance']}{instance['rest'] or ''}"
        found.append(_Stream(group, name, path))
    return sorted(found, key=lambda stream: stream.name)


def _lines(stream: _Stream, start: int, end: int) -> Iterator[_Line]:
    """The whole lines of a stream between two offsets; one without an end once its file has rested for a second."""
    offsets, times = log_times.read(stream.path)
    written = stream.path.stat().st_mtime
    with stream.path.open("rb") as file:
        file.seek(start)
        at = start
        while at < end:
            raw = file.readline(_PAGE_BYTES)
            if not raw or (raw[-1:] != b"\n" and len(raw) < _PAGE_BYTES and time.time() - written < _REST_SECONDS):
                return
            text = raw.decode("utf-8", "replace").rstrip("\r\n")
            yield _Line(at, at + len(raw), log_times.at(offsets, times, at, int(written * 1000)), text)
            at += len(raw)


def _first(stream: _Stream, start: int, limit: int, request: Body) -> list[_Line]:
    """The first lines from an offset on, as many as one answer holds."""
    found: list[_Line] = []
    for line in _lines(stream, start, stream.path.stat().st_size):
        if len(found) == limit or (found and line.end - start > _PAGE_BYTES):
            break
        if _within(line, request):
            found.append(line)
    return found


def _within(line: _Line, request: Body) -> bool:
    return bool(line.text) and request.get("startTime", 0) <= line.time < request.get("endTime", line.time + 1)


def _place(token: str, stream: _Stream) -> int:
    if not token:
        return stream.path.stat().st_size
    digits = token[2:]
    if token[:2] not in ("f/", "b/") or not digits.isascii() or not digits.isdigit():
        raise ServiceError("InvalidParameterException", "The specified nextToken is invalid.")
    return min(int(digits), stream.path.stat().st_size)


def _after(token: str) -> tuple[int, str, int] | None:
    if not token:
        return None
    try:
        moment, name, offset = json.loads(base64.urlsafe_b64decode(token))
        return int(moment), str(name), int(offset)
    except (ValueError, TypeError) as error:
        raise ServiceError("InvalidParameterException", "The specified nextToken is invalid.") from error


def _matcher(pattern: str) -> Any:
    """What a filter pattern asks of a line: words that must be there, `-words` that must not, `?words` of which one."""
    if pattern.lstrip().startswith(("{", "[", "%")):
        raise ServiceError(
            "InvalidParameterException",
            "seaproof reads filter patterns of words only; leave out patterns of JSON, columns or regular expressions.",
        )
    try:
        words = shlex.split(pattern)
    except ValueError as error:
        raise ServiceError("InvalidParameterException", f"The filter pattern cannot be read: {error}") from error
    any_of = [word[1:] for word in words if word.startswith("?")]
    none_of = [word[1:] for word in words if word.startswith("-")]
    all_of = [word for word in words if word[:1] not in "?-"]

    def matches(text: str) -> bool:
        if any(word in text for word in none_of):
            return False
        return all(word in text for word in all_of) and (not any_of or any(word in text for word in any_of))

    return matches


def _page(found: list[Any], request: Body) -> tuple[list[Any], Body]:
    """One page of a listing, and the token of the next where there is one."""
    token = request.get("nextToken", "0")
    if not token.isascii() or not token.isdigit():
        raise ServiceError("InvalidParameterException", "The specified nextToken is invalid.")
    start = int(token)
    end = start + min(request.get("limit", _ALL), _ALL)
    return found[start:end], {"nextToken": str(end)} if end < len(found) else {}
