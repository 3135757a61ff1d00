"""Checkpoints: what changed is saved, what is gone is deleted, and nothing is saved twice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seaproof.control import checkpoints
from seaproof.errors import ServiceError
from seaproof.storage.local import LocalStorage
from seaproof.storage.storage import Address, parse_address

URI = "s3://bucket/ckpt"
STATES = st.lists(st.dictionaries(st.sampled_from("abcd"), st.binary(min_size=1, max_size=3)), min_size=1, max_size=5)


class CountingStorage(LocalStorage):
    """Local storage that counts what is uploaded."""

    uploads = 0

    def upload(self, source: Path, address: Address) -> None:
        self.uploads += 1
        super().upload(source, address)


def contents(storage: LocalStorage) -> dict[str, bytes]:
    found = {}
    for item in storage.list(parse_address(f"{URI}/")):
        with storage.open(item.address) as stream:
            found[item.address.key.removeprefix("ckpt/")] = stream.read()
    return found


@given(states=STATES)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_the_bucket_follows_the_folder_through_every_change(states: list[dict[str, bytes]], tmp_path: Path) -> None:
    root = tmp_path / str(len(list(tmp_path.iterdir())))
    folder = root / "checkpoints"
    folder.mkdir(parents=True)
    storage = LocalStorage(root / "s3")
    known = checkpoints.stored(storage, URI)
    for number, state in enumerate(states):
        for file in folder.iterdir():
            file.unlink()
        for name, content in state.items():
            (folder / name).write_bytes(content)
            os.utime(folder / name, ns=(number, number))
        known = checkpoints.save(storage, URI, [root], "checkpoints", known)

        assert contents(storage) == state


def test_what_did_not_change_is_not_saved_again_also_by_the_next_coordinator(tmp_path: Path) -> None:
    storage = CountingStorage(tmp_path / "s3")
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "a").write_text("one")
    known = checkpoints.save(storage, URI, [tmp_path], "checkpoints", {})
    checkpoints.save(storage, URI, [tmp_path], "checkpoints", known)
    checkpoints.save(storage, URI, [tmp_path], "checkpoints", checkpoints.stored(storage, URI))
    saved_once = storage.uploads
    restored = tmp_path / "other" / "checkpoints"
    checkpoints.restore(storage, URI, [restored])
    checkpoints.save(storage, URI, [tmp_path / "other"], "checkpoints", checkpoints.stored(storage, URI))

    assert saved_once == storage.uploads == 1
    assert (restored / "a").read_text() == "one"


def test_files_of_others_beside_the_checkpoints_stay(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "s3")
    (tmp_path / "checkpoints").mkdir()
    known = checkpoints.stored(storage, URI)
    (tmp_path / "s3" / "bucket" / "ckpt").mkdir(parents=True)
    (tmp_path / "s3" / "bucket" / "ckpt" / "theirs").write_text("t")

    checkpoints.save(storage, URI, [tmp_path], "checkpoints", known)

    assert contents(storage) == {"theirs": b"t"}


@pytest.mark.parametrize("path", ["/tmp/x", "/opt/ml", "/opt/ml/model/c", "/opt/ml/../etc", "checkpoints"])
def test_a_local_path_that_is_not_shared_with_the_container_is_refused(path: str) -> None:
    with pytest.raises(ServiceError, match=r"checkpointConfig\.localPath"):
        checkpoints.local_folder({"CheckpointConfig": {"S3Uri": URI, "LocalPath": path}})


def test_the_default_and_other_folders_below_opt_ml_are_fine() -> None:
    paths = [None, "/opt/ml/checkpoints/", "/opt/ml/my/states"]
    configs = [{"S3Uri": URI, **({"LocalPath": path} if path else {})} for path in paths]

    assert [checkpoints.local_folder({"CheckpointConfig": config}) for config in configs] == [
        "checkpoints",
        "checkpoints",
        "my/states",
    ]
    assert checkpoints.local_folder({}) is None
