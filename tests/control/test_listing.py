"""Pages of List operations: filters, order, tokens."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seaproof.control.listing import page
from seaproof.control.store import Body, Record
from seaproof.errors import ServiceError


def record(name: str, created: float = 0, modified: float = 0, status: str = "") -> Record:
    return Record("model", name, f"arn/{name}", status, created, modified, {})


def names(records: list[Record], request: Body, **more: Any) -> list[str]:
    return [entry["Name"] for entry in page(records, request, lambda r: {"Name": r.name}, "Models", **more)["Models"]]


RECORDS = [
    record("b", 1, 30, "InService"),
    record("a", 2, 20, "Failed"),
    record("Cab", 3, 10, "InService"),
]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, ["Cab", "a", "b"]),
        ({"SortOrder": "Ascending"}, ["b", "a", "Cab"]),
        ({"SortBy": "Name", "SortOrder": "Ascending"}, ["Cab", "a", "b"]),
        ({"SortBy": "LastModifiedTime"}, ["b", "a", "Cab"]),
        ({"SortBy": "Status"}, ["Cab", "b", "a"]),
        ({"NameContains": "A"}, ["Cab", "a"]),
        ({"CreationTimeAfter": 1}, ["Cab", "a"]),
        ({"CreationTimeAfter": 1.0, "CreationTimeBefore": 3}, ["a"]),
        ({"LastModifiedTimeAfter": 15, "LastModifiedTimeBefore": 25}, ["a"]),
        ({"StatusEquals": "InService"}, ["Cab", "b"]),
        ({"MaxResults": 1}, ["Cab"]),
    ],
)
def test_filters_and_order(request_: Body, expected: list[str]) -> None:
    assert names(RECORDS, request_) == expected


def test_ten_are_on_a_page_where_the_request_does_not_say() -> None:
    assert len(names([record(f"m{n}") for n in range(11)], {})) == 10


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 3)), unique_by=lambda pair: pair[0]),
    st.integers(1, 4),
    st.sampled_from(["Name", "CreationTime", "Status", "LastModifiedTime"]),
    st.sampled_from(["Ascending", "Descending"]),
)
def test_all_pages_together_are_the_whole_list(
    pairs: list[tuple[str, int]], count: int, sort_by: str, order: str
) -> None:
    records = [record(name, created, 5 - created, str(created % 2)) for name, created in pairs]
    request: Body = {"SortBy": sort_by, "SortOrder": order}
    whole = names(records, {**request, "MaxResults": 100})
    seen: list[str] = []
    request["MaxResults"] = count
    while True:
        answer = page(records, request, lambda r: {"Name": r.name}, "Models")
        seen += [entry["Name"] for entry in answer["Models"]]
        if "NextToken" not in answer:
            break
        request["NextToken"] = answer["NextToken"]

    assert seen == whole
    assert sorted(seen) == sorted(name for name, _ in pairs)


def test_what_comes_and_goes_between_pages_neither_repeats_nor_hides_others() -> None:
    records = [record(name) for name in "bdfh"]
    request: Body = {"SortBy": "Name", "SortOrder": "Ascending", "MaxResults": 2}
    first = page(records, request, lambda r: {"Name": r.name}, "Models")
    changed = [record(name) for name in "abefh"]

    assert names(changed, {**request, "NextToken": first["NextToken"]}) == ["e", "f"]


def test_a_token_of_another_request_or_of_nobody_is_refused() -> None:
    token = page(RECORDS, {"MaxResults": 1}, lambda r: {}, "Models")["NextToken"]
    query = json.loads(base64.urlsafe_b64decode(token))[0]
    forged = [
        base64.urlsafe_b64encode(json.dumps(value).encode()).decode() for value in ([query, ["x", {}]], [query, 1], 3)
    ]
    for request in (
        {"NextToken": token, "SortOrder": "Ascending"},
        {"NextToken": token, "NameContains": "a"},
        {"NextToken": "nonsense"},
        {"NextToken": "é"},
        *({"NextToken": text} for text in forged),
    ):
        with pytest.raises(ServiceError, match="Invalid NextToken"):
            page(RECORDS, request, lambda r: {}, "Models")

    assert names(RECORDS, {"NextToken": token, "MaxResults": 5}) == ["a", "b"]
