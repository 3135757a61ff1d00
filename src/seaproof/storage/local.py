"""Local storage: `s3://bucket/key` as the plain file `<root>/<bucket>/<key>`, to be seen and dropped in by hand.

What a file system cannot hold under the key's own name is refused, never renamed, so that a folder always shows
the keys as they are: empty, `.` and `..` segments (also a leading or trailing slash), segments over 255 bytes, a key
that is also the folder of another one. On a disk that ignores case, keys that differ in case alone are one key.

Half-written files lie in `<root>/.partial` (where a bucket is a disk of its own: beside their target) under a name
that no listing shows. Each is locked while its writer lives, so that `sweep` knows what a killed one left there.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from seaproof.errors import NoSuchObject, StorageError
from seaproof.storage.storage import Address, Object

PARTIAL = ".seaproof-partial-"
_PIECE = 1024 * 1024
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_FULL = (errno.ENOSPC, errno.EDQUOT)


class LocalStorage:
    """The storage protocol over one folder. Safe to use from many threads and processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def path(self, address: Address) -> Path:
        """The file of an object, whether it is there or not; StorageError where this key can be no file."""
        problem = self.problem(address)
        if problem:
            raise StorageError(
                f"this key cannot be kept as a file: {problem}",
                where=str(address),
                next_step="Choose a key like folder/name.",
            )
        return self.root.joinpath(address.bucket, *address.key.split("/"))

    def problem(self, address: Address) -> str:
        """Why this address can be no file, or ""."""
        return _problem(address)

    def bucket(self, name: str) -> Path | None:
        """The folder of a bucket, whether it is there or not; None for a name that can be none."""
        return self.root / name if _BUCKET.fullmatch(name) else None

    def buckets(self) -> list[str]:
        """The names of all buckets, sorted."""
        if not self.root.is_dir():
            return []
        with os.scandir(self.root) as found:
            return sorted(e.name for e in found if _BUCKET.fullmatch(e.name) and e.is_dir(follow_symlinks=False))

    def remove_bucket(self, name: str) -> bool:
        """Remove a bucket that holds no object, with its empty folders; False where it holds one."""
        folder = self.bucket(name)
        if folder is None or next(self.list(Address(name, "")), None) is not None:
            return False
        for inner, _, _ in os.walk(folder, topdown=False):
            try:
                os.rmdir(inner)  # noqa: PTH106 - os.walk gives texts
            except OSError:
                return False  # somebody has just put something there
        return True

    def list(self, prefix: Address, skip: Callable[[str], bool] | None = None) -> Iterator[Object]:
        """All objects whose key starts with the prefix, in UTF-8 byte order; none where there is no such bucket.

        `skip` is asked of each key, and of each folder as `key/`, as the listing comes to it: what it says True of is
        passed over unread. StorageError names what is no object: a link that leads outside, a pipe, a name that is no
        UTF-8.
        """
        folder, _, start = prefix.key.rpartition("/")
        parts = folder.split("/") if folder or prefix.key.startswith("/") else []
        if not _BUCKET.fullmatch(prefix.bucket) or any(part in ("", ".", "..") for part in parts):
            return
        top = self.root.joinpath(prefix.bucket, *parts)
        if os.path.isdir(top):  # noqa: PTH112 - unlike Path.is_dir, False and no error for a name that is too long
            self._check_folder(top, prefix)
            yield from self._walk(top, prefix.bucket, "".join(f"{part}/" for part in parts), start, skip)

    def open(self, address: Address) -> BinaryIO:
        """Read one object as a stream; NoSuchObject where there is none (a prefix of keys is none)."""
        path = self.path(address)
        try:
            self._check_folder(path.parent, address)
            mode = path.stat().st_mode
            if stat.S_ISDIR(mode):
                raise FileNotFoundError(path)
            self._check_file(path, mode, address)
            return path.open("rb")
        except (FileNotFoundError, NotADirectoryError):
            raise NoSuchObject(
                "there is no such object", where=str(address), next_step=f"It would be the file {path}."
            ) from None
        except OSError as error:
            raise StorageError(f"the object cannot be read: {error.strerror}", where=str(path)) from error

    def write(self, address: Address, source: BinaryIO) -> None:
        """Store the whole stream or nothing, synced to the disk; StorageError names a disk that is full."""
        with self.writing(address) as target:
            _copy(source, target)

    def download(self, address: Address, target: Path) -> None:
        """Copy one object to a file, whole or not at all; the parent folder is made."""
        with self.open(address) as source:
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise _unwritable(error, target) from error
            with _replace(target.parent, target) as file:
                _copy(source, file)

    def upload(self, source: Path, address: Address) -> None:
        """Copy one file to an object, whole or not at all."""
        try:
            stream = source.open("rb")
        except OSError as error:
            raise StorageError(f"the file cannot be read: {error.strerror}", where=str(source)) from error
        with stream:
            self.write(address, stream)

    def move(self, source: Path, address: Address) -> None:
        """Make a file an object, whole or not at all; renamed where it lies on the same disk, else copied."""
        path = self.path(address)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            near, device = _nearest(path)
            self._check_folder(near, address)
            if source.stat().st_dev == device:
                if path.is_dir():
                    path.rmdir()  # an empty folder is no object and in nobody's way
                with source.open("rb") as file:
                    os.fsync(file.fileno())
                _rename(source, path)
                _sync_folder(path.parent)
                return
        except OSError as error:
            raise _unwritable(error, path) from error
        self.upload(source, address)
        source.unlink(missing_ok=True)

    def delete(self, address: Address) -> None:
        """Remove one object, and folders that are empty without it; one that is not there is passed over."""
        path = self.path(address)
        try:
            self._check_folder(path.parent, address)
            path.unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            if path.is_dir():  # a prefix of keys, which is no object
                return
            raise StorageError(f"the object cannot be removed: {error.strerror}", where=str(path)) from error
        with suppress(OSError):
            for folder in path.parents[: len(address.key.split("/")) - 1]:
                folder.rmdir()

    def sweep(self) -> int:
        """Remove what writers left that were killed half-way; how many files. Those of living writers stay."""
        removed = 0
        with suppress(OSError):
            for path in (self.root / ".partial").iterdir():
                with suppress(OSError), path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                    removed += 1
        return removed

    @contextmanager
    def writing(self, address: Address) -> Iterator[BinaryIO]:
        """A file that becomes the object, synced to the disk, when the block ends well; see `write`."""
        path = self.path(address)
        partials = self.root / ".partial"
        try:
            partials.mkdir(parents=True, exist_ok=True)
            near, device = _nearest(path)
            self._check_folder(near, address)
            if path.is_dir():
                path.rmdir()  # an empty folder is no object and in nobody's way
            if device != partials.stat().st_dev:
                path.parent.mkdir(parents=True, exist_ok=True)
                partials = path.parent
        except OSError as error:
            raise _unwritable(error, path) from error
        with _replace(partials, path) as file:
            yield file

    def _walk(
        self, folder: Path, bucket: str, base: str, start: str, skip: Callable[[str], bool] | None
    ) -> Iterator[Object]:
        try:
            with os.scandir(folder) as found:
                entries = [entry for entry in found if entry.name.startswith(start)]
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(f"the folder cannot be listed: {error.strerror}", where=str(folder)) from error
        for entry in sorted((entry for entry in entries if not entry.name.startswith(PARTIAL)), key=_order):
            address = Address(bucket, base + entry.name)
            is_folder = entry.is_dir(follow_symlinks=False)
            if skip is not None and skip(f"{address.key}/" if is_folder else address.key):
                continue
            if is_folder:
                yield from self._walk(Path(entry.path), bucket, f"{address.key}/", "", skip)
                continue
            try:
                status = entry.stat()
            except OSError as error:
                if entry.is_symlink():
                    raise _leads_outside(Path(entry.path), address) from error
                if isinstance(error, FileNotFoundError):
                    continue
                raise StorageError(f"it cannot be read: {error.strerror}", where=entry.path) from error
            self._check_file(Path(entry.path), status.st_mode, address)
            yield Object(address, status.st_size, status.st_mtime, status.st_mtime_ns)

    def _check_folder(self, folder: Path, address: Address) -> None:
        """No link on the way to an object: what it leads to may be outside, or the folder itself again."""
        if _real(folder) != _real(self.root) / folder.relative_to(self.root):
            raise _leads_outside(folder, address)

    def _check_file(self, path: Path, mode: int, address: Address) -> None:
        if path.is_symlink() and (stat.S_ISDIR(mode) or _real(self.root) not in _real(path).parents):
            raise _leads_outside(path, address)
        if not stat.S_ISREG(mode):
            raise StorageError("this is neither a file nor a folder", where=str(path), next_step="Move it elsewhere.")


def _real(path: Path) -> Path:
    """Where all links lead. `Path.resolve` raises RuntimeError for a circle of them."""
    return Path(os.path.realpath(path))


def _problem(address: Address) -> str:
    """Why this address can be no file, or ""."""
    if not _BUCKET.fullmatch(address.bucket):
        return f"the bucket {address.bucket!r} is no plain name of letters, digits, dots and hyphens"
    parts = address.key.split("/")
    for part in parts:
        if part in ("", ".", ".."):
            return "it is empty" if not address.key else f"it has the segment {part!r} between slashes"
        if "\0" in part:
            return "it has a zero byte"
        if part.startswith(PARTIAL):
            return f"names that start with {PARTIAL} are taken"
    try:
        encoded = [part.encode() for part in parts]
    except UnicodeEncodeError:
        return "it is no UTF-8"
    if sum(map(len, encoded)) + len(parts) - 1 > 1024:
        return "it is longer than 1,024 bytes, the most that S3 takes"
    return "a segment between slashes is longer than 255 bytes" if max(map(len, encoded)) > 255 else ""


def _order(entry: os.DirEntry[str]) -> bytes:
    """What to sort by, so that whole keys come in the order of their bytes: `a-b` before `a/c` before `a0`."""
    try:
        return entry.name.encode() + (b"/" if entry.is_dir(follow_symlinks=False) else b"")
    except UnicodeEncodeError:
        raise StorageError(
            f"the file name {os.fsencode(entry.path)!r} is no UTF-8 and can be no key", next_step="Rename it."
        ) from None


@contextmanager
def _replace(partials: Path, target: Path) -> Iterator[BinaryIO]:
    """A file in the folder `partials` that replaces `target` when the block ends well, and is removed otherwise."""
    try:
        file = _open_partial(partials)
    except OSError as error:
        raise _unwritable(error, target) from error
    partial = Path(file.name)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            _rename(partial, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise _unwritable(error, target) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def _nearest(path: Path) -> tuple[Path, int]:
    """The nearest folder above that is there, and its file system; a `delete` beside may take one away meanwhile."""
    for folder in path.parents:
        with suppress(FileNotFoundError):
            return folder, folder.stat().st_dev
    raise FileNotFoundError(path)


def _rename(partial: Path, target: Path) -> None:
    """Put the file in its place; again where a `delete` removed the folder, empty until then, in between."""
    for attempts_left in reversed(range(100)):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.replace(target)
            return
        except (FileNotFoundError, FileExistsError):  # mkdir says the latter of a folder that goes as it looks
            if not attempts_left or not partial.exists():
                raise


def _open_partial(folder: Path) -> BinaryIO:
    """A new file with a lock on it. It is gone where `sweep` was faster than the lock; then another is made."""
    while True:
        file = (folder / f"{PARTIAL}{secrets.token_hex(8)}").open("xb")
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()


def _copy(source: BinaryIO, target: BinaryIO) -> None:
    while True:
        try:
            piece = source.read(_PIECE)
        except OSError as error:
            raise StorageError(f"the source cannot be read: {error.strerror or error}") from error
        if not piece:
            return
        target.write(piece)


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut; not every file system can, and none loses the old file by it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _unwritable(error: OSError, path: Path) -> StorageError:
    if error.errno in _FULL:
        near = next(folder for folder in path.parents if folder.exists())
        return StorageError(
            f"the disk that holds {near} is full; nothing was stored",
            where=str(path),
            next_step="Make room there, or move the state with SEAPROOF_STATE.",
        )
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENOTEMPTY):
        return StorageError(
            "a key cannot be an object and the folder of another one here",
            where=str(path),
            next_step="Files and folders hold the objects; choose another key.",
        )
    return StorageError(f"it cannot be written: {error.strerror or error}", where=str(path))


def _leads_outside(path: Path, address: Address) -> StorageError:
    return StorageError(
        f"{path} is a link that leads outside the storage, or to a folder, and links are not followed there",
        where=str(address),
        next_step="Copy what it points to.",
    )
