"""Finds the author's training program, and tells a `train(job)` function from a script that runs as it is read."""

from __future__ import annotations

import ast
import difflib
from dataclasses import dataclass
from pathlib import Path

from seaproof.contract.environ import TrainingEnviron
from seaproof.errors import ContractError
from seaproof.training.job import Job

DEFAULT_PROGRAM = "train.py"
PROGRAM_FOLDER = Path("/opt/program")
# The SDK sends these beside the author's own hyperparameters.
PROGRAM_KEY = "sagemaker_program"
SUBMIT_KEY = "sagemaker_submit_directory"
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
# What a file that trains as it is read has somewhere outside of its functions.
_ACTS = (ast.Call, ast.For, ast.While, ast.With, ast.Raise, ast.Assert)
_NEAR = 0.8
"""How alike a name has to be to be a misspelt `train`: `trainn`, `tarin`, `Train`."""


@dataclass(frozen=True)
class Program:
    """A training program: its file, the folder its author's modules are imported from, and how it is run."""

    path: Path
    folder: Path
    takes: int | None = None
    """How many arguments its `train` function takes, 0 or 1; None where it runs as a script."""


def find_program(job: Job, environ: TrainingEnviron) -> Program:
    """The program that hyperparameters, environment or habit name; ContractError lists where it was sought."""
    name = str(job.hyperparameters.get(PROGRAM_KEY) or environ.program or DEFAULT_PROGRAM)
    if not name.endswith(".py"):
        raise ContractError(
            f"the training program {name} is no .py file",
            where="SAGEMAKER_PROGRAM",
            next_step="Name a Python file; a program of another kind can be the image's entry point itself.",
        )
    folders = _folders(job, environ)
    for folder in folders:
        path = folder / name
        if path.is_file():
            return Program(path.absolute(), folder.absolute(), _train_function(path))
    raise ContractError(
        f"the training program {name} is in none of {', '.join(str(folder) for folder in folders)}",
        where="train",
        next_step=f"Put {name} into one of these folders, or name another program with SAGEMAKER_PROGRAM.",
    )


def _folders(job: Job, environ: TrainingEnviron) -> list[Path]:
    submitted = str(job.hyperparameters.get(SUBMIT_KEY) or environ.submit_directory)
    # An s3:// archive is for a toolkit that downloads it; in a hand-made image the code is already there.
    local = [Path(submitted)] if submitted and "://" not in submitted else []
    return list(dict.fromkeys([*local, job.root / "code", Path.cwd(), PROGRAM_FOLDER]))


def _train_function(path: Path) -> int | None:
    """How many arguments the `train` function takes that we are to call, or None where the file is a script.

    `train(job)` is always called. Another `train` is common in scripts that call it themselves, so it is called only
    where nothing in the file would run it. ContractError where there is none, and running the file would do nothing.
    """
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except SyntaxError:
        return None  # running it shows the error with its line
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "train":
            given = [*node.args.posonlyargs, *node.args.args]
            required = len(given) - len(node.args.defaults)
            if given and required <= 1 and (given[0].arg == "job" or _names_job(given[0].annotation)):
                return 1
            if _runs_itself(tree):
                return None
            if required <= 1:
                return min(1, len(given))
            raise ContractError(
                f"train takes {', '.join(argument.arg for argument in given)}, and nothing in the file calls it",
                where=str(path),
                next_step="Define it as train(job).",
            )
    _check_that_it_runs(tree, path)
    return None


def _check_that_it_runs(tree: ast.Module, path: Path) -> None:
    """Such a job would end well, with an empty model."""
    own = [node for node in tree.body if isinstance(node, _DEFINITIONS)]
    outside = [node for node in tree.body if not isinstance(node, _DEFINITIONS)]
    if _runs_itself(tree) or any(node.decorator_list for node in own):
        return
    names = [node.name for node in own]
    near = [name for name in names if difflib.SequenceMatcher(None, "train", name.lower()).ratio() >= _NEAR]
    only_imports = not own and any(isinstance(node, (ast.Import, ast.ImportFrom)) for node in outside)
    acts = any(isinstance(part, _ACTS) for node in outside for part in ast.walk(node))
    if near or not (acts or only_imports):
        waits = any(node.name == "train" and isinstance(node, ast.AsyncFunctionDef) for node in own)
        what = "train is `async def`" if waits else "there is no function train"
        defined = f"; it defines {', '.join(names)}" if names and not waits else ""
        raise ContractError(
            f"{what}, and nothing in the file calls a function of its own{defined}",
            where=str(path),
            next_step="Define `def train(job):`, or call what is to run at the end of the file.",
        )


def _names_job(annotation: ast.expr | None) -> bool:
    return annotation is not None and ast.unparse(annotation).strip("'\"").split(".")[-1] == "Job"


def _runs_itself(tree: ast.Module) -> bool:
    """Whether code outside of functions and classes mentions one of the file's own functions, so as to call it."""
    own = {node.name for node in tree.body if isinstance(node, _DEFINITIONS)}
    outside = (node for node in tree.body if not isinstance(node, _DEFINITIONS))
    return any(isinstance(part, ast.Name) and part.id in own for node in outside for part in ast.walk(node))
