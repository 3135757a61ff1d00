"""Where objects are cut: properties that hold for any input, and files written by other libraries."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seaproof.batch.source import FileSource, Source, StreamSource
from seaproof.batch.split import FramingError, crc32c, splitter
from seaproof.batch.survey import survey
from seaproof.batch.transform import Cutting

RECORDS = st.lists(st.binary(max_size=40).map(lambda text: text.replace(b"\n", b"")), max_size=60)


def sources(data: bytes, folder: Path) -> list[Source]:
    path = folder / "object"
    path.write_bytes(data)
    return [FileSource(path.open("rb")), StreamSource(Trickle(data))]


class Trickle(io.RawIOBase):
    """A stream that gives a few bytes at a time, as the network does."""

    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(7 if size < 0 else min(size, 7))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("split")


@settings(deadline=None, max_examples=150)
@given(records=RECORDS, ended=st.booleans(), limit=st.integers(1, 120), single=st.booleans(), quoted=st.booleans())
def test_joined_payloads_are_the_input_and_each_is_within_the_limit_or_one_record(
    folder: Path, records: list[bytes], ended: bool, limit: int, single: bool, quoted: bool
) -> None:
    data = b"\n".join(records) + (b"\n" if ended and records else b"")
    for source in sources(data, folder):
        cuts = []
        for cut in splitter("Line", limit=limit, single=single, quoted=quoted)(source, 0):
            payload = source.read(cut.start, cut.stop)
            cuts.append(payload)
            assert cut.oversize == (len(payload) > limit)
            if cut.oversize and not quoted:
                assert payload.count(b"\n") <= 1
            if single and not quoted:
                assert payload.count(b"\n") <= 1
        source.close()

        assert b"".join(cuts) == data
        assert all(payload.endswith(b"\n") for payload in cuts[:-1])


@settings(deadline=None, max_examples=100)
@given(
    rows=st.lists(st.lists(st.text(alphabet='ab,"\n', max_size=6), min_size=1, max_size=3), max_size=12),
    limit=st.integers(10, 80),
)
def test_a_quoted_row_is_never_cut_in_two(folder: Path, rows: list[list[str]], limit: int) -> None:
    quoted = ["".join(",".join('"' + cell.replace('"', '""') + '"' for cell in row)) + "\n" for row in rows]
    ends = {len("".join(quoted[:count]).encode()) for count in range(len(quoted) + 1)}
    for source in sources("".join(quoted).encode(), folder):
        for cut in splitter("Line", limit=limit, single=False, quoted=True)(source, 0):
            assert cut.start in ends
            assert cut.stop in ends
        source.close()


@settings(deadline=None, max_examples=60)
@given(
    records=st.lists(st.binary(max_size=50), max_size=30),
    limit=st.integers(20, 200),
    kind=st.sampled_from(["RecordIO", "TFRecord"]),
)
def test_framed_records_come_back_one_by_one_and_whole_in_payloads(
    folder: Path, records: list[bytes], limit: int, kind: str
) -> None:
    frame = recordio if kind == "RecordIO" else tfrecord
    data = b"".join(frame(record) for record in records)
    for source in sources(data, folder):
        found = []
        for cut in splitter(kind, limit=10_000, single=True)(source, 0):
            found.append(b"".join(source.read(begin, end) for begin, end in cut.inner))
        source.close()
        assert found == records
    for source in sources(data, folder):
        parts = []
        for cut in splitter(kind, limit=limit, single=False)(source, 0):
            parts.append(source.read(cut.start, cut.stop))
            assert cut.oversize == (len(parts[-1]) > limit)
        source.close()
        assert b"".join(parts) == data


def recordio(data: bytes) -> bytes:
    return struct.pack("<II", 0xCED7230A, len(data)) + data + bytes(-len(data) % 4)


def tfrecord(data: bytes) -> bytes:
    def masked(value: int) -> int:
        return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF

    size = struct.pack("<Q", len(data))
    return size + struct.pack("<I", masked(crc32c(size))) + data + struct.pack("<I", masked(crc32c(data)))


def test_a_recordio_record_of_several_parts_is_one_record(folder: Path) -> None:
    magic = struct.pack("<I", 0xCED7230A)
    first, last = b"head", b"tail!"
    parts = [(1 << 29, first), (3 << 29, last)]
    data = b"".join(magic + struct.pack("<I", flag | len(part)) + part + bytes(-len(part) % 4) for flag, part in parts)
    source = StreamSource(Trickle(data + recordio(b"next")))

    found = []
    for cut in splitter("RecordIO", limit=1000, single=True)(source, 0):
        found.append(b"".join(source.read(begin, end) for begin, end in cut.inner))

    assert found == [first + magic + last, b"next"]


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        ("TFRecord", b"1,2\n3,4\n5,6\n7,8\n", "this is no TFRecord: the checksum of its length is wrong (byte 0)"),
        ("TFRecord", tfrecord(b"whole") + tfrecord(b"cut short")[:-3], "a TFRecord is cut short"),
        ("TFRecord", tfrecord(b"whole") + b"1234", "its length is missing (byte 21)"),
        ("RecordIO", b"1,2\n3,4\n", "does not begin with the magic number (byte 0)"),
        ("RecordIO", recordio(b"whole") + recordio(b"cut short")[:-8], "a RecordIO record is cut short"),
    ],
)
def test_what_is_not_in_the_format_says_so_with_the_byte(folder: Path, kind: str, data: bytes, said: str) -> None:
    for source in sources(data, folder):
        with pytest.raises(FramingError) as caught:
            list(splitter(kind, limit=1000, single=True)(source, 0))
        source.close()

        assert said in str(caught.value)


def test_a_sparse_file_of_10_gb_is_cut_without_reading_it(folder: Path) -> None:
    path = folder / "sparse"
    with path.open("wb") as file:
        for gigabyte in range(1, 11):
            file.seek(gigabyte * 2**30 - 1)
            file.write(b"\n")
    source = FileSource(path.open("rb"))
    read: list[int] = []
    asked = source.read

    def counted(start: int, stop: int) -> bytes:
        data = asked(start, stop)
        read.append(len(data))
        return data

    source.read = counted  # type: ignore[method-assign]
    found = survey(source, Cutting("Line", 2**30 + 5))
    source.close()
    path.unlink()

    assert (found.requests, found.bytes, found.oversizes) == (10, 10 * 2**30, 0)
    assert sum(read) < 2**20
