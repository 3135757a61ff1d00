"""A project whose images are of four makes: C, multi-model-server (Java), examples/classic (Flask), our serving.

Each is a folder for the process driver, and the same folder is built for Docker. All of them listen on 8080.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

import pytest

import seaproof
from seaproof.drivers.driver import Workload
from seaproof.drivers.process import ProcessDriver
from seaproof.project import Project, load_project
from venvs import MULTI_MODEL_SERVER, ROOT, make_environment

PROGRAMS = Path(__file__).parent / "programs"
CLASSIC = ROOT / "examples" / "classic"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SERVE = ["-m", "seaproof.container", "serve"]
OURS = """
def model_fn(folder):
    return {"setosa": 0, "versicolor": 1, "virginica": 2}

def input_fn(body, content_type):
    return body.split()

def predict_fn(labels, model):
    return [[model[label]] for label in labels]
"""
VENV = "RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir"
DOCKERFILES = {
    "exact": "FROM seaproof-base:latest\nCOPY serve /usr/local/bin/serve\n",
    "many": f"FROM seaproof-base:latest\n{VENV} {' '.join(MULTI_MODEL_SERVER)}\nCOPY java /opt/java\n"
    "ENV PATH=/opt/program:/opt/venv/bin:/opt/java/bin:$PATH\nCOPY serve service.py /opt/program/\n",
    "ours": f"FROM seaproof-base:latest\nCOPY *.whl /tmp/\n{VENV} /tmp/*.whl\nCOPY inference.py /opt/program/\n"
    'WORKDIR /opt/program\nENTRYPOINT ["/opt/venv/bin/seaproof-container"]\n',
}


def a_project(root: Path) -> Project:
    """The folder with the programs and a seaproof.toml."""
    for tool in ("cc", "java"):
        if not shutil.which(tool) and not os.environ.get("CI"):
            pytest.skip(f"{tool} is not installed")
    make_environment("classic")
    exact, ours = root / "exact", root / "ours"
    for folder in (exact, ours):
        folder.mkdir(parents=True)
    source = [str(PROGRAMS / "exact.c"), "-static", "-o", str(exact / "serve")]
    subprocess.run(["cc", "-D_GNU_SOURCE", *source], check=True)
    (ours / "inference.py").write_text(OURS)
    shutil.copytree(PROGRAMS / "many", root / "many")
    (root / "seaproof.toml").write_text(
        f"""
[project]
name = "makes"
[images.seaproof-test-exact]
folder = "exact"
[images.seaproof-test-many]
folder = "many"
[images.seaproof-test-many.environment]
PATH = "/opt/program:{make_environment("multi-model-server")}/bin:{PATH}"
[images.seaproof-test-classic]
folder = "{CLASSIC}"
[images.seaproof-test-classic.environment]
PATH = "/opt/program/.venv/bin:/opt/program:{PATH}"
[images.seaproof-test-ours]
folder = "ours"
serve = {[sys.executable, *SERVE]}
[images.seaproof-test-ours.environment]
PYTHONPATH = "{Path(seaproof.__file__).parent.parent}"
"""
    )
    return load_project(root / "seaproof.toml")


@lru_cache
def build_images() -> None:
    """Their images, by the same names."""
    dockerfiles = {**DOCKERFILES, "classic": (CLASSIC / "Dockerfile").read_text()}
    with tempfile.TemporaryDirectory() as name:
        root = a_project(Path(name)).root
        shutil.copytree(
            _java(), root / "many" / "java", ignore=shutil.ignore_patterns("jmods", "src.zip", "man", "demo")
        )
        wheel = next((ROOT / "dist").glob("*.whl"))
        shutil.copy(wheel, root / "ours")
        for image, text in dockerfiles.items():
            context = CLASSIC if image == "classic" else root / image
            build = ["docker", "build", "--quiet", "--network", "host", "--tag", f"seaproof-test-{image}", "-f", "-"]
            build += ["--build-arg", "BASE=seaproof-base:latest", str(context)]
            done = subprocess.run(build, input=text.encode(), capture_output=True, timeout=300)
            assert done.returncode == 0, (done.stdout + done.stderr).decode()


def _java() -> Path:
    found = shutil.which("java")
    assert found
    return Path(found).resolve().parents[1]


def a_trained_tree(project: Project) -> Path:
    """The model folder of examples/classic, as its own `train` leaves it."""
    opt_ml = project.root / "trained"
    shutil.copytree(CLASSIC / "test_dir", opt_ml)
    driver = ProcessDriver(project.root / "training", project.images)
    handle = driver.start(Workload("job", "seaproof-test-classic", opt_ml, arguments=("train",)))
    ended = driver.wait(handle, 60)
    assert ended is not None
    assert ended.code == 0, b"".join(driver.logs(handle))
    driver.stop(handle, 0)
    return opt_ml / "model"
