"""Why a step of a chain failed, as far as it can be known, and what to do: evidence in, diagnosis out, no I/O.

Each rule is a function from the evidence to a diagnosis or None; the first that speaks is believed. The order is
from what is certain (how the container ended) to what is likely (what a status usually means).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from seaproof.contract.environ import DEFAULT_PORT
from seaproof.contract.http import INVOCATIONS
from seaproof.invocations.chain import HEAD_BYTES, StepFailed

LOG_LINES = 10


@dataclass(frozen=True)
class Evidence:
    """All that is known of a step that failed. Sizes in bytes, times in seconds."""

    step: str
    number: int
    """Counted from 1."""
    where: str
    """`host:port`."""
    target: str = INVOCATIONS
    given_by: str = ""
    """The step whose reply this one was sent; "" for the caller."""
    kind: str = "status"
    """As StepFailed has it."""
    what: str = ""
    sent_type: str = ""
    sent_bytes: int = 0
    sent: bytes = b""
    status: int = 0
    reply_type: str = ""
    reply_bytes: int = 0
    reply: bytes = b""
    server: str = ""
    """The reply's Server header."""
    seconds: float = 0.0
    timeout: float = 60.0
    max_reply: int = 0
    port: int = DEFAULT_PORT
    """The port that the program was to listen on, as it sees it."""
    log: str = ""
    """The last lines that the container printed."""
    exit_code: int | None = None
    """As a shell counts; None while it runs, or where nobody knows."""
    out_of_memory: bool = False
    ping: str = ""
    """What GET /ping gives now: a status, or a problem; "" where nobody asked."""

    @property
    def host_port(self) -> int:
        """The port that was called."""
        return int(self.where.rpartition(":")[2] or 0)


@dataclass(frozen=True)
class Diagnosis:
    """The cause in a word for programs, in a sentence for people, and the next step."""

    cause: str
    summary: str
    next_step: str


def evidence_of(
    failed: StepFailed,
    *,
    log: str = "",
    exit_code: int | None = None,
    out_of_memory: bool = False,
    ping: str = "",
    port: int = DEFAULT_PORT,
) -> Evidence:
    """What a failure itself says, with what its caller knows of the container."""
    at, step, reply = failed.at, failed.step, failed.reply or failed.begun
    headers = dict(reply.headers) if reply else {}
    return Evidence(
        step=step.name,
        number=failed.number + 1,
        where=f"{step.host}:{step.port}",
        target=step.target,
        given_by=failed.trace.steps[failed.number - 1].name if failed.number else "",
        kind=failed.kind,
        what=failed.error.what if failed.error else "",
        sent_type=at.sent_type,
        sent_bytes=at.sent_bytes,
        sent=failed.sent,
        status=at.status,
        reply_type=at.reply_type,
        reply_bytes=at.reply_bytes,
        reply=reply.body[:HEAD_BYTES] if reply else b"",
        server=headers.get(b"server", b"").decode("latin-1"),
        seconds=at.total,
        timeout=failed.timeout,
        max_reply=failed.max_body,
        port=port,
        log="\n".join(log.splitlines()[-LOG_LINES:]),
        exit_code=exit_code,
        out_of_memory=out_of_memory,
        ping=ping,
    )


def diagnose(evidence: Evidence) -> Diagnosis:
    """The cause, as far as it can be known."""
    for rule in _RULES:
        found = rule(evidence)
        if found is not None:
            return found
    return _unknown(evidence)


def listening_elsewhere(log: str, expected: set[int]) -> str:
    """What a log says of an address that nobody calls: `port 5000`, `127.0.0.1:8080`; "" where it says nothing."""
    for line in reversed(log.splitlines()):
        for match in _ADDRESS.finditer(line):
            host, port = match["host"] or "", int(match["port"])
            if port not in expected:
                return f"port {port}"
            if host in ("127.0.0.1", "localhost", "[::1]"):
                return f"{host}:{port}"
    return ""


_ADDRESS = re.compile(
    r"(?:https?://(?P<host>\[[0-9a-fA-F:]*\]|[\w.-]+):|"
    r"(?i:\b(?:listening|running|serving|bound)\b[^\n]{0,40}\bport[ =:]+))"
    r"(?P<port>\d{2,5})\b"
)
_MEMORY = re.compile(
    r"\bMemoryError\b|OutOfMemoryError|std::bad_alloc|[Cc]annot allocate memory|Unable to allocate|"
    r"\b[Oo]ut of memory\b|\bOOM\b"
)
_TYPE_REFUSED = re.compile(
    r"(?is)(content.?type|media.?type|mimetype).{0,120}(not supported|unsupported|not acceptable|unknown|invalid)|"
    r"(unsupported|unknown|invalid).{0,40}(content.?type|media.?type|mimetype)"
)
_EXCEPTION = re.compile(r"^(?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception|Warning|Interrupt|Exit)\b.*", re.MULTILINE)


def _out_of_memory(e: Evidence) -> Diagnosis | None:
    said = _said(_MEMORY, e) if e.kind == "closed" or e.status >= 500 or e.exit_code else ""
    if not e.out_of_memory and not said:
        return None
    how = "was killed because its memory ran out" if e.out_of_memory else f'ran out of memory: it says "{said}"'
    return Diagnosis(
        "out-of-memory",
        f"The container {how}, with a request of {e.sent_bytes:,} bytes under way.",
        "Give it more memory (SEAPROOF_MEMORY, or memory in [settings] of seaproof.toml), send less in one request, or "
        "start fewer workers (SAGEMAKER_MODEL_SERVER_WORKERS): each holds a model of its own.",
    )


def _died(e: Evidence) -> Diagnosis | None:
    if e.exit_code is None:
        return None
    how = f"exit code {e.exit_code}" + (f", by signal {e.exit_code - 128}" if e.exit_code > 128 else "")
    when = "while it had the request" if e.kind in ("closed", "malformed") else "before it could take the request"
    return Diagnosis(
        "died",
        f"The container ended {when}: {how}.",
        "Its last log lines say why, where it could still say it. Signal 9 is a kill from outside, often for want of "
        "memory; signal 11 a crash in native code.",
    )


def _wrong_port(e: Evidence) -> Diagnosis | None:
    if e.kind not in ("refused", "closed"):
        return None
    other = listening_elsewhere(e.log, {e.port, e.host_port})
    if not other:
        return None
    return Diagnosis(
        "wrong-port",
        f"Nothing answers at {e.where}; the container's log says that it listens on {other}.",
        f"Listen on 0.0.0.0, port $SAGEMAKER_BIND_TO_PORT, or {e.port} where that is not set.",
    )


def _refused(e: Evidence) -> Diagnosis | None:
    if e.kind == "closed" and e.ping == "closed" and not e.status:
        # What accepts connections for a container that nothing listens in, as Docker does for published ports.
        return Diagnosis(
            "not-ready",
            f"The container runs, and connections to {e.where} are closed without an answer, that of GET /ping, too: "
            "nothing in the container listens yet, while Docker accepts what comes to its published port.",
            f"Wait until GET /ping answers 200. A program that never gets there must listen on 0.0.0.0, port {e.port}.",
        )
    if e.kind != "refused":
        return None
    if e.exit_code is None and e.ping:
        return Diagnosis(
            "not-ready",
            f"The container runs, and nothing listens at {e.where} yet (GET /ping: {e.ping}).",
            f"Wait until GET /ping answers 200. A program that never gets there must listen on 0.0.0.0, port {e.port}.",
        )
    return Diagnosis(
        "refused",
        f"Nothing listens at {e.where}.",
        "Start the container, or correct the port. Inside it, listen on 0.0.0.0 and not on 127.0.0.1 alone.",
    )


def _timeout(e: Evidence) -> Diagnosis | None:
    if e.kind != "timeout":
        return None
    if e.what.startswith("no connection"):
        return Diagnosis(
            "unreachable",
            f"No connection to {e.where} came about: {e.what}.",
            "The address is not reachable, or the program accepts no connection: its backlog is full.",
        )
    ping = {"": "", "200": " Meanwhile GET /ping is answered with 200."}.get(e.ping, f" GET /ping gives: {e.ping}.")
    return Diagnosis(
        "timeout",
        f"The container took the request and gave no complete reply within {e.timeout:.3g} s.{ping}",
        "Make the model faster, send less in one request, or start more workers where requests wait for each other. "
        "The platform allows 60 s; --invocation-timeout sets it here.",
    )


def _closed(e: Evidence) -> Diagnosis | None:
    if e.kind != "closed":
        return None
    if e.status:
        return Diagnosis(
            "broken-off",
            f"The container broke its reply off after {e.reply_bytes:,} bytes. What came of it had begun to go on, "
            "and counts for nothing.",
            "A worker that crashes while it writes, or that its server ends for taking too long, does this; the "
            "container's log has it. The request can be sent again.",
        )
    large = (
        f" The request had {e.sent_bytes:,} bytes: a limit on bodies may have ended it." if e.sent_bytes > 2**20 else ""
    )
    return Diagnosis(
        "closed",
        f"The container closed the connection without a complete answer.{large}",
        "A worker that crashes, or that its server ends for taking too long, does this; the container's log has it.",
    )


def _not_http(e: Evidence) -> Diagnosis | None:
    if e.kind != "malformed":
        return None
    return Diagnosis(
        "not-http",
        f"What listens at {e.where} does not answer in HTTP/1.1: {e.what}.",
        "Check that the port belongs to the container's HTTP server, which must speak neither TLS nor bare HTTP/2.",
    )


def _oversize(e: Evidence) -> Diagnosis | None:
    if e.kind != "oversize":
        return None
    return Diagnosis(
        "reply-too-large",
        f"The reply is over the limit of {e.max_reply:,} bytes.",
        "Between containers of a pipeline the platform passes 5 MB on, and 25 MB to the caller: answer with less, or "
        "send fewer records in one request.",
    )


def _content_type(e: Evidence) -> Diagnosis | None:
    refused = e.status == 415 or (e.status in (400, 422, 500) and _TYPE_REFUSED.search(_text(e.reply)))
    if not refused:
        return None
    origin = e.given_by or "the caller"
    if not e.sent_type:
        return Diagnosis(
            "content-type-missing",
            f"The container wants a Content-Type, and {origin} gave none.",
            f"Have {origin} set Content-Type in its reply." if e.given_by else "Give a ContentType with the request.",
        )
    bare, semicolon, parameters = (part.strip() for part in e.sent_type.partition(";"))
    if semicolon:
        return Diagnosis(
            "content-type-parameters",
            f'The container was sent "{e.sent_type}", as {origin} said, and refuses it: it seems to compare the '
            f'whole text with "{bare}", so that "; {parameters}" makes it another type.',
            f'Have the container look at the part before the semicolon alone, or have {origin} say "{bare}". The '
            "platform passes the type on exactly as given, too.",
        )
    return Diagnosis(
        "content-type",
        f'The container does not take "{e.sent_type}", which {origin} said.',
        "Send a type that it takes; what it answered may list them. Between containers, "
        "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT in the Environment of the one before says what that one answers with.",
    )


def _body_limit(e: Evidence) -> Diagnosis | None:
    if e.status != 413:
        return None
    proxy = "nginx" in (e.server + _text(e.reply)).lower()
    where = (
        "client_max_body_size in its nginx.conf" if proxy else "the limit of its server (SAGEMAKER_MAX_PAYLOAD_IN_MB)"
    )
    return Diagnosis(
        "body-limit",
        f"The request's {e.sent_bytes:,} bytes are over the container's own limit; the platform would pass them on.",
        f"Raise {where} to at least 25 MB, or send fewer records in one request.",
    )


def _length_required(e: Evidence) -> Diagnosis | None:
    if e.status != 411:
        return None
    origin = e.given_by or "the caller"
    return Diagnosis(
        "length-required",
        f"The container wants a Content-Length: it was sent what {origin} gave as it came, in chunks.",
        f"Have {origin} say the length of what it sends, or the container take chunked bodies, as HTTP/1.1 has it.",
    )


def _wrong_container(e: Evidence) -> Diagnosis | None:
    if e.status not in (404, 405, 501) or e.target != INVOCATIONS:
        return None
    return Diagnosis(
        "wrong-container",
        f"What listens at {e.where} has no POST {INVOCATIONS}: it answers {e.status}.",
        "This is another container or program than meant, or its route is missing or misspelt (/invocations, with s); "
        "a multi-model container is called at /models/<name>/invoke.",
    )


def _proxy(e: Evidence) -> Diagnosis | None:
    if e.status not in (502, 504):
        return None
    return Diagnosis(
        "behind-proxy",
        f"A proxy in the container answers {e.status}: the server behind it "
        + ("does not answer in time." if e.status == 504 else "is not there, or ended in the middle of the request."),
        "The container's log says why: workers that cannot start, are killed, or take longer than the proxy waits.",
    )


def _busy(e: Evidence) -> Diagnosis | None:
    if e.status not in (429, 503):
        return None
    return Diagnosis(
        "not-ready",
        f"The container says {e.status}: it is not ready, or has no room for another request.",
        "Wait until GET /ping answers 200; where it does, start more workers or send fewer requests at a time.",
    )


_RULES: tuple[Callable[[Evidence], Diagnosis | None], ...] = (
    _out_of_memory,
    _died,
    _wrong_port,
    _refused,
    _timeout,
    _closed,
    _not_http,
    _oversize,
    _content_type,
    _body_limit,
    _length_required,
    _wrong_container,
    _proxy,
    _busy,
)


def _unknown(e: Evidence) -> Diagnosis:
    said = _last(_EXCEPTION, e.log)
    log = f' Its log ends with "{said}".' if said else ""
    if 400 <= e.status < 500:
        return Diagnosis(
            "client-error",
            f"The container refuses the request with {e.status}.{log}",
            "Compare what it was sent with what it expects; what it answered may say more.",
        )
    return Diagnosis(
        "container-error",
        f"The container's own code failed: it answers {e.status}.{log}",
        "Its last log lines show where; the same body can be sent to it alone to see it again.",
    )


def _said(pattern: re.Pattern[str], e: Evidence) -> str:
    """The line of the reply or the log that the pattern is found in, shortened."""
    for text in (_text(e.reply), e.log):
        for line in reversed(text.splitlines()):
            if pattern.search(line):
                return line.strip()[:200]
    return ""


def _last(pattern: re.Pattern[str], text: str) -> str:
    found = [match[0] for match in pattern.finditer(text)]
    return found[-1].strip()[:200] if found else ""


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
