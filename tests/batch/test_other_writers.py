"""RecordIO and TFRecord files as others write them: SageMaker's SDK v2 and the package tfrecord."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import tfrecord
from tfrecord import example_pb2
from transform_lab import Asked, close_plane, get, open_plane, put, request, transform

from seaproof.control.plane import Plane
from venvs import python_with

Read = Callable[[Path], float]
Writer = Callable[[Path], AbstractContextManager[Read]]

# Writes a file, then reads the records whose files it is told. One process for both, as its import takes seconds.
SDK = """
import sys
import numpy
from sagemaker.amazon.common import write_numpy_to_dense_tensor
from sagemaker.amazon.record_pb2 import Record
rows = numpy.arange(500 * 7, dtype="float32").reshape(500, 7)
with open(sys.argv[1], "wb") as file:
    write_numpy_to_dense_tensor(file, rows, labels=numpy.arange(500, dtype="float32"))
print("written", flush=True)
for line in sys.stdin:
    record = Record()
    record.ParseFromString(open(line.strip(), "rb").read())
    print(list(record.features["values"].float32_tensor.values)[0], flush=True)
"""


@contextmanager
def recordio(path: Path) -> Iterator[Read]:
    """500 records by SageMaker's SDK, in an environment of its own, and what is in one: the first of its values."""
    command = [python_with("sdk-v2"), "-c", SDK, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        # The SDK says on its first lines where its configuration lies.
        assert any(line == "written\n" for line in process.stdout)

        def read(record: Path) -> float:
            print(record, file=process.stdin)
            return float(process.stdout.readline())

        yield read
        process.stdin.close()


@contextmanager
def tfrecords(path: Path) -> Iterator[Read]:
    """500 examples, of which each holds its number and a text of another length."""
    writer = tfrecord.TFRecordWriter(str(path))
    for number in range(500):
        writer.write({"number": (number, "int"), "text": (b"x" * (number % 50), "byte")})
    writer.close()

    def read(record: Path) -> float:
        example = example_pb2.Example()
        example.ParseFromString(record.read_bytes())
        return float(example.features.feature["number"].int64_list.value[0])

    yield read


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[tuple[Plane, Asked]]:
    asked = Asked(lambda body: b"%d\n" % len(body))
    plane = open_plane(tmp_path, {"m": asked})
    yield plane, asked
    close_plane(plane)


@pytest.mark.parametrize(("split", "writer", "last"), [("RecordIO", recordio, 3493.0), ("TFRecord", tfrecords, 499.0)])
def test_single_records_are_sent_without_their_framing_and_payloads_with_it(
    lab: tuple[Plane, Asked], tmp_path: Path, split: str, writer: Writer, last: float
) -> None:
    plane, asked = lab
    path, first_of, last_of = tmp_path / "records", tmp_path / "first", tmp_path / "last"
    given = {"SplitType": split, "ContentType": "application/octet-stream"}
    with writer(path) as read:
        put(plane, "s3://b/in/records", path.read_bytes())

        one = transform(plane, request("m", "one", TransformInput=given, BatchStrategy="SingleRecord"))
        single = asked.bodies[:]
        two = transform(plane, request("m", "two", TransformInput=given))
        first_of.write_bytes(single[0])
        last_of.write_bytes(single[-1])

        assert (read(first_of), read(last_of)) == (0, last)
    assert one["TransformJobStatus"] == two["TransformJobStatus"] == "Completed", (one, two)
    assert len(single) == 500
    assert b"".join(asked.bodies[500:]) == path.read_bytes()
    assert get(plane, "s3://b/out/records.out") == b"%d\n" % path.stat().st_size
