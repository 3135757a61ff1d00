"""RecordIO and TFRecord files as others write them: SageMaker's SDK v2 and the package tfrecord."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from transform_lab import Asked, close_plane, get, open_plane, put, request, transform

from seaproof.control.plane import Plane

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MAKE = ROOT / "tests" / "examples" / "classic_environment.py"

RECORDIO = """
import io, sys
import numpy
from sagemaker.amazon.common import write_numpy_to_dense_tensor
rows = numpy.arange(500 * 7, dtype="float32").reshape(500, 7)
with open(sys.argv[1], "wb") as file:
    write_numpy_to_dense_tensor(file, rows, labels=numpy.arange(500, dtype="float32"))
"""
READ_RECORDIO = """
import sys
from sagemaker.amazon.common import read_records, RecordDeserializer
from sagemaker.amazon.record_pb2 import Record
for path in sys.argv[1:]:
    record = Record()
    record.ParseFromString(open(path, "rb").read())
    print(list(record.features["values"].float32_tensor.values)[0])
"""
TFRECORD = """
import sys
import tfrecord
writer = tfrecord.TFRecordWriter(sys.argv[1])
for number in range(500):
    writer.write({"number": (number, "int"), "text": (b"x" * (number % 50), "byte")})
writer.close()
"""
READ_TFRECORD = """
import sys
from tfrecord import example_pb2
for path in sys.argv[1:]:
    example = example_pb2.Example()
    example.ParseFromString(open(path, "rb").read())
    print(list(example.features.feature["number"].int64_list.value)[0])
"""


def python_with(name: str, pins: Path) -> Path:
    """The interpreter of an environment of its own, which is made when it is first needed."""
    folder = ROOT / ".cache" / "clients" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, MAKE, folder, pins], check=True)
    return folder / "bin" / "python"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[tuple[Plane, Asked]]:
    asked = Asked(lambda body: b"%d\n" % len(body))
    plane = open_plane(tmp_path, {"m": asked})
    yield plane, asked
    close_plane(plane)


@pytest.mark.parametrize(
    ("split", "environment", "pins", "write", "read"),
    [
        ("RecordIO", "sdk-v2", ROOT / "tests" / "wire" / "clients" / "sdk-v2.txt", RECORDIO, READ_RECORDIO),
        ("TFRecord", "tfrecord", HERE / "clients" / "tfrecord.txt", TFRECORD, READ_TFRECORD),
    ],
)
def test_single_records_are_sent_without_their_framing_and_payloads_with_it(
    lab: tuple[Plane, Asked], tmp_path: Path, split: str, environment: str, pins: Path, write: str, read: str
) -> None:
    plane, asked = lab
    python = python_with(environment, pins)
    path = tmp_path / "records"
    subprocess.run([python, "-c", write, path], check=True)
    put(plane, "s3://b/in/records", path.read_bytes())
    given = {"SplitType": split, "ContentType": "application/octet-stream"}

    one = transform(plane, request("m", "one", TransformInput=given, BatchStrategy="SingleRecord"))
    single = asked.bodies[:]
    two = transform(plane, request("m", "two", TransformInput=given))

    assert one["TransformJobStatus"] == two["TransformJobStatus"] == "Completed", (one, two)
    assert len(single) == 500
    assert b"".join(asked.bodies[500:]) == path.read_bytes()
    assert get(plane, "s3://b/out/records.out") == b"%d\n" % path.stat().st_size
    shown = [tmp_path / "first", tmp_path / "last"]
    for file, body in zip(shown, (single[0], single[-1]), strict=True):
        file.write_bytes(body)
    done = subprocess.run([python, "-c", read, *shown], check=True, capture_output=True, text=True)
    last = {"RecordIO": 3493.0, "TFRecord": 499}[split]
    # The SDK says on its first lines where its configuration lies.
    assert [float(line) for line in done.stdout.split()[-2:]] == [0, last]
