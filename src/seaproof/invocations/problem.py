"""A failed step as people and programs read it: a paragraph for a terminal, a problem+json body for HTTP.

Source of the latter: RFC 9457, "Problem Details for HTTP APIs". `type` is `urn:seaproof:problem:<cause>`.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from seaproof.http.message import Response
from seaproof.invocations.chain import Trace
from seaproof.invocations.diagnosis import Diagnosis, Evidence

PROBLEM_JSON = b"application/problem+json"
_SHOWN = 200


def shown(data: bytes, limit: int = _SHOWN) -> str:
    """The first bytes of a body as text on one line; what is no text is written as escapes."""
    head = data[:limit]
    # A character may be cut in two at the limit.
    text = head.decode("utf-8", "ignore" if len(data) > limit else "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def paragraph(e: Evidence, diagnosis: Diagnosis) -> str:
    """The whole report in lines: which step, what was sent, what came back, cause, next step, log."""
    lines = [f"Step {e.number}, {e.step} ({e.where}), failed after {e.seconds:.3f} s. {diagnosis.summary}"]
    lines.append(f"  sent       {_described(e.sent_type, e.sent_bytes, e.sent)}")
    if e.status:
        then = f"; then it broke off: {e.what}" if e.what else ""
        lines.append(f"  came back  {e.status}, {_described(e.reply_type, e.reply_bytes, e.reply)}{then}")
    else:
        lines.append(f"  came back  nothing: {e.what}")
    lines.append(f"  cause      {diagnosis.cause}")
    lines.append(f"  next step  {diagnosis.next_step}")
    log = e.log.splitlines()
    if log:
        lines.append("  last log lines")
        lines += [f"    {line}" for line in log]
    return "\n".join(lines)


def members(e: Evidence, diagnosis: Diagnosis, trace: Trace | None = None) -> dict[str, Any]:
    """The members of the problem+json body, without its status."""
    found: dict[str, Any] = {
        "type": f"urn:seaproof:problem:{diagnosis.cause}",
        "title": f"step {e.number}, {e.step}, failed",
        "detail": diagnosis.summary,
        "cause": diagnosis.cause,
        "next_step": diagnosis.next_step,
        "step": {"number": e.number, "name": e.step, "address": e.where, "path": e.target},
        "sent": {"content_type": e.sent_type, "bytes": e.sent_bytes, "first_bytes": shown(e.sent)},
        "received": None,
        "seconds": round(e.seconds, 6),
        "log": e.log.splitlines(),
    }
    if e.status:
        found["received"] = {
            "status": e.status,
            "content_type": e.reply_type,
            "bytes": e.reply_bytes,
            "first_bytes": shown(e.reply),
        }
    if e.what:
        found["error"] = e.what
    if trace is not None:
        found["trace"] = {"trace_id": trace.trace_id, "steps": [asdict(step) for step in trace.steps]}
    return found


def response(e: Evidence, diagnosis: Diagnosis, trace: Trace | None = None) -> Response:
    """The answer of a gateway: 504 where the step was too slow, 503 where it is not there yet, else 502."""
    status = {"timeout": 504, "unreachable": 504, "refused": 503, "not-ready": 503}.get(diagnosis.cause, 502)
    body = {"status": status, **members(e, diagnosis, trace)}
    return Response(status, [(b"Content-Type", PROBLEM_JSON)], json.dumps(body, indent=2).encode() + b"\n")


def _described(kind: str, size: int, head: bytes) -> str:
    text = f"{kind or 'no Content-Type'}, {size:,} bytes"
    return f'{text}: "{shown(head)}"{"..." if size > _SHOWN else ""}' if head else text
