"""Large CSV by each of the fast ways: the same value, to the cell, as cell by cell; or none."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seaproof.contract.http import parse_media_type
from seaproof.errors import RequestError
from seaproof.serving.codecs import Table, cells, decode, large_csv

WORDS = [
    "red",
    "green",
    "ü",
    "a b",
    " x",
    "x ",
    "5 m",
    "12 High Street",
    "na",
    "NA",
    "null",
    "true",
    "2020-01-01",
    "1_0",
    "٣",
]
NUMBERS = ["1", "-2", "007", "1.5", "-0", "-0.0", ".5", "5.", "+1", " 3", "4 ", "1e3", "1e400", "9007199254740993"]
NUMBERS += ["9223372036854775808", "nan", "NaN", "inf", "-Infinity", "0x1F", "nan(1)", "1d5", "12:30"]
EMPTY = ["", "", " ", "\t"]
QUOTED = ['""', '" "', '"red"', '"1"', '"nan"', '"a,b"', '"a""b"', '""""', '"a\nb"', '"a\r\nb"', '"1""2"', '"7 x"']
BROKEN = ['a"b', '"ab"x', '""x', '"', '"a" ', "a\0b"]


def columns(*kinds: list[str]) -> st.SearchStrategy[list[list[str]]]:
    """Rows with a kind of cell in each column, now and then another."""
    cell = [st.sampled_from(kind) for kind in kinds]
    return st.lists(st.tuples(*cell).map(list), min_size=2, max_size=6)


ROWS = st.lists(
    st.sampled_from(
        [NUMBERS, NUMBERS + EMPTY, WORDS, WORDS + EMPTY, QUOTED[:3] + WORDS, QUOTED + NUMBERS, EMPTY, BROKEN]
    ),
    min_size=2,
    max_size=5,
).flatmap(lambda kinds: columns(*kinds))
HEADS = st.sampled_from([None, ["a", "b", "c", "d", "e"], ["a", "a", "b", "c", "d"], ['"a,b"', "b", '"c"', "d", "e"]])


EACH_WAY = pytest.mark.parametrize("way", large_csv.WAYS, ids=lambda way: way.__name__.rpartition(".")[2])


def fast(way: ModuleType, body: bytes, header: str) -> Any:
    """The table by this way alone."""
    if any(byte in body for byte in b"\0\1\2") or (rows := way.prepared(body)) is None:
        return None
    return large_csv.read(rows, header, way.columns)


def slow(body: bytes, header: str) -> Any:
    try:
        return cells.value_of(body.decode(), header)
    except RequestError:
        return None


def same(one: Any, other: Any) -> bool:
    """Equal to the cell, its type and the sign of zero; a missing text is None in both."""
    if not isinstance(one, Table) or not isinstance(other, Table):
        return False
    kinds = [[getattr(column, "dtype", list) for column in table.columns] for table in (one, other)]
    return kinds[0] == kinds[1] and one == other


@EACH_WAY
@settings(deadline=None, max_examples=600)
@given(
    ROWS,
    HEADS,
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["", "\n", "\n\n"]),
    st.sampled_from(["", "present", "absent"]),
)
@example([["1", "x"], ["", "y"]], None, "\n", "\n", "")
@example([["-0", "x"], ["", "y"]], None, "\n", "\n", "")
@example([["1", '""'], ["2", "y"]], None, "\n", "\n", "")
@example([['""', "x"], ['""', "y"]], ["a", "b"], "\n", "\n", "")
@example([["nan", "x"], ["nan", "y"]], ["a", "b"], "\n", "\n", "")
def test_what_it_gives_is_what_cell_by_cell_gives(
    way: ModuleType, rows: list[list[str]], head: list[str] | None, end: str, last: str, header: str
) -> None:
    lines = rows if head is None else [head[: len(rows[0])], *rows]
    body = (end.join(map(",".join, lines)) + last).encode()

    found = fast(way, body, header)

    if found is not None:
        assert same(found, slow(body, header)), body


@EACH_WAY
@pytest.mark.parametrize(
    "body",
    [
        b"1,red\n2,green\n",
        b"id,name\n1,red\n2,green\n",
        b"id,name\r\n1,red\r\n2,\r\n",
        b'1,"red, dark"\n2,"say ""hello"""\n,x\n',
        b"1.5,,+3,x\n,2, 4,\n",
        "1,grün,2020-01-01,true\n2,rot,2020-01-02,false\n".encode(),
        b'9007199254740993,"",x\n1,y,z\n',
    ],
)
def test_what_is_plain_is_not_left_to_the_slow_way(way: ModuleType, body: bytes) -> None:
    found = fast(way, body, "")

    assert same(found, slow(body, ""))


@EACH_WAY
@pytest.mark.parametrize(
    "body", [b"1,2,x\n1,2\n", b"a,b\n1,\xff\n", b'1,"x\n2,y\n', b"1,x\n\0,y\n", b"1,2\n3,4\n", b"x\ny\n"]
)
def test_what_it_is_not_sure_about_it_leaves_alone(way: ModuleType, body: bytes) -> None:
    assert fast(way, body, "") is None


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_large_body_comes_that_way_and_a_fault_in_it_is_still_worded_by_row_and_column(end: bytes) -> None:
    lines = [
        b"%d,name %d,%.3f,%s" % (number, number % 97, number / 7, b"x" if number % 5 else b"") for number in range(3000)
    ]
    media = parse_media_type("text/csv")
    body = end.join([b"id,name,size,flag", *lines, b""])
    assert len(body) > large_csv.LARGE

    found = decode(body, media)
    assert same(found, slow(body, ""))
    assert [type(column) for column in found.columns] == [np.ndarray, list, np.ndarray, list]

    lines[2000] += b",more"
    with pytest.raises(RequestError, match="row 2002 has 5 columns, expected 4"):
        decode(end.join([b"id,name,size,flag", *lines, b""]), media)


@EACH_WAY
@settings(deadline=None, max_examples=400)
@given(
    st.lists(
        st.sampled_from([b'"', b'""', b",", b"\n", b"\r\n", b"1", b"a", b" ", b".5", b"nan", b"\xff", b"\xc3\xa4"]),
        max_size=24,
    )
)
def test_whatever_the_bytes_it_is_the_same_or_nothing(way: ModuleType, parts: list[bytes]) -> None:
    body = b"".join(parts)

    found = fast(way, body, "")

    if found is not None:
        assert same(found, slow(body, ""))
