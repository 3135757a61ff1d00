"""The template of `seaproof init`: what everybody copies answers a caller's mistake as one, and its image builds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from seaproof.cli.init import write_template
from seaproof.drivers.ports import free_port

ROOT = Path(__file__).parents[2]
IMAGE = "seaproof-test-template"
ROW = b"5.1,3.5,1.4,0.2\n"


def seaproof(folder: Path, *args: str, driver: str = "process") -> str:
    """Run a command in the project; what it printed."""
    environ = {**os.environ, "SEAPROOF_DRIVER": driver, "SEAPROOF_PORT": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "seaproof.cli", *args],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the template's model, served by `seaproof-container serve` in its folder."""
    folder = tmp_path_factory.mktemp("served") / "flowers"
    write_template(folder)
    ml = folder / "ml"
    (ml / "input" / "data" / "training").mkdir(parents=True)
    shutil.copy(folder / "data" / "train.csv", ml / "input" / "data" / "training")
    config = ml / "input" / "config"
    config.mkdir()
    (config / "inputdataconfig.json").write_text('{"training": {"TrainingInputMode": "File"}}')
    (config / "hyperparameters.json").write_text("{}")
    (config / "resourceconfig.json").write_text('{"current_host": "algo-1", "hosts": ["algo-1"]}')
    port = free_port()
    environ = {
        **os.environ,
        "SAGEMAKER_BASE_DIR": str(ml),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
    }
    container = [sys.executable, "-m", "seaproof.container"]
    subprocess.run([*container, "train"], cwd=folder, env=environ, check=True, stdout=subprocess.DEVNULL)
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([*container, "serve"], cwd=folder, env=environ, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 20
        while b"ready after" not in (folder / "log").read_bytes():
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        server.terminate()
        server.wait(30)


def invoke(
    url: str, body: bytes, content_type: str = "text/csv", accept: str = "application/json"
) -> tuple[int, bytes]:
    request = urllib.request.Request(url, body, {"Content-Type": content_type, "Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.parametrize(
    ("body", "content_type", "accept", "expected"),
    [
        (ROW, "text/csv", "application/json", b'["setosa"]'),
        (ROW, "text/csv", "text/csv", b"setosa\n"),
        (b"[[5.1, 3.5, 1.4, 0.2]]", "application/json", "*/*", b'["setosa"]'),
        (b"a,b,c,d\n" + ROW, "text/csv", "application/json", b'["setosa"]'),
    ],
)
def test_rows_are_answered(served: str, body: bytes, content_type: str, accept: str, expected: bytes) -> None:
    assert invoke(served, body, content_type, accept) == (200, expected)


@pytest.mark.parametrize(
    ("body", "content_type", "status", "where"),
    [
        (ROW + b"5.1,x,1.4,0.2\n", "text/csv", 400, "row 2, column 2"),
        (b"1,2,3\n", "text/csv", 400, "row 1"),
        (b"1,2,,4\n", "text/csv", 400, "row 1, column 3"),
        (ROW + b"1,2\n", "text/csv", 400, ""),
        (b"", "text/csv", 400, ""),
        (b"[[5.1, 3.5", "application/json", 400, "row 1, column"),
        (b'[[5.1, "x", 1.4, 0.2]]', "application/json", 400, "row 1, column 2"),
        (b"5", "application/json", 400, "row 1"),
        (b"null", "application/json", 400, "row 1"),
        (b"\x89PNG", "image/png", 415, "Content-Type"),
    ],
)
def test_what_cannot_be_read_is_the_callers_mistake(
    served: str, body: bytes, content_type: str, status: int, where: str
) -> None:
    answered, said = invoke(served, body, content_type)

    assert answered == status, said
    assert where in json.loads(said)["where"]


def test_an_accept_that_cannot_be_served_is_406(served: str) -> None:
    status, said = invoke(served, ROW, accept="image/png")

    assert status == 406
    assert "image/png" in json.loads(said)["error"]


def test_the_templates_own_test_passes(tmp_path: Path) -> None:
    write_template(tmp_path / "flowers")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"], cwd=tmp_path / "flowers", capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.docker
def test_the_templates_image_builds_on_a_distributions_python_and_trains_and_serves(tmp_path: Path) -> None:
    folder = tmp_path / "flowers"
    write_template(folder)
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)], check=True)
    build = ["docker", "build", "-q", "--network", "host", "--build-arg", "BASE=seaproof-base:latest", "-t", IMAGE, "."]
    built = subprocess.run(build, cwd=folder, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    manifest = folder / "seaproof.toml"
    manifest.write_text(manifest.read_text().replace("flowers:latest", f"{IMAGE}:latest"))

    try:
        trained = seaproof(folder, "train", driver="docker")
        assert "accuracy" in trained
        seaproof(folder, "serve", "--detach", driver="docker")
        answer = seaproof(folder, "predict", "data/sample.csv", "--accept", "text/csv", driver="docker")
        assert answer.split()[0] == "setosa"
    finally:
        seaproof(folder, "down", driver="docker")
