"""What an algorithm has against `model_params`, asked before anything runs of the Python or image that will train."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from seaproof.cli.session import Session
from seaproof.contract.training_config.meaning import TrainingConfig
from seaproof.contract.training_config.reading import Problem
from seaproof.errors import SeaproofError
from seaproof.settings import inherited_environ
from seaproof.training_file.check import Found

_PROGRAM = ("-m", "seaproof.training.parameters")
_SECONDS = 60.0
"""After which the answer is not waited for: the job will say it."""


def refused_params(session: Session, config: TrainingConfig, task: str, found: Found) -> list[Problem]:
    """A name in `model_params` that the algorithm has not, or a value that its library does not take; none where nobody
    can be asked: no such image here, or one without this program."""
    if not config.model_params:
        return []
    asked = {
        "algorithm": config.algorithm,
        "task": task,
        "model_params": dict(config.model_params),
        "classes": sorted(set(found.target)),
        "stopping_rounds": config.stopping_rounds,
    }
    # Libraries leave files where they are started, and a file there could be taken for one of them.
    with tempfile.TemporaryDirectory(prefix="seaproof-") as folder:
        output = _answer(session, json.dumps(asked), Path(folder))
    try:
        said = json.loads(output.rstrip().rpartition("\n")[2])
        return (
            [Problem(("model_params", *filter(None, [said["name"]])), said["what"], said["next_step"])] if said else []
        )
    except (ValueError, KeyError, TypeError):  # a library that dies, or another version of the program
        return []


def _answer(session: Session, asked: str, folder: Path) -> str:
    if session.project.file is None or session.settings.driver == "process":
        return _here(asked, folder)
    from seaproof.drivers.choice import open_driver

    try:
        driver = open_driver(session.settings, session.project, folder)
        if driver.name == "docker":
            return _in_image(driver, session.project.image, asked, folder)
    except SeaproofError:  # the job says it, and in more words
        return ""
    return _here(asked, folder) if driver.name == "process" else ""


def _here(asked: str, folder: Path) -> str:
    command = [sys.executable, *_PROGRAM, asked]
    try:
        done = subprocess.run(
            command, cwd=folder, env=inherited_environ(), capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except (subprocess.TimeoutExpired, OSError):  # or more classes than an argument can hold
        return ""
    return done.stdout


def _in_image(driver: Any, image: str, asked: str, folder: Path) -> str:
    """The same of the image's Python, where the engine has the image; nothing is pulled."""
    from seaproof.drivers.driver import Workload

    if not driver.has_image(image):
        return ""
    workload = Workload("parameters", image, folder / "ml", ("python3", *_PROGRAM), (asked,), isolated=True)
    handle = driver.start(workload)
    try:
        ended = driver.wait(handle, _SECONDS)
        return b"".join(driver.logs(handle)).decode("utf-8", "replace") if ended is not None else ""
    finally:
        driver.stop(handle, 0)
