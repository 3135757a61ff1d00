"""Finds the author's inference script and imports it.

The places are those of the SageMaker inference toolkit (`code/` beside the model first), then those where a
hand-made image keeps its program.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from seaproof.contract.environ import ServingEnviron
from seaproof.contract.opt_ml import OptMl
from seaproof.errors import ContractError

DEFAULT_SCRIPT = "inference.py"
PROGRAM_FOLDER = Path("/opt/program")


def find_script(environ: ServingEnviron) -> Path | None:
    """The inference script, or None where there is none.

    A script that SAGEMAKER_PROGRAM names must exist: its absence is a ContractError that lists where it was sought.
    """
    name = environ.program or DEFAULT_SCRIPT
    if not name.endswith(".py"):
        name += ".py"
    folders = _folders(environ)
    for folder in folders:
        if (folder / name).is_file():
            return (folder / name).absolute()
    if environ.program:
        raise ContractError(
            f"the script {name} is in none of {', '.join(str(folder) for folder in folders)}",
            where="SAGEMAKER_PROGRAM",
            next_step="Put it into one of these folders, or correct SAGEMAKER_PROGRAM.",
        )
    return None


def import_script(path: Path) -> ModuleType:
    """Import the script under its own name, its folder first on sys.path; what it raises passes through."""
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    # Under its own name, so that classes it defines can be unpickled; but never in the place of another module.
    name = path.stem if path.stem not in sys.modules else f"seaproof_author_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ContractError("the script is no Python file", where=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def missing_script(environ: ServingEnviron) -> ContractError:
    """The error for a container that has no script where it needs one."""
    from seaproof.formats.choice import described

    return ContractError(
        f"there is no {DEFAULT_SCRIPT} in {', '.join(str(folder) for folder in _folders(environ))}, "
        f"and no saved model in {environ.model_folder}",
        where="serve",
        next_step=f"Put {DEFAULT_SCRIPT} (with model_fn, or transform_fn) beside the model in code/, "
        f"or name another script with SAGEMAKER_PROGRAM; or leave a model that needs no script: {described()}.",
    )


def _folders(environ: ServingEnviron) -> list[Path]:
    tree = OptMl(Path(environ.base_dir))
    submitted = environ.submit_directory
    # An s3:// address is for a toolkit that downloads; the code is in the image or beside the model here.
    local = [Path(submitted)] if submitted and "://" not in submitted else []
    folders = [Path(environ.model_folder) / "code", *local, tree.code, Path.cwd(), PROGRAM_FOLDER]
    return list(dict.fromkeys(folders))
