"""The error table of every codec: what is wrong with a body, the status, and the place that the answer names."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
from collections.abc import Iterator

import numpy as np
import pytest
from container_process import Container

from seaproof.contract.http import parse_media_type
from seaproof.drivers.ports import free_port
from seaproof.errors import RequestError
from seaproof.serving.codecs import DECODERS, ENCODERS, decode

FORM = "multipart/form-data; boundary=xx"
PARQUET, ARROW = "application/x-parquet", "application/vnd.apache.arrow.stream"
RECORDIO = "application/x-recordio-protobuf"
MAGIC = struct.pack("<I", 0xCED7230A)


def npy_file(descr: str = "'<f8'", shape: str = "(2,)", data: bytes = bytes(16)) -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def npz_file(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()


def sparse_file(indices: list[int]) -> bytes:
    arrays = {"format": np.array(b"csr"), "shape": np.array([1, 3]), "data": np.ones(1), "indptr": np.array([0, 1])}
    file = io.BytesIO()
    np.savez(file, indices=np.array(indices), **arrays)
    return file.getvalue()


def object_array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return file.getvalue()


def frame(data: bytes, part: int = 0) -> bytes:
    return MAGIC + struct.pack("<I", part << 29 | len(data)) + data + bytes(-len(data) % 4)


def form(*parts: bytes, end: bytes = b"--xx--\r\n") -> bytes:
    return b"".join(b"--xx\r\n" + part + b"\r\n" for part in parts) + end


def part(name: str, content: bytes, more: str = "") -> bytes:
    return f'Content-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content


MALFORMED = [
    ("text/csv", b"", "empty", "body"),
    ("text/csv", b"\r\n\n", "empty", "body"),
    ("text/csv", b"\xef\xbb\xbf", "empty", "body"),
    ("text/csv", b" \t" * 500, "empty", "body"),
    ("text/csv", b"1,2,3,4,5\n1,2,3,4,5\n1,2,3,4\n", "row 3 has 4 columns, expected 5", "row 3, column 4"),
    ("text/csv", b"1,2\n1,2,3\n", "row 2 has 3 columns, expected 2", "row 2, column 3"),
    ("text/csv", b"1,2\n\n1\n", "row 3 has 1 column, expected 2", "row 3, column 1"),
    ("text/csv", b"1,2\n" * 5000 + b"1\n", "row 5001 has 1 column, expected 2", "row 5001, column 1"),
    ("text/csv", b"1" + b",1" * 1_000_000 + b"\n1" * 1_000_000, "row 2 has 1 column", "row 2, column 1"),
    ("text/csv", b'a,1\nb,"2\n', "not closed", "row 2, column 2"),
    ("text/csv", b'a,1\n"b"c,2\n', "follows its closing quote", "row 2, column 1"),
    ("text/csv", b"a,1\nb,\xff\n", "not UTF-8: byte 0xff", "row 2, column 2"),
    ("text/csv", "1,2\n".encode("utf-16"), "not UTF-8: byte 0xff", "row 1, column 1"),
    ("text/csv", "a,2\n".encode("utf-16-le"), "NUL", "body"),
    ("text/csv; charset=utf-16", b"1,2", "not utf-16", "body"),
    ("text/csv; charset=ascii", b"\xe4,2", "not ascii", "body"),
    ("application/json", b"", "empty", "body"),
    ("application/json", b" \n", "empty", "body"),
    ("application/json", b'{"a": 1,\n "b": }', "Expecting value", "row 2, column 7"),
    ("application/json", b'{"a": [1, 2', "not JSON", "row 1, column 12"),
    ("application/json", b'"\xff"', "not UTF-8", "row 1, column 1"),
    ("application/json", b"[" * 100_000, "nested too deeply", "row 1"),
    ("application/json", b"[" * 100_000 + b"]" * 100_000, "nested too deeply", "row 1"),
    ("application/json", b"[" + b"9" * 5000 + b"]", "not JSON", "row 1"),
    ("application/json", b"[1] x", "Extra data", "row 1, column 5"),
    ("application/jsonlines", b"\n \n", "empty", "body"),
    ("application/jsonlines", b'{"a": 1}\n{"a": }\n', "Expecting value", "row 2, column 7"),
    ("application/x-ndjson", b"1\n2\n[3\n", "not JSON", "row 3, column 3"),
    ("application/x-npy", b"", "empty", "application/x-npy"),
    ("application/x-npy", b"PK\x03\x04 no array", "does not begin with", "application/x-npy"),
    ("application/x-npy", b"\x93NUMPY\x01\x00", "cut off", "application/x-npy"),
    ("application/x-npy", b"\x93NUMPY\x09\x00" + bytes(100), "version", "application/x-npy"),
    ("application/x-npy", npy_file()[:-1], "declares 16 bytes of data, but 15 follow", "application/x-npy"),
    ("application/x-npy", npy_file(data=bytes(17)), "but 17 follow", "application/x-npy"),
    ("application/x-npy", npy_file(shape="(1000000000000,)"), "8,000,000,000,000 bytes", "application/x-npy"),
    ("application/x-npy", npy_file(shape="(-2,)"), "does not describe", "application/x-npy"),
    ("application/x-npy", npy_file("'<U0'", "(10000000000000,)", b""), "cannot be read", "application/x-npy"),
    ("application/x-npy", npy_file("'<f7'"), "data type <f7", "application/x-npy"),
    ("application/x-npy", npy_file("'|O'"), "never read", "application/x-npy"),
    ("application/x-npy", object_array(), "never read", "application/x-npy"),
    ("application/x-npy", npy_file("[('a', 'O')]"), "never read", "application/x-npy"),
    ("application/x-npz", b"", "empty", "application/x-npz"),
    ("application/x-npz", b"not a zip", "not an npz file", "application/x-npz"),
    ("application/x-npz", npz_file(a=npy_file())[:-30], "not an npz file", "application/x-npz"),
    ("application/x-npz", npz_file(), "no arrays", "application/x-npz"),
    ("application/x-npz", npz_file(a=b"text"), "does not begin with", "application/x-npy"),
    ("application/x-npz", npz_file(a=object_array()), "never read", "application/x-npy"),
    ("application/x-npz", npz_file(a=bytes(300 << 20)), "more than 256 MiB", "application/x-npz"),
    ("application/x-npz", sparse_file([3]), "inconsistent", "application/x-npz"),
    ("application/x-npz", sparse_file([1, 2]), "inconsistent", "application/x-npz"),
    (PARQUET, b"", "empty", PARQUET),
    (PARQUET, b"PAR1 no table PAR1", "cannot be read", PARQUET),
    (ARROW, b"", "empty", ARROW),
    (ARROW, b"\xff\xff\xff\xff\x10\x00\x00\x00 no stream", "cannot be read", ARROW),
    (RECORDIO, b"", "empty", RECORDIO),
    (RECORDIO, b"\x01\x02\x03\x04\x05\x06\x07\x08", "row 1 does not begin with", "row 1"),
    (RECORDIO, frame(b"") + MAGIC, "row 2 does not begin", "row 2"),
    (RECORDIO, frame(b"") + MAGIC + b"\xff\xff\xff\x1f", "declares 536,870,911 bytes, but 0 follow", "row 2"),
    (RECORDIO, frame(b"", part=2), "order", "row 1"),
    (RECORDIO, frame(b"", part=1), "lacks its last part", "row 1"),
    (RECORDIO, frame(b"\x0a\x05ab"), "cut off", "row 1"),
    (RECORDIO, frame(b"\xff" * 20), "longer than 64 bits", "row 1"),
    ("multipart/form-data", form(part("a", b"1")), "no boundary", "multipart/form-data"),
    (FORM, b"", "closing boundary", "multipart/form-data"),
    (FORM, form(part("a", b"1"), end=b""), "closing boundary", "multipart/form-data"),
    (FORM, form(part("a", b"1"), part("a", b"2")), "part 2 has the name 'a'", "multipart/form-data"),
    (FORM, form(b"X: y\r\n\r\n1"), "part 1 has no name", "multipart/form-data"),
    (FORM, form(b'Content-Disposition: form-data; name="a"'), "blank line", "multipart/form-data"),
    (FORM, form(part("a", b"\xff")), "not UTF-8", "multipart/form-data"),
    (FORM, form(part("a", b"1,2\n3", "\r\nContent-Type: text/csv")), "row 2 has", "part 'a', row 2, column 1"),
]  # fmt: skip


@pytest.mark.parametrize(("content_type", "body", "what", "where"), MALFORMED)
def test_a_malformed_body_is_answered_400_with_the_place(content_type: str, body: bytes, what: str, where: str) -> None:
    media = parse_media_type(content_type)
    if media.essence not in DECODERS:
        pytest.skip("the library for this format is not installed")

    with pytest.raises(RequestError) as caught:
        decode(body, media)

    assert caught.value.status == 400
    assert what in caught.value.what
    assert caught.value.where == where
    assert caught.value.next_step


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """One container that reads and writes with the codecs; for a body `nothing` its answer has no form."""
    made = Container(tmp_path_factory.mktemp("served"), free_port())
    made.serve("def predict_fn(data, model):\n    return object() if data == {'give': 'nothing'} else len(data)\n")
    workers = made.workers()
    yield made
    assert made.workers() == workers
    assert "Traceback" not in made.log
    assert made.stop() == 0


@pytest.mark.parametrize(("content_type", "body", "what", "where"), MALFORMED)
def test_a_server_answers_the_same_400(
    served: Container, content_type: str, body: bytes, what: str, where: str
) -> None:
    reply = served.invoke(body, content_type)

    assert (reply.status, reply.headers["content-type"]) == (400, "application/json")
    assert what in reply.json["error"]
    assert reply.json["where"] == where
    assert reply.json["next_step"]


@pytest.mark.parametrize("essence", ["text/csv", "application/json", "application/jsonlines"])
def test_a_compressed_body_is_told_to_be_one(served: Container, essence: str) -> None:
    reply = served.invoke(gzip.compress(b"1"), essence, Content_Encoding="gzip")

    assert reply.status == 400
    assert reply.json["next_step"] == "It looks like gzip, which is not unpacked here: send it as it was before."


@pytest.mark.parametrize("essence", DECODERS)
def test_what_is_no_charset_or_no_type_is_415_whatever_it_is_like(served: Container, essence: str) -> None:
    assert served.invoke(b"1", f"{essence}x").status == 415
    if parse_media_type(essence).essence in ("text/csv", "application/json", "application/jsonlines"):
        assert served.invoke(b"1", f"{essence}; charset=klingon").status == 415


@pytest.mark.parametrize("essence", ENCODERS)
def test_an_answer_that_a_type_has_no_form_for_is_406_and_the_types_are_named(served: Container, essence: str) -> None:
    reply = served.invoke('{"give": "nothing"}', "application/json", Accept=essence)

    assert reply.status == 406
    assert essence in reply.json["error"]
    assert all(other in reply.json["next_step"] for other in ENCODERS)


@pytest.mark.parametrize("charset", ["klingon", "rot13", "zlib", "punycode", "undefined", "x\0y", "a" * 1000])
def test_a_charset_that_is_none_is_answered_415(charset: str) -> None:
    with pytest.raises(RequestError) as caught:
        decode(b"1,2", parse_media_type(f"text/csv; charset={charset}"))

    assert caught.value.status == 415


def test_an_archive_with_two_arrays_of_one_name_is_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", npy_file())
        archive.writestr("b.npy", npy_file())
    body = file.getvalue().replace(b"b.npy", b"a.npy")

    with pytest.raises(RequestError, match="two arrays of one name"):
        decode(body, parse_media_type("application/x-npz"))


def test_nan_tokens_in_json_are_read_as_python_clients_send_them() -> None:
    found = decode(json.dumps([[1.5, float("nan")], [float("inf"), 2]]).encode(), parse_media_type("application/json"))

    assert np.array_equal(found, [[1.5, np.nan], [np.inf, 2]], equal_nan=True)


def test_recordio_rows_of_different_lengths_name_the_row() -> None:
    def record(values: bytes) -> bytes:
        tensor = b"\x12" + bytes([len(values) + 2]) + b"\x0a" + bytes([len(values)]) + values
        entry = b"\x0a\x06values\x12" + bytes([len(tensor)]) + tensor
        return frame(b"\x0a" + bytes([len(entry)]) + entry)

    with pytest.raises(RequestError) as caught:
        decode(record(bytes(8)) + record(bytes(8)) + record(bytes(4)), parse_media_type(RECORDIO))

    assert caught.value.what == "row 3 has shape (1,), expected (2,)"
    assert caught.value.where == "row 3"
