"""The bucket and the data in a plan: what is not there as it is here is uploaded, what is no longer here is removed.

Only what carries our own mark (`DIGEST`) is ever replaced or removed: what others put there is refused, by its name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from seaproof.errors import ProjectError, SeaproofError
from seaproof.project import Project
from seaproof.ship.draft import Draft
from seaproof.ship.plan import Call, Step
from seaproof.source_files import source_files

DIGEST = "sha256"
"""Member of an object's metadata: the hash of its bytes, since an ETag depends on how it was uploaded."""
LOOKS = 16
"""Objects that are looked at side by side."""


def add_bucket(draft: Draft) -> bool:
    """Add the bucket where it is not there; whether it is."""
    name = draft.place.bucket
    draft.names["bucket"] = name
    if draft.find("s3", "HeadBucket", Bucket=name) is not None:
        draft.kept.append(f"bucket {name}")
        return True
    request: dict[str, Any] = {"Bucket": name}
    if draft.target.region != "us-east-1":
        request["CreateBucketConfiguration"] = {"LocationConstraint": draft.target.region}
    undo = Call("s3", "DeleteBucket", {"Bucket": name})
    draft.steps.append(Step(f"create bucket {name}", Call("s3", "CreateBucket", request), undo))
    return False


def add_channels(draft: Draft, bucket_is_there: bool) -> dict[str, tuple[str, str]]:
    """Add the uploads of a training job's channels; channel -> (its s3:// address, a hash of what it holds)."""
    uris: dict[str, tuple[str, str]] = {}
    for channel, source in draft.project.training.channels.items():
        if source.startswith("s3://"):
            uris[channel] = (source, source)
            continue
        key = f"{draft.place.prefix}/data/{channel}/"
        held = add_files(draft, local_files(draft.project, source, f"channel {channel!r}"), key, bucket_is_there)
        uris[channel] = (f"s3://{draft.place.bucket}/{key}", held)
    return uris


def local_files(project: Project, source: str, what: str) -> dict[str, Path]:
    """The files below a path of the project, by their relative names; ProjectError where there are none."""
    found = source_files(project.root / source)
    if not found:
        raise ProjectError(
            f"there is no file at {source!r} for {what}",
            where=str(project.file or project.root),
            next_step="Paths count from the project's folder; s3:// addresses are taken as they are.",
        )
    return found


def add_files(draft: Draft, files: dict[str, Path], key: str, bucket_is_there: bool, *, alone: bool = True) -> str:
    """Add what makes the objects below `key` the same as these files; a hash over all of them.

    `alone`: whoever reads the prefix takes all that lies there, so that nothing else may. SeaproofError where an object
    is in the way that others have put there: it would be lost, or trained on unseen.
    """
    bucket = draft.place.bucket
    there = {found["Key"]: found["Size"] for found in _listed(draft, key)} if bucket_is_there else {}
    if not alone:
        there = {object_key: size for object_key, size in there.items() if object_key.removeprefix(key) in files}
    marks = _marks(draft, there)
    _refuse_strangers(f"s3://{bucket}/", [object_key for object_key, mark in marks.items() if not mark])
    whole = hashlib.sha256()
    same = 0
    for name, path in files.items():
        digest, size = file_digest(path), path.stat().st_size
        whole.update(f"{name}\0{digest}\0".encode())
        object_key = key + name
        was = marks.pop(object_key, "")
        if was == digest and there[object_key] == size:
            same += 1
            continue
        call = Call("s3", "PutObject", {"Bucket": bucket, "Key": object_key, "Metadata": {DIGEST: digest}})
        # One that was there before is replaced, but not ours to take away.
        undo = None if was else Call("s3", "DeleteObject", {"Bucket": bucket, "Key": object_key})
        draft.steps.append(Step(f"upload {name} to s3://{bucket}/{key}", call, undo, source=str(path), size=size))
    for stale in sorted(marks):
        draft.steps.append(
            Step(
                f"remove s3://{bucket}/{stale}, which is no longer here",
                Call("s3", "DeleteObject", {"Bucket": bucket, "Key": stale}),
            )
        )
    if same:
        draft.kept.append(f"{same} file{'s' * (same > 1)} below s3://{bucket}/{key}")
    return whole.hexdigest()


def _marks(draft: Draft, keys: Iterable[str]) -> dict[str, str]:
    """Of each object the digest that we noted when it was uploaded; empty where somebody else has put it there."""

    def mark(key: str) -> str:
        found = draft.find("s3", "HeadObject", Bucket=draft.place.bucket, Key=key) or {}
        return str(found.get("Metadata", {}).get(DIGEST, ""))

    wanted = list(keys)
    with ThreadPoolExecutor(LOOKS) as pool:
        return dict(zip(wanted, pool.map(mark, wanted), strict=True))


def _refuse_strangers(root: str, keys: list[str]) -> None:
    if keys:
        more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
        raise SeaproofError(
            f"{keys[0]}{more} lies where this project's data goes, and seaproof did not put it there",
            where=root + keys[0],
            next_step="Nothing was changed. Move it away, or say prefix = ... under [ship] to use another place.",
        )


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as opened:
        digest = hashlib.sha256()
        while piece := opened.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _listed(draft: Draft, prefix: str) -> Iterator[dict[str, Any]]:
    request = {"Bucket": draft.place.bucket, "Prefix": prefix}
    yield from draft.target.pages("s3", "ListObjectsV2", request, "Contents")
