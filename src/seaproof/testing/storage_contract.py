"""The contract suite of storages: what every implementation of the protocol does, with real bytes.

A test class inherits from it and gives a fixture `storage`, empty at the start of each test:

    class TestLocalStorage(StorageContract):
        @pytest.fixture
        def storage(self, tmp_path): return LocalStorage(tmp_path / "s3")
"""

from __future__ import annotations

import io
import threading
import uuid
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seaproof.errors import NoSuchObject, StorageError
from seaproof.storage.storage import Address, Storage

BUCKET = "contract-bucket"

# Short segments of few letters, so that keys share prefixes and sort where `/` and `-` matter.
segments = st.text(alphabet="ab-.0é/\N{GRINNING FACE}", min_size=1, max_size=6)
keys = segments.filter(lambda key: all(part not in ("", ".", "..") for part in key.split("/")))


class BrokenSource(io.RawIOBase):
    """A stream that ends in an error after its first megabytes."""

    def __init__(self, pieces: int) -> None:
        self._left = pieces

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        if self._left == 0:
            raise OSError(5, "the line was cut")
        self._left -= 1
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        view[:] = b"x" * len(view)
        return len(view)


class StorageContract:
    """Inherit from it, give `storage`, and every method here is a test."""

    def test_a_deleted_object_is_gone_and_deleting_twice_is_fine(self, storage: Storage) -> None:
        put(storage, "a/b", b"1")
        put(storage, "a/c", b"2")

        storage.delete(Address(BUCKET, "a/b"))
        storage.delete(Address(BUCKET, "a/b"))
        storage.delete(Address(BUCKET, "a"))
        storage.delete(Address(BUCKET, "a/c/d"))

        assert listed(storage, "") == ["a/c"]

    def test_what_is_written_is_read_back(self, storage: Storage) -> None:
        put(storage, "a/b.bin", b"\x00\xff" * 1000)

        assert read(storage, "a/b.bin") == b"\x00\xff" * 1000

    def test_an_empty_object_is_an_object(self, storage: Storage) -> None:
        put(storage, "empty", b"")

        assert read(storage, "empty") == b""
        assert [found.size for found in storage.list(Address(BUCKET, ""))] == [0]

    def test_a_file_that_is_moved_is_an_object_and_no_file_any_more(self, storage: Storage, tmp_path: Path) -> None:
        put(storage, "k", b"before")
        (tmp_path / "file").write_bytes(b"after")
        storage.move(tmp_path / "file", Address(BUCKET, "k"))

        assert read(storage, "k") == b"after"
        assert not (tmp_path / "file").exists()
        with pytest.raises(StorageError):
            storage.move(tmp_path / "file", Address(BUCKET, "k"))
        assert read(storage, "k") == b"after"

    def test_a_second_write_replaces_the_first_and_a_reader_keeps_what_it_opened(self, storage: Storage) -> None:
        put(storage, "k", b"first")
        with storage.open(Address(BUCKET, "k")) as stream:
            put(storage, "k", b"second")

            assert stream.read() == b"first"
        assert read(storage, "k") == b"second"

    def test_what_is_not_there_is_no_such_object(self, storage: Storage, tmp_path: Path) -> None:
        put(storage, "folder/name", b"1")
        for key in ("nothing", "folder", "folder/name/deeper"):
            with pytest.raises(NoSuchObject, match="no such object"):
                storage.open(Address(BUCKET, key))
            with pytest.raises(NoSuchObject):
                storage.download(Address(BUCKET, key), tmp_path / "target" / "file")

        assert not (tmp_path / "target" / "file").exists()

    def test_a_bucket_that_was_never_written_to_lists_nothing(self, storage: Storage) -> None:
        assert list(storage.list(Address("no-such-bucket", ""))) == []

    def test_a_prefix_is_no_folder(self, storage: Storage) -> None:
        for key in ("train/a", "train2/b", "tra", "test/c"):
            put(storage, key, b"1")

        assert listed(storage, "train") == ["train/a", "train2/b"]
        assert listed(storage, "train/") == ["train/a"]
        assert listed(storage, "tr") == ["tra", "train/a", "train2/b"]
        assert listed(storage, "train/a") == ["train/a"]
        assert listed(storage, "train/ab") == listed(storage, "/") == listed(storage, "../") == []

    def test_a_listing_says_size_and_time(self, storage: Storage) -> None:
        put(storage, "k", b"12345")
        (found,) = storage.list(Address(BUCKET, "k"))

        assert found.address == Address(BUCKET, "k")
        assert found.size == 5
        assert found.modified > 1_600_000_000

    def test_a_source_that_breaks_stores_nothing(self, storage: Storage) -> None:
        put(storage, "kept", b"old")
        for key in ("kept", "new"):
            with pytest.raises(StorageError, match="the line was cut"):
                storage.write(Address(BUCKET, key), cast(BinaryIO, BrokenSource(pieces=3)))

        assert read(storage, "kept") == b"old"
        assert listed(storage, "") == ["kept"]

    def test_files_go_up_and_come_down_whole(self, storage: Storage, tmp_path: Path) -> None:
        source = tmp_path / "source.bin"
        source.write_bytes(bytes(range(256)) * 10_000)
        storage.upload(source, Address(BUCKET, "deep/er/file"))
        storage.download(Address(BUCKET, "deep/er/file"), tmp_path / "new" / "folder" / "target.bin")

        assert (tmp_path / "new" / "folder" / "target.bin").read_bytes() == source.read_bytes()
        assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["target.bin"]

    def test_a_file_that_is_not_there_cannot_go_up(self, storage: Storage, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="cannot be read"):
            storage.upload(tmp_path / "nothing", Address(BUCKET, "k"))

        assert listed(storage, "") == []

    def test_a_deleted_object_is_gone_and_deleting_again_is_fine(self, storage: Storage) -> None:
        for key in ("a/b", "a/c/d"):
            put(storage, key, b"1")
        for key in ("a/c/d", "a/c/d", "a/c", "a", "nothing", "a/b/deeper"):
            storage.delete(Address(BUCKET, key))

        assert listed(storage, "") == ["a/b"]
        put(storage, "a/c", b"2")
        storage.delete(Address(BUCKET, "a/b"))
        assert listed(storage, "") == ["a/c"]

    def test_writes_beside_deletes_lose_nothing(self, storage: Storage) -> None:
        def come_and_go(number: int) -> None:
            for _ in range(30):
                put(storage, f"deep/folder/{number}", b"1")
                storage.delete(Address(BUCKET, f"deep/folder/{number}"))
            put(storage, f"deep/folder/{number}", b"2")

        threads = [threading.Thread(target=come_and_go, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert listed(storage, "") == ["deep/folder/0", "deep/folder/1", "deep/folder/2"]

    def test_many_writers_of_one_key_leave_one_whole_object(self, storage: Storage) -> None:
        bodies = [bytes([letter]) * 300_000 for letter in range(8)]
        threads = [threading.Thread(target=put, args=(storage, "k", body)) for body in bodies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert read(storage, "k") in bodies
        assert listed(storage, "") == ["k"]

    @settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(wanted=st.dictionaries(keys, st.binary(max_size=20), max_size=8), prefix=segments)
    def test_a_listing_is_the_sorted_keys_with_that_prefix(
        self, storage: Storage, wanted: dict[str, bytes], prefix: str
    ) -> None:
        bucket = f"b-{uuid.uuid4()}"
        stored: dict[str, bytes] = {}
        for key, body in wanted.items():
            # A key below another object, or above one, may be refused: then it must not show either.
            try:
                storage.write(Address(bucket, key), io.BytesIO(body))
            except StorageError:
                assert any(key.startswith(f"{other}/") or other.startswith(f"{key}/") for other in stored)
                continue
            stored[key] = body

        for start in ("", prefix, *stored):
            found = [entry.address.key for entry in storage.list(Address(bucket, start))]
            assert found == sorted((key for key in stored if key.startswith(start)), key=str.encode)
        for key, body in stored.items():
            with storage.open(Address(bucket, key)) as stream:
                assert stream.read() == body


def put(storage: Storage, key: str, body: bytes) -> None:
    """Store one object in the bucket of this suite."""
    storage.write(Address(BUCKET, key), io.BytesIO(body))


def read(storage: Storage, key: str) -> bytes:
    """One whole object."""
    with storage.open(Address(BUCKET, key)) as stream:
        return stream.read()


def listed(storage: Storage, prefix: str) -> list[str]:
    """The keys that a listing gives."""
    return [found.address.key for found in storage.list(Address(BUCKET, prefix))]
