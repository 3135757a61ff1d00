"""Files on their way into a transform job and out of it."""

from __future__ import annotations

import math
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path

from seaproof.api.client import Client
from seaproof.cli.screen import Screen
from seaproof.cli.session import Session
from seaproof.cli.transform_request import GZIP, Asked, local_files
from seaproof.contract.opt_ml import Channel
from seaproof.control.channels import Input, find_files
from seaproof.errors import SeaproofError, StorageError
from seaproof.ship.requests import BUCKET
from seaproof.storage.local import LocalStorage
from seaproof.storage.storage import Address, parse_address

_DAY = 86_400.0


def put_input(session: Session, job: str, source: str, asked: Asked, screen: Screen) -> tuple[str, str]:
    """The s3:// address of the input, and the name of its first file; local files are brought there.

    A file on the same disk becomes an object by a link, which takes neither time nor room; others are copied.
    SeaproofError where some of the files are compressed, by their names, and others not.
    """
    storage = LocalStorage(session.state / "s3")
    if source.startswith("s3://"):
        given = Input("input", Channel(), source, manifest=asked.manifest)
        try:
            names = [file.address.key for file in find_files(storage, given, session.settings.region)]
        except StorageError:  # the job says so, in the platform's words
            names = []
        _check_compression(names, source, asked)
        return source, names[0] if names else source
    files = local_files(source)
    _check_compression([name for name, _ in files], source, asked)
    prefix = _prefix(session, job)
    try:
        for name, path in files:
            screen.step(f"{source}: {len(files):,} file{'s' * (len(files) != 1)} for {job}")
            _link(storage, path, Address(prefix.bucket, prefix.key + name), session.state)
    except BaseException:
        forget(session, str(prefix))
        raise
    return str(prefix), files[0][0]


def forget(session: Session, uri: str) -> None:
    """Remove the objects that a job's local files became; the files stay, and so does every other input."""
    ours = f"s3://{BUCKET}/{session.project.name}/transform/"
    if not uri.startswith(ours) or not uri.endswith("/input/"):
        return
    storage = LocalStorage(session.state / "s3")
    for found in list(storage.list(parse_address(uri))):
        storage.delete(found.address)


def forget_left_over(session: Session, client: Client) -> None:
    """`forget` what no job needs any more: of jobs that completed unwatched, and of those that are not gone on with."""
    folder = session.state / "s3" / BUCKET / session.project.name / "transform"
    found = {}
    for path in folder.glob("*/input"):
        with suppress(FileNotFoundError):  # another command has removed it in this moment
            found[str(_prefix(session, path.parent.name))] = path.stat().st_mtime
    if not found:
        return
    oldest = time.time() - _DAY * session.settings.keep_unfinished
    kept, done = set(), set()
    for summary in client.pages("ListTransformJobs", {}, "TransformJobSummaries"):
        job = client.call("DescribeTransformJob", {"TransformJobName": summary["TransformJobName"]})
        uri = job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
        if job["TransformJobStatus"] == "Completed":
            done.add(uri)
        elif job.get("TransformEndTime", math.inf) > oldest:
            kept.add(uri)
    for uri, made in found.items():
        # One that no job has yet may be about to get one.
        if uri not in kept and (uri in done or made < oldest):
            forget(session, uri)


def fetch(session: Session, uri: str, target: Path) -> list[Path]:
    """Copy the output into a folder; the files written."""
    storage = LocalStorage(session.state / "s3")
    prefix = parse_address(f"{uri.rstrip('/')}/")
    written = []
    for found in storage.list(prefix):
        path = target / found.address.key[len(prefix.key) :]
        storage.download(found.address, path)
        written.append(path)
    return written


def _check_compression(names: list[str], source: str, asked: Asked) -> None:
    zipped = sum(name.endswith(GZIP) for name in names)
    if zipped not in (0, len(names)) and not asked.gzip:
        raise SeaproofError(
            f"{zipped:,} of {len(names):,} files are compressed ({GZIP}), and the others are not",
            where=source,
            next_step="One job takes one kind: run two, or say --gzip where all of them are compressed.",
        )


def _prefix(session: Session, job: str) -> Address:
    return Address(BUCKET, f"{session.project.name}/transform/{job}/input/")


def _link(storage: LocalStorage, path: Path, address: Address, state: Path) -> None:
    # In a folder of the state, so that the move from there is a rename.
    link = state / "transforms" / f".link-{secrets.token_hex(6)}"
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        os.link(path.resolve(), link)
    except OSError:
        storage.upload(path, address)
        return
    try:
        storage.move(link, address)
    finally:
        link.unlink(missing_ok=True)
