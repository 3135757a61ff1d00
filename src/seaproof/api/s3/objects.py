"""Objects: put, get, copy, delete, and what is told of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, unquote

from seaproof.api.s3.bodies import Checked, Source
from seaproof.api.s3.shelf import Facts, Shelf
from seaproof.errors import NoSuchObject, ServiceError
from seaproof.storage.storage import Address

Body = dict[str, Any]

KEPT = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Expires",
    "Metadata",
    "StorageClass",
    "WebsiteRedirectLocation",
)
"""Members that are kept as they are given, and given back."""
_TYPE = "binary/octet-stream"
_RANGE = re.compile(r"\s*bytes=(\d*)-(\d*)\s*")
_PIECE = 1024 * 1024
_MOST_TAGS = 10
_EMPTY = '"d41d8cd98f00b204e9800998ecf8427e"'
_FAILED = "At least one of the pre-conditions you specified did not hold"


@dataclass(frozen=True)
class Piece:
    """A part of an open file, on its way out; whoever sends it closes the file."""

    file: BinaryIO
    start: int
    length: int


def put_object(shelf: Shelf, request: Body) -> Body:
    """Store an object whole or not at all. A key that ends in `/` makes a folder, and holds nothing."""
    address = address_of(shelf, request)
    source: Checked = request["Body"]
    if address.key.endswith("/"):
        return _put_folder(shelf, address, source)
    facts = {**kept(request), **tags_of(request)}
    return _describe(_store(shelf, address, source, facts, request))


def _store(shelf: Shelf, address: Address, source: Checked, facts: Facts, request: Body) -> Facts:
    """Write an object with its facts where the conditions of the request hold; the facts as they are then kept."""
    facts = dict(facts)
    with placing(shelf, address, facts, request) as file:
        while piece := source.read(_PIECE):
            file.write(piece)
        facts |= {**source.finish(), "ETag": f'"{source.md5}"'}
    return facts


@contextmanager
def placing(shelf: Shelf, address: Address, facts: Facts, request: Body) -> Iterator[BinaryIO]:
    """A file that becomes the object with these facts, where the block ends well and the request's conditions hold."""
    with ExitStack() as until_placed:
        with shelf.storage.writing(address) as file:
            yield file
            file.flush()
            until_placed.enter_context(shelf.placing(address))
            _hold_to_conditions(shelf, address, request)
            status = os.fstat(file.fileno())
            shelf.keep(address, status, facts)
        shelf.forget(address, but=status)


def get_object(shelf: Shelf, request: Body) -> Body:
    """An object, or a range of its bytes."""
    address = address_of(shelf, request)
    if address.key.endswith("/") and (made := shelf.marker_time(address)) is not None:
        return _folder(made)
    file, status, facts = opened(shelf, address)
    try:
        answer = _facts_answer(status, facts)
        _preconditions(request, answer)
        start, length = _range_of(request, status.st_size, facts)
        if (start, length) != (0, status.st_size) or "Range" in request:
            answer["ContentRange"] = f"bytes {start}-{start + length - 1}/{status.st_size}"
            drop_checksums(answer)  # they are of the whole
        elif request.get("ChecksumMode") != "ENABLED":
            drop_checksums(answer)
        for name in request:
            if name.startswith("Response"):
                answer[name[len("Response") :]] = request[name]
        return {**answer, "ContentLength": length, "Body": Piece(file, start, length)}
    except BaseException:
        file.close()
        raise


def head_object(shelf: Shelf, request: Body) -> Body:
    """What GetObject says of an object, without its bytes."""
    try:
        answer = get_object(shelf, request)
    except ServiceError as error:
        if error.code == "NoSuchKey":
            raise ServiceError("404", "Not Found", status=404) from error
        raise
    body = answer.pop("Body", None)
    if body is not None:
        body.file.close()
    return answer


def get_object_attributes(shelf: Shelf, request: Body) -> Body:
    """What the caller names of: ETag, Checksum, ObjectSize, StorageClass."""
    address = address_of(shelf, request)
    file, status, facts = opened(shelf, address)
    file.close()
    checksums = {name: value for name, value in facts.items() if name.startswith("Checksum")}
    has = {
        "ETag": facts["ETag"].strip('"'),
        "ObjectSize": status.st_size,
        "StorageClass": facts.get("StorageClass", "STANDARD"),
        "Checksum": checksums or None,
    }
    wanted = set(request["ObjectAttributes"])
    return {"LastModified": status.st_mtime, **{name: value for name, value in has.items() if name in wanted}}


def copy_object(shelf: Shelf, request: Body) -> Body:
    """Copy an object with its facts, or with new ones where a directive says REPLACE."""
    address = address_of(shelf, request)
    file, status, facts = opened(shelf, source_of(shelf, request))
    with file:
        _preconditions(request, {"ETag": facts["ETag"], "LastModified": status.st_mtime}, "CopySource")
        if request.get("MetadataDirective") == "REPLACE":
            facts = {**{name: value for name, value in facts.items() if name not in KEPT}, **kept(request)}
        if request.get("TaggingDirective") == "REPLACE":
            facts = {**facts, "TagSet": tags_of(request).get("TagSet", [])}
        source = Checked(file, {})
        facts = {name: value for name, value in facts.items() if name not in ("ETag", "PartSizes")}
        facts = _store(shelf, address, source, facts, {})
    written = shelf.storage.path(address).stat().st_mtime
    return {"CopyObjectResult": {**_describe(facts), "LastModified": written}}


def delete_object(shelf: Shelf, request: Body) -> Body:
    """Remove an object; one that is not there is passed over."""
    address = address_of(shelf, request)
    if address.key.endswith("/"):
        folder = shelf.storage.path(Address(address.bucket, address.key.rstrip("/")))
        with suppress(OSError):
            folder.rmdir()
    with shelf.placing(address):
        if not address.key.endswith("/"):
            shelf.storage.delete(address)
        shelf.forget(address)
    return {}


def delete_objects(shelf: Shelf, request: Body) -> Body:
    """Remove up to 1,000 objects; what fails is told for each."""
    shelf.bucket(request["Bucket"])
    wanted = request["Delete"]["Objects"]
    if len(wanted) > 1000:
        raise ServiceError("MalformedXML", "At most 1,000 keys can be deleted in one request.")
    answer: Body = {"Deleted": [], "Errors": []}
    for named in wanted:
        try:
            delete_object(shelf, {"Bucket": request["Bucket"], "Key": named["Key"]})
            answer["Deleted"].append({"Key": named["Key"]})
        except ServiceError as error:
            answer["Errors"].append({"Key": named["Key"], "Code": error.code, "Message": error.message})
    if request["Delete"].get("Quiet"):
        del answer["Deleted"]
    return answer


def get_object_acl(shelf: Shelf, request: Body) -> Body:
    """Everything belongs to the one account; access lists are not kept."""
    from seaproof.api.s3.buckets import get_bucket_acl

    opened(shelf, address_of(shelf, request))[0].close()
    return get_bucket_acl(shelf, request)


def address_of(shelf: Shelf, request: Body) -> Address:
    """The address of a request; ServiceError for a bucket that is not there and a key that no file can have."""
    shelf.bucket(request["Bucket"])
    address = Address(request["Bucket"], request["Key"])
    problem = shelf.storage.problem(Address(address.bucket, address.key.removesuffix("/") or "/"))
    if problem:
        code = "KeyTooLongError" if "longer" in problem else "InvalidArgument"
        raise ServiceError(
            code,
            f"Keys are files here, and this one cannot be: {problem}. Choose a key like folder/name.",
            members={"ArgumentName": "key", "ArgumentValue": address.key},
        )
    return address


def source_of(shelf: Shelf, request: Body) -> Address:
    """The address that x-amz-copy-source names."""
    path = unquote(request["CopySource"].partition("?versionId=")[0]).removeprefix("/")
    if path.startswith("arn:"):
        path = path.rpartition(":::")[2].replace("/object/", "/", 1)
    bucket, _, key = path.partition("/")
    if not key:
        raise ServiceError("InvalidArgument", "Copy Source must mention the source bucket and key: bucket/key.")
    return address_of(shelf, {"Bucket": bucket, "Key": key})


def opened(shelf: Shelf, address: Address) -> tuple[BinaryIO, os.stat_result, Facts]:
    """An object's file, its status and its facts; ServiceError NoSuchKey where there is none."""
    try:
        if address.key.endswith("/"):
            raise NoSuchObject("a folder is no object")
        file = shelf.storage.open(address)
    except NoSuchObject as error:
        raise ServiceError(
            "NoSuchKey", "The specified key does not exist.", status=404, members={"Key": address.key}
        ) from error
    status = os.fstat(file.fileno())
    return file, status, shelf.facts(address, status)


def kept(request: Mapping[str, Any]) -> Facts:
    """The facts of a request that are kept as they are given."""
    facts = {name: request[name] for name in KEPT if name in request}
    coding = [part.strip() for part in facts.get("ContentEncoding", "").split(",")]
    without = ",".join(part for part in coding if part and part != "aws-chunked")
    facts.pop("ContentEncoding", None)
    return facts | ({"ContentEncoding": without} if without else {})


def tags_of(request: Mapping[str, Any]) -> Facts:
    """Tags as a header has them: `a=1&b=2`."""
    if "Tagging" not in request:
        return {}
    pairs = parse_qsl(request["Tagging"], keep_blank_values=True)
    return {"TagSet": checked_tags([{"Key": key, "Value": value} for key, value in pairs])}


def checked_tags(tags: list[Body]) -> list[Body]:
    """The tags; ServiceError for more than ten, for one twice, and for texts that are too long."""
    if len(tags) > _MOST_TAGS:
        raise ServiceError("BadRequest", "Object tags cannot be greater than 10")
    if len({tag["Key"] for tag in tags}) != len(tags):
        raise ServiceError("InvalidTag", "Cannot provide multiple Tags with the same key")
    if any(not 0 < len(tag["Key"]) <= 128 or len(tag["Value"]) > 256 for tag in tags):
        raise ServiceError("InvalidTag", "A tag's key has 1 to 128 characters, its value at most 256")
    return tags


def drop_checksums(answer: Body) -> None:
    """Leave the checksums out of an answer."""
    for name in [name for name in answer if name.startswith("Checksum")]:
        del answer[name]


def _describe(facts: Facts) -> Body:
    checksums = {name: value for name, value in facts.items() if name.startswith("Checksum")}
    return {"ETag": facts["ETag"], **checksums, **({"ChecksumType": "FULL_OBJECT"} if checksums else {})}


def _facts_answer(status: os.stat_result, facts: Facts) -> Body:
    answer = {name: facts[name] for name in KEPT if name in facts} | _describe(facts)
    if facts.get("TagSet"):
        answer["TagCount"] = len(facts["TagSet"])
    if "PartSizes" in facts:
        answer["PartsCount"] = len(facts["PartSizes"])
    answer.setdefault("ContentType", _TYPE)
    return {**answer, "LastModified": status.st_mtime, "AcceptRanges": "bytes"}


def _range_of(request: Body, size: int, facts: Facts) -> tuple[int, int]:
    """Start and length of what is asked for; several ranges, and what is no range, mean all."""
    if "PartNumber" in request:
        sizes = facts.get("PartSizes") or [size]
        number = request["PartNumber"]
        if not 1 <= number <= len(sizes):
            raise ServiceError("InvalidPartNumber", "The requested partnumber is not satisfiable", status=416)
        return sum(sizes[: number - 1]), sizes[number - 1]
    match = _RANGE.fullmatch(request.get("Range", ""))
    if not match or match.groups() == ("", ""):
        request.pop("Range", None)
        return 0, size
    first, last = match.groups()
    if first:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
        if last and int(last) < int(first):
            request.pop("Range", None)
            return 0, size
    else:
        start, end = max(0, size - int(last)), size - 1
    if start >= size or end < start:
        members = {"RangeRequested": request["Range"], "ActualObjectSize": size}
        raise ServiceError("InvalidRange", "The requested range is not satisfiable", status=416, members=members)
    return start, end - start + 1


def _preconditions(request: Body, answer: Body, prefix: str = "") -> None:
    """Hold a read to If-Match and its like, as HTTP has them."""
    etag, modified = answer["ETag"], int(answer["LastModified"])
    failed = ServiceError("PreconditionFailed", _FAILED, status=412)
    unchanged = failed if prefix else ServiceError("NotModified", "Not Modified", status=304)
    match, none_match = request.get(f"{prefix}IfMatch"), request.get(f"{prefix}IfNoneMatch")
    if match is not None:
        if not _fits(match, etag):
            raise failed
    elif modified > request.get(f"{prefix}IfUnmodifiedSince", modified):
        raise failed
    if none_match is not None:
        if _fits(none_match, etag):
            raise unchanged
    elif modified <= request.get(f"{prefix}IfModifiedSince", -1):
        raise unchanged


def _hold_to_conditions(shelf: Shelf, address: Address, request: Body) -> None:
    """Hold a write to If-None-Match: * and If-Match."""
    if "IfNoneMatch" not in request and "IfMatch" not in request:
        return
    try:
        file, _, facts = opened(shelf, address)
    except ServiceError:
        if "IfMatch" in request:
            raise
        return
    file.close()
    match = request.get("IfMatch")
    if (match is not None and not _fits(match, facts["ETag"])) or "IfNoneMatch" in request:
        raise ServiceError("PreconditionFailed", _FAILED, status=412)


def _fits(wanted: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in wanted.split(",")]
    return "*" in tags or etag.strip('"') in tags


def _put_folder(shelf: Shelf, address: Address, source: Source) -> Body:
    if source.read(1):
        raise ServiceError(
            "InvalidArgument",
            "A key that ends in a slash is a folder here, and can hold no bytes. Leave the slash out.",
            members={"ArgumentName": "key", "ArgumentValue": address.key},
        )
    shelf.storage.path(Address(address.bucket, address.key.rstrip("/"))).mkdir(parents=True, exist_ok=True)
    shelf.keep_marker(address)
    return {"ETag": _EMPTY}


def _folder(made: float) -> Body:
    return {"ContentLength": 0, "ETag": _EMPTY, "LastModified": made, "ContentType": "application/x-directory"}
