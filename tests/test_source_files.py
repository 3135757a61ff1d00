"""Files of a user on their way to become objects: all of them, or an error that names the one that cannot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from seaproof.errors import SeaproofError
from seaproof.source_files import source_files


def test_a_file_goes_by_its_name_and_a_folder_by_the_names_below_it_links_followed(tmp_path: Path):
    (tmp_path / "data" / "inner").mkdir(parents=True)
    (tmp_path / "data" / "b.csv").write_text("1")
    (tmp_path / "data" / "inner" / "c.csv").write_text("1")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "d é.csv").write_text("1")
    (tmp_path / "data" / "a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "z").symlink_to(tmp_path / "elsewhere")

    assert list(source_files(tmp_path / "data")) == ["a/d é.csv", "b.csv", "inner/c.csv", "z/d é.csv"]
    assert list(source_files(tmp_path / "data" / "b.csv")) == ["b.csv"]
    assert source_files(tmp_path / "nowhere") == {}


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("nothing", lambda path: path.symlink_to("nowhere"), "a link to nothing lies among the data"),
        ("pipe", os.mkfifo, "what is no file"),
        ("loop", lambda path: path.symlink_to(path.parent), "a link leads back"),
        (os.fsdecode(b"caf\xe9.csv"), lambda path: path.write_text("a"), "no UTF-8"),
    ],
)
def test_what_cannot_be_sent_is_named(tmp_path: Path, name: str, make, words: str):
    make(tmp_path / name)

    with pytest.raises(SeaproofError, match=words) as refused:
        source_files(tmp_path)
    assert refused.value.where.encode()  # it can be printed
