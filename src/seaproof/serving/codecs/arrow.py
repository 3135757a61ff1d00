"""application/x-parquet and application/vnd.apache.arrow.stream, by pyarrow where the image has it.

Both are read as a `Table`: columns keep their names and types. pyarrow before 14.0.1 runs code that a file brings
along (CVE-2023-47248) and counts as absent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from seaproof.contract.http import MediaType
from seaproof.errors import RequestError
from seaproof.serving.codecs import shapes
from seaproof.serving.codecs.libraries import UNPACKED_MAX, library
from seaproof.serving.codecs.table import Column, Table

PARQUET = "application/x-parquet"
STREAM = "application/vnd.apache.arrow.stream"

_THRIFT_STRINGS_MAX = 8 * 1024 * 1024
_THRIFT_LIST_MAX = 100_000


def decode_parquet(body: bytes, media: MediaType) -> Table:
    """The table of a Parquet file."""
    return _guarded(_read_parquet, body, PARQUET)


def decode_stream(body: bytes, media: MediaType) -> Table:
    """The table of an Arrow IPC stream."""
    return _guarded(_read_stream, body, STREAM)


def _guarded(read: Any, body: bytes, essence: str) -> Table:
    pa = _pyarrow(essence)
    if not body:
        raise _malformed("the body is empty", essence)
    try:
        table = read(pa, body)
        table.validate(full=True)
        return Table([_column(pa, column) for column in table.columns], list(table.column_names))
    except RequestError:
        raise
    except Exception as error:  # pyarrow raises anything from OSError to KeyError for bytes that it cannot read
        raise _malformed(f"it cannot be read: {error}", essence) from error


def _pyarrow(essence: str) -> Any:
    pa = library("pyarrow")
    if pa is None or tuple(int(part) for part in pa.__version__.split(".")[:2]) < (14, 1):
        raise RequestError(
            415, f"{essence} needs pyarrow in the image", where="Content-Type", next_step="Add pyarrow 15 or later."
        )
    return pa


def _malformed(what: str, essence: str) -> RequestError:
    return RequestError(400, what[:500], where=essence, next_step="Check that the body is whole and of this type.")


def _read_parquet(pa: Any, body: bytes) -> Any:
    parquet = library("pyarrow.parquet")
    limits = {"thrift_string_size_limit": _THRIFT_STRINGS_MAX, "thrift_container_size_limit": _THRIFT_LIST_MAX}
    metadata = parquet.ParquetFile(pa.BufferReader(body), **limits).metadata
    columns = [metadata.schema.column(number) for number in range(metadata.num_columns)]
    if any(column.max_repetition_level for column in columns):
        raise _malformed("it has lists in its columns; only columns of single values are read", PARQUET)
    if sum(_unfolded(metadata)) > UNPACKED_MAX:
        raise _malformed(f"it unpacks to more than {UNPACKED_MAX >> 20} MiB", PARQUET)
    # A text that is stored once and repeated in a million rows stays one text.
    texts = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
    file = parquet.ParquetFile(pa.BufferReader(body), read_dictionary=texts, **limits)
    return file.read(use_threads=False)


def _unfolded(metadata: Any) -> Iterator[int]:
    """Bytes that each row group declares, a cell counting for at least eight.

    The metadata of a column would be more exact; but pyarrow ends the process where those are malformed.
    """
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        if group.num_rows < 0 or group.total_byte_size < 0:
            raise _malformed("it declares a negative size", PARQUET)
        yield max(group.total_byte_size, 8 * group.num_rows * metadata.num_columns)


def _read_stream(pa: Any, body: bytes) -> Any:
    reader = pa.ipc.open_stream(pa.BufferReader(body), options=pa.ipc.IpcReadOptions(use_threads=False))
    batches, size = [], 0
    for batch in reader:
        batches.append(batch)
        size += batch.nbytes
        if size > UNPACKED_MAX:
            raise _malformed(f"it unpacks to more than {UNPACKED_MAX >> 20} MiB", STREAM)
    return pa.Table.from_batches(batches, reader.schema)


def _column(pa: Any, column: Any) -> Column:
    """An ndarray for numbers (NaN where one is missing) and for truth values; a list for everything else."""
    kind = column.type
    np = library("numpy")
    if np is not None and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return np.array(column.to_numpy())
    if np is not None and pa.types.is_boolean(kind) and column.null_count == 0:
        return np.array(column.to_numpy(), np.bool_)
    if pa.types.is_dictionary(kind):
        return [value for chunk in column.chunks for value in _spelled_out(chunk)]
    return column.to_pylist()


def _spelled_out(chunk: Any) -> list[Any]:
    words = chunk.dictionary.to_pylist()
    return [None if index is None else words[index] for index in chunk.indices.to_pylist()]


def encode_parquet(value: Any, media: MediaType) -> bytes:
    """A Parquet file with the value's columns; those without a name are called by their number."""
    pa = _pyarrow(PARQUET)
    sink = pa.BufferOutputStream()
    library("pyarrow.parquet").write_table(_arrow(pa, value), sink)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def encode_stream(value: Any, media: MediaType) -> bytes:
    """An Arrow IPC stream with the value's columns; those without a name are called by their number."""
    pa = _pyarrow(STREAM)
    table = _arrow(pa, value)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _arrow(pa: Any, value: Any) -> Any:
    table = shapes.table_of(value)
    names = table.names or [str(number) for number in range(len(table.columns))]
    try:
        return pa.table([pa.array(column) for column in table.columns], names=names)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise shapes.Unfit(f"columns that Arrow has no type for: {error}") from error
