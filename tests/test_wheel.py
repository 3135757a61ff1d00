"""The wheel, as it goes into an image: alone, in an empty environment, it serves and trains."""

import http.client
import json
import os
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

from seaproof.drivers.ports import free_port

ROOT = Path(__file__).parent.parent

INFERENCE = """
def model_fn(model_dir): return 2
def input_fn(data, content_type): return float(data)
def predict_fn(number, model): return number * model
def output_fn(number, accept): return str(number), "text/csv"
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """An environment that holds the base wheel and what it depends on, and nothing else."""
    folder = tmp_path_factory.mktemp("image")
    wheels = sorted((ROOT / "dist").glob("seaproof-*.whl"))
    if not wheels:
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)], check=True
        )
        wheels = sorted(folder.glob("*.whl"))
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*install, "-c", str(ROOT / "constraints.txt"), str(wheels[-1])], check=True)
    return python.parent


def test_the_base_wheel_brings_two_libraries_and_no_more(image):
    listed = subprocess.run(
        [image / "python", "-m", "pip", "list", "--format", "json"], capture_output=True, text=True, check=True
    )
    names = {package["name"] for package in json.loads(listed.stdout)}

    assert names - {"pip", "setuptools", "wheel"} == {"seaproof", "httptools", "uvloop"}


def test_the_base_wheel_alone_serves(image, tmp_path):
    code = tmp_path / "opt" / "model" / "code"
    code.mkdir(parents=True)
    (code / "inference.py").write_text(INFERENCE)
    port = free_port()
    environ = {"SAGEMAKER_BASE_DIR": str(tmp_path / "opt"), "SAGEMAKER_BIND_TO_PORT": str(port), "PATH": os.defpath}
    with subprocess.Popen([image / "seaproof-container", "serve"], env=environ, cwd=tmp_path) as server:
        try:
            deadline = time.monotonic() + 30
            while not healthy(port):
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("POST", "/invocations", "21", {"Content-Type": "text/csv"})
            reply = connection.getresponse()

            assert (reply.status, reply.read()) == (200, b"42.0")
            connection.close()
        finally:
            server.terminate()
    assert server.returncode == 0


def test_the_base_wheel_alone_trains(image, tmp_path):
    (tmp_path / "train.py").write_text("def train(job):\n    (job.model_dir / 'm').write_text('trained')\n")
    (tmp_path / "opt").mkdir()
    environ = {"SAGEMAKER_BASE_DIR": str(tmp_path / "opt"), "PATH": os.defpath}

    subprocess.run([image / "seaproof-container", "train"], env=environ, cwd=tmp_path, check=True)

    assert (tmp_path / "opt" / "model" / "m").read_text() == "trained"


def healthy(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
