"""What text/csv means: matrices, tables, headers, missing cells; and that every fast way agrees with the slow one."""

from __future__ import annotations

import csv
import io
import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seaproof.contract.http import parse_media_type
from seaproof.errors import RequestError
from seaproof.serving.codecs import Table, cells, decode, numbers
from seaproof.serving.codecs.libraries import library


def csv_value(body: bytes, content_type: str = "text/csv") -> Any:
    return decode(body, parse_media_type(content_type))


def table(body: bytes, content_type: str = "text/csv") -> Table:
    found = csv_value(body, content_type)
    assert isinstance(found, Table)
    return found


@pytest.mark.parametrize(
    "body",
    [b"1,2.5\n3,4", b"1,2.5\n3,4\n", b"1,2.5\r\n3,4\r\n", b"1,2.5\r3,4", b"\n1,2.5\n\n3,4\n\n", b" 1 ,2.5\n3,\t4\n",
     b"+1,2.5e0\n3.,4", b"001,2.5\n3,04.0", b"\xef\xbb\xbf1,2.5\n3,4"],
)  # fmt: skip
def test_a_numeric_body_is_a_matrix_however_it_is_written(body: bytes) -> None:
    found = csv_value(body)

    assert found.dtype == np.float64
    assert found.tolist() == [[1.0, 2.5], [3.0, 4.0]]


def test_one_row_and_one_column_are_matrices_too() -> None:
    assert csv_value(b"1,2,3").shape == (1, 3)
    assert csv_value(b"1\n2\n3\n").shape == (3, 1)
    assert csv_value(b"7").shape == (1, 1)


@pytest.mark.parametrize("body", [b"1,,3\n,5,\n", b'1,"",3\n"",5,\n', b"1, ,3\n,5,nan\n", b"1,NaN,3\nnan,5,\n"])
def test_a_missing_number_is_nan(body: bytes) -> None:
    found = csv_value(body)

    assert np.array_equal(found, [[1, math.nan, 3], [math.nan, 5, math.nan]], equal_nan=True)


def test_infinities_and_the_sign_of_zero_are_kept() -> None:
    found = csv_value(b"inf,-inf,-0,1e999\n")

    assert found.tolist() == [[math.inf, -math.inf, 0.0, math.inf]]
    assert math.copysign(1, found[0, 2]) == -1


def test_quoted_digits_are_text_and_unquoted_ones_in_a_text_column_stay_as_written() -> None:
    found = table(b'1,"007",008\n2,"7",x\n')

    assert found.lists() == [[1, 2], ["007", "7"], ["008", "x"]]


@pytest.mark.parametrize("cell", ["0x10", "1_000", "١٢", "1 2", "1,5 €", "--1", "1e", ".", "1d5"])
def test_what_only_looks_like_a_number_is_text(cell: str) -> None:
    text = cell.replace(",", ";")

    assert table(f"{text},1\n".encode()).column(0) == [text]


def test_whole_numbers_of_a_table_are_integers_unless_one_is_missing() -> None:
    found = table(b"a,1,2,1.0\nb,3,,2\n")

    assert [getattr(column, "dtype", None) for column in found.columns] == [None, np.int64, np.float64, np.float64]


def test_integers_that_a_float_cannot_hold_are_exact_in_a_table() -> None:
    assert table(b"a,9007199254740993\n").column(1).tolist() == [9007199254740993]
    assert table(b"a,9223372036854775808\n").column(1).dtype == np.float64


def test_missing_text_is_none_and_quoted_nothing_is_empty_text() -> None:
    assert table(b'x,a\n,b\n"",c\n').column(0) == ["x", None, ""]


def test_quotes_hold_commas_line_ends_and_quotes() -> None:
    found = table(b'"a, b",1\r\n"c ""d""\ne",2\r\n5" pipe,3\r\n')

    assert found.column(0) == ["a, b", 'c "d"\ne', '5" pipe']


@pytest.mark.parametrize("rows", [2, 2000])
def test_a_header_row_is_recognised_above_numbers(rows: int) -> None:
    found = table(b'age,"sepal length",z\n' + b"1,2.5,\n" * rows)

    assert found.names == ["age", "sepal length", "z"]
    assert found.shape == (rows, 3)
    assert found.column("age").dtype == np.int64
    assert found.column("sepal length").tolist() == [2.5] * rows
    assert np.isnan(found.column("z")).all()


@pytest.mark.parametrize(
    "body", [b"a,b\nc,d\n", b"a,a\n1,2\n", b"a,1\n2,3\n", b"a,\n1,2\n", b"a,b\n", b"a,b\n,\n", b"a,nan\n1,2\n"]
)
def test_a_first_row_that_may_be_data_is_data(body: bytes) -> None:
    assert table(body).names is None


@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_a_declared_header_is_believed(rows: int) -> None:
    found = table(b"2019,2020\n" + b"1,2\n" * rows, "text/csv; header=present")

    assert (found.names, found.shape) == (["2019", "2020"], (rows, 2))


@pytest.mark.parametrize("rows", [1, 1000])
def test_a_header_declared_absent_is_data(rows: int) -> None:
    found = table(b"a,b\n" + b"1,2\n" * rows, "text/csv; header=absent")

    assert found.column(0) == ["a"] + ["1"] * rows


@pytest.mark.parametrize("charset", ["latin-1", "utf-16", "cp1252", "UTF-8"])
def test_the_charset_of_the_content_type_is_honoured(charset: str) -> None:
    body = "ä,1\nö,2\n".encode(charset)

    assert table(body, f"text/csv; charset={charset}").column(0) == ["ä", "ö"]
    assert csv_value("1,2\n".encode(charset), f"text/csv; charset={charset}").tolist() == [[1, 2]]


def slow(text: str) -> Any:
    """The reference: the csv module, and float() for each cell; None where it is not a rectangle of plain numbers."""
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    if not rows or any(len(row) != len(rows[0]) for row in rows) or '"' in text:
        return None
    try:
        return [[slow_number(cell) for cell in row] for row in rows]
    except ValueError:
        return None


def slow_number(cell: str) -> float:
    if not cell.isascii() or "_" in cell:
        raise ValueError(cell)
    return float(cell) if cell.strip() else math.nan


NUMBERS = st.one_of(
    st.floats().map(repr),
    st.floats(-1000, 1000).map(lambda x: f"{x:.4f}"),
    st.integers(-(10**20), 10**20).map(str),
    st.sampled_from(["", "0", "-0", "-0.0", "007", "+1", ".5", "1.", "1e5", "1E-7", "-1e400", "5e-324", "nan", "inf",
                     " 1", "2 ", "\t3", "9007199254740993", "-0 ", "18446744073709551616"]),
)  # fmt: skip
ODD = st.one_of(
    NUMBERS,
    st.sampled_from(
        ["x", "0x1", "1_0", "١", "[1]", "[", "null", "true", "1 2", "{}", "e", "-", "\x0b1", "1e", "nan(1)"]
    ),
    st.text(st.characters(blacklist_characters='",\r\n\0', blacklist_categories=["Cs"]), max_size=4),
)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


@st.composite
def bodies(draw: st.DrawFn, cell: st.SearchStrategy[str]) -> str:
    """A body of comma-separated cells; now and then ragged, and with blank lines."""
    width, end = draw(st.integers(1, 4)), draw(ENDS)
    rows = draw(st.lists(st.lists(cell, min_size=width, max_size=width), min_size=1, max_size=6))
    if draw(st.integers(0, 9)) == 0:
        rows.append(draw(st.lists(cell, max_size=5)))
    return end.join(map(",".join, rows)) + draw(st.sampled_from(["", end, end * 2]))


WAYS = [numbers.matrix, numbers.few, numbers.simd, numbers.loadtxt]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@given(text=bodies(NUMBERS) | bodies(ODD), copies=st.sampled_from([1, 40]))
@example(text="1e400,2", copies=1)
@example(text="-0,1\n2,3", copies=1)
def test_every_fast_way_gives_the_slow_answer_or_none(way: Any, text: str, copies: int) -> None:
    if way is numbers.simd and library("simdjson") is None:
        pytest.skip("pysimdjson is not installed")
    body = numbers.lines_of((text + "\n").encode()) if way is not numbers.matrix else text.encode()
    body = b"\n".join([body] * copies)

    found = way(body)

    if found is not None:
        expected = slow(body.decode())
        assert expected is not None
        assert np.array_equal(found, expected, equal_nan=True)
        assert np.array_equal(np.signbit(found), np.signbit(expected))


@given(text=bodies(st.floats(allow_nan=False, allow_infinity=False).map(repr)))
def test_plain_numbers_never_need_the_slow_way(text: str) -> None:
    has_blank_lines = b"\n\n" in numbers.lines_of(text.encode())

    found = numbers.matrix(text.encode())

    assert (found is None) == (slow(text) is None or has_blank_lines)


@given(text=bodies(NUMBERS), copies=st.sampled_from([1, 40]))
def test_a_large_headed_body_is_the_table_that_the_slow_way_makes(text: str, copies: int) -> None:
    width = text.replace("\r", "\n").split("\n")[0].count(",") + 1
    head = ",".join(f"c{number}" for number in range(width)) + "\n"
    body = head + "\n".join([text.rstrip("\r\n")] * copies)
    try:
        expected = cells.value_of(body)
    except RequestError as error:
        with pytest.raises(RequestError, match=re.escape(error.what)):
            csv_value(body.encode())
        return

    found = csv_value(body.encode())

    if isinstance(found, Table):
        assert found == expected
        assert [getattr(c, "dtype", 0) for c in found.columns] == [getattr(c, "dtype", 0) for c in expected.columns]


@given(text=bodies(NUMBERS) | bodies(ODD), copies=st.sampled_from([1, 40]))
@example(text="-0,,1", copies=1)
def test_the_fast_ways_together_give_what_the_slow_one_does(text: str, copies: int) -> None:
    body = "\n".join([text] * copies)
    try:
        expected = cells.value_of(body)
    except RequestError as error:
        with pytest.raises(RequestError, match=re.escape(error.what)):
            csv_value(body.encode())
        return

    found = csv_value(body.encode())

    assert type(found) is type(expected)
    if isinstance(expected, Table):
        assert found == expected
    else:
        assert np.array_equal(found, expected, equal_nan=True)
        assert np.array_equal(np.signbit(found), np.signbit(expected))


@given(st.lists(st.lists(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")), min_size=2,
                         max_size=2), min_size=1, max_size=5))  # fmt: skip
def test_quoted_text_comes_back_as_the_csv_module_wrote_it(rows: list[list[str]]) -> None:
    file = io.StringIO()
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows(rows)

    found = csv_value(file.getvalue().encode(), "text/csv; header=absent")

    if any(any(row) for row in rows) and isinstance(found, Table):
        expected = [list(column) for column in zip(*rows, strict=True)]
        for column, texts in zip(found.columns, expected, strict=True):
            assert list(column) == texts or not any(texts)


@given(text=st.text(st.sampled_from('a1 ",\n\r'), max_size=14))
@example(text='"a, b","5"" pipe"\r\n"",1')
@example(text='"a\nb",a"b\n1,2')
@example(text='a"b,c"d,1\n1,2')
@example(text='"a"b,1\n1,2')
@example(text='"a" ,1\n1,2')
def test_cutting_by_columns_gives_the_cells_that_reading_one_by_one_does_or_none(text: str) -> None:
    columns = cells._plain_columns(text)
    try:
        rows = cells._rows(text)
    except RequestError:
        rows = []

    assert not columns or columns == list(map(list, zip(*rows, strict=True)))


def test_quoted_cells_are_cut_by_columns() -> None:
    assert cells._plain_columns('"a, b",1\n"5"" pipe",2\n"",3\n') == [['"a, b"', '"5"" pipe"', '""'], ["1", "2", "3"]]
