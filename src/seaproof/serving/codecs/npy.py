"""application/x-npy: one array in numpy's own format. Object arrays, which are pickles, are refused.

Format: numpy.lib.format, versions 1.0 to 3.0. The header is read here and not by numpy because that takes 2 % of the
time, and because nothing is allocated before the declared size is known to be the size of the body.
"""

from __future__ import annotations

import io
import math
import re
from functools import lru_cache
from typing import Any

from seaproof.contract.http import MediaType
from seaproof.errors import RequestError
from seaproof.serving.codecs import shapes
from seaproof.serving.codecs.libraries import library

TYPE = "application/x-npy"

_MAGIC = b"\x93NUMPY"
_HEADER_MAX = 4096
_DESCR = re.compile(r"'descr': *'([<>|=][biufcSUmM][0-9]{1,9}(?:\[[0-9a-zA-Z]{1,8}\])?)'")
_ORDER = re.compile(r"'fortran_order': *(True|False)")
_SHAPE = re.compile(r"'shape': *\(((?:[0-9]{1,18}L?, *)*(?:[0-9]{1,18}L?)?)\)")


def decode(body: bytes, media: MediaType) -> Any:
    """An ndarray of its own memory, in the machine's byte order."""
    if not body:
        raise _malformed("the body is empty")
    if not body.startswith(_MAGIC):
        raise _malformed("not an npy file: it does not begin with \\x93NUMPY")
    start = _data_start(body)
    dtype, fortran, shape, size = _layout(body[10 if body[6] == 1 else 12 : start])
    if len(body) - start != size:
        raise _malformed(f"the header declares {size:,} bytes of data, but {len(body) - start:,} follow")
    try:
        array = library("numpy").frombuffer(body, dtype, offset=start) if size else library("numpy").empty(0, dtype)
        array = array.reshape(shape, order="F" if fortran else "C")
        return array.astype(dtype.newbyteorder("="), order="K", copy=True)
    except (ValueError, TypeError, MemoryError) as error:
        raise _malformed(f"the array cannot be read: {error}") from error


def _data_start(body: bytes) -> int:
    if len(body) < 12 or body[6] not in (1, 2, 3):
        raise _malformed("the npy header is cut off, or of a version that is not known")
    start = 10 + int.from_bytes(body[8:10], "little") if body[6] == 1 else 12 + int.from_bytes(body[8:12], "little")
    if start > len(body) or start > _HEADER_MAX:
        raise _malformed("the npy header is cut off or longer than any plain array needs")
    return start


@lru_cache(maxsize=256)
def _layout(header: bytes) -> tuple[Any, bool, tuple[int, ...], int]:
    """dtype, Fortran order, shape and size in bytes of what this header describes."""
    text = header.decode("latin-1")
    descr, order, shape = _DESCR.search(text), _ORDER.search(text), _SHAPE.search(text)
    if descr is None and ("|O" in text or "'O" in text):
        raise _malformed("an array of Python objects, which only pickle could read, is never read")
    if descr is None or order is None or shape is None:
        raise _malformed("the npy header does not describe an array of plain numbers or text")
    try:
        dtype = library("numpy").dtype(descr[1])
    except (TypeError, ValueError) as error:
        raise _malformed(f"the data type {descr[1]} is not known") from error
    lengths = tuple(int(length.strip().rstrip("L")) for length in shape[1].split(",") if length.strip())
    if dtype.itemsize == 0 or dtype.hasobject:
        raise _malformed(f"the data type {descr[1]} cannot be read")
    return dtype, order[1] == "True", lengths, math.prod(lengths) * int(dtype.itemsize)


def _malformed(what: str) -> RequestError:
    return RequestError(400, what, where="application/x-npy", next_step="Write the body with numpy.save().")


def encode(value: Any, media: MediaType) -> bytes:
    """The value as an array of numbers or text, as numpy.save() writes it."""
    file = io.BytesIO()
    library("numpy").save(file, array_of(value), allow_pickle=False)
    return file.getvalue()


def array_of(value: Any) -> Any:
    """The value as an ndarray of plain type; `Unfit` where it would be one of objects."""
    np = library("numpy")
    if not isinstance(value, np.ndarray):
        if hasattr(value, "toarray"):
            value = value.toarray()
        elif hasattr(value, "numpy") and not isinstance(value, np.generic):
            value = value.numpy()
        elif hasattr(value, "to_numpy"):
            value = value.to_numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise shapes.Unfit("rows of different lengths") from error
    if array.dtype.hasobject:
        raise shapes.Unfit("a value that is no array of numbers")
    return array
