"""Archives: packed with relative members in a fixed order, unpacked whole or refused with the member's name."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seaproof.control.archives import merge, pack, unpack, walk
from seaproof.errors import ArchiveError

NAME = st.text("abcXYZ._- é", min_size=1, max_size=8).filter(lambda n: n not in (".", ".."))
TREE = st.dictionaries(st.lists(NAME, min_size=1, max_size=3).map(tuple), st.binary(max_size=2000), max_size=6)


def archive(path: Path, members: list[tarfile.TarInfo], data: bytes = b"x") -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            if member.isreg():
                member.size = len(data)
            tar.addfile(member, io.BytesIO(data) if member.isreg() else None)
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    return info


def names(path: Path) -> list[str]:
    with tarfile.open(path) as tar:
        return tar.getnames()


@given(tree=TREE)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_what_is_packed_unpacks_to_the_same_files(tree: dict[tuple[str, ...], bytes], tmp_path: Path) -> None:
    root = tmp_path / str(len(list(tmp_path.iterdir())))
    source = root / "source"
    source.mkdir(parents=True)
    for parts, content in tree.items():
        file = source.joinpath(*parts)
        if any(parent.is_file() for parent in file.parents) or file.is_dir():
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    refused = pack(source, root / "model.tar.gz")
    unpack(root / "model.tar.gz", root / "back")

    def files(folder: Path) -> dict[str, bytes | None]:
        return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}

    assert files(root / "back") == files(source)
    assert refused == []


def test_members_are_relative_and_in_a_fixed_order_and_the_bytes_repeat(tmp_path: Path) -> None:
    source = tmp_path / "model"
    (source / "b").mkdir(parents=True)
    for name in ("z.bin", "b/2", "b/1", "a"):
        (source / name).write_text(name)
        os.utime(source / name, (1, 1))
    os.utime(source / "b", (1, 1))

    pack(source, tmp_path / "one.tar.gz")
    pack(source, tmp_path / "two.tar.gz")

    assert names(tmp_path / "one.tar.gz") == ["a", "b", "z.bin", "b/1", "b/2"]
    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "two.tar.gz").read_bytes()


def test_symlinks_are_packed_and_named_because_hosting_will_refuse_them(tmp_path: Path) -> None:
    source = tmp_path / "model"
    source.mkdir()
    (source / "real").write_text("x")
    (source / "link").symlink_to("real")
    (source / "twin").hardlink_to(source / "real")

    refused = pack(source, tmp_path / "model.tar.gz")

    assert refused == ["link"]
    with tarfile.open(tmp_path / "model.tar.gz") as tar:
        assert [(m.name, m.isreg()) for m in tar] == [("link", False), ("real", True), ("twin", True)]
    with pytest.raises(ArchiveError, match=r"'link' is a symlink \(to 'real'\)"):
        unpack(tmp_path / "model.tar.gz", tmp_path / "out")


def test_a_failed_pack_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pack(tmp_path / "absent", tmp_path / "model.tar.gz")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([member("a", tarfile.SYMTYPE, "/etc/passwd")], "symlink"),
        ([member("b"), member("a", tarfile.LNKTYPE, "b")], "hard link"),
        ([member("a", tarfile.CHRTYPE)], "device"),
        ([member("a", tarfile.BLKTYPE)], "device"),
        ([member("a", tarfile.FIFOTYPE)], "named pipe"),
        ([member("/etc/a")], "absolute"),
        ([member("x/../../a")], r"'\.\.'"),
        ([member("a"), member("./a")], "twice"),
        ([member("a"), member("a/b")], "is a file, and also the folder"),
        ([member("a/b"), member("a")], "twice"),
    ],
)
def test_what_hosting_refuses_is_refused_by_name(members: list[tarfile.TarInfo], message: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "m.tar.gz", [member("first"), *members])

    with pytest.raises(ArchiveError, match=message) as caught:
        unpack(path, tmp_path / "out")

    assert "Failed to extract model data archive" in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.tar.gz", "out"]


def test_files_of_macos_repeated_folders_and_dot_slash_are_fine(tmp_path: Path) -> None:
    members = [
        member("./", tarfile.DIRTYPE),
        member("./d/", tarfile.DIRTYPE),
        member("./d", tarfile.DIRTYPE),
        member("./d/._x"),
        member("./d/x"),
    ]
    path = archive(tmp_path / "m.tar.gz", members)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("from an earlier try")

    unpack(path, tmp_path / "out")

    assert sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*")) == ["d", "d/._x", "d/x"]


@pytest.mark.parametrize("keep", [0.05, 0.5, 0.97])
def test_a_truncated_archive_is_refused_and_leaves_nothing(keep: float, tmp_path: Path) -> None:
    path = archive(tmp_path / "m.tar.gz", [member("a"), member("b")], os.urandom(100_000))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])

    with pytest.raises(ArchiveError, match="truncated or damaged"):
        unpack(path, tmp_path / "out")

    assert list((tmp_path / "out").iterdir()) == []


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    path = archive(tmp_path / "m.tar.gz", [member("a"), member("b")])
    raw = bytearray(gzip.decompress(path.read_bytes()))
    raw[1024 + 10] ^= 0xFF
    path.write_bytes(gzip.compress(bytes(raw)))

    with pytest.raises(ArchiveError, match="byte 1,024 is no member"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty"),
        (b"PK\x03\x04" + b"\0" * 30, "a zip file"),
        (b"BZh9" + b"\0" * 30, "a bzip2 file"),
        (b"just text", "not gzip"),
    ],
)
def test_what_is_no_gzip_is_called_what_it_is(content: bytes, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.tar.gz"
    path.write_bytes(content)

    with pytest.raises(ArchiveError, match=kind):
        unpack(path, tmp_path / "out")


def test_a_plain_tar_is_called_so(tmp_path: Path) -> None:
    path = archive(tmp_path / "m.tar.gz", [member("a")])
    path.write_bytes(gzip.decompress(path.read_bytes()))

    with pytest.raises(ArchiveError, match="a tar that is not gzipped"):
        unpack(path, tmp_path / "out")


def test_gzip_around_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.tar.gz"
    path.write_bytes(gzip.compress(b"hello " * 1000))

    with pytest.raises(ArchiveError, match="truncated or damaged"):
        unpack(path, tmp_path / "out")


def test_a_member_larger_than_the_disk_is_refused_before_it_is_written(tmp_path: Path) -> None:
    info = member("bomb")
    info.size = 1 << 50
    path = tmp_path / "m.tar.gz"
    path.write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + b"\0" * 10240))

    with pytest.raises(ArchiveError, match="'bomb' unpacks to 1,125,899,906,842,624 bytes"):
        unpack(path, tmp_path / "out")


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    info = member("pax", tarfile.XHDTYPE)
    info.size = 1 << 33
    path = tmp_path / "m.tar.gz"
    path.write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + b"\0" * 10240))

    with pytest.raises(ArchiveError, match="a header asks for"):
        unpack(path, tmp_path / "out")


def test_an_absent_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="no such archive"):
        unpack(tmp_path / "m.tar.gz", tmp_path / "out")


def test_several_folders_merge_and_the_first_wins_where_they_collide(tmp_path: Path) -> None:
    for folder, name in [("1", "a"), ("1", "d/x"), ("2", "a"), ("2", "d/y"), ("2", "d/x/z"), ("2", "e")]:
        path = tmp_path / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{folder}/{name}")

    entries, collisions = merge([tmp_path / "1", tmp_path / "2"])

    assert {name: path.read_text() for path, name in entries if path.is_file()} == {
        "a": "1/a",
        "d/x": "1/d/x",
        "d/y": "2/d/y",
        "e": "2/e",
    }
    assert sorted(collisions) == ["a", "d/x"]
    pack(entries, tmp_path / "m.tar.gz")
    assert names(tmp_path / "m.tar.gz") == ["a", "d", "d/x", "d/y", "e"]


def test_a_folder_that_goes_while_others_are_walked_is_passed_over(tmp_path: Path) -> None:
    for name in ("old", "young"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_bytes(b"1")

    found = []
    for path, name in walk(tmp_path):
        found.append(name)
        if name == "old":
            shutil.rmtree(path)

    assert found == ["old", "young", "young/weights"]
    with pytest.raises(FileNotFoundError):
        list(walk(tmp_path / "never"))
