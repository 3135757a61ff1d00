"""What the caller gets: the last reply as it is, every reply under its container's name, or the trace of all.

Bodies that are JSON are embedded byte for byte: nothing is decoded and encoded again, so that numbers beyond 2^53,
key order and spelling stay. Other text becomes a JSON string; what is no text becomes base64, and says so.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict

from seaproof.contract.http import CONTENT_TYPE, RETURNED_TO_CALLER, parse_media_type
from seaproof.gateway.loading import Load
from seaproof.http.message import Headers, Response
from seaproof.http.reply import StreamedReply
from seaproof.invocations.chain import Reply, Trace

_RETURNED = {name.lower().encode(): name.encode() for name in RETURNED_TO_CALLER}
JSON: Headers = [(CONTENT_TYPE.encode(), b"application/json")]
_NEVER_JSON = ("text/csv",)
"""A line of CSV may look like a JSON number; the next reply has two lines."""


def last(reply: Reply) -> Response:
    """The reply of the last container: status, type and body as it gave them."""
    return Response(reply.status, _returned(reply.headers), reply.body)


def begun(reply: StreamedReply) -> Response:
    """The same without its body, which is still to come; with its length, where the container has said it."""
    headers = _returned(reply.headers)
    if reply.length is not None:
        headers.append((b"Content-Length", b"%d" % reply.length))
    return Response(reply.status, headers)


def every(trace: Trace) -> Response:
    """A JSON object with one entry per container, in order."""
    return Response(200, JSON, _entries(trace))


def traced(trace: Trace, loads: Sequence[Load], seconds: float) -> Response:
    """What each step was sent, gave and took, and every reply. Sizes in bytes, times in seconds."""
    shown = {
        "trace_id": trace.trace_id,
        "seconds": round(seconds, 6),
        "loads": [_rounded(asdict(load)) for load in loads],
        "steps": [_rounded(asdict(step)) for step in trace.steps],
    }
    head = json.dumps(shown, indent=1).encode()
    return Response(200, JSON, b'%b,\n "replies": %b\n}\n' % (head[:-2], _entries(trace)))


def embedded(body: bytes, content_type: str) -> bytes:
    """A body as a JSON value; see the module."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        note = "this body is no text; here are its bytes in base64"
        return json.dumps(
            {"content_type": content_type, "base64": base64.b64encode(body).decode(), "note": note}
        ).encode()
    if parse_media_type(content_type).essence not in _NEVER_JSON and _is_json(text):
        return body
    return json.dumps(text, ensure_ascii=False).encode()


def _returned(headers: Headers) -> Headers:
    return [(_RETURNED[name], value) for name, value in headers if name in _RETURNED]


def _entries(trace: Trace) -> bytes:
    parts, seen = [], dict.fromkeys((step.name for step in trace.steps), 0)
    for step, reply in zip(trace.steps, trace.replies, strict=False):
        seen[step.name] += 1
        # A container may be there twice; each time has its entry.
        name = step.name if seen[step.name] == 1 else f"{step.name} ({seen[step.name]})"
        parts.append(json.dumps(name).encode() + b": " + embedded(reply.body, step.reply_type))
    return b"{" + b", ".join(parts) + b"}"


def _is_json(text: str) -> bool:
    """Whether it is one JSON value, by the letter: NaN is none, and a number may have any length."""
    try:
        json.loads(text, parse_constant=_refuse, parse_int=_keep, parse_float=_keep)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _keep(number: str) -> str:
    return number


def _rounded(values: dict[str, object]) -> dict[str, object]:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in values.items()}
