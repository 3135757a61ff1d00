"""What goes out: the same value in every format, and back again."""

from __future__ import annotations

import datetime
import io
import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from seaproof.contract.http import parse_accept, parse_media_type
from seaproof.errors import RequestError
from seaproof.serving.codecs import DECODERS, Table, concatenate, decode, encode, shapes

NAN = math.nan


def sent(value: Any, accept: str) -> bytes:
    return encode(value, parse_accept(accept), "application/json")[0]


def there_and_back(value: Any, essence: str) -> Any:
    return decode(sent(value, essence), parse_media_type(essence))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.array([0.5, 1.0]), "0.5\n1.0\n"),
        (np.array([[1, 2], [3, 4]]), "1,2\n3,4\n"),
        (np.array([[1, 2], [3, 4]]).T, "1,3\n2,4\n"),
        (np.array([NAN, np.inf, -np.inf, -0.0]), "nan\ninf\n-inf\n-0.0\n"),
        (np.array([True, False]), "true\nfalse\n"),
        (np.array(["a", "b,c"]), 'a\n"b,c"\n'),
        (np.array([1.0, 2.0], ">f8"), "1.0\n2.0\n"),
        (np.float64(2.5), "2.5\n"),
        (np.int64(7), "7\n"),
        (np.zeros((0, 3)), ""),
        ([], ""),
        ([1, 2.5], "1\n2.5\n"),
        ([[1, "x"], [2.5, None]], "1,x\n2.5,\n"),
        ([[None], [1]], '""\n1\n'),
        ([np.float64(1.5), np.float32(0.5)], "1.5\n0.5\n"),
        ([np.array([1, 2]), np.array([3, 4])], "1,2\n3,4\n"),
        (["007", "", "nan", 'say "hi"', "a\nb", " "], '"007"\n""\n"nan"\n"say ""hi"""\n"a\nb"\n" "\n'),
        ({"a": [1, 2], "b": ["x", "y"]}, "1,x\n2,y\n"),
        ({"label": "cat", "score": 0.25}, "cat,0.25\n"),
        ([{"a": 1, "b": 2}, {"a": 3, "b": 4}], "1,2\n3,4\n"),
        (pd.DataFrame({"a": [1, 2], "b": ["x", None]}), "1,x\n2,\n"),
        (pd.Series([0.5, 1.5]), "0.5\n1.5\n"),
        (Table([[1, 2], ["x", None]], ["a", "b"]), "1,x\n2,\n"),
        ("done,already\n", "done,already\n"),
        (2.5, "2.5\n"),
        (True, "true\n"),
        ([datetime.date(2026, 1, 2)], "2026-01-02\n"),
    ],
)
def test_a_value_as_csv(value: Any, text: str) -> None:
    assert sent(value, "text/csv").decode() == text


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.array([[0.5, NAN], [np.inf, 1.0]]), [[0.5, None], [None, 1.0]]),
        (np.array([1, 2], np.int8), [1, 2]),
        (np.asfortranarray(np.eye(2)), [[1.0, 0.0], [0.0, 1.0]]),
        (np.float32(0.5), 0.5),
        (np.array("x"), "x"),
        ({"a": np.array([1]), 3: (1, 2), "c": {np.int64(4)}}, {"a": [1], "3": [1, 2], "c": [4]}),
        ([NAN, None, True, "ä"], [None, None, True, "ä"]),
        (2**70, 2**70),
        ("text", "text"),
        (b"text", None),
        (Table([[1, 2], ["x", None]], ["a", "b"]), [{"a": 1, "b": "x"}, {"a": 2, "b": None}]),
        (Table([np.array([1.5, NAN]), ["x", "y"]]), [[1.5, "x"], [None, "y"]]),
        (pd.DataFrame({"a": [1.5, NAN]}), [{"a": 1.5}, {"a": None}]),
        (pd.Series(["x", "y"]), ["x", "y"]),
        (datetime.datetime(2026, 1, 2, 3), "2026-01-02T03:00:00"),
    ],
)
def test_a_value_as_json(value: Any, plain: Any) -> None:
    body = sent(value, "application/json")

    assert body == b"text" if plain is None else json.loads(body) == plain


def test_a_header_goes_out_only_where_accept_asks_for_one() -> None:
    frame = pd.DataFrame({"a": [1], "b,c": ["x"]})

    assert encode(frame, parse_accept("text/csv; header=present"), "") == (
        b'a,"b,c"\n1,x\n',
        "text/csv; header=present",
    )


@pytest.mark.parametrize("charset", ["latin-1", "utf-16", "UTF-8"])
@pytest.mark.parametrize("value", [[1.5, 2], np.array([[1.5, 2.0]]), ["ä"]])
def test_numbers_and_text_follow_the_charset(charset: str, value: Any) -> None:
    for essence in ("text/csv", "application/json"):
        body, content_type = encode(value, parse_accept(f"{essence}; charset={charset};q=0.9"), "")

        assert content_type == f"{essence}; charset={charset}"
        assert body.decode(charset) == sent(value, essence).decode()


def test_the_charset_that_accept_names_is_used() -> None:
    body, content_type = encode(["ä"], parse_accept("text/csv; charset=latin-1"), "")

    assert (body, content_type) == (b"\xe4\n", "text/csv; charset=latin-1")


@pytest.mark.parametrize("accept", ["text/csv", "application/x-npy", "application/octet-stream"])
def test_a_nested_value_has_no_form_in_a_flat_format(accept: str) -> None:
    with pytest.raises(RequestError) as caught:
        sent([{"a": {"b": [1, [2]]}}], accept)

    assert caught.value.status == 406


@pytest.mark.parametrize("accept", ["application/json", "application/jsonlines", "text/csv"])
def test_a_value_that_contains_itself_is_an_error_and_no_crash(accept: str) -> None:
    loop: list[Any] = []
    loop.append(loop)

    with pytest.raises(RequestError):
        sent(loop, accept)


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(arrays.arrays(np.float64, arrays.array_shapes(min_dims=2, max_dims=2), elements=st.floats()))
def test_floats_come_back_from_csv_bit_by_bit(array: Any) -> None:
    assert np.array_equal(there_and_back(array, "text/csv"), array, equal_nan=True)


@pytest.mark.parametrize("essence", ["application/json", "application/jsonlines"])
@given(array=arrays.arrays(np.float64, arrays.array_shapes(min_dims=2, max_dims=3), elements=FINITE))
def test_floats_come_back_from_json_bit_by_bit(essence: str, array: Any) -> None:
    assert np.array_equal(there_and_back(array, essence), array)


DTYPES = arrays.integer_dtypes() | arrays.floating_dtypes() | arrays.boolean_dtypes() | arrays.unicode_string_dtypes()


@pytest.mark.parametrize("essence", ["application/x-npy", "application/x-npz"])
@given(array=arrays.arrays(DTYPES, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0)))
def test_every_array_comes_back_from_numpys_own_formats(essence: str, array: Any) -> None:
    found = there_and_back(array, essence)

    assert found.shape == array.shape
    assert found.dtype == array.dtype.newbyteorder("=")
    assert np.array_equal(found, array, equal_nan=array.dtype.kind == "f")
    assert found.flags.writeable


CELLS = st.one_of(st.none(), st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")))


@given(st.lists(st.tuples(CELLS, st.integers(-(2**63), 2**63 - 1)), min_size=1))
def test_a_table_comes_back_from_csv_with_its_meaning(rows: list[tuple[str | None, int]]) -> None:
    table = Table([[text for text, _ in rows], [number for _, number in rows]], ["t", "n"])
    if all(not text for text, _ in rows):
        return  # a column of nothing is read as missing numbers

    body, content_type = encode(table, parse_accept("text/csv; header=present"), "")
    found = decode(body, parse_media_type(content_type))

    assert found == table


@pytest.mark.parametrize("essence", ["application/x-parquet", "application/vnd.apache.arrow.stream"])
def test_a_frame_comes_back_from_columnar_formats(essence: str) -> None:
    if essence not in DECODERS:
        pytest.skip("pyarrow is not installed")
    frame = pd.DataFrame({"n": [1, 2, 3], "x": [0.5, NAN, 1.5], "t": ["a", None, "b"], "b": [True, False, True]})
    frame["c"] = pd.Categorical(["u", "v", "u"])

    found = there_and_back(frame, essence)

    assert found.names == ["n", "x", "t", "b", "c"]
    assert repr(found.lists()) == "[[1, 2, 3], [0.5, nan, 1.5], ['a', None, 'b'], [True, False, True], ['u', 'v', 'u']]"
    assert found.column("n").dtype == np.int64


@pytest.mark.parametrize("essence", ["application/x-parquet", "application/vnd.apache.arrow.stream"])
def test_columnar_files_of_pandas_are_read(essence: str) -> None:
    arrow = pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"x": [0.5, 1.5], "c": pd.Categorical(["u", None]), "d": pd.to_datetime(["2026-01-02"] * 2)})
    file = io.BytesIO()
    if essence == "application/x-parquet":
        frame.to_parquet(file)
    else:
        table = arrow.Table.from_pandas(frame)
        with arrow.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)

    found = decode(file.getvalue(), parse_media_type(essence))

    assert found.names == ["x", "c", "d"]
    assert found.column("c") == ["u", None]
    assert found.column("d")[0].isoformat() == "2026-01-02T00:00:00"


def test_tables_are_joined_and_cut_by_rows() -> None:
    one = Table([np.array([1, 2]), ["x", None]], ["a", "b"])
    two = Table([np.array([3]), ["z"]], ["a", "b"])

    joined = concatenate([one, two])

    assert joined.lists() == [[1, 2, 3], ["x", None, "z"]]
    assert joined[2:] == two
    assert list(joined.rows()) == [(1, "x"), (2, None), (3, "z")]
    with pytest.raises(ValueError, match="different columns"):
        concatenate([one, Table([[1]], ["a"])])


def test_a_table_as_numpy_and_pandas() -> None:
    mixed = Table([np.array([1.5, NAN]), ["x", None]], ["a", "b"])
    plain = Table([np.array([1, 2]), np.array([0.5, 1.5])])

    assert mixed.numpy().dtype == object
    assert plain.numpy().tolist() == [[1.0, 0.5], [2.0, 1.5]]
    assert list(mixed.to_pandas().columns) == ["a", "b"]
    assert plain.to_pandas()[0].dtype == np.int64
    assert mixed.column("b") == ["x", None]
    with pytest.raises(KeyError, match="no column 'c'"):
        mixed.column("c")


def test_unfit_values_are_named() -> None:
    with pytest.raises(shapes.Unfit, match="type object"):
        shapes.tree([object()])
