"""A multi-model container as a real process, and the folders of its models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from container_process import Container, Reply, soon

ECHO = "def model_fn(model_dir):\n    return model_dir\ndef transform_fn(model, data, content_type, accept):\n"
SLOW = ECHO.replace("model_dir\ndef", "model_dir\nimport time\ndef") + "    time.sleep(float(data))\n    return data\n"

# Loads for as long as there is no file `go` in the model's folder.
WAITS = """
import os, time
def model_fn(model_dir):
    open(os.path.join(model_dir, f"began-{os.getpid()}"), "w").close()
    while not os.path.exists(os.path.join(model_dir, "go")):
        time.sleep(0.01)
    return "loaded"
def transform_fn(model, data, content_type, accept):
    return model
"""


def says(text: str) -> str:
    """A script that answers every request with this text."""
    return ECHO + f"    return {text!r}\n"


class ManyModels:
    """`seaproof-container serve` with SAGEMAKER_MULTI_MODEL=true."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.folder = container.root / "ml" / "models"

    def add(self, name: str, script: str = "", **modules: str) -> str:
        """Make a model's folder, with its own code if there is a script; its path."""
        model = self.folder / name / "model"
        (model / "code").mkdir(parents=True)
        if script:
            (model / "code" / "inference.py").write_text(script)
        for module, source in modules.items():
            (model / "code" / f"{module}.py").write_text(source)
        return str(model)

    def common(self, script: str, **modules: str) -> None:
        """Write the script of the container itself."""
        folder = self.container.root / "ml" / "code"
        folder.mkdir(parents=True)
        (folder / "inference.py").write_text(script)
        for module, source in modules.items():
            (folder / f"{module}.py").write_text(source)

    def serve(self, **environment: str) -> ManyModels:
        """Start, and wait until /ping answers 200."""
        self.start(**environment)
        soon(self.container.answers)
        return self

    def start(self, **environment: str) -> None:
        """Start without waiting; what a container that is killed leaves behind lies below its own folder."""
        given = {"SAGEMAKER_MULTI_MODEL": "true", "SAGEMAKER_MODEL_SERVER_WORKERS": "", **environment}
        self.container.restart(**{"TMPDIR": str(self.container.root), **given})

    def load(self, name: str, url: str) -> Reply:
        body = json.dumps({"model_name": name, "url": url})
        return self.container.send("POST", "/models", body, {"Content-Type": "application/json"})

    def invoke(self, name: str, body: str = "1", **headers: str) -> Reply:
        given = {"Content-Type": "text/csv", **{key.replace("_", "-"): value for key, value in headers.items()}}
        return self.container.send("POST", f"/models/{quote(name, safe='')}/invoke", body, given)

    @contextmanager
    def under_way(self) -> Iterator[tuple[int, Future[Reply]]]:
        """The container with a slow model `m` that has a request in its hands: its process, and the answer to come."""
        folder = self.add("m", SLOW)
        self.serve()
        self.load("m", folder)
        pid = self.pid("m")
        with ThreadPoolExecutor() as pool:
            in_flight = pool.submit(self.invoke, "m", "0.7")
            soon(lambda: connections(pid) > 0)
            yield pid, in_flight

    def describe(self, name: str) -> Reply:
        return self.container.get(f"/models/{quote(name, safe='')}")

    def unload(self, name: str) -> Reply:
        return self.container.send("DELETE", f"/models/{quote(name, safe='')}")

    def names(self) -> list[str]:
        return [model["modelName"] for model in self.container.get("/models").json["models"]]

    def pid(self, name: str) -> int:
        """The process of one model."""
        return int(self.describe(name).json["workers"][0]["id"])


def resident(pids: list[int]) -> int:
    """Bytes that these processes hold in memory together, files apart, whose pages others on the machine may share."""
    return sum(_kilobytes(pid) for pid in pids) * 1024


def _kilobytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss_Anon:"):
            return int(line.split()[1])
    raise AssertionError(f"process {pid} has no memory")


def members(value: Any) -> Any:
    """The shape of a JSON value: names and kinds, without the values."""
    if isinstance(value, dict):
        return {name: members(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [members(inner) for inner in value[:1]]
    return type(value).__name__


def connections(pid: int) -> int:
    """How many connections this process has: sockets beside the one it listens on and those of its loop."""
    try:
        names = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return 0
    listening = {line.split()[6] for line in Path("/proc/net/unix").read_text().splitlines()[1:] if "seaproof-" in line}
    return sum(1 for name in names if name.startswith("socket:[") and name[8:-1] in listening) - 1


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
