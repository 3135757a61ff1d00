"""`seaproof init --model FILE`: a project whose image serves a saved model, with nothing left to write."""

from __future__ import annotations

import shutil
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from seaproof import __version__
from seaproof.cli.model_files import facts, put
from seaproof.errors import ProjectError, SeaproofError
from seaproof.project import plain_name

TEMPLATE = "seaproof.cli", "model_template"
MODEL = "model"
JAR = """\
# The runtime of the MOJO, which you bring: h2o-genmodel.jar, or your licensed mojo2-runtime.jar, beside this file.
COPY *.jar /opt/program/
"""


def write_model_project(folder: Path, given: tuple[Path, ...], python: str | None = None) -> list[str]:
    """Write the project; the names of its files. ProjectError, and nothing written, where one is there already."""
    names = ["Dockerfile", "requirements.txt", "seaproof.toml"]
    taken = [name for name in [*names, MODEL] if (folder / name).exists()]
    if taken:
        raise ProjectError(
            f"{taken[0]} is there already",
            where=str(folder.absolute()),
            next_step="init overwrites nothing: choose an empty folder.",
        )
    model = folder / MODEL
    try:
        put(given, model)
        _write(folder, facts(model, python or sys.executable))
    except (SeaproofError, OSError, KeyboardInterrupt):
        # Nothing half: the next try would find it in its way.
        shutil.rmtree(model, ignore_errors=True)
        for name in names:
            (folder / name).unlink(missing_ok=True)
        raise
    inside = [path.relative_to(folder).as_posix() for path in model.rglob("*") if path.is_file()]
    return sorted([*names, *inside])


def _write(folder: Path, found: dict[str, Any]) -> None:
    templates = files(TEMPLATE[0]) / TEMPLATE[1]
    java = "jpype1" in " ".join(found["packages"]).lower()
    values = {
        "@name": plain_name(folder.absolute().name),
        "@file": found["file"],
        "@format": found["format"],
        "@version": __version__,
        "@debian": _apt(found["debian"]),
        "@java": JAR if java else "",
    }
    for name in ("Dockerfile", "seaproof.toml"):
        text = (templates / name).read_text(encoding="utf-8")
        for mark, value in values.items():
            text = text.replace(mark, value)
        (folder / name).write_text(text, encoding="utf-8")
    lines = ["# What the model needs, in the versions that were installed where this was written.", "seaproof"]
    lines += [*found["packages"], "# Writes numbers several times as fast; the image works without it.", "orjson", ""]
    (folder / "requirements.txt").write_text("\n".join(lines), encoding="utf-8")


def _apt(packages: list[str]) -> str:
    if not packages:
        return ""
    return (
        f"RUN apt-get update && apt-get install -y --no-install-recommends {' '.join(packages)} \\\n"
        "    && rm -rf /var/lib/apt/lists/*\n"
    )
