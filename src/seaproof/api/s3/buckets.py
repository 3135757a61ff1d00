"""Buckets: folders below `.seaproof/s3`. One made by hand is a bucket like any other."""

from __future__ import annotations

import re
from typing import Any

from seaproof.api.s3.shelf import Shelf
from seaproof.errors import ServiceError

Body = dict[str, Any]

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def create_bucket(shelf: Shelf, request: Body) -> Body:
    """Make a bucket; one that is there stays as it is, as in us-east-1."""
    name = request["Bucket"]
    if not _NAME.fullmatch(name):
        raise ServiceError(
            "InvalidBucketName",
            f"The specified bucket is not valid: {name}. A name has 3 to 63 small letters, digits, dots and hyphens.",
        )
    folder = shelf.storage.bucket(name)
    assert folder is not None
    location = request.get("CreateBucketConfiguration", {}).get("LocationConstraint") or shelf.region
    if folder.is_dir() and location != "us-east-1":
        what = "Your previous request to create the named bucket succeeded and you already own it."
        raise ServiceError("BucketAlreadyOwnedByYou", what, status=409, members={"BucketName": name})
    folder.mkdir(parents=True, exist_ok=True)
    shelf.keep_bucket(name, {**shelf.bucket_facts(name), "LocationConstraint": location})
    return {"Location": f"/{name}"}


def head_bucket(shelf: Shelf, request: Body) -> Body:
    """Whether there is such a bucket, and in which region."""
    shelf.bucket(request["Bucket"])
    return {"BucketRegion": _region(shelf, request["Bucket"])}


def list_buckets(shelf: Shelf, request: Body) -> Body:
    """All buckets, in order; by pages where the caller says so."""
    prefix, after = request.get("Prefix", ""), request.get("ContinuationToken", "")
    region = request.get("BucketRegion")
    names = [
        name
        for name in shelf.storage.buckets()
        if name.startswith(prefix) and name > after and region in (None, _region(shelf, name))
    ]
    most = request.get("MaxBuckets") or len(names)
    page = names[:most]
    answer: Body = {"Buckets": [_bucket(shelf, name) for name in page], "Owner": owner(shelf)}
    if len(names) > most:
        answer["ContinuationToken"] = page[-1]
    return answer | ({"Prefix": prefix} if prefix else {})


def delete_bucket(shelf: Shelf, request: Body) -> Body:
    """Remove an empty bucket; folders without a file in them count as empty."""
    name = request["Bucket"]
    shelf.bucket(name)
    if not shelf.storage.remove_bucket(name):
        raise ServiceError("BucketNotEmpty", "The bucket you tried to delete is not empty.", status=409)
    shelf.keep_bucket(name, None)
    return {}


def get_bucket_location(shelf: Shelf, request: Body) -> Body:
    """The region of a bucket; none for us-east-1, as S3 has it."""
    shelf.bucket(request["Bucket"])
    region = _region(shelf, request["Bucket"])
    return {"LocationConstraint": None if region == "us-east-1" else region}


def get_bucket_versioning(shelf: Shelf, request: Body) -> Body:
    """Versions are not kept, which S3 says by an empty answer."""
    shelf.bucket(request["Bucket"])
    return {}


def get_bucket_acl(shelf: Shelf, request: Body) -> Body:
    """Everything belongs to the one account; access lists are not kept."""
    shelf.bucket(request["Bucket"])
    grantee = {**owner(shelf), "Type": "CanonicalUser"}
    return {"Owner": owner(shelf), "Grants": [{"Grantee": grantee, "Permission": "FULL_CONTROL"}]}


def get_bucket_encryption(shelf: Shelf, request: Body) -> Body:
    """Nothing is encrypted here, and the answer says so."""
    shelf.bucket(request["Bucket"])
    what = "The server side encryption configuration was not found"
    raise ServiceError("ServerSideEncryptionConfigurationNotFoundError", what, status=404)


def get_bucket_policy(shelf: Shelf, request: Body) -> Body:
    """No bucket has a policy."""
    shelf.bucket(request["Bucket"])
    raise ServiceError("NoSuchBucketPolicy", "The bucket policy does not exist", status=404)


def get_bucket_lifecycle_configuration(shelf: Shelf, request: Body) -> Body:
    """No bucket has a lifecycle."""
    shelf.bucket(request["Bucket"])
    what = "The lifecycle configuration does not exist"
    raise ServiceError("NoSuchLifecycleConfiguration", what, status=404)


def get_bucket_cors(shelf: Shelf, request: Body) -> Body:
    """No bucket has rules for pages of other origins."""
    shelf.bucket(request["Bucket"])
    raise ServiceError("NoSuchCORSConfiguration", "The CORS configuration does not exist", status=404)


def put_bucket_tagging(shelf: Shelf, request: Body) -> Body:
    """Replace the tags of a bucket."""
    name = request["Bucket"]
    shelf.bucket(name)
    shelf.keep_bucket(name, {**shelf.bucket_facts(name), "TagSet": request["Tagging"]["TagSet"]})
    return {}


def get_bucket_tagging(shelf: Shelf, request: Body) -> Body:
    """The tags of a bucket."""
    shelf.bucket(request["Bucket"])
    tags = shelf.bucket_facts(request["Bucket"]).get("TagSet")
    if not tags:
        raise ServiceError("NoSuchTagSet", "The TagSet does not exist", status=404)
    return {"TagSet": tags}


def delete_bucket_tagging(shelf: Shelf, request: Body) -> Body:
    """Remove the tags of a bucket."""
    name = request["Bucket"]
    shelf.bucket(name)
    facts = shelf.bucket_facts(name)
    facts.pop("TagSet", None)
    shelf.keep_bucket(name, facts)
    return {}


def owner(shelf: Shelf) -> Body:
    """The one owner of everything."""
    return {"DisplayName": "seaproof", "ID": shelf.account.rjust(64, "0")}


def _region(shelf: Shelf, name: str) -> str:
    return str(shelf.bucket_facts(name).get("LocationConstraint") or shelf.region)


def _bucket(shelf: Shelf, name: str) -> Body:
    folder = shelf.storage.bucket(name)
    assert folder is not None
    return {"Name": name, "CreationDate": folder.stat().st_ctime, "BucketRegion": _region(shelf, name)}
