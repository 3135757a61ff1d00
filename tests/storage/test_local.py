"""Local storage: the contract of every storage, and what is its own: plain files, links, full disks."""

from __future__ import annotations

import fcntl
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seaproof.errors import NoSuchObject, StorageError
from seaproof.storage.local import PARTIAL, LocalStorage
from seaproof.storage.storage import Address, parse_address
from seaproof.testing.storage_contract import BUCKET, StorageContract, listed, put, read


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "s3")


class TestLocalStorage(StorageContract):
    pass


def test_an_object_is_the_file_of_its_key(storage: LocalStorage, tmp_path: Path) -> None:
    put(storage, "train/a b.csv", b"1,2\n")

    assert (tmp_path / "s3" / BUCKET / "train" / "a b.csv").read_bytes() == b"1,2\n"


def test_a_file_dropped_in_by_hand_is_an_object(storage: LocalStorage, tmp_path: Path) -> None:
    folder = tmp_path / "s3" / BUCKET / "by" / "hand"
    folder.mkdir(parents=True)
    (folder / "x.csv").write_text("1")

    assert listed(storage, "by") == ["by/hand/x.csv"]


@pytest.mark.parametrize(
    "key",
    ["", "/", "/a", "a/", "a//b", ".", "..", "../x", "a/../../x", "a/.", "a\0b", "x" * 256, "é" * 128, "\ud800"]  # noqa: RUF005
    + [f"a/{PARTIAL}x", "a/" * 600 + "a"],
)
def test_a_key_that_can_be_no_file_is_refused_with_the_reason(storage: LocalStorage, key: str, tmp_path: Path) -> None:
    for attempt in (
        lambda: put(storage, key, b"1"),
        lambda: read(storage, key),
        lambda: storage.path(Address(BUCKET, key)),
    ):
        with pytest.raises(StorageError, match="this key cannot be kept as a file"):
            attempt()

    assert list(storage.list(Address(BUCKET, key))) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("bucket", ["..", ".", ".partial", "a/b", "", "-a", "a\0"])
def test_a_bucket_that_is_no_plain_name_is_refused(storage: LocalStorage, bucket: str) -> None:
    with pytest.raises(StorageError, match="cannot be kept as a file"):
        storage.write(Address(bucket, "k"), io.BytesIO(b"1"))

    assert list(storage.list(Address(bucket, ""))) == []


def test_a_key_is_not_object_and_folder_at_once(storage: LocalStorage) -> None:
    put(storage, "a/b", b"1")
    put(storage, "c", b"1")
    for key in ("a", "c/d", "c/d/e"):
        with pytest.raises(StorageError, match="cannot be an object and the folder of another one"):
            put(storage, key, b"2")

    assert listed(storage, "") == ["a/b", "c"]


def test_a_link_that_leads_outside_is_refused(storage: LocalStorage, tmp_path: Path) -> None:
    put(storage, "a/b", b"1")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "s3" / BUCKET / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "s3" / BUCKET / "folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "s3" / BUCKET / "broken").symlink_to(tmp_path / "nothing")
    (tmp_path / "s3" / BUCKET / "circle").symlink_to(tmp_path / "s3" / BUCKET / "circle")
    (tmp_path / "s3" / "other").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StorageError, match="link that leads outside"):
        read(storage, "link")
    for prefix in ("link", "folder", "folder/", "broken", "circle"):
        with pytest.raises(StorageError, match="link that leads outside"):
            listed(storage, prefix)
    for address in ("s3://contract-bucket/folder/x", "s3://other/x", "s3://other/y/z"):
        with pytest.raises(StorageError, match="link that leads outside"):
            storage.write(parse_address(address), io.BytesIO(b"1"))
    with pytest.raises(StorageError, match="link that leads outside"):
        list(storage.list(Address("other", "")))
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert listed(storage, "a") == ["a/b"]


def test_a_link_to_an_object_is_an_object_and_a_write_replaces_the_link(storage: LocalStorage, tmp_path: Path) -> None:
    put(storage, "a", b"1")
    (tmp_path / "s3" / BUCKET / "b").symlink_to("a")

    assert read(storage, "b") == b"1"
    put(storage, "b", b"2")
    assert read(storage, "a") == b"1"


def test_a_pipe_is_named_and_never_opened(storage: LocalStorage, tmp_path: Path) -> None:
    put(storage, "a", b"1")
    os.mkfifo(tmp_path / "s3" / BUCKET / "pipe")

    with pytest.raises(StorageError, match="neither a file nor a folder"):
        read(storage, "pipe")
    with pytest.raises(StorageError, match="neither a file nor a folder"):
        listed(storage, "")


def test_a_file_name_that_is_no_utf8_is_named(storage: LocalStorage, tmp_path: Path) -> None:
    put(storage, "a", b"1")
    Path(os.fsdecode(os.fsencode(tmp_path / "s3" / BUCKET) + b"/\xff")).touch()

    with pytest.raises(StorageError, match="no UTF-8"):
        listed(storage, "")


UPLOAD = (
    "import sys; from pathlib import Path;"
    "from seaproof.storage.local import LocalStorage; from seaproof.storage.storage import parse_address;"
    "LocalStorage(Path(sys.argv[1])).upload(Path(sys.argv[2]), parse_address(sys.argv[3]))"
)


def test_a_write_that_the_system_refuses_leaves_nothing_behind(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "s3")
    put(storage, "kept", b"old")
    big = tmp_path / "big"
    big.write_bytes(b"x" * 4_000_000)
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (1000000, 1000000));"
    for key in ("kept", "new"):
        ended = subprocess.run(
            [sys.executable, "-c", limit + UPLOAD, str(tmp_path / "s3"), str(big), f"s3://{BUCKET}/{key}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "StorageError: it cannot be written: File too large" in ended.stderr

    assert read(storage, "kept") == b"old"
    assert [path.name for path in (tmp_path / "s3").rglob("*") if path.is_file()] == ["kept"]


def test_a_full_disk_is_named_and_nothing_is_left_on_it(tmp_path: Path) -> None:
    """A disk of one megabyte in a mount namespace of its own; first as the whole storage, then as one bucket."""
    big = tmp_path / "big"
    big.write_bytes(b"x" * 4_000_000)
    for disk in ("s3", f"s3/{BUCKET}"):
        (tmp_path / disk).mkdir(parents=True, exist_ok=True)
        script = 'mount -t tmpfs -o size=1m none "$0" || exit 77; "$@"; echo "left: $(find "$0" -type f)"'
        upload = [sys.executable, "-c", UPLOAD, str(tmp_path / "s3"), str(big), f"s3://{BUCKET}/deep/key"]
        ended = subprocess.run(
            ["unshare", "-rm", "sh", "-c", script, str(tmp_path / disk), *upload],
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode == 77 or "unshare" in ended.stderr:
            pytest.skip("this machine does not allow mount namespaces")

        assert f"StorageError: the disk that holds {tmp_path / 's3'}" in ended.stderr
        assert "is full; nothing was stored" in ended.stderr
        assert ended.stdout == "left: \n"


def test_what_a_killed_writer_left_is_swept_and_a_living_one_is_not_disturbed(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "s3")
    program = (
        "import sys; from pathlib import Path;"
        "from seaproof.storage.local import LocalStorage; from seaproof.storage.storage import parse_address;"
        "LocalStorage(Path(sys.argv[1])).write(parse_address('s3://bucket/k'), sys.stdin.buffer)"
    )
    writer = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "s3")], stdin=subprocess.PIPE)
    assert writer.stdin
    writer.stdin.write(b"x" * 100)
    writer.stdin.flush()
    deadline = time.monotonic() + 60
    while not any(map(_is_locked, (tmp_path / "s3").glob(".partial/*"))):
        assert time.monotonic() < deadline
        time.sleep(0.01)

    assert storage.sweep() == 0
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdin.close()
    assert len(list((tmp_path / "s3").glob(".partial/*"))) == 1
    assert storage.sweep() == 1
    assert list((tmp_path / "s3").glob(".partial/*")) == []
    with pytest.raises(NoSuchObject):
        storage.open(Address("bucket", "k"))


def _is_locked(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
