"""One page of a List operation: filter, sort, cut, and a token for the rest; the same for every kind of record.

A token holds the place in the order, not a number, so that what is created or deleted between two pages neither
repeats nor hides another record. It is valid for the filters and order that it was made with only.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

from seaproof.control.store import Body, Record
from seaproof.errors import ServiceError

MAX_RESULTS = 10
"""Records on one page where the request does not say; the platform's default."""

_SORT: dict[str, Callable[[Record], list[Any]]] = {
    "Name": lambda record: [record.name],
    "CreationTime": lambda record: [record.created, record.name],
    "LastModifiedTime": lambda record: [record.modified, record.name],
    "Status": lambda record: [record.status, record.created, record.name],
}
_FILTERS: dict[str, Callable[[Record, Any], bool]] = {
    "NameContains": lambda record, text: str(text).lower() in record.name.lower(),
    "CreationTimeAfter": lambda record, time: record.created > time,
    "CreationTimeBefore": lambda record, time: record.created < time,
    "LastModifiedTimeAfter": lambda record, time: record.modified > time,
    "LastModifiedTimeBefore": lambda record, time: record.modified < time,
    "StatusEquals": lambda record, status: record.status == status,
}
FIELDS = ("MaxResults", "NextToken", "SortBy", "SortOrder", *_FILTERS)
"""The members of a List request that `page` has behaviour for; the `implemented` of `fields.check`."""


def page(
    records: Iterable[Record],
    request: Body,
    summary: Callable[[Record], Body],
    key: str,
    *,
    sort_by: str = "CreationTime",
    order: str = "Descending",
) -> Body:
    """`{key: [summaries], "NextToken": ...}`, the token only where more follows. Times are seconds.

    `sort_by` and `order` hold where the request has none. ServiceError where the token is none of ours.
    """
    sort_name = request.get("SortBy", sort_by)
    descending = request.get("SortOrder", order) == "Descending"
    place = _SORT[sort_name]
    given = {name: value for name, value in request.items() if name not in ("NextToken", "MaxResults")}
    query = _digest({**given, "SortBy": sort_name, "SortOrder": descending, "": key})
    filters = [(matches, request[name]) for name, matches in _FILTERS.items() if request.get(name) is not None]
    found = [record for record in records if all(matches(record, value) for matches, value in filters)]
    found.sort(key=place, reverse=descending)
    if request.get("NextToken"):
        after = _read_token(request["NextToken"], query)
        found = [record for record in found if _is_after(place(record), after, descending)]
    count = request.get("MaxResults", MAX_RESULTS)
    answer: Body = {key: [summary(record) for record in found[:count]]}
    if len(found) > count:
        answer["NextToken"] = _token(query, place(found[count - 1]))
    return answer


def _is_after(place: list[Any], after: list[Any], descending: bool) -> bool:
    try:
        return place < after if descending else place > after
    except TypeError:
        raise _no_token() from None


def _digest(query: Body) -> str:
    return hashlib.sha256(json.dumps(query, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _token(query: str, place: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps([query, place]).encode()).decode()


def _read_token(token: str, query: str) -> list[Any]:
    try:
        made_for, place = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
    except (ValueError, TypeError):
        raise _no_token() from None
    if made_for != query or not isinstance(place, list):
        raise _no_token()
    return place


def _no_token() -> ServiceError:
    return ServiceError(
        "ValidationException",
        "Invalid NextToken: it must come from an answer to the same request, with the same filters and order.",
    )
