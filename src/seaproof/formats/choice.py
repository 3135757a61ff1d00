"""Which model lies in a folder, and its loading: by the files' names and first bytes, without importing a library."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from seaproof.errors import ContractError
from seaproof.formats.known import FORMATS
from seaproof.formats.model import Format, Model, Options, Refused, need
from seaproof.formats.schema import FILE

GROUP = "seaproof.formats"
"""Entry points of this group name a `Format`, or a function that returns one; they come before our own."""


@dataclass(frozen=True)
class Found:
    """A model file and its format."""

    path: Path
    format: Format


def formats() -> list[Format]:
    """All formats: those that installed packages add, then our own."""
    added = []
    for entry in entry_points(group=GROUP):
        made = entry.load()
        added.append(made if isinstance(made, Format) else made())
    return [*added, *FORMATS]


def find(model_dir: str | Path, named: str = "") -> Found | None:
    """The model of a folder, or the one that is `named` (a path, or a name in the folder); None where there is none.

    ContractError where there are several, or where the named one is missing or of no known format.
    """
    folder = Path(model_dir)
    known = formats()
    if named:
        path = folder / named
        if not path.exists():
            raise ContractError(f"there is no file {path}", where="SEAPROOF_MODEL", next_step="Correct the name.")
        return _of(path, known) or _unknown(path, known)
    found = [one for path in _files(folder) if (one := _of(path, known)) is not None]
    if not found:
        # An archive with one folder around the model, which is how many are packed.
        inside = [path for path in _folders(folder) if path.name != "code"]
        return find(inside[0]) if len(inside) == 1 else None
    # A Python function and the weights that its folder holds are one model: the function's.
    code = [one for one in found if one.path.suffix == ".py"]
    found = code if len(code) == 1 else found
    if len(found) > 1:
        names = ", ".join(str(one.path.relative_to(folder)) for one in found)
        raise ContractError(
            f"there are {len(found)} models: {names}",
            where=str(folder),
            next_step="Leave one of them in the archive, or name it: SEAPROOF_MODEL=<file>.",
        )
    return found[0]


def load(found: Found, options: Options) -> Model:
    """Load a model. ContractError names a package that the image lacks, or a file that its library cannot read; what
    else is raised passes through."""
    if found.format.pickle:
        _warn_of_pickle(found.path, options)
    for module, package in found.format.libraries:
        need(module, package, found.path, f"a {found.format.name} model")
    try:
        return found.format.load(found.path, options)
    except Exception as error:
        # The library's own kind of error; its traceback is nobody's here.
        if type(error).__module__.partition(".")[0].lstrip("_") not in dict(found.format.libraries):
            raise
        raise ContractError(
            f"{found.path.name} cannot be read as {found.format.name}: {error}",
            where=str(found.path),
            next_step="Is the file whole, and written by a version that the installed library reads?",
        ) from error


def _warn_of_pickle(path: Path, options: Options) -> None:
    """Say what loading a pickle means; Refused where pickles are not to be loaded."""
    if options.no_pickle:
        raise Refused(
            f"{path.name} is a pickle, and pickles are not to be loaded here",
            where=str(path),
            next_step="Save the model with skops.io.dump(model, 'model.skops'), or take SEAPROOF_NO_PICKLE away.",
        )
    options.warn(
        f"{path.name} is a pickle: loading it runs whatever code is in it. Load only what you or people you trust "
        "have made; SEAPROOF_NO_PICKLE=true refuses all pickles, and skops files need none"
    )


def described() -> str:
    """The formats and their files, for messages."""
    return ", ".join(f"{one.name} ({one.files})" for one in formats())


def _files(folder: Path) -> list[Path]:
    """What could be a model at the top of the folder."""
    return [path for path in _seen(folder) if path.is_file() and path.name != FILE]


def _folders(folder: Path) -> list[Path]:
    return [path for path in _seen(folder) if path.is_dir()]


def _seen(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _of(path: Path, known: list[Format]) -> Found | None:
    return next((Found(path, one) for one in known if one.is_one(path)), None)


def _unknown(path: Path, known: list[Format]) -> Found:
    raise ContractError(
        f"{path.name} is a model of no known format",
        where=str(path),
        next_step=f"Known are: {', '.join(f'{one.name} ({one.files})' for one in known)}.",
    )
