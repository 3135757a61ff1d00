"""Channels: which objects they mean, which host gets which, and under what path."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from job_lab import channel

from seaproof.contract.opt_ml import Channel
from seaproof.control.channels import File, Input, deliver, find_files, local_path, notes, read_channels, share
from seaproof.errors import StorageError
from seaproof.storage.local import LocalStorage
from seaproof.storage.storage import Address, parse_address

SEGMENT = st.text("ab-.1", min_size=1, max_size=4).filter(lambda s: s not in (".", ".."))
KEY = st.lists(SEGMENT, min_size=1, max_size=4).map("/".join)


def storage_with(folder: Path, *keys: str) -> LocalStorage:
    storage = LocalStorage(folder / "s3")
    for key in keys:
        storage.write(Address("b", key), io.BytesIO(key.encode()))
    return storage


def given_input(uri: str, **more: Any) -> Input:
    (result,) = read_channels({"InputDataConfig": [channel("c", uri, **more)]})
    return result


def paths(storage: LocalStorage, given: Input) -> list[str]:
    return [file.path for file in find_files(storage, given, "us-east-1")]


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("s3://b/in/train", ["a.csv", "deep/b.csv", "train2/c.csv"]),
        ("s3://b/in/train/", ["a.csv", "deep/b.csv"]),
        ("s3://b/in/train/a.csv", ["a.csv"]),
        ("s3://b/in/tr", ["train/a.csv", "train/deep/b.csv", "train2/c.csv"]),
        ("s3://b/in/train/deep", ["b.csv"]),
        ("s3://b", ["in/train/a.csv", "in/train/deep/b.csv", "in/train2/c.csv", "other"]),
    ],
)
def test_an_s3_prefix_is_a_prefix_of_keys_and_no_folder(uri: str, found: list[str], tmp_path: Path) -> None:
    storage = storage_with(tmp_path, "in/train/a.csv", "in/train/deep/b.csv", "in/train2/c.csv", "other")

    assert paths(storage, given_input(uri)) == found


@given(key=KEY, cut=st.integers(min_value=0, max_value=30))
def test_every_key_has_a_path_that_is_the_end_of_it(key: str, cut: int) -> None:
    prefix = key[:cut]
    path = local_path(key, prefix)

    assert key.endswith(path)
    assert path
    assert not path.startswith("/")
    # What was taken away is whole folders of the prefix.
    assert prefix.startswith(key[: len(key) - len(path)].rstrip("/"))


@given(keys=st.sets(KEY, max_size=12), prefix=KEY)
def test_a_prefix_with_a_slash_never_brings_two_objects_to_one_path(keys: set[str], prefix: str) -> None:
    matched = [key for key in keys if key.startswith(f"{prefix}/")]

    assert len({local_path(key, f"{prefix}/") for key in matched}) == len(matched)


@given(count=st.integers(0, 40), hosts=st.integers(1, 12), seed=st.one_of(st.none(), st.integers(0, 100)))
def test_sharding_gives_each_object_to_exactly_one_host(count: int, hosts: int, seed: int | None) -> None:
    files = [File(str(number), Address("b", str(number))) for number in range(count)]
    sharded = Input("c", Channel(distribution="ShardedByS3Key"), "s3://b/", seed=seed)

    shares = [share(files, sharded, host, hosts) for host in range(hosts)]

    assert sorted(int(file.path) for part in shares for file in part) == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(count=st.integers(0, 10), hosts=st.integers(1, 5))
def test_replication_gives_everything_to_every_host(count: int, hosts: int) -> None:
    files = [File(str(number), Address("b", str(number))) for number in range(count)]

    assert all(share(files, Input("c", Channel(), "s3://b/"), host, hosts) == files for host in range(hosts))


@given(keys=st.sets(KEY, min_size=1, max_size=8))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_what_arrives_is_what_lies_below_the_prefix(keys: set[str], tmp_path: Path) -> None:
    root = tmp_path / str(len(list(tmp_path.iterdir())))
    usable = {key for key in keys if not any(other.startswith(f"{key}/") for other in keys)}
    storage = storage_with(root, *(f"p/{key}" for key in usable))

    assert deliver(storage, [given_input("s3://b/p/")], [root / "1", root / "2"], "us-east-1", lambda: False)
    for host in ("1", "2"):
        folder = root / host / "input" / "data" / "c"
        found = {str(f.relative_to(folder)): f.read_text() for f in folder.rglob("*") if f.is_file()}
        assert found == {key: f"p/{key}" for key in usable}


def test_what_a_host_writes_changes_neither_the_bucket_nor_another_host(tmp_path: Path) -> None:
    storage = storage_with(tmp_path, "a")
    deliver(storage, [given_input("s3://b/a")], [tmp_path / "1", tmp_path / "2"], "us-east-1", lambda: False)

    with (tmp_path / "1/input/data/c/a").open("a") as file:
        file.write("more")

    assert (tmp_path / "2/input/data/c/a").read_text() == "a"
    with storage.open(Address("b", "a")) as stream:
        assert stream.read() == b"a"


def test_a_manifest_names_its_files(tmp_path: Path) -> None:
    storage = storage_with(tmp_path, "p/a.csv", "p/deep/b.csv", "p/unnamed")
    manifest = json.dumps([{"prefix": "s3://b/p/"}, "a.csv", "deep/b.csv"]).encode()
    storage.write(parse_address("s3://b/m.json"), io.BytesIO(manifest))

    assert paths(storage, given_input("s3://b/m.json", S3DataType="ManifestFile")) == ["a.csv", "deep/b.csv"]


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ('[{"prefix": "s3://b/p/"}, "absent"]', "names s3://b/p/absent, and there is no such object"),
        ("[]", "not as it should be"),
        ('["a"]', "not as it should be"),
        ("no json", "not as it should be"),
    ],
)
def test_a_manifest_that_cannot_be_followed_says_why(manifest: str, message: str, tmp_path: Path) -> None:
    storage = storage_with(tmp_path)
    storage.write(parse_address("s3://b/m.json"), io.BytesIO(manifest.encode()))

    with pytest.raises(StorageError, match=message):
        paths(storage, given_input("s3://b/m.json", S3DataType="ManifestFile"))


def test_fast_file_is_copied_and_needs_a_folder(tmp_path: Path) -> None:
    storage = storage_with(tmp_path, "train-01/a", "train/b")
    fast = given_input("s3://b/train", InputMode="FastFile")

    assert paths(storage, fast) == ["b"]
    assert notes([fast]) == ["channel c: FastFile data is copied before the start, as in File mode"]
    with pytest.raises(StorageError, match="No S3 objects found"):
        paths(storage, given_input("s3://b/train-0", InputMode="FastFile"))


def test_two_objects_that_land_on_one_path_are_refused(tmp_path: Path) -> None:
    storage = storage_with(tmp_path, "in/train/train2/x", "in/train2/x")

    with pytest.raises(StorageError, match="and another object would both be train2/x in channel c"):
        deliver(storage, [given_input("s3://b/in/train")], [tmp_path / "1"], "us-east-1", lambda: False)


def test_delivery_ends_as_soon_as_the_job_is_stopped(tmp_path: Path) -> None:
    storage = storage_with(tmp_path, "a", "b", "c")
    asked: list[int] = []

    def stopped() -> bool:
        asked.append(1)
        return len(asked) == 3

    assert not deliver(storage, [given_input("s3://b/")], [tmp_path / "1"], "us-east-1", stopped)
    assert sorted(f.name for f in (tmp_path / "1/input/data/c").iterdir()) == ["a", "b"]


def test_data_that_cannot_fit_is_refused_before_the_first_byte(tmp_path: Path) -> None:
    storage = storage_with(tmp_path)
    (tmp_path / "s3" / "b").mkdir(parents=True)
    with (tmp_path / "s3" / "b" / "huge").open("wb") as file:
        file.truncate(1 << 42)

    with pytest.raises(OSError, match="No space left on device: c need 4,398,046,511,104 bytes"):
        deliver(storage, [given_input("s3://b/huge")], [tmp_path], "us-east-1", lambda: False)
