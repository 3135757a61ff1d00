"""Listings: keys in the order of their bytes, folded at a delimiter, page by page."""

from __future__ import annotations

import base64
import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from seaproof.api.s3.buckets import owner
from seaproof.api.s3.shelf import Shelf
from seaproof.errors import ServiceError
from seaproof.storage.storage import Address

Body = dict[str, Any]

_MOST = 1000


@dataclass
class _Page:
    keys: list[Body] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    last: str = ""
    """The last key or folded prefix that is on the page."""
    is_truncated: bool = False


def list_objects_v2(shelf: Shelf, request: Body) -> Body:
    """One page of keys; where it does not end, `NextContinuationToken` gives the next."""
    token = request.get("ContinuationToken")
    after = _after(token) if token else request.get("StartAfter", "")
    page = _page(shelf, request, after, fetch_owner=bool(request.get("FetchOwner")))
    answer = _answer(request, page)
    answer["KeyCount"] = len(page.keys) + len(page.prefixes)
    if token:
        answer["ContinuationToken"] = token
    if "StartAfter" in request:
        answer["StartAfter"] = _encoded(request, request["StartAfter"])
    if page.is_truncated:
        answer["NextContinuationToken"] = base64.urlsafe_b64encode(page.last.encode()).decode()
    return answer


def list_objects(shelf: Shelf, request: Body) -> Body:
    """One page of keys, in the older form: `NextMarker` gives the next."""
    page = _page(shelf, request, request.get("Marker", ""), fetch_owner=True)
    answer = _answer(request, page)
    answer["Marker"] = _encoded(request, request.get("Marker", ""))
    if page.is_truncated:
        answer["NextMarker"] = _encoded(request, page.last)
    return answer


def list_object_versions(shelf: Shelf, request: Body) -> Body:
    """Every object with its one version, whose id is `null` as in a bucket without versions."""
    page = _page(shelf, request, request.get("KeyMarker", ""), fetch_owner=True)
    answer = _answer(request, page)
    answer["Versions"] = [{**entry, "VersionId": "null", "IsLatest": True} for entry in answer.pop("Contents", [])]
    answer["KeyMarker"] = _encoded(request, request.get("KeyMarker", ""))
    if page.is_truncated:
        answer["NextKeyMarker"] = _encoded(request, page.last)
    return answer


def _page(shelf: Shelf, request: Body, after: str, *, fetch_owner: bool) -> _Page:
    bucket, prefix = request["Bucket"], request.get("Prefix", "")
    shelf.bucket(bucket)
    delimiter = request.get("Delimiter", "")
    most = min(request.get("MaxKeys", _MOST), _MOST)
    if most < 0:
        raise ServiceError("InvalidArgument", "max-keys cannot be below zero.")
    page = _Page(last=after)
    owned = {"Owner": owner(shelf)} if fetch_owner else {}
    for key, size, modified_ns in _entries(shelf, bucket, prefix, after, delimiter):
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        folded = key[: end + len(delimiter)] if end >= 0 else ""
        if folded and page.prefixes and folded == page.prefixes[-1]:
            continue
        if len(page.keys) + len(page.prefixes) >= most:
            page.is_truncated = most > 0
            break
        if folded:
            page.prefixes.append(folded)
            page.last = folded
            continue
        page.last = key
        etag = shelf.listed_etag(Address(bucket, key), size, modified_ns)
        page.keys.append(
            {
                "Key": key,
                "LastModified": modified_ns / 1e9,
                "ETag": etag,
                "Size": size,
                "StorageClass": "STANDARD",
                **owned,
            }
        )
    return page


def _entries(shelf: Shelf, bucket: str, prefix: str, after: str, delimiter: str) -> Iterator[tuple[str, int, int]]:
    """Keys behind `after` with size and time, in order. What a page cannot show is not looked at, but passed over."""
    start = after.encode()
    passed = [after] if delimiter and after.endswith(delimiter) else []
    """Folded prefixes that have been shown: nothing below them is of interest."""

    def skip(key: str) -> bool:
        if passed and key.startswith(passed[-1]):
            return True
        return key.encode() <= start and not (key.endswith("/") and after.startswith(key))

    def folded(key: str) -> None:
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        if end >= 0:
            passed[:] = [key[: end + len(delimiter)]]

    def files() -> Iterator[tuple[bytes, str, int, int]]:
        for found in shelf.storage.list(Address(bucket, prefix), skip=skip):
            yield found.address.key.encode(), found.address.key, found.size, found.modified_ns

    def markers() -> Iterator[tuple[bytes, str, int, int]]:
        for key in shelf.markers(bucket, prefix):
            if key.encode() > start:
                made = shelf.marker_time(Address(bucket, key)) or 0.0
                yield key.encode(), key, 0, int(made * 1e9)

    for _, key, size, modified_ns in heapq.merge(files(), markers()):
        if passed and key.startswith(passed[-1]):
            continue
        yield key, size, modified_ns
        folded(key)


def _answer(request: Body, page: _Page) -> Body:
    answer: Body = {
        "Name": request["Bucket"],
        "Prefix": _encoded(request, request.get("Prefix", "")),
        "MaxKeys": request.get("MaxKeys", _MOST),
        "IsTruncated": page.is_truncated,
        "Contents": [{**entry, "Key": _encoded(request, entry["Key"])} for entry in page.keys],
        "CommonPrefixes": [{"Prefix": _encoded(request, prefix)} for prefix in page.prefixes],
    }
    if request.get("Delimiter"):
        answer["Delimiter"] = _encoded(request, request["Delimiter"])
    if request.get("EncodingType"):
        answer["EncodingType"] = request["EncodingType"]
    return answer


def _encoded(request: Body, text: str) -> str:
    return quote(text, safe="/") if request.get("EncodingType") == "url" else text


def _after(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token).decode()
    except ValueError as error:
        raise ServiceError("InvalidArgument", "The continuation token provided is incorrect") from error
