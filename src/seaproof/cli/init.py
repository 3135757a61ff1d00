"""`seaproof init`: a new project that trains and serves as it is, to be changed by its author."""

from __future__ import annotations

import shlex
import shutil
from importlib.resources import as_file, files
from pathlib import Path

import click

from seaproof.cli.session import show_json
from seaproof.errors import ProjectError
from seaproof.project import plain_name

TEMPLATE = "seaproof.cli", "template"


@click.command("init")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path())
@click.option(
    "--model",
    "models",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A saved model to serve, with no code of your own; several files if it has several.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(folder: Path, models: tuple[Path, ...], as_json: bool) -> None:
    """Write a new project into FOLDER (default: here).

    It holds train.py, inference.py, seaproof.toml, a Dockerfile, a small data set and a test, needs nothing but
    Python, and runs at once: `seaproof train`, `seaproof serve`. No file that is there is overwritten.

    With --model it holds that model and the Dockerfile of an image that serves it, whatever its format.
    """
    if models:
        from seaproof.cli.init_model import write_model_project

        written, steps = write_model_project(folder, models), "seaproof serve --model model"
    else:
        written = write_template(folder)
        steps = "seaproof train && seaproof serve --detach && seaproof predict data/sample.csv"
    if as_json:
        show_json({"folder": str(folder.absolute()), "files": written})
        return
    print(f"{folder.absolute()} holds a project:")
    for name in written:
        print(f"  {name}")
    if models and "COPY *.jar" in (folder / "Dockerfile").read_text(encoding="utf-8"):
        print("Put the MOJO's runtime beside the Dockerfile: h2o-genmodel.jar, or your licensed mojo2-runtime.jar.")
    print(f"Next: {steps}" if folder == Path() else f"Next: cd {shlex.quote(str(folder))} && {steps}")


def write_template(folder: Path) -> list[str]:
    """Copy the template; the names of the files written. ProjectError, and nothing written, where one is there."""
    with as_file(files(TEMPLATE[0]) / TEMPLATE[1]) as source:
        names = sorted(
            path.relative_to(source).as_posix()
            for path in source.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        )
        taken = [name for name in names if (folder / name).exists()]
        if taken:
            raise ProjectError(
                f"{taken[0]} is there already",
                where=str(folder.absolute()),
                next_step="init overwrites nothing: choose an empty folder.",
            )
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, folder / name)
    manifest = folder / "seaproof.toml"
    # The template is a project of its own, tested as such; here its name gives way to the folder's.
    text = manifest.read_text(encoding="utf-8").replace("flowers", plain_name(folder.absolute().name))
    manifest.write_text(text, encoding="utf-8")
    return names
