"""SageMaker's Record message: named tensors as features and labels of one example, dense or sparse.

Source: developer guide, "Common data formats for inference" (the record.proto of the built-in algorithms).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from seaproof.serving.codecs import protobuf
from seaproof.serving.codecs.libraries import UNPACKED_MAX, library

_FLOAT32, _FLOAT64, _INT32, _BYTES = 2, 3, 7, 9
_DTYPES = {_FLOAT32: "<f4", _FLOAT64: "<f8", _INT32: "<i4"}


@dataclass
class Tensor:
    """The values of one feature. `keys` says where they are in a sparse tensor, and is None for a dense one."""

    values: Any
    """One-dimensional ndarray: float32, float64 or int32."""
    keys: list[int] | None = None
    shape: tuple[int, ...] = ()
    """Always given for a sparse tensor; empty for a dense one means a vector."""

    def dense(self) -> Any:
        """The tensor as an ndarray; ValueError where the sparse one would be too large, or its keys do not fit it."""
        if self.keys is None:
            return self.values.reshape(self.shape) if self.shape else self.values
        size = math.prod(self.shape)
        if size * self.values.itemsize > UNPACKED_MAX:
            raise ValueError(f"a sparse tensor of shape {self.shape} is too large to be written out")
        self.check()
        array = library("numpy").zeros(size, self.values.dtype)
        array[self.keys] = self.values
        return array.reshape(self.shape)

    def check(self) -> None:
        """ValueError where keys and values are not as many, or a key lies outside the shape."""
        size = math.prod(self.shape)
        if self.keys is not None and len(self.keys) != len(self.values):
            raise ValueError(f"{len(self.keys)} keys for {len(self.values)} values")
        if self.keys and max(self.keys) >= size:
            raise ValueError(f"key {max(self.keys)} lies outside the shape {self.shape}")


@dataclass
class Record:
    """One example. A feature is a `Tensor`, or a list of bytes (an image, say)."""

    features: dict[str, Any] = field(default_factory=dict)
    label: dict[str, Any] = field(default_factory=dict)
    uid: str = ""
    metadata: str = ""
    configuration: str = ""


_TEXTS = {3: "uid", 4: "metadata", 5: "configuration"}


def parse(data: bytes) -> Record:
    """The record in these bytes; ValueError where they are none. Fields of other numbers are passed over."""
    record = Record()
    for number, _, value in protobuf.fields(data):
        if not isinstance(value, bytes):
            continue
        if number in (1, 2):
            name, item = _entry(value)
            (record.features if number == 1 else record.label)[name] = item
        elif number in _TEXTS:
            setattr(record, _TEXTS[number], value.decode())
    return record


def _entry(data: bytes) -> tuple[str, Any]:
    """Name and value of one entry of a map."""
    name, item = "", None
    for number, _, value in protobuf.fields(data):
        if number == 1 and isinstance(value, bytes):
            name = value.decode()
        elif number == 2 and isinstance(value, bytes):
            item = _value(value)
    if item is None:
        raise ValueError(f"{name!r} has no value")
    return name, item


def _value(data: bytes) -> Any:
    item: Any = None
    for kind, _, value in protobuf.fields(data):
        if kind in _DTYPES and isinstance(value, bytes):
            item = _tensor(value, kind)
        elif kind == _BYTES and isinstance(value, bytes):
            item = [part for number, _, part in protobuf.fields(value) if number == 1]
    return item


def _tensor(data: bytes, kind: int) -> Tensor:
    values: list[bytes | int] = []
    keys: list[int] = []
    shape: list[int] = []
    for number, _, value in protobuf.fields(data):
        if number == 1:
            values.append(value)
        elif number in (2, 3):
            (keys if number == 2 else shape).extend(protobuf.varints(value) if isinstance(value, bytes) else [value])
    tensor = Tensor(_numbers(values, kind), keys or None, tuple(shape))
    if keys and not shape:
        raise ValueError("a sparse tensor needs a shape")
    if not keys and shape and not len(tensor.values):
        return Tensor(tensor.values, [], tuple(shape))  # sparse, and all zero
    if not keys and shape and math.prod(shape) != len(tensor.values):
        raise ValueError(f"{len(tensor.values)} values for a tensor of shape {tuple(shape)}")
    tensor.check()
    return tensor


def _numbers(values: list[bytes | int], kind: int) -> Any:
    np = library("numpy")
    if kind != _INT32:
        return np.frombuffer(b"".join(value for value in values if isinstance(value, bytes)), _DTYPES[kind]).copy()
    whole = [n for value in values for n in (protobuf.varints(value) if isinstance(value, bytes) else [value])]
    return np.array(whole, np.uint64).astype(np.int64).astype(np.int32)


def write(record: Record) -> bytes:
    """The record as protobuf."""
    parts = [_map(1, name, item) for name, item in record.features.items()]
    parts += [_map(2, name, item) for name, item in record.label.items()]
    parts += [protobuf.field(n, getattr(record, t).encode()) for n, t in _TEXTS.items() if getattr(record, t)]
    return b"".join(parts)


def _map(number: int, name: str, item: Any) -> bytes:
    value = _written(item)
    return protobuf.field(number, protobuf.field(1, name.encode()) + protobuf.field(2, value))


def _written(item: Any) -> bytes:
    if isinstance(item, list):
        return protobuf.field(_BYTES, b"".join(protobuf.field(1, part) for part in item))
    kind = {"f4": _FLOAT32, "f8": _FLOAT64, "i4": _INT32}[item.values.dtype.str[1:]]
    plain = item.values.astype(_DTYPES[kind])
    values = protobuf.packed(plain.tolist()) if kind == _INT32 else plain.tobytes()
    keys = protobuf.field(2, protobuf.packed(item.keys)) if item.keys else b""
    shape = protobuf.field(3, protobuf.packed(list(item.shape))) if item.shape else b""
    return protobuf.field(kind, protobuf.field(1, values) + keys + shape)
