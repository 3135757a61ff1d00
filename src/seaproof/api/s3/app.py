"""S3's routes: finds the operation, runs it in a thread, and streams bodies both ways.

Which requests are S3's, by the first of these that holds: a signature for `s3` (in a header, or in the query of a
presigned address, also of the older kind), a Host of the form `bucket.localhost`, a path that no other route has and
whose first part is a bucket.
"""

from __future__ import annotations

import asyncio
import errno
import importlib
import inspect
import logging
import pkgutil
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

from seaproof.api import s3, spec
from seaproof.api.s3 import rest_xml
from seaproof.api.s3.bodies import Checked
from seaproof.api.s3.form import posted
from seaproof.api.s3.objects import Piece
from seaproof.api.s3.shelf import Shelf
from seaproof.errors import RequestError, ServiceError, StorageError
from seaproof.http.message import Request, Response

log = logging.getLogger("seaproof.s3")

Operation = Callable[[Shelf, dict[str, Any]], dict[str, Any]]

HONOURED = ("ExpectedBucketOwner", "ExpectedSourceBucketOwner")
"""Members that are honoured here for every operation: one account owns all."""
_THREADS = 16
_PIECE = 256 * 1024
_WHOLE = 64 * 1024
"""An object of at most this many bytes is read at once."""
_DOCUMENT_BYTES = 4 * 1024 * 1024
_READ_SECONDS = 120.0
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EROFS)


@cache
def functions() -> dict[str, Operation]:
    """Every operation of S3 that is here: its name in the API -> its function."""
    names = spec.operations(rest_xml.S3)
    found: dict[str, Operation] = {}
    for module_info in pkgutil.iter_modules(s3.__path__, f"{s3.__name__}."):
        if module_info.name == __name__:
            continue
        module = importlib.import_module(module_info.name)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if name in names and function.__module__ == module.__name__:
                found[names[name]] = function
    return found


class S3:
    """The handler of one shelf; lives on an event loop."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="s3")

    async def close(self) -> None:
        """Wait for requests under way."""
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)
        self._shelf.close()

    def has_bucket(self, name: str) -> bool:
        """Whether there is a bucket of this name."""
        folder = self._shelf.storage.bucket(name)
        return folder is not None and folder.is_dir()

    async def handle(self, request: Request, bucket_in_host: str = "") -> Response:
        """Answer one request. Its body may be a stream."""
        path = f"/{bucket_in_host}{request.path}" if bucket_in_host else request.path
        bucket, _, key = path[1:].partition("/")
        query = dict(parse_qsl(request.query, keep_blank_values=True))
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers}
        loop = asyncio.get_running_loop()
        try:
            _refuse_expired(query)
            if posted(request.method, bucket, key, headers):
                document = await _document(request)
                return await loop.run_in_executor(self._threads, self._post, bucket, headers, document)
            operation = rest_xml.operation_of(request.method, bucket, key, query, headers)
            if operation not in functions():
                raise ServiceError(
                    "NotImplemented",
                    f"seaproof's S3 does not have the operation {operation}. `seaproof operations --service s3` lists"
                    " what it has; SEAPROOF_S3 names another S3 to use instead.",
                    status=501,
                )
            if rest_xml.takes_document(operation):
                body: Any = await _document(request)
            else:
                body = Checked(_Arriving(request, loop), headers)
            given = rest_xml.members(operation, bucket, key, query, headers, body)
            return await loop.run_in_executor(self._threads, self._run, operation, given)
        except ServiceError as error:
            return rest_xml.error(error, request)
        except StorageError as error:
            return rest_xml.error(_storage_failure(error), request)
        except RequestError:
            raise
        except Exception as error:
            log.exception("%s %s failed", request.method, request.path)
            what = f"seaproof's S3 failed: {error!r}. Its log says where."
            return rest_xml.error(ServiceError("InternalError", what, status=500), request)

    def _run(self, operation: str, given: dict[str, Any]) -> Response:
        for name in HONOURED:
            if given.get(name, self._shelf.account) != self._shelf.account:
                what = f"Access Denied: all buckets here belong to the account {self._shelf.account}"
                raise ServiceError("AccessDenied", what, status=403)
        answer = functions()[operation](self._shelf, given)
        response = rest_xml.answer(operation, answer, 206 if "ContentRange" in answer else None)
        piece = answer.get("Body")
        if isinstance(piece, Piece):
            response.body = self._body(piece)
        return response

    def _post(self, bucket: str, headers: Mapping[str, str], document: bytes) -> Response:
        from seaproof.api.s3.form import post_object

        return post_object(self._shelf, bucket, headers, document)

    def _body(self, piece: Piece) -> bytes | AsyncIterator[bytes]:
        piece.file.seek(piece.start)
        if piece.length <= _WHOLE:
            with piece.file:
                return piece.file.read(piece.length)
        return self._pieces(piece)

    async def _pieces(self, piece: Piece) -> AsyncIterator[bytes]:
        loop, left = asyncio.get_running_loop(), piece.length
        with piece.file:
            while left:
                part = await loop.run_in_executor(self._threads, piece.file.read, min(left, _PIECE))
                if not part:
                    raise RequestError(500, "the object's file became shorter while it was read")
                left -= len(part)
                yield part


class _Arriving:
    """The body of a request as it comes, for a thread to read."""

    def __init__(self, request: Request, loop: asyncio.AbstractEventLoop) -> None:
        self._whole = request.body
        self._stream = request.stream
        self._loop = loop

    def read(self, size: int = -1, /) -> bytes:
        """The next part; b"" at the end. RequestError where the client broke it off."""
        if self._stream is None:
            whole, self._whole = self._whole, b""
            return whole
        return asyncio.run_coroutine_threadsafe(self._next(self._stream), self._loop).result(_READ_SECONDS)

    async def _next(self, stream: AsyncIterator[bytes]) -> bytes:
        async for part in stream:
            if part:
                return part
        return b""


async def _document(request: Request) -> bytes:
    """The whole body of a request that has a document."""
    if request.stream is None:
        return request.body
    parts, size = [], 0
    async for part in request.stream:
        size += len(part)
        if size > _DOCUMENT_BYTES:
            raise ServiceError("EntityTooLarge", f"The document is over {_DOCUMENT_BYTES} bytes.")
        parts.append(part)
    return b"".join(parts)


def _refuse_expired(query: Mapping[str, str]) -> None:
    """Presigned addresses end, here too."""
    try:
        if "X-Amz-Date" in query and "X-Amz-Expires" in query:
            signed = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
            end = signed.timestamp() + int(query["X-Amz-Expires"])
        elif "Expires" in query and "Signature" in query:
            end = float(query["Expires"])
        else:
            return
    except ValueError as error:
        raise ServiceError(
            "AuthorizationQueryParametersError", f"The signed address cannot be read: {error}"
        ) from error
    if time.time() > end:
        raise ServiceError("AccessDenied", "Request has expired", status=403)


def _storage_failure(error: StorageError) -> ServiceError:
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno in _DISK:
        return ServiceError("InternalError", str(error), status=500)
    return ServiceError("InvalidRequest", str(error))
