"""What the other formats decode to: JSON, JSON lines, sparse npz, RecordIO, multipart."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from seaproof.contract.http import parse_accept, parse_media_type
from seaproof.serving.codecs import Record, Tensor, decode, encode, protobuf
from seaproof.serving.codecs import json as json_codec
from seaproof.serving.codecs import recordio as recordio_codec

RECORDIO = "application/x-recordio-protobuf"


def value(body: bytes, content_type: str) -> Any:
    return decode(body, parse_media_type(content_type))


def recordio(item: Any) -> Any:
    return value(encode(item, parse_accept(RECORDIO), "")[0], RECORDIO)


@pytest.mark.parametrize(
    ("body", "dtype", "shape"),
    [
        ("[1,2]", "i8", (2,)),
        ("[[1,2.5],[3,4]]", "f8", (2, 2)),
        ("[[[1]],[[2]]]", "i8", (2, 1, 1)),
        (" [ [1e0] ] ", "f8", (1, 1)),
    ],
)
@pytest.mark.parametrize("copies", [1, 3000])
def test_a_regular_list_of_numbers_is_an_array(body: str, dtype: str, shape: tuple[int, ...], copies: int) -> None:
    inner = body.strip()[1:-1]

    found = value(f"[{','.join([inner] * copies)}]".encode(), "application/json")

    assert found.dtype == dtype
    assert found.shape == (shape[0] * copies, *shape[1:])


@pytest.mark.parametrize(
    "text",
    [
        '{"a":[1,2]}',
        "[[1],[2,3]]",
        "[1,null]",
        '[1,"2"]',
        "[true]",
        "[]",
        "[[]]",
        "null",
        "7",
        '"x"',
        "[{}]",
        "[[1,null]]",
    ],
)
def test_any_other_json_is_plain_values(text: str) -> None:
    assert value(text.encode(), "application/json") == json.loads(text)
    assert type(value(text.encode(), "application/json")) is type(json.loads(text))


INTEGERS = st.integers(-(2**63), 2**64 - 1)
TREES = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
LISTS = st.lists(st.lists(INTEGERS | st.floats() | st.none() | st.lists(INTEGERS), max_size=3), max_size=4)


@given(tree=TREES | LISTS, indent=st.none() | st.integers(0, 2), copies=st.sampled_from([1, 300]))
def test_every_json_reader_gives_what_the_standard_library_gives(tree: Any, indent: int | None, copies: int) -> None:
    text = json.dumps([tree] * copies, indent=indent)
    expected = json_codec.as_array(json.loads(text))

    found = value(text.encode(), "application/json")

    assert type(found) is type(expected)
    if isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected, equal_nan=True)
    else:
        assert repr(found) == repr(expected)


def test_json_lines_are_a_list_and_lines_of_numbers_an_array() -> None:
    assert value(b'{"a":1}\r\n\n{"b":2}\n', "application/jsonlines") == [{"a": 1}, {"b": 2}]
    assert value(b"[1,2]\n[3,4.5]\n", "application/x-ndjson").tolist() == [[1.0, 2.0], [3.0, 4.5]]


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
def test_a_sparse_matrix_comes_back_sparse(kind: str) -> None:
    matrix = scipy.sparse.random(5, 7, 0.4, kind, rng=np.random.default_rng(1))
    file = io.BytesIO()
    scipy.sparse.save_npz(file, matrix)

    found = value(file.getvalue(), "application/x-npz")
    again = value(encode(found, parse_accept("application/x-npz"), "")[0], "application/x-npz")

    assert found.format == again.format == kind
    assert np.array_equal(again.toarray(), matrix.toarray())


def test_several_arrays_come_back_by_name() -> None:
    body, _ = encode({"x": np.eye(2), "y": [1, 2]}, parse_accept("application/x-npz"), "")

    assert {name: array.tolist() for name, array in value(body, "application/x-npz").items()} == {
        "x": [[1.0, 0.0], [0.0, 1.0]],
        "y": [1, 2],
    }


@given(arrays.arrays(st.sampled_from([np.float32, np.float64, np.int32]), arrays.array_shapes(min_dims=2, max_dims=3)))
def test_matrices_come_back_from_recordio(array: Any) -> None:
    found = recordio(array)

    assert found.dtype == array.dtype
    assert np.array_equal(found, array, equal_nan=array.dtype.kind == "f")


def test_a_sparse_matrix_comes_back_from_recordio() -> None:
    matrix = scipy.sparse.csr_matrix(np.array([[0, 1, 0, 2], [0, 0, 0, 0], [3, 0, 0, 0]], np.float32))

    found = recordio(matrix)

    assert found.format == "csr"
    assert np.array_equal(found.toarray(), matrix.toarray())


def test_records_with_labels_come_back_as_records() -> None:
    features = {"values": Tensor(np.array([1, -2], np.int32)), "image": [b"png", b""]}
    label = {"score": Tensor(np.array([0.5], np.float32))}
    sparse = Record({"values": Tensor(np.array([2.0]), [3], (2, 2))}, label, uid="ü", metadata="{}", configuration="c")

    first, second = recordio([Record(features, label), sparse])

    assert first.features["values"].values.tolist() == [1, -2]
    assert first.features["image"] == [b"png", b""]
    assert second.features["values"].dense().tolist() == [[0.0, 0.0], [0.0, 2.0]]
    assert (second.uid, second.metadata, second.configuration) == ("ü", "{}", "c")
    assert second.label["score"].values.dtype == np.float32


def test_dicts_go_out_as_labels_of_records() -> None:
    records = recordio([{"score": 0.5, "predicted_label": 1}])

    assert records[0].label["score"].values.tolist() == [0.5]
    assert records[0].label["predicted_label"].values.tolist() == [1]


def test_the_bytes_of_a_record_are_those_of_protobuf_and_recordio() -> None:
    body, _ = encode(np.array([[1.0]], np.float32), parse_accept(RECORDIO), "")

    tensor = b"\x0a\x04" + struct.pack("<f", 1.0)
    entry = b"\x0a\x06values" + b"\x12\x08" + b"\x12\x06" + tensor
    record = b"\x0a" + bytes([len(entry)]) + entry
    assert body == struct.pack("<II", 0xCED7230A, len(record)) + record + bytes(-len(record) % 4)


def test_parts_of_a_cut_record_are_joined_by_the_magic_number_that_was_left_out() -> None:
    magic = struct.pack("<I", 0xCED7230A)
    parts = [(1, b"abcd"), (2, b""), (3, b"ef")]
    body = b"".join(
        magic + struct.pack("<I", flag << 29 | len(part)) + part + bytes(-len(part) % 4) for flag, part in parts
    )

    assert list(recordio_codec.frames(body)) == [b"abcd" + magic + magic + b"ef"]


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_packed_numbers_come_back(numbers: list[int]) -> None:
    assert protobuf.varints(protobuf.packed(numbers)) == numbers


def test_a_form_is_a_dict_of_its_parts_each_by_its_own_type() -> None:
    body = (
        b'preamble\r\n--x y\r\nContent-Disposition: form-data; name="text"\r\n\r\nh\xc3\xa9\r\n\r\n--\r\n'
        b'--x y\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n'
        b"Content-Type: image/png\r\n\r\n\x89PNG\r\n"
        b'--x y\r\nContent-Disposition: form-data; name="rows"\r\nContent-Type: text/csv\r\n\r\n1,2\r\n3,4\r\n'
        b'--x y\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n\xff\r\n'
        b'--x y\r\ncontent-disposition: form-data; name="options"\r\nContent-Type: application/json\r\n\r\n{"k": 1}\r\n'
        b"--x y--\r\nepilogue"
    )

    found = value(body, 'multipart/form-data; boundary="x y"')

    assert found["rows"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert {name: found[name] for name in ("text", "image", "file", "options")} == {
        "text": "hé\r\n\r\n--",
        "image": b"\x89PNG",
        "file": b"\xff",
        "options": {"k": 1},
    }


def test_octets_are_passed_as_they_are() -> None:
    assert value(b"\x00\xff", "application/octet-stream") == b"\x00\xff"
    assert value(b"", "application/octet-stream") == b""
    assert encode("ä", parse_accept("application/octet-stream"), "")[0] == "ä".encode()
    assert encode(bytearray(b"x"), parse_accept("*/*"), "application/json") == (b"x", "application/octet-stream")
