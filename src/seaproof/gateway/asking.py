"""What one request to /pipeline asks for, read from its query and headers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qs

from seaproof.contract.environ import is_true
from seaproof.contract.http import CONTENT_TYPE, FORWARDED_TO_CONTAINER, TARGET_MODEL
from seaproof.errors import RequestError
from seaproof.gateway.seats import Seat
from seaproof.http.message import Headers, Request

LAST, ALL = "last", "all"
_NO_TRACE = ("0", "false", "no", "off", "")
FORM = b"application/x-www-form-urlencoded"

_TARGET_MODEL = TARGET_MODEL.lower().encode()
_FORWARDED = {name.lower().encode(): name.encode() for name in FORWARDED_TO_CONTAINER if name != TARGET_MODEL}
"""What of the caller's headers a container sees; the target model is told to those that have models."""
_HAZALS_HEADERS: Headers = [(CONTENT_TYPE.encode(), FORM)]


@dataclass(slots=True)
class Asked:
    """One request, understood."""

    models: tuple[str, ...]
    """One for each step; "" for a single-model container."""
    replies: str
    """`last` or `all`."""
    trace: bool
    headers: Headers
    """For the first container."""


def read(request: Request, chain: tuple[Seat, ...], replies: str, hazal_headers: bool) -> Asked:
    """Read the request; `replies` is what it gets where it does not say. RequestError 400 where it is not clear."""
    headers = _HAZALS_HEADERS if hazal_headers else _forwarded(request.headers)
    if not request.query:
        named = request.header(_TARGET_MODEL)
        return Asked(_models((named,) if named else (), chain), replies, False, headers)
    try:
        given = _parsed(request.query)
    except ValueError as error:
        raise RequestError(400, f"the query cannot be read: {error}") from error
    wanted = given.get("replies", [replies])[-1]
    if wanted not in (LAST, ALL):
        raise RequestError(400, f"replies is {wanted!r}", next_step="It can be last or all.")
    trace = given.get("trace", ["0"])[-1]
    if not is_true(trace) and trace.lower() not in _NO_TRACE:
        raise RequestError(400, f"trace is {trace!r}", next_step="It can be 1 or 0.")
    models = given.get("model")
    if not models:
        named = request.header(_TARGET_MODEL)
        models = [named] if named else []
    return Asked(_models(tuple(models), chain), wanted, is_true(trace), headers)


@lru_cache(512)
def _parsed(query: str) -> Mapping[str, list[str]]:
    """Of what callers ask again and again."""
    return parse_qs(query, keep_blank_values=True, max_num_fields=100)


def _forwarded(headers: Headers) -> Headers:
    return [(_FORWARDED[name], value) for name, value in headers if name in _FORWARDED]


@lru_cache(1024)
def _models(given: tuple[str, ...], chain: tuple[Seat, ...]) -> tuple[str, ...]:
    """The model of each step: one name for all multi-model containers, or one for each of them, in order."""
    multi = sum([seat.container.multi for seat in chain])
    if not multi:
        return ("",) * len(chain)
    names = " and ".join(dict.fromkeys(seat.name for seat in chain if seat.container.multi))
    if not given:
        raise RequestError(
            400, f"no model is named, and {names} has many", next_step="Say which: POST /pipeline?model=NAME"
        )
    if len(given) not in (1, multi):
        raise RequestError(
            400,
            f"{len(given)} models are named, and the pipeline has {multi} steps with models ({names})",
            next_step="Name one for all of them, or one for each, in order.",
        )
    for name in given:
        if name in ("", ".", "..") or any(char < " " or char == "\x7f" for char in name):
            raise RequestError(400, f"{name!r} is no name of a model", next_step="POST /pipeline?model=NAME")
    left = iter(given * multi if len(given) == 1 else given)
    return tuple(next(left) if seat.container.multi else "" for seat in chain)
