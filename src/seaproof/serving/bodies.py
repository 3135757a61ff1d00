"""Many small bodies decoded in one go, and many small answers encoded in one go.

A row of numbers decodes in microseconds, most of which are spent on the way to the decoder. Bodies of numbers alone,
of the same width and in text/csv or application/json, are therefore put together before they are decoded; what comes
out is, number for number, what each would have given by itself. Any doubt gives None, and each is then decoded alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from seaproof.contract.http import MediaType
from seaproof.errors import RequestError
from seaproof.http.message import Request, Response
from seaproof.serving.codecs import content_type, csv, first_choice, json, numbers
from seaproof.serving.codecs.libraries import library
from seaproof.serving.predictor import accept_ranges

LARGE = 32 * 1024
"""Bytes of a body from which on its own decoding costs so much more than the way there that nothing is gained."""

_NUMERIC = b"0123456789.-+eE "


class Small(NamedTuple):
    """A body of numbers, as far as a look at its marks can tell."""

    kind: tuple[str, int]
    """Those of equal kind can be decoded together: format, and columns; integers have a format of their own."""
    text: bytes
    """The rows, without what is around them."""
    rows: int


def look(request: Request) -> Small | None:
    """What kind of small body this is, or None."""
    body = request.body
    if len(body) > LARGE:
        return None
    for name, value in request.headers:
        if name == b"content-type":
            if value == b"text/csv":
                return _look_at_csv(body)
            return _look_at_json(body) if value == b"application/json" else None
    return None


def _look_at_csv(body: bytes) -> Small | None:
    text = body.rstrip(b"\r\n")
    marks = text.translate(None, _NUMERIC)
    commas, more, _ = marks.partition(b"\n")
    if commas.count(b",") != len(commas) or not text or text.isspace():
        return None
    rows = marks.count(b"\n") + 1 if more else 1
    if more and (len(marks) != (len(commas) + 1) * rows - 1 or marks != ((commas + b"\n") * rows)[:-1]):
        return None
    return Small((csv.TYPE, len(commas) + 1), text, rows)


def _look_at_json(body: bytes) -> Small | None:
    text = body.strip(b" \t\r\n")
    marks = text.translate(None, _NUMERIC)
    if text[:1] != b"[" or text[-1:] != b"]" or marks[:2] != b"[[" or marks[-2:] != b"]]":
        return None
    commas, more, _ = marks[2:-2].partition(b"]")
    if commas.count(b",") != len(commas):
        return None
    rows = marks.count(b"[") - 1
    if more and (len(marks) != (len(commas) + 3) * rows + 1 or marks[1:-1] + b"," != (b"[%b]," % commas) * rows):
        return None
    # An array of whole numbers is one of int64, and predict_fn may care.
    whole = not (b"." in text or b"e" in text or b"E" in text)
    return Small(("whole" if whole else json.TYPE, len(commas) + 1), text[1:-1], rows)


def decode_together(bodies: Sequence[Small]) -> Any:
    """The matrix of bodies of one kind, all rows in order; None where it is not sure to be that."""
    form, width = bodies[0].kind
    try:
        if form == csv.TYPE:
            matrix = numbers.matrix(b"\n".join([body.text for body in bodies]))
        else:
            matrix = json.decode(b"[" + b",".join([body.text for body in bodies]) + b"]", MediaType(json.TYPE))
    except RequestError:
        return None
    np = library("numpy")
    expected = (sum(body.rows for body in bodies), width)
    if np is None or type(matrix) is not np.ndarray or matrix.shape != expected:
        return None
    return matrix if matrix.dtype == (np.int64 if form == "whole" else np.float64) else None


def encode_together(
    result: Any, counts: Sequence[int], requests: Sequence[Request], default: str
) -> list[Response | None] | None:
    """The answers to requests that had so many rows, of the result for all rows; None, as the whole or in a place,
    where an answer is to be encoded by itself."""
    np = library("numpy")
    if np is None or type(result) is not np.ndarray or result.dtype.kind not in "iuf":
        return None
    if result.ndim not in (1, 2) or not result.size or len(result) != sum(counts):
        return None
    # The rows as text, once for each format that is asked for; an empty list where it cannot be had.
    texts: dict[str, list[bytes]] = {}
    answers: list[Response | None] = []
    start = 0
    for count, request in zip(counts, requests, strict=True):
        kind = _plain_choice(request.header(b"accept"), default)
        if kind and kind not in texts:
            texts[kind] = _rows_of(result, kind)
        rows = texts[kind] if kind else []
        answers.append(_answer(rows[start : start + count], kind, result.ndim) if rows else None)
        start += count
    return answers


@lru_cache(maxsize=256)
def _plain_choice(accept: str, default: str) -> str:
    """The type of the answer to this Accept, where it is one that is encoded here; else ""."""
    choice = first_choice(list(accept_ranges(accept)), default)
    # A parameter that the encoder follows stands in the content type, and is left to it.
    plain = choice is not None and content_type(choice) in (csv.TYPE, json.TYPE)
    return choice.essence if choice is not None and plain else ""


def _rows_of(result: Any, kind: str) -> list[bytes]:
    # Infinities are written another way in CSV, and then all that stands beside them is too.
    if kind == csv.TYPE and not library("numpy").isfinite(result).all():
        return []
    array = library("numpy").ascontiguousarray(result)
    if kind == csv.TYPE:
        rows = csv.encode(array, MediaType(kind))[:-1].split(b"\n")
    elif result.ndim == 1:
        rows = json.encode(array, MediaType(kind))[1:-1].split(b",")
    else:
        rows = json.encode(array, MediaType(kind))[2:-2].split(b"],[")
    return rows if len(rows) == len(result) else []


def _answer(rows: list[bytes], kind: str, axes: int) -> Response:
    if kind == csv.TYPE:
        return Response(200, [(b"content-type", b"text/csv")], b"\n".join(rows) + b"\n")
    body = b"[" + b",".join(rows) + b"]" if axes == 1 else b"[[" + b"],[".join(rows) + b"]]"
    return Response(200, [(b"content-type", b"application/json")], body)
