"""The same bodies and values in images that lack one library or all of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import json, sys
blocked, bodies, values = json.loads(sys.argv[1])
for name in blocked:
    sys.modules[name] = None
from seaproof.contract.http import parse_accept, parse_media_type
from seaproof.errors import RequestError
from seaproof.serving.codecs import DECODERS, Table, decode, encode

def plain(value):
    if isinstance(value, Table):
        return ["table", value.names, value.lists()]
    return value.tolist() if hasattr(value, "tolist") else value

def outcome(work, *arguments):
    try:
        return plain(work(*arguments))
    except RequestError as error:
        return [error.status, error.what, error.where]

out = [outcome(decode, body.encode(), parse_media_type(kind)) for kind, body in bodies]
out += [[a.decode(), b] for v in values for t in ("text/csv", "", "application/jsonlines")
        for a, b in [encode(v, parse_accept(t), "application/json")]]
imported = sorted(name for name in blocked if sys.modules.get(name))
print(json.dumps([repr(out), imported, sorted(DECODERS)]))
"""

NAMES = ("numpy", "scipy", "pandas", "orjson", "simdjson", "pyarrow")

BODIES = [
    ("text/csv", "1,2.5\n3,4\n"),
    ("text/csv", "1,2.5\n3,4\n" * 500),
    ("text/csv", "1,\n,4\n" * 500),
    ("text/csv", "nan,inf\n-0,+1\n" * 500),
    ("text/csv", 'n,x,t\n1,0.5,a\n2,,"b,""c"""\n'),
    ("text/csv", "a,b\n" + "1,2.5\n3,4\n" * 500),
    ("text/csv; header=present", "1,2\n3,x\n"),
    ("text/csv", '1,"007"\n2,x_y\n'),
    ("text/csv", "1,2\n" * 500 + "1,2,3\n"),
    ("text/csv", "1,2\n" * 500 + '1,"2'),
    ("application/json", '{"a": [1, 2.5, null], "b": NaN}'),
    ("application/json", "[" + ",".join(["[1.0,2.5]"] * 2000) + "]"),
    ("application/json", "[" + ",".join(["[1,2]"] * 2000) + "]"),
    ("application/json", "[[1,2],[3]]"),
    ("application/json", '{"a": }'),
    ("application/jsonlines", '{"a": 1}\n{"a": 2}\n'),
]
VALUES: list[Any] = [[1, 2.5], [[1.5, "x"], [2.0, None]], {"a": [1, 2], "b": ["u", "v,w"]}, "text", 7, {"x": 0.1}, []]


def run(*blocked: str) -> tuple[str, list[str], list[str]]:
    """What all bodies and values become in an interpreter without these libraries; those imported; the types read."""
    command = [sys.executable, "-c", PROGRAM, json.dumps([blocked, BODIES, VALUES])]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ}, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    out, imported, decoders = json.loads(done.stdout)
    return out, imported, decoders


@pytest.mark.parametrize("blocked", [("simdjson",), ("orjson",), ("simdjson", "orjson"), NAMES], ids="+".join)
def test_what_a_body_means_does_not_depend_on_the_libraries_there(blocked: tuple[str, ...]) -> None:
    expected, _, _ = run()

    found, imported, _ = run(*blocked)

    assert found == expected
    assert imported == []


def test_formats_that_need_a_library_are_offered_only_with_it() -> None:
    _, _, decoders = run(*NAMES)

    assert decoders == [
        "application/json",
        "application/jsonlines",
        "application/octet-stream",
        "application/x-ndjson",
        "multipart/form-data",
        "text/csv",
    ]


def test_importing_the_codecs_imports_no_library() -> None:
    program = f"import sys, seaproof.serving.codecs; print([n for n in {NAMES!r} if n in sys.modules])"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == "[]\n"
