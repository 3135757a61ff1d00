"""W3C trace context: which trace a request belongs to, and a span of its own for each container it is sent to.

Source: W3C Recommendation "Trace Context", level 1: `traceparent: 00-<trace id>-<parent id>-<flags>`.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from random import Random

from seaproof.http.message import Headers

TRACEPARENT, TRACESTATE = b"traceparent", b"tracestate"
_SAMPLED = "01"
# Ids have to differ, not to be secret; a call of the operating system for each would cost more than all the rest.
_IDS = Random(secrets.randbits(128))
_FORM = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


@dataclass(frozen=True, slots=True)
class Span:
    """The trace of one request. Every container is the child of it, not of the container before."""

    trace_id: str
    """32 hexadecimal digits."""
    flags: str = _SAMPLED
    state: tuple[bytes, ...] = ()
    """The caller's tracestate headers, passed on as they are."""

    @classmethod
    def new(cls) -> Span:
        """A trace that begins here."""
        return cls(f"{_IDS.getrandbits(128) or 1:032x}")

    @classmethod
    def given(cls, headers: Headers) -> Span | None:
        """The trace that a request's headers (names in lower case) name; None where they name none that is valid."""
        found = [value for name, value in headers if name == TRACEPARENT]
        match = _FORM.fullmatch(found[0].strip()) if len(found) == 1 else None
        if match is None or not _is_valid(match):
            return None
        state = tuple(value for name, value in headers if name == TRACESTATE)
        return cls(match[2].decode(), match[4].decode(), state)

    def child(self) -> Headers:
        """The headers for one more container: the same trace, a new span."""
        parent = f"00-{self.trace_id}-{_IDS.getrandbits(64) or 1:016x}-{self.flags}".encode()
        return [(TRACEPARENT, parent), *((TRACESTATE, value) for value in self.state)]


def _is_valid(match: re.Match[bytes]) -> bool:
    """Version ff is forbidden, version 00 ends after the flags, and an id of zeros is none."""
    version, trace_id, parent, rest = match[1], match[2], match[3], match[5]
    return version != b"ff" and not (version == b"00" and rest) and bool(trace_id.strip(b"0") and parent.strip(b"0"))
