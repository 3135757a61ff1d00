"""model.tar.gz and output.tar.gz: packed as the platform packs them, unpacked as strictly as hosting unpacks them.

Members are relative to the folder (no leading `model/`) and in a fixed order, so that the same files give the same
archive. What hosting would refuse is refused here by name, before an endpoint waits minutes for it.
"""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import stat
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, NoReturn, cast

from seaproof.errors import ArchiveError

_PIECE = 1024 * 1024
_BLOCK = 512
# A model is mostly floating-point noise: higher levels take several times as long for a per cent or two.
_LEVEL = 1
# The longest header (a path, extended attributes) that is believed; a larger one is there to fill the memory.
_HEADER_LIMIT = 4 * 1024 * 1024
_PADDING_LIMIT = 64 * 1024 * 1024
_FREE_MARGIN = 4 * 1024 * 1024

_HOSTING = 'SageMaker hosting answers "Failed to extract model data archive" and the endpoint ends as Failed'


Entries = Iterable[tuple[Path, str]]
"""Files and folders of the disk with their names in the archive."""


def pack(source: Path | Entries, target: Path) -> list[str]:
    """Pack all below a folder, or entries as `walk` and `merge` give them, into the gzipped tar `target`.

    The target is written whole or not at all. Returns the members that hosting would refuse (symlinks, named pipes,
    devices), by their names in the archive. They are packed all the same, as the platform packs them; sockets are
    left out, as no tar can hold one. OSError where reading or writing fails, a full disk above all.
    """
    refused: list[str] = []
    partial = target.with_name(f".{target.name}.partial")
    try:
        with (
            partial.open("wb") as file,
            gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as zipped,
            tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for path, name in walk(source) if isinstance(source, Path) else source:
                # Hard links are packed as two files, so that each can be unpacked anywhere.
                tar.inodes = {}  # type: ignore[attr-defined]
                if path.is_socket():
                    continue
                info = tar.gettarinfo(path, name)
                info.uid = info.gid = 0
                info.uname = info.gname = ""
                info.mtime = int(info.mtime)
                if not (info.isreg() or info.isdir()):
                    refused.append(name)
                _add(tar, info, path)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return refused


def walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """All below a folder as (path, name relative to it with `/`), each folder before what is in it, by name.

    What is in a folder that goes meanwhile, as a program removes its old checkpoints, is passed over.
    """
    pending = [(folder, "")]
    while pending:
        parent, prefix = pending.pop()
        inside = []
        try:
            with os.scandir(parent) as found:
                entries = sorted(found, key=lambda e: e.name)
        except FileNotFoundError:
            if parent == folder:
                raise
            continue
        for entry in entries:
            path, name = Path(entry.path), prefix + entry.name
            yield path, name
            if entry.is_dir(follow_symlinks=False):
                inside.append((path, f"{name}/"))
        pending.extend(reversed(inside))


def merge(folders: Sequence[Path]) -> tuple[list[tuple[Path, str]], list[str]]:
    """All below several folders as if they were one, and the names that more than one of them has as a file.

    The first folder wins. Folders of the same name are merged; a folder against a file is a collision too.
    """
    entries: dict[str, Path] = {}
    collisions: list[str] = []
    for folder in folders:
        hidden: set[str] = set()
        for path, name in walk(folder):
            known = entries.get(name)
            if str(PurePosixPath(name).parent) in hidden:
                hidden.add(name)
            elif known is None:
                entries[name] = path
            elif not (_is_folder(path) and _is_folder(known)):
                collisions.append(name)
                hidden.add(name)
    return [(entries[name], name) for name in sorted(entries)], collisions


def unpack(source: Path, folder: Path) -> None:
    """Unpack a gzipped tar into `folder`, whole or not at all; what the folder held before is removed first.

    ArchiveError names the member and says what hosting would do, for: symlinks, hard links, devices, absolute paths,
    `..`, names that clash, more than the disk can hold, and what is truncated, damaged or no gzipped tar. Files of
    macOS (`._name`) are kept as any other. Modes become 644 or 755.
    """
    _empty(folder)
    try:
        with source.open("rb") as file:
            _check_magic(source, file)
            with gzip.GzipFile(fileobj=file, mode="rb") as zipped:
                _extract(_Bounded(zipped), folder, source)
    except FileNotFoundError as error:
        raise ArchiveError("there is no such archive", where=str(source)) from error
    except ArchiveError:
        _empty(folder)
        raise
    except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
        _empty(folder)
        raise ArchiveError(
            f"the archive is truncated or damaged: {error}",
            where=str(source),
            next_step=f"{_HOSTING}. Pack it again: tar -czf model.tar.gz -C <folder> .",
        ) from error
    except OSError as error:
        _empty(folder)
        raise ArchiveError(
            f"the archive cannot be unpacked: {error.strerror or error}",
            where=str(source),
            next_step="Make room on the disk and try again." if error.errno == errno.ENOSPC else "",
        ) from error


def examine(source: Path, most: int = 20) -> tuple[list[str], list[ArchiveError]]:
    """Names of the members, and all that hosting would refuse (at most so many), without unpacking anything."""
    names: list[str] = []
    problems: list[ArchiveError] = []
    try:
        with source.open("rb") as file:
            _check_magic(source, file)
            with gzip.GzipFile(fileobj=file, mode="rb") as zipped:
                _examine(_Bounded(zipped), source, names, problems, most)
    except ArchiveError as error:
        problems.append(error)
    except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
        what = f"the archive is truncated or damaged: {error}"
        advice = f"{_HOSTING}. Pack it again: tar -czf model.tar.gz -C <folder> ."
        problems.append(ArchiveError(what, where=str(source), next_step=advice))
    except OSError as error:
        problems.append(ArchiveError(f"the archive cannot be read: {error.strerror or error}", where=str(source)))
    return names, problems


def _examine(source: _Bounded, archive: Path, names: list[str], problems: list[ArchiveError], most: int) -> None:
    made: dict[str, bool] = {}
    with tarfile.open(fileobj=cast(IO[bytes], source), mode="r:") as tar:
        for member in tar:
            tar.members = []  # type: ignore[attr-defined]  # see _extract
            try:
                name = _safe_name(member, archive)
                if name is not None:
                    names.append(f"{name}/" if member.isdir() else name)
                    _claim(name, member.isdir(), made, archive)
            except ArchiveError as error:
                if len(problems) < most:
                    problems.append(error)
    _check_end(source)


class _Bounded:
    """The unzipped stream as tarfile sees it: no header may ask for gigabytes, and the last block stays known."""

    def __init__(self, source: gzip.GzipFile) -> None:
        self._source = source
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > _HEADER_LIMIT:
            raise tarfile.ReadError(f"a header asks for {size:,} bytes")
        data = self._source.read(size)
        self.last = data if len(data) <= _BLOCK else b""
        return data

    def seek(self, position: int) -> int:
        return self._source.seek(position)

    def tell(self) -> int:
        return self._source.tell()


def _add(tar: tarfile.TarFile, info: tarfile.TarInfo, path: Path) -> None:
    if not info.isreg():
        tar.addfile(info)
        return
    with path.open("rb") as content:
        # The size is that of the open file: one that still grows or shrinks must not spoil the archive.
        info.size = os.fstat(content.fileno()).st_size
        tar.addfile(info, content)


def _extract(source: _Bounded, folder: Path, archive: Path) -> None:
    made: dict[str, bool] = {}
    """What was unpacked so far: name -> whether it is a folder."""
    with tarfile.open(fileobj=cast(IO[bytes], source), mode="r:") as tar:
        for member in tar:
            # tarfile keeps every member for a second look; an archive of millions would fill the memory.
            tar.members = []  # type: ignore[attr-defined]
            name = _safe_name(member, archive)
            if name is None:
                continue
            _claim(name, member.isdir(), made, archive)
            target = folder / name
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            _write_member(tar, member, target, archive)
    _check_end(source)


def _safe_name(member: tarfile.TarInfo, archive: Path) -> str | None:
    """The member's path below the folder, normalised; None for the folder itself."""
    if not (member.isreg() or member.isdir()):
        kind, advice = _kind(member)
        _refuse(archive, f"member {member.name!r} is {kind}", advice)
    path = PurePosixPath(member.name)
    if path.is_absolute():
        _refuse(archive, f"member {member.name!r} has an absolute path", "Pack with paths relative to the folder")
    if ".." in path.parts:
        _refuse(archive, f"member {member.name!r} leads out of the folder with '..'", "Pack from within the folder")
    return str(path) if path.parts else None


def _claim(name: str, is_folder: bool, made: dict[str, bool], archive: Path) -> None:
    for parent in PurePosixPath(name).parents:
        if made.setdefault(str(parent), True) is False:
            _refuse(archive, f"{str(parent)!r} is a file, and also the folder of {name!r}", "Keep one of the two")
    if name in made and not (is_folder and made[name]):
        _refuse(archive, f"member {name!r} is there twice", "Keep one of the two; which one would win is not defined")
    made[name] = is_folder


def _write_member(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path, archive: Path) -> None:
    free = shutil.disk_usage(target.parent).free - _FREE_MARGIN
    if member.size > free:
        raise ArchiveError(
            f"member {member.name!r} unpacks to {member.size:,} bytes, and the disk has {max(0, free):,} left",
            where=str(archive),
            next_step="Make room on the disk; hosting would need an instance with a larger volume.",
        )
    content = tar.extractfile(member)
    assert content is not None  # a regular file has content
    with target.open("xb") as file:
        shutil.copyfileobj(content, cast(BinaryIO, file), _PIECE)
        if file.tell() != member.size:
            raise tarfile.ReadError(f"{member.name!r} ends after {file.tell():,} of {member.size:,} bytes")
    target.chmod(0o755 if member.mode & 0o111 else 0o644)


def _check_end(source: _Bounded) -> None:
    """tarfile takes a damaged header for the end; and what follows the end still has to be sound gzip."""
    if source.last.strip(b"\0"):
        raise tarfile.ReadError(f"what stands at byte {source.tell() - len(source.last):,} is no member")
    rest = 0
    while piece := source.read(_PIECE):
        rest += len(piece)
        if rest > _PADDING_LIMIT:
            raise tarfile.ReadError(f"more than {_PADDING_LIMIT:,} bytes follow its end")


def _check_magic(source: Path, file: BinaryIO | IO[bytes]) -> None:
    start = file.read(_BLOCK)
    file.seek(0)
    if start[:2] == b"\x1f\x8b":
        return
    kinds = {b"PK\x03\x04": "a zip file", b"BZh": "a bzip2 file", b"\xfd7zXZ": "an xz file"}
    is_a = next((kind for magic, kind in kinds.items() if start.startswith(magic)), "not gzip")
    if not start:
        is_a = "empty"
    elif start[257:262] == b"ustar":
        is_a = "a tar that is not gzipped"
    _refuse(source, f"the archive is {is_a}", "It has to be a gzipped tar: tar -czf model.tar.gz -C <folder> .")


def _kind(member: tarfile.TarInfo) -> tuple[str, str]:
    if member.issym():
        return f"a symlink (to {member.linkname!r})", "Pack the file itself: tar --dereference"
    if member.islnk():
        return f"a hard link (to {member.linkname!r})", "Pack both as files: tar --hard-dereference"
    if member.isfifo():
        return "a named pipe", "Leave it out"
    if member.ischr() or member.isblk():
        return "a device", "Leave it out"
    return f"of the unknown type {member.type!r}", "Leave it out"


def _refuse(archive: Path, what: str, advice: str) -> NoReturn:
    raise ArchiveError(what, where=str(archive), next_step=f"{_HOSTING}. {advice.rstrip('.')}.")


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _empty(folder: Path) -> None:
    """Make the folder, or remove all that is in it; the folder itself stays, as it may be a mount."""
    folder.mkdir(parents=True, exist_ok=True)
    for entry in os.scandir(folder):
        if stat.S_ISDIR(entry.stat(follow_symlinks=False).st_mode):
            shutil.rmtree(entry.path)
        else:
            Path(entry.path).unlink()
