"""application/x-npz: several arrays by name, or one sparse matrix of scipy, in a zip archive of npy files.

The archive is hostile until shown otherwise: the sizes that it declares are added up before anything is unpacked, and
the indices of a sparse matrix are checked, because scipy's compiled code trusts them.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import Any

from seaproof.contract.http import MediaType
from seaproof.errors import RequestError
from seaproof.serving.codecs import npy
from seaproof.serving.codecs.libraries import UNPACKED_MAX, library
from seaproof.serving.codecs.shapes import Unfit

TYPE = "application/x-npz"

_MEMBERS_MAX = 1000
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, OSError, ValueError, RuntimeError, EOFError, OverflowError)


def decode(body: bytes, media: MediaType) -> Any:
    """A dict of ndarrays by name; the array itself if it is the only one and has no name (`arr_0`).

    What scipy.sparse.save_npz wrote is a sparse matrix again, of the same format (csr, csc or coo).
    """
    if not body:
        raise _malformed("the body is empty")
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            arrays = {name: npy.decode(data, media) for name, data in _members(archive)}
    except _BROKEN as error:
        raise _malformed(f"not an npz file: {error}") from error
    if not arrays:
        raise _malformed("the archive has no arrays")
    if "format" in arrays and {"data", "shape"} <= arrays.keys():
        return _sparse(arrays)
    return arrays["arr_0"] if arrays.keys() == {"arr_0"} else arrays


def _members(archive: zipfile.ZipFile) -> list[tuple[str, bytes]]:
    """Name and content of each file, once all of them together are known to be of bearable size."""
    infos = archive.infolist()
    names = [info.filename.removesuffix(".npy") for info in infos]
    if len(infos) > _MEMBERS_MAX or sum(info.file_size for info in infos) > UNPACKED_MAX:
        raise _malformed(f"the archive unpacks to more than {UNPACKED_MAX >> 20} MiB or {_MEMBERS_MAX} arrays")
    if len(set(names)) < len(names):
        raise _malformed("the archive has two arrays of one name")
    if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in infos):
        raise _malformed("the archive is compressed in a way that numpy does not use")
    return [(name, archive.read(info)) for name, info in zip(names, infos, strict=True)]


def _sparse(arrays: dict[str, Any]) -> Any:
    sparse = library("scipy.sparse")
    if sparse is None:
        raise RequestError(
            415, "a sparse matrix needs scipy in the image", where=TYPE, next_step="Send a dense array, or add scipy."
        )
    kind = arrays["format"].item() if arrays["format"].size == 1 else ""
    kind = kind.decode("latin-1") if isinstance(kind, bytes) else str(kind)
    try:
        shape = tuple(int(length) for length in arrays["shape"])
        if kind == "coo":
            return sparse.coo_matrix((arrays["data"], (arrays["row"], arrays["col"])), shape=shape)
        if kind not in ("csr", "csc"):
            raise _malformed(f"a sparse matrix of format {kind[:10]!r} is not read; csr, csc and coo are")
        matrix = sparse.csr_matrix if kind == "csr" else sparse.csc_matrix
        found = matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
        found.check_format(full_check=True)
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        raise _malformed(f"the sparse matrix is inconsistent: {error}") from error
    return found


def _malformed(what: str) -> RequestError:
    return RequestError(
        400, what, where=TYPE, next_step="Write the body with numpy.savez() or scipy.sparse.save_npz()."
    )


def encode(value: Any, media: MediaType) -> bytes:
    """A dict of arrays by its names, a sparse matrix as scipy writes it, anything else as the one array `arr_0`."""
    file = io.BytesIO()
    sparse = library("scipy.sparse") if hasattr(value, "toarray") else None
    if sparse is not None:
        sparse.save_npz(file, value.tocsr() if value.format not in ("csr", "csc", "coo") else value)
    elif isinstance(value, dict):
        if not all(isinstance(name, str) for name in value):
            raise Unfit("a dict whose keys are not text")
        library("numpy").savez(file, allow_pickle=False, **{name: npy.array_of(item) for name, item in value.items()})
    else:
        library("numpy").savez(file, npy.array_of(value))
    return file.getvalue()
