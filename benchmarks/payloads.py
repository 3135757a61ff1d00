"""The request bodies, the same for every rival and on every machine: 20 numbers to a row, from a fixed seed."""

from __future__ import annotations

import json
import random
import struct
from dataclasses import dataclass
from pathlib import Path

COLUMNS = 20
SEED = 20
BIG_CSV = 5_000_000
"""Bytes; below the 5 MiB that nginx.conf of examples/classic lets through."""


@dataclass(frozen=True)
class Payload:
    """One body: `name`, its media type, how many rows are in it, and how it is made."""

    name: str
    content_type: str
    rows: int

    def write(self, folder: Path) -> Path:
        """Write the body below `folder`, unless it is there already; the file's path."""
        path = folder / self.name
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_body(self))
        return path


PAYLOADS = {
    payload.name: payload
    for payload in (
        Payload("csv-row", "text/csv", 1),
        Payload("json-row", "application/json", 1),
        Payload("csv-1000", "text/csv", 1000),
        Payload("csv-5mb", "text/csv", 0),
        Payload("npy-1000", "application/x-npy", 1000),
    )
}


def numbers(rows: int) -> list[list[float]]:
    """So many rows of 20 numbers, written with 5 digits behind the point: about 150 bytes as CSV."""
    draw = random.Random(SEED)
    return [[round(draw.gauss(0, 1), 4) for _ in range(COLUMNS)] for _ in range(rows)]


def _body(payload: Payload) -> bytes:
    if payload.name == "csv-5mb":
        lines = csv_lines(BIG_CSV // 140)
        size, count = 0, 0
        while size + len(lines[count]) + 1 <= BIG_CSV:
            size += len(lines[count]) + 1
            count += 1
        return ("\n".join(lines[:count]) + "\n").encode()
    if payload.content_type == "application/json":
        return json.dumps(numbers(payload.rows)).encode()
    if payload.content_type == "application/x-npy":
        return _npy(numbers(payload.rows))
    return ("\n".join(csv_lines(payload.rows)) + "\n").encode()


def csv_lines(rows: int) -> list[str]:
    """The rows as lines of CSV, without their line ends."""
    return [",".join(map(str, row)) for row in numbers(rows)]


def _npy(rows: list[list[float]]) -> bytes:
    """Version 1.0 of numpy's format, float64, as `numpy.save` writes it."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({len(rows)}, {COLUMNS}), }}"
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    data = b"".join(struct.pack(f"<{COLUMNS}d", *row) for row in rows)
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data
