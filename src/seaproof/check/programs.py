"""Which program the platform would execute for `train` and `serve`, and what its first bytes say."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from seaproof.check.check import NotApplicable
from seaproof.check.files import Entry, find_program
from seaproof.check.subject import Subject

SHELLS = ("/bin/sh", "/bin/bash", "/bin/dash", "/bin/ash", "sh", "bash")
_MACHINES = {0x3E: "amd64", 0xB7: "arm64", 0x28: "arm", 0x03: "386"}


@dataclass(frozen=True)
class Program:
    """What is executed for one verb."""

    verb: str
    word: str
    """The first word of the command: `train`, or the ENTRYPOINT's."""
    candidates: tuple[tuple[str, Entry], ...]
    """Files that it could mean, in the order of PATH, executable or not."""
    by_entrypoint: bool

    @property
    def chosen(self) -> tuple[str, Entry] | None:
        """The file that is executed, or the first that only lacks its execute bit."""
        executable = [found for found in self.candidates if found[1].executable]
        return next(iter(executable or self.candidates), None)


def verbs(subject: Subject) -> list[str]:
    """`train`, `serve`, or both, by the roles that it is checked in."""
    found = ["train"] if "training" in subject.roles else []
    return found + (["serve"] if subject.serves() else [])


def program(subject: Subject, verb: str) -> Program:
    """The program of a verb."""
    config, files = subject.config(), subject.files()
    given = subject.target.program
    command = config.program or tuple({"train": given.train, "serve": given.serve}[verb] if given else ())
    if config.entrypoint != config.program and not find_program(
        files, config.entrypoint[0], config.path, config.workdir
    ):
        command = config.entrypoint  # there is not even the init
    word = command[0] if command else verb
    found = find_program(files, word, config.path, config.workdir)
    return Program(verb, word, tuple(found), bool(command))


def programs(subject: Subject) -> list[Program]:
    """Those of all verbs that matter here."""
    found = [program(subject, verb) for verb in verbs(subject)]
    if not found:
        raise NotApplicable("neither `train` nor `serve` is asked of it")
    return found


def first_line(data: bytes) -> bytes:
    """The first line with its line end."""
    return data[: data.find(b"\n") + 1] if b"\n" in data[:512] else data[:512]


def elf_machine(data: bytes) -> str:
    """The architecture of an ELF program, as Docker names it; empty where it is none."""
    if data[:4] != b"\x7fELF" or len(data) < 20:
        return ""
    return _MACHINES.get(struct.unpack("<H" if data[5] == 1 else ">H", data[18:20])[0], "unknown")


def elf_interpreter(data: bytes) -> str:
    """The loader that an ELF program names, or empty: static, or none."""
    if data[:5] != b"\x7fELF\x02" or data[5] != 1:
        return ""
    offset, size, count = (
        struct.unpack("<Q", data[32:40])[0],
        struct.unpack("<H", data[54:56])[0],
        struct.unpack("<H", data[56:58])[0],
    )
    for number in range(count):
        header = data[offset + number * size : offset + (number + 1) * size]
        if len(header) == size and struct.unpack("<I", header[:4])[0] == 3:
            start, length = struct.unpack("<Q", header[8:16])[0], struct.unpack("<Q", header[32:40])[0]
            return data[start : start + length].rstrip(b"\0").decode("utf-8", "replace")
    return ""
