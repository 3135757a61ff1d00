"""The algebra of batching: joining and splitting lose nothing, mix nothing, and never change what one request is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from seaproof.contract.http import parse_media_type
from seaproof.http.message import Request
from seaproof.serving.bodies import decode_together, encode_together, look
from seaproof.serving.codecs import Table, decode
from seaproof.serving.codecs.numbers import matrix
from seaproof.serving.joining import join, rows_of, signature, split
from seaproof.serving.predictor import Unencoded, accept_ranges

COUNTS = st.lists(st.integers(1, 4), min_size=1, max_size=6)


def _values(counts: list[int]) -> dict[str, list[Any]]:
    """Inputs with so many rows each, of every kind that can be joined; all rows are different."""
    starts = np.cumsum([0, *counts[:-1]])
    arrays = [
        np.arange(start * 3, (start + count) * 3, dtype=float).reshape(count, 3)
        for start, count in zip(starts, counts, strict=True)
    ]
    return {
        "array": arrays,
        "cube": [array.reshape(-1, 3, 1) for array in arrays],
        "lists": [array.tolist() for array in arrays],
        "records": [[{"a": row[0], "b": str(row[1])} for row in array.tolist()] for array in arrays],
        "table": [Table([array[:, 0], [str(x) for x in array[:, 1]]], ["a", "b"]) for array in arrays],
        "frame": [pd.DataFrame({"a": array[:, 0], "b": [str(x) for x in array[:, 1]]}) for array in arrays],
        "sparse": [scipy.sparse.csr_matrix(array) for array in arrays],
    }


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, (pd.DataFrame, pd.Series)):
        return type(left) is type(right) and left.equals(right) and left.index.equals(right.index)
    if scipy.sparse.issparse(left):
        return left.shape == right.shape and left.dtype == right.dtype and (left != right).nnz == 0
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and np.array_equal(left, right)
    return bool(left == right)


@given(COUNTS)
def test_splitting_what_was_joined_gives_each_its_own_rows(counts: list[int]) -> None:
    for kind, values in _values(counts).items():
        assert len({signature(value) for value in values} - {None}) == 1, kind
        assert [rows_of(value) for value in values] == counts

        parts = split(join(values), counts)

        assert parts is not None
        assert all(map(_same, values, parts)), kind


@given(COUNTS)
def test_a_tuple_of_results_is_split_member_by_member(counts: list[int]) -> None:
    labels = list(range(sum(counts)))

    parts = split((np.array(labels), labels, pd.Series(labels)), counts)

    assert parts is not None
    assert [part[1] for part in parts] == split(labels, counts)
    assert all(part[0].tolist() == part[1] == part[2].tolist() for part in parts)


@given(COUNTS, st.integers(-3, 3).filter(bool))
def test_a_result_that_is_not_one_for_each_row_is_not_split(counts: list[int], off: int) -> None:
    wrong = max(0, sum(counts) + off)

    results = (
        [0] * wrong,
        np.zeros(wrong),
        (np.zeros(sum(counts)), np.zeros(wrong)),
        pd.Series([0] * wrong),
        np.float64(1),
    )
    assert [split(result, counts) for result in results] == [None] * len(results)


@pytest.mark.parametrize("result", [{"a": [1, 2]}, "ab", b"ab", None, 2, (), np.array(2), {1, 2}, iter([1, 2])])
def test_a_result_without_rows_is_not_split(result: Any) -> None:
    assert split(result, [1, 1]) is None


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (np.zeros((1, 2)), np.zeros((1, 3))),
        (np.zeros((1, 2)), np.zeros((1, 2), np.int64)),
        (np.zeros((1, 2)), np.zeros((1, 2, 1))),
        (np.zeros((1, 2)), [[0.0, 0.0]]),
        ([{"a": 1}], [{"b": 1}]),
        ([{"a": 1}], [{"a": 1.0}]),
        ([{"a": 1, "b": 1}], [{"b": 1, "a": 1}]),
        ([{"a": None}], [{"a": 1}]),
        ([[1]], [[1, 2]]),
        (["a"], [1]),
        (Table([[1]], ["a"]), Table([[1]], ["b"])),
        (Table([["x"]]), Table([np.array([1.0])])),
        (Table([np.array([1])]), Table([np.array([1.0])])),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1.0]})),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})),
        (scipy.sparse.csr_matrix([[1.0]]), scipy.sparse.csr_matrix([[1.0, 2.0]])),
    ],
)
def test_what_would_change_by_joining_is_not_alike(left: Any, right: Any) -> None:
    assert signature(left) is not None
    assert signature(left) != signature(right)


@pytest.mark.parametrize(
    "value",
    [
        np.array([1.0, 2.0]),
        np.zeros((0, 2)),
        [],
        [{"a": 1}, {"a": "x"}],
        [0] * 1000,
        {"instances": [[1]]},
        "text",
        b"bytes",
        1.5,
        Table([[1, "x"]]),
        Table([]),
        pd.DataFrame({"a": [1, 2]}).iloc[1:],
        pd.DataFrame({"a": []}),
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
    ],
)
def test_what_has_no_rows_or_cannot_be_told_is_predicted_alone(value: Any) -> None:
    assert signature(value) is None


def test_a_function_that_changes_its_joined_input_changes_nobodys_own() -> None:
    for kind, values in _values([1, 2]).items():
        before = [repr(value) for value in values]
        joined = join(values)

        if isinstance(joined, list):
            joined[0].clear()
        elif kind == "table":
            joined.columns[0][0] = 99
        elif kind == "frame":
            joined["a"] = 99
        elif kind != "sparse":
            joined[:] = 99

        assert [repr(value) for value in values] == before, kind


# Bodies that are decoded together.

NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False, width=64).map(repr),
    st.integers(-(2**40), 2**40).map(str),
    st.sampled_from(["0", "-0", "1e5", "1E-3", "-0.0", "007", "+1", ".5", "5.", "", " 1", "1 ", "nan", "1e", "-", "x"]),
)
ENDS = st.sampled_from(["", "\n", "\r\n", "\n\n", " "])


@st.composite
def _csv(draw: st.DrawFn) -> bytes:
    width = draw(st.integers(1, 3))
    rows = draw(st.lists(st.lists(NUMBERS, min_size=width, max_size=width), min_size=0, max_size=3))
    return (draw(st.sampled_from(["\n", "\n", "\n", "\r\n"])).join(map(",".join, rows)) + draw(ENDS)).encode()


@st.composite
def _json(draw: st.DrawFn) -> bytes:
    width = draw(st.integers(1, 3))
    rows = draw(st.lists(st.lists(NUMBERS, min_size=width, max_size=width), min_size=0, max_size=3))
    text = "[" + ",".join("[" + ",".join(row) + "]" for row in rows) + "]"
    return (draw(st.sampled_from(["", "", " ", "1", "["])) + text + draw(ENDS)).encode()


def _check_together(bodies: list[bytes], content_type: str) -> int:
    """Decode together what says it is alike, and compare with each alone; how many were."""
    kinds: dict[Any, list[Any]] = {}
    for body in bodies:
        small = look(Request("POST", "/", headers=[(b"content-type", content_type.encode())], body=body))
        if small is not None:
            kinds.setdefault(small.kind, []).append((body, small))
    checked = 0
    for alike in kinds.values():
        joined = decode_together([small for _, small in alike])
        if joined is None:
            continue
        start = 0
        for body, small in alike:
            alone = decode(body, parse_media_type(content_type))
            part = joined[start : start + small.rows]
            assert type(alone) is np.ndarray, body
            assert (alone.dtype, alone.shape) == (part.dtype, part.shape), body
            assert np.array_equal(alone, part, equal_nan=alone.dtype.kind == "f")
            assert np.array_equal(np.signbit(alone), np.signbit(part))
            start += small.rows
            checked += 1
    return checked


@given(st.lists(_csv(), min_size=1, max_size=40))
def test_csv_bodies_decoded_together_are_what_each_is_alone(bodies: list[bytes]) -> None:
    _check_together(bodies, "text/csv")


@given(st.lists(_json(), min_size=1, max_size=40))
def test_json_bodies_decoded_together_are_what_each_is_alone(bodies: list[bytes]) -> None:
    _check_together(bodies, "application/json")


def test_rows_of_numbers_are_decoded_together() -> None:
    rows = [",".join(str(number * column / 7) for column in range(20)).encode() for number in range(64)]

    assert _check_together([*rows, b"1,2\n3,4", b"5,6\r\n"], "text/csv") == 66
    assert _check_together([b"[[%b]]" % row for row in rows], "application/json") == 64
    assert _check_together([b"[[1, 2], [3, 4]]", b" [[5,6]]\n", b"[[1.5, 2]]"], "application/json") == 3


@pytest.mark.parametrize(
    "body", [b"", b" ", b"\n", b"a,b\n1,2", b'"1",2', b"1\r2", b"\xef\xbb\xbf1,2", b"1,2\n3", b"n"]
)
def test_a_csv_that_is_not_plainly_numbers_is_decoded_alone(body: bytes) -> None:
    assert look(Request("POST", "/", headers=[(b"content-type", b"text/csv")], body=body)) is None


@pytest.mark.parametrize("content_type", [b"text/csv; header=present", b"text/plain", b""])
def test_a_content_type_that_says_more_is_decoded_alone(content_type: bytes) -> None:
    assert look(Request("POST", "/", headers=[(b"content-type", content_type)], body=b"1,2")) is None
    assert look(Request("POST", "/", body=b"1,2")) is None


# Answers that are encoded together.

FLOATS = st.floats(width=64)
ACCEPTS = st.lists(
    st.sampled_from(["", "text/csv", "application/json", "*/*", "text/csv; header=present", "application/x-npy"]),
    min_size=1,
    max_size=6,
)


@given(
    ACCEPTS,
    st.data(),
    st.sampled_from(["application/json", "text/csv"]),
    st.sampled_from([0, 1, 2]),
    st.sampled_from(["f8", "f4", "i8", "u1", ">f8"]),
)
def test_answers_encoded_together_are_what_each_is_alone(
    accepts: list[str], data: st.DataObject, default: str, width: int, dtype: str
) -> None:
    from seaproof.serving.codecs import encode

    counts = data.draw(st.lists(st.integers(1, 3), min_size=len(accepts), max_size=len(accepts)))
    cells = sum(counts) * max(1, width)
    strategy = st.floats(width=32) if dtype == "f4" else FLOATS if "f" in dtype else st.integers(0, 255)
    flat = np.array(data.draw(st.lists(strategy, min_size=cells, max_size=cells)), dtype)
    result = flat.reshape(-1, width) if width else flat
    requests = [Request("POST", "/", headers=[(b"accept", accept.encode())]) for accept in accepts]

    answers = encode_together(result, counts, requests, default)

    assert answers is not None
    parts = split(result, counts)
    assert parts is not None
    for answer, part, accept in zip(answers, parts, accepts, strict=True):
        body, kind = encode(Unencoded(part).value, list(accept_ranges(accept)), default)
        if answer is not None:
            assert (answer.status, answer.headers, answer.body) == (200, [(b"content-type", kind.encode())], body)
    if np.isfinite(flat).all():
        assert [answer is None for answer in answers] == ["header" in accept or "npy" in accept for accept in accepts]


def test_the_matrix_decoder_is_there_for_many_rows() -> None:
    """What the tests above compare would be nothing if every body were decoded alone."""
    assert matrix(b"\n".join([b"1,2"] * 100)).shape == (100, 2)
