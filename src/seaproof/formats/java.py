"""The Java virtual machine in this process, for the formats whose runtime is a jar that the image brings."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jpype

from seaproof.errors import ContractError

FOLDERS = ("/opt/program", "/opt/ml/code")
"""Where a jar is sought beside the model's folder and the one that the container starts in."""


def find_jar(named: str, model: Path, patterns: Sequence[str], what: str, package: str = "") -> Path:
    """The jar that is `named` by SEAPROOF_JAVA_JAR, or the first that matches a pattern. ContractError says where it
    was sought, and what is missing."""
    if named:
        if Path(named).is_file():
            return Path(named)
        raise ContractError(f"there is no file {named}", where="SEAPROOF_JAVA_JAR", next_step="Correct the path.")
    folders = [model.parent, Path.cwd(), *map(Path, FOLDERS)]
    for folder in dict.fromkeys(folders):
        for pattern in patterns:
            for path in sorted(folder.glob(pattern)):
                return path
    inside = _in_package(package)
    if inside is not None:
        return inside
    raise ContractError(
        f"{model.name} needs {what}, and there is no {' or '.join(patterns)} in {', '.join(map(str, folders))}",
        where=str(model),
        next_step="Put the jar into /opt/program when the image is built, or name it: SEAPROOF_JAVA_JAR=<path>.",
    )


def _in_package(package: str) -> Path | None:
    """The jar that the package `h2o` carries, which holds all of genmodel."""
    try:
        spec = importlib.util.find_spec(package) if package else None
    except (ImportError, ValueError):
        return None
    for folder in (spec.submodule_search_locations or []) if spec else []:
        jar = Path(folder) / "backend" / "bin" / "h2o.jar"
        if jar.is_file():
            return jar
    return None


def start(jar: Path, properties: dict[str, str] | None = None) -> None:
    """Start the machine with this jar, once for the process. ContractError where there is no Java."""
    if jpype.isJVMStarted():
        return
    given = [f"-D{name}={value}" for name, value in (properties or {}).items()]
    try:
        # -Xrs: signals are the server's, which ends a container as it should be ended.
        jpype.startJVM("-Xrs", *given, classpath=[str(jar)], convertStrings=False)
    except jpype.JVMNotFoundException:
        raise ContractError(
            "there is no Java in the image",
            where="serve",
            next_step="Install it when the image is built: apt-get install -y default-jre-headless (17 or newer).",
        ) from None


def java_class(name: str, jar: Path) -> Any:
    """A class of the jar. ContractError where the jar has none of this name."""
    try:
        return jpype.JClass(name)
    except (TypeError, jpype.JException):
        raise ContractError(
            f"{jar.name} has no class {name}", where=str(jar), next_step="It is another jar than the one needed."
        ) from None
