"""Responses as bytes: status lines made ahead, header blocks remembered, nothing unsafe let out."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import NamedTuple

from seaproof.errors import RequestError
from seaproof.http.message import Headers, Response

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"

_STATUS_LINES = {status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_UNSAFE_VALUE = re.compile(rb"[\x00\r\n]")
_OURS = frozenset((b"content-length", b"transfer-encoding", b"connection", b"keep-alive"))
_REMEMBERED = 512


class Block(NamedTuple):
    """Encoded headers of one message, those that frame it left out."""

    wire: bytes
    given_length: int | None
    """What the handler said the length is: believed for streams and answers to HEAD only."""
    wants_close: bool
    has_host: bool


_blocks: dict[tuple[tuple[bytes, bytes], ...], Block] = {}


def block(headers: Headers) -> Block:
    """Encode the headers of a message; ValueError where one could break out of its line."""
    key = tuple(headers)
    known = _blocks.get(key)
    if known is None:
        known = _encode(key)
        if len(known.wire) <= 1024:
            if len(_blocks) >= _REMEMBERED:
                _blocks.clear()
            _blocks[key] = known
    return known


def _encode(headers: tuple[tuple[bytes, bytes], ...]) -> Block:
    lines, length, wants_close, has_host = [], None, False, False
    for name, value in headers:
        if not _NAME.fullmatch(name) or _UNSAFE_VALUE.search(value):
            raise ValueError(f"the header {name!r}: {value!r} cannot be sent")
        lower = name.lower()
        if lower not in _OURS:
            lines.append(b"%b: %b\r\n" % (name, value))
            has_host = has_host or lower == b"host"
        elif lower == b"content-length":
            if not value.isdigit():
                raise ValueError(f"the header Content-Length: {value!r} is no number")
            length = int(value)
        elif lower == b"connection":
            wants_close = wants_close or b"close" in value.lower()
    return Block(b"".join(lines), length, wants_close, has_host)


def status_line(status: int) -> bytes:
    """The first line of a response; ValueError for what is no final status."""
    line = _STATUS_LINES.get(status)
    if line is None:
        line = _STATUS_LINES[status] = b"HTTP/1.1 %d \r\n" % status
    if not 200 <= status <= 999:
        raise ValueError(f"{status} is no status of a response")
    return line


def has_no_body(status: int) -> bool:
    """Whether a response of this status never has a body."""
    return status == 204 or status == 304


def chunk(part: bytes) -> bytes:
    """One part of a chunked body; never call it with nothing, which would end the body."""
    return b"%x\r\n%b\r\n" % (len(part), part)


def explain(status: int, what: str, next_step: str = "", where: str = "") -> Response:
    """A response whose JSON body says what went wrong and what to do."""
    said = {"error": what, "where": where, "next_step": next_step}
    body = json.dumps({key: value for key, value in said.items() if value or key != "where"})
    return Response(status, [(b"Content-Type", b"application/json")], body.encode())


def explain_error(error: RequestError) -> Response:
    """The response that a RequestError stands for."""
    response = explain(error.status, error.what, error.next_step, error.where)
    response.headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in error.headers.items()]
    return response


class StreamHead(NamedTuple):
    """How a streamed body goes out."""

    wire: bytes
    keep_alive: bool
    chunked: bool
    length: int | None
    """What was announced; neither this nor chunked: the body ends with the connection."""
    empty: bool
    """Whether no body follows at all."""


def whole_head(response: Response, head_only: bool, keep_alive: bool, old: bool) -> tuple[bytes, bool, bool]:
    """The head of a response whose body is bytes; whether the connection stays; whether the body follows.

    `old` is HTTP/1.0. ValueError where status or headers cannot be sent.
    """
    status, body = response.status, response.body
    lines = block(response.headers)
    keep_alive = keep_alive and not lines.wants_close
    if status == 204 or status == 304:
        return status_line(status) + lines.wire + _ending(keep_alive, old), keep_alive, False
    length = len(body)  # type: ignore[arg-type]
    if head_only and not length and lines.given_length is not None:
        length = lines.given_length
    head = b"%b%bContent-Length: %d\r\n%b" % (status_line(status), lines.wire, length, _ending(keep_alive, old))
    return head, keep_alive, not head_only


def stream_head(response: Response, head_only: bool, keep_alive: bool, old: bool) -> StreamHead:
    """The head of a response whose body is streamed: with the length the handler gave, or chunked."""
    lines = block(response.headers)
    line = status_line(response.status)
    bare = has_no_body(response.status)
    length = None if bare else lines.given_length
    chunked = length is None and not old and not bare
    keep_alive = keep_alive and not lines.wants_close and (chunked or length is not None or bare)
    framing = b"Transfer-Encoding: chunked\r\n" if chunked else b""
    if length is not None:
        framing = b"Content-Length: %d\r\n" % length
    wire = line + lines.wire + framing + _ending(keep_alive, old)
    return StreamHead(wire, keep_alive, chunked, length, bare or head_only)


def _ending(keep_alive: bool, old: bool) -> bytes:
    """The last lines of a head: HTTP/1.1 keeps alive unless told otherwise, HTTP/1.0 the other way round."""
    if keep_alive:
        return b"Connection: keep-alive\r\n\r\n" if old else b"\r\n"
    return b"Connection: close\r\n\r\n"
