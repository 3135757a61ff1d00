"""`seaproof-container train`: runs the author's program, or trains by a config, and ends as SageMaker expects.

returns, or exits with 0       exit code 0
raises                         the failure file, exit code 255
exits with a code              that code, and the failure file if it is not 0
SIGTERM                        the program is left to end by itself where it looks at `job.stopping`;
                               else it ends as by SystemExit: finally blocks run, exit code 143
"""

from __future__ import annotations

import importlib.util
import runpy
import signal
import sys
from pathlib import Path
from types import FrameType

from seaproof.contract.environ import TrainingEnviron, export
from seaproof.contract.opt_ml import OptMl
from seaproof.contract.training_config.flat import is_nested, names_a_target
from seaproof.errors import ContractError
from seaproof.training.failure import describe, write_failure
from seaproof.training.job import STOPPING, Job
from seaproof.training.program import Program, find_program
from seaproof.training.variables import arguments, own_hyperparameters, variables

FAILED = 255
INTERRUPTED = 130
STOPPED = 143


def train(environ: TrainingEnviron) -> int:
    """Run the training program of this container to its end; the exit code."""
    signal.signal(signal.SIGTERM, _on_sigterm)
    failure = OptMl(Path(environ.base_dir)).failure
    try:
        job = Job.read(environ)
        _work(job, environ)
    except SystemExit as error:
        return _exit_code(error, failure)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BaseException as error:
        text, trace = describe(error)
        sys.stderr.write(trace)
        write_failure(failure, text)
        return FAILED
    return 0


def _work(job: Job, environ: TrainingEnviron) -> None:
    """Train by the config that the hyperparameters are, or run the author's program."""
    program: Program | None = None
    missing: ContractError | None = None
    try:
        program = None if is_nested(job.raw_hyperparameters) else find_program(job, environ)
    except ContractError as error:
        missing = error
    if program is not None:
        _run(job, program, environ)
    elif missing is None or names_a_target(job.raw_hyperparameters):
        from seaproof.training.by_config import train_by_config  # the libraries that it takes are for these jobs alone

        train_by_config(job)
    else:
        raise missing


def _run(job: Job, program: Program, environ: TrainingEnviron) -> None:
    sys.path.insert(0, str(program.folder))
    if program.path.parent != program.folder:
        sys.path.insert(0, str(program.path.parent))
    export(variables(job, program, environ))
    if program.takes is None:
        sys.argv = [str(program.path), *arguments(own_hyperparameters(job))]
        runpy.run_path(str(program.path), run_name="__main__")
        return
    name = program.path.stem
    spec = importlib.util.spec_from_file_location(name, program.path)
    if spec is None or spec.loader is None:
        raise ContractError("the training program is no Python file", where=str(program.path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.argv = [str(program.path)]
    spec.loader.exec_module(module)
    module.train(*([job] if program.takes else []))


def _exit_code(error: SystemExit, failure: Path) -> int:
    """The code that a Python process would end with, the failure file written where it is not 0."""
    if error.code is None:
        return 0
    code = error.code if isinstance(error.code, int) else 1
    if not isinstance(error.code, int):
        sys.stderr.write(f"{error.code}\n")
    if code and not (code == STOPPED and STOPPING.event.is_set()):
        said = "" if isinstance(error.code, int) else f"{error.code}\n\n"
        write_failure(failure, f"{said}The training program ended with exit code {code}.\n")
    return code


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    first = not STOPPING.event.is_set()
    STOPPING.event.set()
    if not (first and STOPPING.used):
        raise SystemExit(STOPPED)
