"""Decoding and encoding against what images usually do: python benchmarks/codecs.py [--quick]

Microseconds of wall time, the best of several runs, for 1 row, 1,000 rows and 5 MB of 20 columns (encoding: as many
predictions). A library that is not installed is left out.
"""

from __future__ import annotations

import importlib
import io
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from seaproof.contract.http import parse_accept, parse_media_type
from seaproof.serving.codecs import ENCODERS, decode, encode, numbers, preload

ROWS = (1, 1_000, 33_000)
COLUMNS = 20
Case = tuple[str, Callable[[Any], Any]]


def best(work: Callable[[Any], Any], argument: Any, budget: float) -> float:
    """Microseconds of the fastest run within the budget of seconds; three runs at least."""
    work(argument)
    fastest, spent, runs = float("inf"), 0.0, 0
    while spent < budget or runs < 3:
        start = time.perf_counter()
        work(argument)
        taken = time.perf_counter() - start
        fastest, spent, runs = min(fastest, taken), spent + taken, runs + 1
    return fastest * 1e6


def show(title: str, arguments: list[Any], cases: list[Case], budget: float) -> None:
    """One table: a line per case, a column per size."""
    print(f"\n| {title} | 1 | 1,000 | {ROWS[2]:,} |\n|---|--:|--:|--:|")
    for name, work in cases:
        cells = " | ".join(f"{best(work, argument, budget):,.1f}" for argument in arguments)
        print(f"| {name} | {cells} |", flush=True)


def there(name: str) -> Any:
    """The module, or None."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def csv_body(array: Any) -> bytes:
    """Four decimals, as data usually has."""
    return b"".join(b",".join(b"%.4f" % cell for cell in row) + b"\n" for row in array)


def split_and_float(body: bytes) -> Any:
    """What is written by hand."""
    return np.array([[float(cell) for cell in line.split(",")] for line in body.decode().splitlines()])


def csv_readers() -> list[Case]:
    """CSV -> float64 matrix."""
    cases: list[Case] = [
        decoder("text/csv"),
        ("seaproof: numpy only", lambda body: numbers.loadtxt(body.rstrip())),
        ("seaproof: Python only", lambda body: numbers.few(body.rstrip())),
        ("numpy.loadtxt", lambda body: np.loadtxt(io.BytesIO(body), delimiter=",", ndmin=2)),
        ("split and float", split_and_float),
    ]
    if pd := there("pandas"):
        cases.append(("pandas.read_csv", lambda body: pd.read_csv(io.BytesIO(body), header=None).to_numpy()))
    if arrow := there("pyarrow.csv"):
        options = arrow.ReadOptions(autogenerate_column_names=True)
        cases.append(("pyarrow.csv", lambda body: arrow.read_csv(io.BytesIO(body), read_options=options)))
    if pl := there("polars"):
        cases.append(("polars.read_csv", lambda body: pl.read_csv(body, has_header=False).to_numpy()))
    if there("simdjson"):
        cases.insert(1, ("seaproof: simdjson only", lambda body: numbers.simd(body.rstrip())))
    return cases


def json_readers() -> list[Case]:
    """JSON -> float64 matrix."""
    cases: list[Case] = [
        decoder("application/json"),
        ("json.loads, numpy.array", lambda body: np.array(json.loads(body))),
    ]
    for name, load in (("orjson", "loads"), ("msgspec.json", "decode")):
        if module := there(name):
            cases.append((f"{name}.{load}, numpy.array", arrays_by(getattr(module, load))))
    return cases


def arrays_by(load: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Reading with this function, and then an array."""
    return lambda body: np.array(load(body))


def decoder(content_type: str) -> Case:
    """Ours, for bodies of this type."""
    media = parse_media_type(content_type)
    return "**seaproof**", lambda body: decode(body, media)


def writers(content_type: str, others: list[Case]) -> list[Case]:
    """Ours and the others."""
    accept = parse_accept(content_type)
    return [("**seaproof**", lambda array: encode(array, accept, content_type)), *others]


def save(function: Callable[..., Any], **options: Any) -> Callable[[Any], Any]:
    """A function that writes to a file, writing to memory."""
    return lambda array: function(io.BytesIO(), array, **options)


def main() -> None:
    """Print all tables."""
    preload()
    budget = 0.05 if "--quick" in sys.argv else 0.5
    arrays = [np.random.default_rng(0).normal(size=(rows, COLUMNS)) * 10 for rows in ROWS]
    bodies = [csv_body(array) for array in arrays]
    mixed = [b"".join(line + b",red\n" for line in body.splitlines()) for body in bodies]
    headed = [b",".join(b"c%d" % number for number in range(COLUMNS)) + b"\n" + body for body in bodies]
    frames = [decoder("text/csv")]
    if pd := there("pandas"):
        frames.append(("pandas.read_csv", lambda body: pd.read_csv(io.BytesIO(body))))
    show("CSV, numbers, in", bodies, csv_readers(), budget)
    show("CSV, header and numbers, in", headed, frames, budget)
    show("CSV, numbers and text, in", mixed, frames, budget)
    show(
        "JSON, rows of numbers, in", [json.dumps(a.round(4).tolist()).encode() for a in arrays], json_readers(), budget
    )
    for kind in ("x-npy", "x-parquet", "vnd.apache.arrow.stream", "x-recordio-protobuf"):
        essence = f"application/{kind}"
        if essence in ENCODERS:
            encoded = [encode(array, parse_accept(essence), "")[0] for array in arrays]
            cases = [decoder(essence)]
            if kind == "x-npy":
                cases.append(("numpy.load", lambda body: np.load(io.BytesIO(body))))
            show(f"{kind}, in", encoded, cases, budget)
    predictions = [array[:, 0].copy() for array in arrays]
    frame_out: list[Case] = []
    if pd:
        frame_out = [("pandas.to_csv", lambda array: pd.DataFrame(array).to_csv(index=False, header=False))]
    savetxt: Case = ("numpy.savetxt", save(np.savetxt))
    dumps: Case = ("json.dumps", lambda array: json.dumps(array.tolist()).encode())
    show("CSV, predictions, out", predictions, writers("text/csv", [savetxt, *frame_out]), budget)
    show("JSON, predictions, out", predictions, writers("application/json", [dumps]), budget)
    show("npy, predictions, out", predictions, writers("application/x-npy", [("numpy.save", save(np.save))]), budget)


if __name__ == "__main__":
    main()
