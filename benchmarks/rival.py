"""A rival: one server under test, described by `rivals/NAME/rival.py` and the pinned requirements.txt beside it.

A rival.py defines

    WHAT                       one line for the tables
    MODELS, PAYLOADS           what it can serve: names of models.py and payloads.py
    command(run) -> list       how its server is started for one model
    environ(run) -> dict       variables for it (optional)
    PATH, PING                 where requests and health checks go (optional: /invocations, /ping)
    IN_PROCESS                 whether it is no server, but a program as in in_process.py (optional)
    SHARES                     the rival whose environment it is run in, where it has none of its own (optional)
    WITH_SEAPROOF              whether seaproof itself goes into its environment (optional)
    CONTENT_TYPES              payload name -> media type, where its own differs (optional)
    body(payload, plain)       its own form of a body, made from the plain one (optional)
    values(reply)              the predictions in its reply (optional: all numbers that there are)
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from environments import CACHE, environment
from in_process import running_program
from payloads import Payload
from processes import Server, free_port, running

HERE = Path(__file__).resolve().parent
SERVED = HERE / "served"


@dataclass(frozen=True)
class Run:
    """What a rival is told: which model lies where, and on which port to serve it."""

    model: str
    base: Path
    """As /opt/ml: `model/` below it holds the model's file."""
    port: int
    folder: Path
    """An empty folder of its own, the working directory of the server."""
    env: Path
    """Its virtual environment."""
    workers: int

    def tool(self, name: str) -> str:
        """The path of a program in the environment."""
        return str(self.env / "bin" / name)


class Rival:
    """One folder of rivals/, read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = HERE / "rivals" / name
        self._module = _load(self.folder / "rival.py", name)
        self.what: str = self._module.WHAT
        self.models: tuple[str, ...] = self._module.MODELS
        self.payloads: tuple[str, ...] = self._module.PAYLOADS
        self.path: str = getattr(self._module, "PATH", "/invocations")

    def install(self) -> Path:
        """Its environment, made if need be; CannotInstall says why not."""
        if shares := getattr(self._module, "SHARES", ""):
            return Rival(shares).install()
        with_seaproof = getattr(self._module, "WITH_SEAPROOF", False)
        return environment(self.name, self.folder / "requirements.txt", with_seaproof=with_seaproof)

    def content_type(self, payload: Payload) -> str:
        """The media type that it takes this payload as."""
        return str(getattr(self._module, "CONTENT_TYPES", {}).get(payload.name, payload.content_type))

    def body(self, payload: Payload, plain: Path) -> Path:
        """The file to send: the plain payload, or the rival's own form of it."""
        if not hasattr(self._module, "body"):
            return plain
        path = plain.with_name(f"{plain.name}.{self.name}")
        path.write_bytes(self._module.body(payload, plain.read_bytes()))
        return path

    def values(self, reply: bytes) -> list[float]:
        """The predictions that a reply holds."""
        if hasattr(self._module, "values"):
            return list(map(float, self._module.values(reply)))
        return [float(text) for text in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", reply.decode())]

    @contextmanager
    def serving(self, model: str, workers: int) -> Iterator[Server]:
        """Its server with the model, from the first 200 on /ping until the end of the block."""
        folder = CACHE / "run" / f"{self.name}-{model}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        run = Run(model, CACHE / "models" / model, free_port(), folder, self.install(), workers)
        environ = {
            "PATH": f"{run.env / 'bin'}:{os.environ['PATH']}",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(SERVED),
            # Threads of BLAS and OpenMP would fight with the worker processes over the cores.
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            **(self._module.environ(run) if hasattr(self._module, "environ") else {}),
        }
        if getattr(self._module, "IN_PROCESS", False):
            with running_program(self._module.command(run), environ, folder) as program:
                yield program
            return
        ping = getattr(self._module, "PING", "/ping")
        with running(self._module.command(run), environ, folder, run.port, ping) as server:
            yield server


def rival_names() -> list[str]:
    """All that there are."""
    return sorted(path.parent.name for path in (HERE / "rivals").glob("*/rival.py"))


def _load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"rival_{name.replace('-', '_')}", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"there is no rival {name}; there are: {', '.join(rival_names())}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
