"""What SDKs are told by a file."""

from __future__ import annotations

from pathlib import Path

from seaproof.api.client_environment import write_sdk_config
from seaproof.settings import Settings


def test_who_reads_the_configuration_of_the_sdks_while_it_is_written_again_reads_it_whole(tmp_path: Path) -> None:
    path = write_sdk_config(Settings(), tmp_path)
    whole = path.read_bytes()

    with path.open("rb", buffering=0) as reader:
        read = reader.read(10)
        write_sdk_config(Settings(account="111111111111"), tmp_path)
        read += reader.read()

    assert read == whole != path.read_bytes()
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_file()] == [path.name]
