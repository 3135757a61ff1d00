"""Multipart uploads: parts lie in `.seaproof/s3/.uploads/<id>/` until they are joined; they survive a restart."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from seaproof.api.s3.bodies import Checked
from seaproof.api.s3.buckets import owner
from seaproof.api.s3.objects import KEPT, address_of, kept, opened, placing, source_of, tags_of
from seaproof.api.s3.shelf import Shelf
from seaproof.errors import ServiceError

Body = dict[str, Any]

_ID = re.compile(r"[0-9a-f]{32}")
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")
_PIECE = 1024 * 1024
_LEAST_PART = 5 * 1024 * 1024
_MOST_PARTS = 10_000
_MOST_LISTED = 1000


def create_multipart_upload(shelf: Shelf, request: Body) -> Body:
    """Begin an upload in parts."""
    address = address_of(shelf, request)
    if address.key.endswith("/"):
        raise ServiceError("InvalidArgument", "A key that ends in a slash is a folder here, and can hold no bytes.")
    upload = secrets.token_hex(16)
    _folder(shelf, upload).mkdir(parents=True, mode=0o700)
    wanted: Body = {name: request[name] for name in ("ChecksumAlgorithm", "ChecksumType") if name in request}
    shelf.begin_upload(upload, address, {**kept(request), **tags_of(request), **wanted})
    return {"Bucket": address.bucket, "Key": address.key, "UploadId": upload, **wanted}


def upload_part(shelf: Shelf, request: Body) -> Body:
    """Store one part; one of the same number is replaced."""
    folder = _opened(shelf, request)
    return _store_part(folder, request["PartNumber"], request["Body"])


def upload_part_copy(shelf: Shelf, request: Body) -> Body:
    """Store one part from the bytes of an object, or a range of them."""
    folder = _opened(shelf, request)
    file, status, _ = opened(shelf, source_of(shelf, request))
    with file:
        length = status.st_size
        if "CopySourceRange" in request:
            match = _RANGE.fullmatch(request["CopySourceRange"])
            first, last = (int(match[1]), int(match[2])) if match else (0, -1)
            if not match or first > last or last >= length:
                what = f"The range {request['CopySourceRange']} is not valid for a source of {length} bytes"
                raise ServiceError("InvalidArgument", what)
            file.seek(first)
            length = last - first + 1
        stored = _store_part(folder, request["PartNumber"], Checked(_Limited(file, length), {}))
    part = folder / f"{request['PartNumber']}"
    return {"CopyPartResult": {**stored, "LastModified": part.stat().st_mtime}}


def list_parts(shelf: Shelf, request: Body) -> Body:
    """The parts that have been stored, by number, page by page."""
    folder = _opened(shelf, request)
    numbers = sorted(number for number in _numbers(folder) if number > request.get("PartNumberMarker", 0))
    most = min(request.get("MaxParts", _MOST_LISTED), _MOST_LISTED)
    page = numbers[:most]
    parts = []
    for number in page:
        status = (folder / str(number)).stat()
        facts = _part_facts(folder, number)
        parts.append({"PartNumber": number, "LastModified": status.st_mtime, "Size": status.st_size, **facts})
    answer = {name: request[name] for name in ("Bucket", "Key", "UploadId")}
    answer |= {"PartNumberMarker": request.get("PartNumberMarker", 0), "MaxParts": most, "Parts": parts}
    answer |= {"IsTruncated": len(numbers) > most, "Initiator": owner(shelf), "Owner": owner(shelf)}
    return {**answer, "StorageClass": "STANDARD", **({"NextPartNumberMarker": page[-1]} if page else {})}


def list_multipart_uploads(shelf: Shelf, request: Body) -> Body:
    """The uploads of a bucket that are under way; delimiters are not folded."""
    shelf.bucket(request["Bucket"])
    prefix, most = request.get("Prefix", ""), min(request.get("MaxUploads", _MOST_LISTED), _MOST_LISTED)
    after = (request.get("KeyMarker", ""), request.get("UploadIdMarker", "~"))
    found = [row for row in shelf.uploads(request["Bucket"]) if row[0].startswith(prefix) and row[:2] > after]
    page = found[:most]
    answer: Body = {"Bucket": request["Bucket"], "Prefix": prefix, "MaxUploads": most, "IsTruncated": len(found) > most}
    answer |= {"KeyMarker": request.get("KeyMarker", ""), "UploadIdMarker": request.get("UploadIdMarker", "")}
    if len(found) > most and page:
        answer |= {"NextKeyMarker": page[-1][0], "NextUploadIdMarker": page[-1][1]}
    answer["Uploads"] = [
        {
            "Key": key,
            "UploadId": upload,
            "Initiated": started,
            "StorageClass": "STANDARD",
            "Owner": owner(shelf),
            "Initiator": owner(shelf),
        }
        for key, upload, started in page
    ]
    return answer


def complete_multipart_upload(shelf: Shelf, request: Body) -> Body:
    """Join the parts to the object, whole or not at all, and forget them."""
    address = address_of(shelf, request)
    folder = _opened(shelf, request)
    facts = shelf.upload(request["UploadId"], address)
    named = (request.get("MultipartUpload") or {}).get("Parts") or []
    digests, sizes = _hold_to_parts(folder, named)
    etag = hashlib.md5(b"".join(digests), usedforsecurity=False).hexdigest()
    facts = {name: value for name, value in facts.items() if name in (*KEPT, "TagSet")}
    facts |= {"ETag": f'"{etag}-{len(named)}"', "PartSizes": sizes}
    with placing(shelf, address, facts, request) as file:
        for part in named:
            with (folder / str(part["PartNumber"])).open("rb") as source:
                shutil.copyfileobj(source, file, _PIECE)
    _end(shelf, request["UploadId"])
    location = f"/{address.bucket}/{address.key}"
    return {"Location": location, "Bucket": address.bucket, "Key": address.key, "ETag": facts["ETag"]}


def abort_multipart_upload(shelf: Shelf, request: Body) -> Body:
    """Forget an upload and its parts."""
    _opened(shelf, request)
    _end(shelf, request["UploadId"])
    return {}


class _Limited:
    """The next so many bytes of a file."""

    def __init__(self, file: Any, length: int) -> None:
        self._file = file
        self._left = length

    def read(self, size: int = -1, /) -> bytes:
        piece: bytes = self._file.read(min(size if size > 0 else _PIECE, self._left))
        self._left -= len(piece)
        return piece


def _store_part(folder: Path, number: int, source: Checked) -> Body:
    if not 1 <= number <= _MOST_PARTS:
        raise ServiceError("InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
    partial = folder / f"{number}.{secrets.token_hex(4)}.part"
    try:
        with partial.open("wb") as file:
            while piece := source.read(_PIECE):
                file.write(piece)
        facts = {"ETag": f'"{source.md5}"', **source.finish()}
        (folder / f"{number}.json").write_text(json.dumps(facts), encoding="utf-8")
        partial.replace(folder / str(number))
        return facts
    except FileNotFoundError as error:  # it was aborted meanwhile
        raise ServiceError("NoSuchUpload", "The specified multipart upload does not exist.", status=404) from error
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()


def _hold_to_parts(folder: Path, named: list[Body]) -> tuple[list[bytes], list[int]]:
    """The MD5s and sizes of the parts that the caller names; ServiceError where they are not what was stored."""
    if not named:
        raise ServiceError("MalformedXML", "You must specify at least one part")
    numbers = [part.get("PartNumber", 0) for part in named]
    if numbers != sorted(set(numbers)):
        raise ServiceError("InvalidPartOrder", "The list of parts was not in ascending order.")
    digests, sizes = [], []
    for part in named:
        number, path = part.get("PartNumber", 0), folder / str(part.get("PartNumber", 0))
        stored = _part_facts(folder, number) if path.is_file() else {}
        if not stored or part.get("ETag", "").strip('"') != stored["ETag"].strip('"'):
            what = f"One or more of the specified parts could not be found: part {number}"
            raise ServiceError("InvalidPart", f"{what} was not uploaded, or its ETag is another.")
        size = path.stat().st_size
        if size < _LEAST_PART and part is not named[-1]:
            what = f"Your proposed upload is smaller than the minimum allowed size: part {number} has {size} bytes"
            raise ServiceError("EntityTooSmall", what)
        digests.append(bytes.fromhex(stored["ETag"].strip('"')))
        sizes.append(size)
    return digests, sizes


def _opened(shelf: Shelf, request: Body) -> Path:
    """The folder of an upload's parts."""
    upload = request["UploadId"]
    shelf.upload(upload, address_of(shelf, request))
    return _folder(shelf, upload)


def _folder(shelf: Shelf, upload: str) -> Path:
    assert _ID.fullmatch(upload)
    return shelf.storage.root / ".uploads" / upload


def _numbers(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir() if path.name.isdigit()]


def _part_facts(folder: Path, number: int) -> Body:
    return dict(json.loads((folder / f"{number}.json").read_text(encoding="utf-8")))


def _end(shelf: Shelf, upload: str) -> None:
    shelf.end_upload(upload)
    shutil.rmtree(_folder(shelf, upload), ignore_errors=True)
