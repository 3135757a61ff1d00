"""Whatever the bytes, a decoder gives a value or RequestError 400, soon and in bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest
from codec_seeds import seeds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seaproof.contract.http import MediaType, parse_media_type
from seaproof.errors import RequestError
from seaproof.serving.codecs import DECODERS, decode
from seaproof.serving.codecs.libraries import preload

SEEDS = {kind: bodies for kind, bodies in seeds().items() if parse_media_type(kind).essence in DECODERS}
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check(body: bytes, media: MediaType) -> None:
    """Decode; anything but a value or a 400 fails the test, and so do seconds of CPU time."""
    start, status = time.process_time(), 400
    try:
        decode(body, media)
    except RequestError as error:
        status = error.status

    assert status == 400
    assert time.process_time() - start < 5


@pytest.mark.parametrize("kind", SEEDS)
def test_the_seeds_are_well_formed(kind: str) -> None:
    for body in SEEDS[kind]:
        decode(body, parse_media_type(kind))


@pytest.mark.parametrize("kind", SEEDS)
@FUZZ
@given(body=st.binary(max_size=600))
def test_random_bytes_are_a_value_or_400(kind: str, body: bytes) -> None:
    check(body, parse_media_type(kind))


@pytest.mark.parametrize("kind", SEEDS)
@FUZZ
@given(data=st.data())
def test_mutated_bodies_are_a_value_or_400(kind: str, data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from(SEEDS[kind])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(len(body) - 1, 0)))
        length = data.draw(st.sampled_from([0, 0, 1, 1, 4, len(body)]))
        body[at : at + length] = data.draw(
            st.binary(max_size=8) | st.sampled_from([b'"', b",", b"\n", b"[", b"\xff" * 8])
        )

    check(bytes(body), parse_media_type(kind))


@pytest.mark.parametrize("kind", ["text/csv", "application/json", "application/jsonlines"])
@FUZZ
@given(body=st.text(st.sampled_from('0123456789.-+eE,\n\r"[]{}:nulNaIf _\t')), copies=st.sampled_from([1, 200]))
def test_bodies_of_the_characters_that_matter_are_a_value_or_400(kind: str, body: str, copies: int) -> None:
    check(body.encode() * copies, parse_media_type(kind))


HOSTILE = {
    "long line above short ones": ("text/csv", b"1" + b",1" * 100_000 + b"\n1" * 100_000),
    "commas alone": ("text/csv", b"," * 300_000),
    "line ends alone": ("text/csv", b"\n" * 300_000),
    "quotes alone": ("text/csv", b'"' * 300_001),
    "quote opened in every cell": ("text/csv", b'"a,' * 100_000),
    "quote in every unquoted cell": ("text/csv", b'a",' * 100_000),
    "digits alone": ("text/csv", b"1" * 300_000),
    "brackets alone": ("application/json", b"[" * 200_000 + b"]" * 200_000),
    "brackets and commas": ("application/json", b"[[" + b"," * 200_000 + b"]" + b",[]" * 100_000 + b"]"),
    "empty lines of JSON": ("application/jsonlines", b"\n" * 300_000),
    "broken parts": ("multipart/form-data; boundary=x", b"--x\r\n" * 100_000),
    "empty frames": ("application/x-recordio-protobuf", b"\x0a\x23\xd7\xce\0\0\0\0" * 30_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_costs_no_more_than_its_size(name: str) -> None:
    kind, body = HOSTILE[name]
    preload()
    tracemalloc.start()
    try:
        check(body, parse_media_type(kind))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 150 * len(body)


FLIP = """
import sys
from codec_seeds import seeds
from seaproof.contract.http import parse_media_type
from seaproof.errors import RequestError
from seaproof.serving.codecs import decode
media = parse_media_type(sys.argv[1])
body = seeds()[sys.argv[1]][0]
for bit in range(8 * len(body)):
    flipped = bytearray(body)
    flipped[bit // 8] ^= 1 << bit % 8
    try:
        decode(bytes(flipped), media)
    except RequestError:
        pass
print(len(body))
"""


@pytest.mark.parametrize("kind", ["application/x-parquet", "application/vnd.apache.arrow.stream"])
def test_no_flipped_bit_ends_the_process(kind: str) -> None:
    if kind not in SEEDS:
        pytest.skip("pyarrow is not installed")
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])

    done = subprocess.run(
        [sys.executable, "-c", FLIP, kind],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )

    assert (done.returncode, done.stdout) == (0, f"{len(SEEDS[kind][0])}\n"), done.stderr[-2000:]
