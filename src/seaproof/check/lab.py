"""Where containers are started under the platform's conditions, once for all checks that can share one.

The platform's argv and variables, a read-only /opt/ml/model, no network, default capabilities, a memory limit, no GPU;
reached from another network namespace. What was found out once (the start-up, a payload that is answered, a training
run) is kept for the checks that ask for it again.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO, TypeVar

from seaproof.check import leftovers
from seaproof.check.check import Unchecked
from seaproof.check.options import Options
from seaproof.check.run import Run
from seaproof.check.target import PROGRAM, Target, is_archive
from seaproof.contract import environ
from seaproof.control import archives
from seaproof.drivers.driver import Driver, Handle, Workload
from seaproof.errors import DriverError, SeaproofError, StartFailed
from seaproof.invocations.send import Sender

PROCESSES = 2048
_OPEN = f"{PROGRAM}-open"
Known = TypeVar("Known")


def machine_memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class Lab:
    """One per check run; `close` ends all that it started."""

    def __init__(self, target: Target, options: Options, say: Callable[[str], None] = lambda text: None) -> None:
        self.target, self.options, self.say = target, options, say
        self.begun = time.monotonic()
        self.sender = Sender()
        self.notes: list[str] = []
        self.lifted: dict[str, Any] = {}
        """Fields of a Workload without whose change the container does not come up, once that is known."""
        self._folder: Path | None = None
        self._held: TextIO | None = None
        self._driver: Driver | None = None
        self._runs: list[Run] = []
        self._known: dict[str, Any] = {}
        self._number = 0
        self._lock = threading.RLock()

    def once(self, name: str, find: Callable[[], Known]) -> Known:
        """What `find` gives, found once; an Unchecked is remembered too."""
        with self._lock:
            if name not in self._known:
                try:
                    self._known[name] = find()
                except Unchecked as error:
                    self._known[name] = error
            if isinstance(self._known[name], Unchecked):
                raise self._known[name]
            return self._known[name]  # type: ignore[no-any-return]

    def has(self, name: str) -> Any:
        """What is known by this name already, or None."""
        found = self._known.get(name)
        return None if isinstance(found, Unchecked) else found

    def learn(self, name: str, value: Any) -> None:
        """Keep something for whoever asks for it by name."""
        self._known[name] = value

    @property
    def isolates(self) -> bool:
        """Whether containers have namespaces here: a file system, network and user of their own."""
        driver = self.driver()
        return driver.name == "docker" or "allowed: each" in driver.check().facts.get("namespaces", "")

    def driver(self) -> Driver:
        """The driver that runs the target; Unchecked says why there is none."""
        if not self.target.runs:
            why = self.target.why_not_run or "there is nothing that could be started"
            raise Unchecked(why, blocks=self.target.address is None)
        if self._driver is None:
            state = self.folder() / "state"
            if self.target.image:
                from seaproof.drivers.docker import DockerDriver

                leftovers.uses_engine(self.folder())
                self._driver = DockerDriver(state)
            else:
                from seaproof.drivers.process import ProcessDriver

                assert self.target.program is not None
                program = self.target.program
                self._driver = ProcessDriver(state, {PROGRAM: program, _OPEN: replace(program, network="host")})
        return self._driver

    @property
    def open_network(self) -> dict[str, Any]:
        """Fields of a Workload that has a way to the internet."""
        return {"isolated": False} if self.target.image else {"isolated": False, "image": _OPEN}

    def folder(self) -> Path:
        """The scratch folder of this run."""
        if self._folder is None:
            leftovers.clear()
            self._folder, self._held = leftovers.new_folder()
        return self._folder

    def new_opt_ml(self, *, model: bool = False) -> Path:
        """A fresh /opt/ml; with the model in it where asked for and known."""
        self._number += 1
        root = self.folder() / f"ml-{self._number}"
        (root / "model").mkdir(parents=True)
        if model and self.model() is not None:
            shutil.copytree(self.model() or root, root / "model", dirs_exist_ok=True, symlinks=True)
        return root

    def model_root(self) -> Path:
        """A fresh /opt/ml with the model in it."""
        return self.new_opt_ml(model=True)

    def most_memory(self) -> int:
        """Bytes that a container may take at most here, so that the machine goes on."""
        return max(self.options.memory, machine_memory() // 2)

    @property
    def disk(self) -> int:
        """Bytes that a container may write here before it is stopped: half of what is free, if that is less."""
        return min(self.options.disk, shutil.disk_usage(self.folder()).free // 2)

    def model(self) -> Path | None:
        """The folder whose files the container finds below /opt/ml/model, or None."""
        return self.once("model", self._find_model)

    def _find_model(self) -> Path | None:
        given = self.options.model
        if given is None and (trained := self.has("trained model")) is not None:
            return Path(trained)
        if given is None:
            return None
        if not is_archive(given):
            return given
        folder = self.folder() / "given-model"
        try:
            archives.unpack(given, folder)
        except SeaproofError as error:
            raise Unchecked(f"the model cannot be unpacked: {error.what}", blocks=False) from error
        return folder

    def workload(self, verb: str, opt_ml: Path, **changes: Any) -> Workload:
        """What the platform would start: `train` or `serve` under its conditions; `changes` are fields of Workload."""
        self._number += 1
        variables: Mapping[str, str] = {**self.options.environment, **changes.pop("environment", {})}
        serving = verb == "serve"
        fields: dict[str, Any] = {
            "name": f"check-{self._number}",
            "image": self.target.image or PROGRAM,
            "opt_ml": opt_ml,
            "arguments": (verb,),
            "environment": variables,
            "port": int(variables.get(environ.BIND_TO_PORT, environ.DEFAULT_PORT)) if serving else None,
            "read_only": ("model",) if serving and self.isolates else (),
            "isolated": self.isolates,
            "memory": self.options.memory,
            "processes": PROCESSES,
        }
        return Workload(**{**fields, **changes})

    def start(self, workload: Workload) -> Run:
        """Start it. StartFailed passes through: it is a finding. Anything else of the driver is Unchecked."""
        driver = self.driver()
        try:
            handle = driver.start(workload)
        except StartFailed:
            raise
        except DriverError as error:
            raise Unchecked(f"it could not be started: {error.what}", next_step=error.next_step) from error
        run = Run(driver, handle, workload.opt_ml, self.sender, self.disk, workload.port or environ.DEFAULT_PORT)
        self._runs.append(run)
        return run

    def adopt(self, host: str, port: int) -> Run:
        """A container that runs already; it is only asked."""
        return Run(None, Handle("none", "running", "", host, port), Path(), self.sender, 0)

    def close(self) -> None:
        """End all that was started and remove what it left."""
        for run in self._runs:
            with suppress(SeaproofError, OSError):
                run.clear()
        self.sender.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._held is not None:
            self._held.close()
