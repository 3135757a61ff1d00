"""multipart/form-data (RFC 7578), in only: what an HTML form or `curl -F` sends, as a dict by part name."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from seaproof.contract.http import MediaType, parse_media_type
from seaproof.errors import RequestError

TYPE = "multipart/form-data"

_PARTS_MAX = 1000
_HEADERS_MAX = 8192
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{1,70}")


def decode(body: bytes, media: MediaType, decode_part: Callable[[bytes, MediaType], Any]) -> dict[str, Any]:
    """Each part by its name: text as str, a file without a type of its own as bytes, any other by its own type.

    `decode_part` decodes a part that has a Content-Type; a type that it refuses with 415 leaves the part as bytes.
    """
    boundary = media.parameter("boundary")
    if not _BOUNDARY.fullmatch(boundary):
        raise _malformed("Content-Type names no boundary, or none that RFC 2046 allows")
    found: dict[str, Any] = {}
    for number, part in enumerate(_parts(body, boundary.encode()), 1):
        headers, content = _split(part, number)
        disposition = parse_media_type(headers.get("content-disposition", ""))
        name = disposition.parameter("name")
        if disposition.essence != "form-data" or not name:
            raise _malformed(f"part {number} has no name in its Content-Disposition")
        if name in found:
            raise _malformed(f"part {number} has the name {name[:100]!r} of a part before it")
        found[name] = _value(name, headers, content, bool(disposition.parameter("filename")), decode_part)
    return found


def _parts(body: bytes, boundary: bytes) -> list[bytes]:
    """What stands between the delimiters, each without the line end that belongs to the delimiter."""
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise _malformed("the body does not end with its closing boundary, or has no parts")
    if len(pieces) - 2 > _PARTS_MAX:
        raise _malformed(f"the body has more than {_PARTS_MAX} parts")
    return pieces[1:-1]


def _split(part: bytes, number: int) -> tuple[dict[str, str], bytes]:
    """Headers by lower-case name, and content."""
    head, blank, content = part.partition(b"\r\n\r\n")
    first, _, lines = head.partition(b"\r\n")
    if first.strip() or not blank or len(head) > _HEADERS_MAX:
        raise _malformed(f"part {number} has no blank line after its headers, or headers over {_HEADERS_MAX} bytes")
    headers = {}
    for line in lines.decode("utf-8", "replace").split("\r\n"):
        key, _, value = line.partition(":")
        headers[key.strip().lower()] = value.strip()
    return headers, content


def _value(
    name: str, headers: dict[str, str], content: bytes, is_file: bool, decode_part: Callable[[bytes, MediaType], Any]
) -> Any:
    media = parse_media_type(headers.get("content-type", ""))
    if media.essence in ("", "text/plain"):
        return content if is_file else _text(name, content)
    if media.essence.startswith("multipart/"):
        return content
    try:
        return decode_part(content, media)
    except RequestError as error:
        if error.status == 415:
            return content
        where = ", ".join(filter(None, (f"part {name[:100]!r}", error.where)))
        raise RequestError(error.status, error.what, where=where, next_step=error.next_step) from error


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise _malformed(f"part {name[:100]!r} is not UTF-8 text") from error


def _malformed(what: str) -> RequestError:
    return RequestError(400, what, where=TYPE, next_step="Let an HTTP library build the multipart body.")
