"""From the bytes of a body to text and back, by the charset parameter of its media type."""

from __future__ import annotations

import codecs
import re

from seaproof.contract.http import MediaType
from seaproof.errors import RequestError

_BOM, _GZIP = codecs.BOM_UTF8, b"\x1f\x8b"
_UTF8 = ("", "utf-8", "utf8")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]{0,39}")
# Python also calls rot13, zip and punycode encodings; a request may not choose those.
_CHARSET = re.compile(r"(ascii|utf-\d+(-[a-z]+)?|iso8859-\d+|cp\d+|koi8-.|gb\w+|big5\w*|euc_\w+|shift_jis\w*|mac-\w+)")


def is_utf8(media: MediaType) -> bool:
    """Whether this media type is in UTF-8, as it is where it names no charset."""
    return not media.parameters or media.parameter("charset").lower() in _UTF8


def utf8(body: bytes, media: MediaType) -> bytes:
    """The body as UTF-8 without a byte order mark. Only other charsets are converted; UTF-8 is not checked here."""
    if not is_utf8(media):
        body = _convert(body, media.parameter("charset"))
    return body[3:] if body.startswith(_BOM) else body


def text_of(body: bytes, media: MediaType) -> str:
    """The body as text; RequestError 400 names the row and column of the first byte that is none."""
    body = utf8(body, media)
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise RequestError(
            400,
            f"the body is not UTF-8: byte 0x{body[error.start]:02x} is not valid there",
            where=place(body[: error.start]),
            next_step="It looks like gzip, which is not unpacked here: send it as it was before."
            if body.startswith(_GZIP)
            else "Send UTF-8, or name the charset in Content-Type.",
        ) from error


def place(before: bytes) -> str:
    """Row and column, counted from 1, of what follows these bytes; the column is that of a comma-separated line."""
    line = before[before.rfind(b"\n") + 1 :]
    row, column = before.count(b"\n") + 1, line.count(b",") + 1
    return f"row {row}, column {column}"


def encode_text(text: str, media: MediaType) -> bytes:
    """The text in the charset that the media type names, UTF-8 where it names none; what has no place becomes `?`."""
    return text.encode("utf-8" if is_utf8(media) else _known(media.parameter("charset")), "replace")


def _convert(body: bytes, charset: str) -> bytes:
    try:
        return body.decode(_known(charset)).encode()
    except (UnicodeError, ValueError) as error:
        raise RequestError(
            400, f"the body is not {charset}: {error}", next_step="Send UTF-8, or name the charset that it is in."
        ) from error


def _known(charset: str) -> str:
    """Python's name of the charset; RequestError 415 where there is none of this name."""
    try:
        name = codecs.lookup(charset).name if _NAME.fullmatch(charset) else ""
    except (LookupError, ValueError):
        name = ""
    if not _CHARSET.fullmatch(name):
        raise RequestError(415, f"the charset {charset[:40]!r} is not known", next_step="Send UTF-8.")
    return name
