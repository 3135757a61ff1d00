"""Which codec a request gets, by Content-Type and Accept."""

from __future__ import annotations

from typing import Any

import pytest

from seaproof.contract.http import parse_accept, parse_media_type
from seaproof.errors import RequestError
from seaproof.serving.codecs import DECODERS, ENCODERS, decode, encode

VALUE = [[1.0, 2.5], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/csv", "text/csv"),
        ("TEXT/CSV ; charset=utf-8", "text/csv; charset=utf-8"),
        ("text/*", "text/csv"),
        ("text/html, text/csv;q=0.5", "text/csv"),
        ("application/json;q=0.1, text/csv;q=0.9", "text/csv"),
        ("text/csv;q=0, */*", "application/json"),
        ("application/*;q=0.3, text/html", "application/json"),
    ],
)
def test_accept_chooses_the_content_type_of_the_reply(accept: str, content_type: str) -> None:
    _, chosen = encode(VALUE, parse_accept(accept), "application/json")

    assert chosen == content_type


def test_the_default_may_be_another_type() -> None:
    body, chosen = encode(VALUE, parse_accept("*/*"), "text/csv")

    assert (body, chosen) == (b"1.0,2.5\n3.0,4.0\n", "text/csv")


def test_an_accept_that_nothing_satisfies_lists_the_types_there_are() -> None:
    with pytest.raises(RequestError) as caught:
        encode(VALUE, parse_accept("text/html, image/*"), "application/json")

    assert caught.value.status == 406
    assert all(essence in caught.value.next_step for essence in ENCODERS)


def test_a_content_type_that_is_not_known_lists_the_types_there_are() -> None:
    with pytest.raises(RequestError) as caught:
        decode(b"<p>", parse_media_type("text/html"))

    assert caught.value.status == 415
    assert all(essence in caught.value.next_step for essence in DECODERS)


def test_a_value_without_a_form_in_the_first_type_goes_out_in_the_next() -> None:
    nested = {"classes": [{"name": "a"}, {"name": "b", "more": [1]}]}

    _, chosen = encode(nested, parse_accept("text/csv, application/json;q=0.5"), "text/csv")

    assert chosen == "application/json"


@pytest.mark.parametrize(("accept", "status"), [("application/json", 406), ("*/*", 500), ("", 500)])
def test_a_value_without_any_form_is_the_callers_fault_only_if_he_asked(accept: str, status: int) -> None:
    value: Any = [object()]

    with pytest.raises(RequestError, match="type object") as caught:
        encode(value, parse_accept(accept), "application/json")

    assert caught.value.status == status


def test_bytes_go_out_as_they_are_in_the_type_asked_for() -> None:
    assert encode(b"done", parse_accept("text/csv"), "application/json") == (b"done", "text/csv")
