"""Input channels: which objects a channel means, which host gets which of them, and under what path.

An S3Prefix is a prefix of keys, not a folder: `s3://b/train` means `train/a.csv` and `train2/b.csv`. In the
container a file is named by its key without the prefix, where the prefix ends at a folder; otherwise without the
prefix up to its last `/`: `a.csv` and `train2/b.csv` above, `part-1` for `s3://b/in/part-` and `in/part-1`.
"""

from __future__ import annotations

import errno
import json
import random
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from seaproof.contract.opt_ml import Channel, OptMl
from seaproof.control.store import Body
from seaproof.errors import NoSuchObject, ServiceError, StorageError
from seaproof.storage.storage import Address, Storage, parse_address

_SHARDED = "ShardedByS3Key"
_MANIFEST_LIMIT = 64 * 1024 * 1024
# linux/fs.h; on file systems that can (btrfs, xfs), a copy that shares its blocks until one side is written to.
_FICLONE = 0x40049409


@dataclass(frozen=True)
class Input:
    """One channel: what the container is told of it, and where its data is."""

    name: str
    told: Channel
    uri: str
    manifest: bool = False
    seed: int | None = None
    """ShuffleConfig: shuffles the objects before they are dealt out to hosts."""
    gzipped: bool = False
    folder: str = ""
    """Where its files go, below /opt/ml; "" for the folder of a training channel of its name."""

    def place(self, root: Path) -> Path:
        """Its folder below a host's /opt/ml."""
        return root / self.folder if self.folder else OptMl(root).channel(self.name)

    @property
    def sharded(self) -> bool:
        return self.told.distribution == _SHARDED


@dataclass(frozen=True)
class File:
    """One object and its path below the channel's folder."""

    path: str
    address: Address
    size: int = 0
    modified: float = 0.0
    """When it was written, in seconds since the epoch."""


def read_channels(request: Body) -> list[Input]:
    """The channels of a CreateTrainingJob request; ServiceError names what is not supported here."""
    inputs = []
    default = request.get("AlgorithmSpecification", {}).get("TrainingInputMode", "File")
    for number, channel in enumerate(request.get("InputDataConfig", []), 1):
        where = f"inputDataConfig.{number}.member"
        mode = channel.get("InputMode") or default
        if mode == "Pipe":
            raise _unsupported("Pipe", f"{where}.inputMode", "Pipe mode is not supported locally yet. Use File")
        inputs.append(_read_channel(channel, mode, where))
    names = [given.name for given in inputs]
    for name in names:
        if names.count(name) > 1:
            raise ServiceError("ValidationException", f"Channel names must be unique; {name!r} is given twice.")
    return inputs


def notes(inputs: Sequence[Input]) -> list[str]:
    """What the author may not expect of these channels, one sentence each, for the job's history."""
    told = []
    for given in inputs:
        if given.told.input_mode == "FastFile":
            told.append(f"channel {given.name}: FastFile data is copied before the start, as in File mode")
        if given.gzipped:
            told.append(
                f"channel {given.name}: CompressionType Gzip has no effect in File mode, files come as they are"
            )
    return told


def find_files(storage: Storage, given: Input, region: str) -> list[File]:
    """All files of a channel, in key order. StorageError says, in the platform's words, what cannot be used."""
    if given.manifest:
        return _from_manifest(storage, given)
    prefix = parse_address(given.uri)
    if given.told.input_mode == "FastFile" and prefix.key and not prefix.key.endswith("/"):
        # A mount needs a folder: s3://b/train does not mean train-01/.
        prefix = Address(prefix.bucket, f"{prefix.key}/")
    try:
        objects = list(storage.list(prefix))
    except NoSuchObject:
        objects = []
    if not objects:
        raise StorageError(
            f'No S3 objects found under S3 URL "{given.uri}" given in input data source. Please ensure that the bucket'
            f" exists in the selected region ({region}), and that objects exist under that S3 prefix.",
        )
    return [
        File(local_path(found.address.key, prefix.key), found.address, found.size, found.modified)
        for found in objects
        if not found.address.key.endswith("/")
    ]


def local_path(key: str, prefix: str) -> str:
    """The path below the channel's folder of an object that a prefix matches."""
    if not prefix or prefix.endswith("/"):
        return key[len(prefix) :]
    if key.startswith(f"{prefix}/"):
        return key[len(prefix) + 1 :]
    return key[prefix.rfind("/") + 1 :]


def share(files: Sequence[File], given: Input, host: int, hosts: int) -> list[File]:
    """What the host of index `host` (from 0) gets: all of it, or of a sharded channel every `hosts`-th object."""
    if not given.sharded:
        return list(files)
    dealt = list(files)
    if given.seed is not None:
        random.Random(given.seed).shuffle(dealt)
    return dealt[host::hosts]


def deliver(
    storage: Storage, inputs: Sequence[Input], roots: Sequence[Path], region: str, stopped: Callable[[], bool]
) -> bool:
    """Copy every channel into the /opt/ml of every host (`roots`, in host order); False as soon as `stopped()`.

    What all hosts get is downloaded once and cloned, which costs no space where the file system can share blocks.
    StorageError or OSError where that fails.
    """
    found = [find_files(storage, given, region) for given in inputs]
    for root in roots:
        root.mkdir(parents=True, exist_ok=True)
    _check_room(inputs, found, roots)
    for given, files in zip(inputs, found, strict=True):
        folders = [given.place(root) for root in roots]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        for index, folder in enumerate(folders):
            for file in share(files, given, index, len(folders)):
                if stopped():
                    return False
                _place(storage, file, folder, None if given.sharded or index == 0 else folders[0])
    return True


def _read_channel(channel: Body, mode: str, where: str) -> Input:
    source = channel.get("DataSource", {})
    for kind in ("FileSystemDataSource", "DatasetSource"):
        if source.get(kind):
            raise _unsupported(kind, f"{where}.dataSource", "Local jobs read from S3DataSource only")
    s3 = source.get("S3DataSource")
    if not s3:
        raise _unsupported("None", f"{where}.dataSource", "Give an S3DataSource")
    kind = s3.get("S3DataType", "S3Prefix")
    if kind not in ("S3Prefix", "ManifestFile"):
        raise _unsupported(kind, f"{where}.dataSource.s3DataSource.s3DataType", "Use S3Prefix or ManifestFile")
    if mode == "FastFile" and kind != "S3Prefix":
        raise _unsupported(kind, f"{where}.dataSource.s3DataSource.s3DataType", "FastFile goes with S3Prefix only")
    for field in ("InstanceGroupNames", "ModelAccessConfig", "HubAccessConfig"):
        if s3.get(field):
            raise _unsupported(field, f"{where}.dataSource.s3DataSource", "Leave it out")
    try:
        parse_address(s3["S3Uri"])
    except StorageError as error:
        raise ServiceError("ValidationException", f"{where}.dataSource.s3DataSource.s3Uri: {error}") from error
    return Input(
        name=channel["ChannelName"],
        told=Channel(
            input_mode=mode,
            distribution=s3.get("S3DataDistributionType", "FullyReplicated"),
            record_wrapper=channel.get("RecordWrapperType", "None"),
            content_type=channel.get("ContentType", ""),
        ),
        uri=s3["S3Uri"],
        manifest=kind == "ManifestFile",
        seed=channel.get("ShuffleConfig", {}).get("Seed"),
        gzipped=channel.get("CompressionType") == "Gzip",
    )


def _unsupported(value: str, where: str, advice: str) -> ServiceError:
    return ServiceError("ValidationException", f"Value '{value}' at '{where}' is not supported here. {advice}.")


def _from_manifest(storage: Storage, given: Input) -> list[File]:
    """`[{"prefix": "s3://bucket/p/"}, "a.csv", ...]`: every key has to exist."""
    with storage.open(parse_address(given.uri)) as stream:
        text = _read_all(stream, given.uri)
    try:
        head, *names = json.loads(text)
        prefix = parse_address(head["prefix"])
        if not all(isinstance(name, str) for name in names):
            raise TypeError("a key that is no text")
    except (ValueError, TypeError, KeyError) as error:
        raise StorageError(
            f"the manifest is not as it should be: {error!r}",
            where=given.uri,
            next_step='It has to be JSON like [{"prefix": "s3://bucket/folder/"}, "a.csv", "b.csv"].',
        ) from error
    stored = {found.address.key: found for found in storage.list(prefix)}
    files = []
    for name in names:
        address = Address(prefix.bucket, prefix.key + name)
        if address.key not in stored:
            raise StorageError(f"the manifest names {address}, and there is no such object", where=given.uri)
        files.append(File(name, address, stored[address.key].size, stored[address.key].modified))
    return files


def _read_all(stream: BinaryIO, where: str) -> bytes:
    text = stream.read(_MANIFEST_LIMIT + 1)
    if len(text) > _MANIFEST_LIMIT:
        raise StorageError(f"the manifest has more than {_MANIFEST_LIMIT:,} bytes", where=where)
    return text


def _check_room(inputs: Sequence[Input], found: Sequence[Sequence[File]], roots: Sequence[Path]) -> None:
    """Fail before the first byte where the first copy alone cannot fit."""
    needed = sum(file.size for files in found for file in files)
    free = shutil.disk_usage(roots[0]).free
    if needed > free:
        names = ", ".join(given.name for given in inputs)
        raise OSError(errno.ENOSPC, f"No space left on device: {names} need {needed:,} bytes and {free:,} are free")


def _place(storage: Storage, file: File, folder: Path, twin: Path | None) -> None:
    """One file into one channel folder: from the store, or from the host that has it already."""
    parts = [part for part in file.path.split("/") if part]
    if not parts or any(part in (".", "..") for part in parts):
        raise StorageError(f"the key of {file.address} is no file name on a disk")
    target = folder.joinpath(*parts)
    if target.exists():
        raise StorageError(
            f"{file.address} and another object would both be {'/'.join(parts)} in channel {folder.name}",
            next_step="Give the channel a longer prefix, so that it matches one of them.",
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if twin is not None:
            clone(twin.joinpath(*parts), target)
            return
        # Not storage.download, which syncs each file to the disk: after a kill it all comes anew, and a channel of
        # many small files would take minutes.
        with storage.open(file.address) as stream:
            _write(stream, target)
    except (FileExistsError, NotADirectoryError) as error:
        raise StorageError(f"{file.address} needs a folder where another object is a file") from error
    if target.stat().st_size != file.size:
        raise StorageError(f"{file.address} was changed while it was read", next_step="Start the job again.")


def clone(source: Path, target: Path) -> None:
    """Copy a file; blocks are shared where the file system can, and writing to either leaves the other alone."""
    with source.open("rb") as given:
        _write(given, target)


def _write(source: BinaryIO, target: Path) -> None:
    """A new file with what the stream holds; where both lie on a disk that can, it takes neither time nor room."""
    with target.open("xb") as copy:
        if sys.platform == "linux":
            import fcntl

            try:
                fcntl.ioctl(copy.fileno(), _FICLONE, source.fileno())
                return
            except OSError:
                # Another disk, a file system that cannot, or no file at all.
                pass
        shutil.copyfileobj(source, copy, 1024 * 1024)
