"""application/x-recordio-protobuf: SageMaker's own format, one Record message per RecordIO frame.

A frame is the magic number, a word whose low 29 bits are the length and whose top 3 say which part of a record it is
(0 whole, 1 first, 2 middle, 3 last), the data, and zeros up to a multiple of four. A writer may cut a record where the
magic number occurs in it; the number itself is then left out, and put back between the parts when reading.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from seaproof.contract.http import MediaType
from seaproof.errors import RequestError
from seaproof.serving.codecs import npy, record, shapes
from seaproof.serving.codecs.libraries import UNPACKED_MAX, library
from seaproof.serving.codecs.record import Record, Tensor

TYPE = "application/x-recordio-protobuf"

_MAGIC = struct.pack("<I", 0xCED7230A)
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_LENGTH_MAX = 2**29 - 1


def decode(body: bytes, media: MediaType) -> Any:
    """A matrix where every record has the one feature `values` and no label; a list of `Record` otherwise.

    The matrix is an ndarray, or a csr matrix where tensors are sparse and the image has scipy.
    """
    records = []
    for row, data in enumerate(frames(body), 1):
        try:
            records.append(record.parse(data))
        except ValueError as error:
            raise _malformed(f"row {row} is no Record message: {error}", row) from error
    if not records:
        raise _malformed("the body is empty", 0)
    if all(r.features.keys() == {"values"} and not r.label and _is_tensor(r) for r in records):
        return _matrix([r.features["values"] for r in records])
    return records


def _is_tensor(found: Record) -> bool:
    return isinstance(found.features["values"], Tensor)


def frames(body: bytes) -> Iterator[bytes]:
    """The data of each record; RequestError 400 with the row where a frame is cut off or does not begin with one."""
    at, row = 0, 1
    parts: list[bytes] = []
    while at < len(body):
        if body[at : at + 4] != _MAGIC or at + 8 > len(body):
            raise _malformed(f"row {row} does not begin with the RecordIO magic number, or is cut off", row)
        word = int.from_bytes(body[at + 4 : at + 8], "little")
        part, length = word >> 29, word & _LENGTH_MAX
        at += 8
        if length > len(body) - at:
            raise _malformed(f"row {row} declares {length:,} bytes, but {len(body) - at:,} follow", row)
        if part > _LAST or (part in (_WHOLE, _FIRST)) == bool(parts):
            raise _malformed(f"row {row} has its parts in an order that makes no record", row)
        parts.append(body[at : at + length])
        at += (length + 3) & ~3
        if part in (_WHOLE, _LAST):
            yield _MAGIC.join(parts)
            parts = []
            row += 1
    if parts:
        raise _malformed(f"row {row} lacks its last part", row)


def _matrix(tensors: list[Tensor]) -> Any:
    np = library("numpy")
    sparse = library("scipy.sparse") if any(t.keys is not None for t in tensors) else None
    shapes_there = [t.shape or t.values.shape for t in tensors]
    for row, shape in enumerate(shapes_there, 1):
        if shape != shapes_there[0]:
            raise _malformed(f"row {row} has shape {shape}, expected {shapes_there[0]}", row)
    try:
        if sparse is not None and len(shapes_there[0]) == 1:
            return _csr(sparse, tensors, shapes_there[0][0])
        if sum(t.values.itemsize for t in tensors) * int(np.prod(shapes_there[0], dtype=object)) > UNPACKED_MAX:
            raise _malformed(f"the tensors unpack to more than {UNPACKED_MAX >> 20} MiB", 0)
        return np.stack([t.dense() for t in tensors])
    except (ValueError, OverflowError) as error:
        raise _malformed(f"the tensors make no array: {error}", 0) from error


def _csr(sparse: Any, tensors: list[Tensor], width: int) -> Any:
    np = library("numpy")
    keys = [list(range(width)) if t.keys is None else t.keys for t in tensors]
    starts = np.cumsum([0, *(len(k) for k in keys)])
    columns = np.array([key for k in keys for key in k], np.int64)
    values = np.concatenate([t.values for t in tensors])
    return sparse.csr_matrix((values, columns, starts), shape=(len(tensors), width))


def _malformed(what: str, row: int) -> RequestError:
    where = f"row {row}" if row else TYPE
    return RequestError(400, what, where=where, next_step="Send RecordIO frames of SageMaker Record messages.")


def encode(value: Any, media: MediaType) -> bytes:
    """One record per row: an array as the feature `values`; dicts as labels, as SageMaker's own algorithms reply."""
    return b"".join(map(_frame, _records(value)))


def _frame(item: Record) -> bytes:
    data = record.write(item)
    if len(data) > _LENGTH_MAX:
        raise shapes.Unfit(f"a record of {len(data):,} bytes")
    return _MAGIC + struct.pack("<I", len(data)) + data + bytes(-len(data) % 4)


def _records(value: Any) -> Iterator[Record]:
    if isinstance(value, list) and value and all(isinstance(item, Record) for item in value):
        yield from value
    elif hasattr(value, "tocsr"):
        matrix = value.tocsr()
        for row in range(matrix.shape[0]):
            here = slice(matrix.indptr[row], matrix.indptr[row + 1])
            tensor = Tensor(_plain(matrix.data[here]), matrix.indices[here].tolist(), (matrix.shape[1],))
            yield Record({"values": tensor})
    elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        for item in value:
            yield Record(label={str(name): _tensor(entry) for name, entry in item.items()})
    else:
        array = npy.array_of(value)
        for row in array if array.ndim else array.reshape(1):
            yield Record({"values": _tensor(row)})


def _tensor(value: Any) -> Tensor:
    array = npy.array_of(value)
    return Tensor(_plain(array.reshape(-1)), None, array.shape if array.ndim > 1 else ())


def _plain(array: Any) -> Any:
    """The values in one of the three types that a tensor may have."""
    np = library("numpy")
    if array.dtype.kind not in "iufb":
        raise shapes.Unfit("values that are not numbers")
    if array.dtype == np.float32 or array.dtype == np.float64:
        return array
    if array.dtype.kind == "f" and array.dtype.itemsize < 4:
        return array.astype(np.float32)
    if array.dtype.kind != "f" and (not len(array) or (array.min() >= -(2**31) and array.max() < 2**31)):
        return array.astype(np.int32)
    return array.astype(np.float64)
