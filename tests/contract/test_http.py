"""Media types are parsed, never compared as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seaproof.contract.http import MediaType, is_healthy, is_success, parse_accept, parse_media_type


@pytest.mark.parametrize(
    ("text", "essence", "charset"),
    [
        ("text/csv", "text/csv", ""),
        ("Text/CSV; charset=utf-8", "text/csv", "utf-8"),
        ('text/csv;charset="utf-8";header=present', "text/csv", "utf-8"),
        (" application/json ;; charset = x", "application/json", "x"),
        ('a/b; name="x;y"; charset=z', "a/b", "z"),
        ("", "", ""),
    ],
)
def test_a_media_type_is_parsed(text, essence, charset):
    found = parse_media_type(text)

    assert (found.essence, found.parameter("charset")) == (essence, charset)


def test_accept_is_ordered_by_quality_then_by_place():
    ranges = parse_accept("text/*;q=0.3, application/json, text/csv;q=0.9, a/b;q=0, */*;q=0.1, x/y")

    assert [r.essence for r in ranges] == ["application/json", "x/y", "text/csv", "text/*", "*/*"]


@pytest.mark.parametrize(
    ("range_", "essence", "covered"),
    [("*/*", "a/b", True), ("a/*", "a/b", True), ("a/*", "ab/b", False), ("a/b", "a/b", True), ("a/b", "a/c", False)],
)
def test_a_range_covers_what_it_names(range_, essence, covered):
    assert MediaType(range_).matches(essence) is covered


@given(st.text())
def test_any_text_is_parsed_without_an_error(text):
    parse_media_type(text)
    parse_accept(text)


def test_only_200_is_healthy_and_every_2xx_a_success():
    assert [s for s in range(100, 600) if is_healthy(s)] == [200]
    assert [s for s in range(100, 600) if is_success(s)] == list(range(200, 300))
