"""The environment variables of the contract: names, and the readings that serving and training code share.

The only module in the image that reads `os.environ`; everything else takes a mapping or one of these records.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from seaproof.errors import ContractError

BASE_DIR = "SAGEMAKER_BASE_DIR"
TRAINING_JOB_NAME = "TRAINING_JOB_NAME"
TRAINING_JOB_ARN = "TRAINING_JOB_ARN"
BIND_TO_PORT = "SAGEMAKER_BIND_TO_PORT"
SAFE_PORT_RANGE = "SAGEMAKER_SAFE_PORT_RANGE"
PROGRAM = "SAGEMAKER_PROGRAM"
SUBMIT_DIRECTORY = "SAGEMAKER_SUBMIT_DIRECTORY"
MULTI_MODEL = "SAGEMAKER_MULTI_MODEL"
# Ours: memory that a multi-model container may use, where that is less than what its cgroup allows.
MEMORY_LIMIT_MB = "SEAPROOF_MEMORY_LIMIT_MB"
DEFAULT_ACCEPT = "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"
MAX_PAYLOAD_MB = "SAGEMAKER_MAX_PAYLOAD_IN_MB"
# Each list is tried in order: SageMaker's spelling first, then that of the classic sample containers.
WORKERS = ("SAGEMAKER_MODEL_SERVER_WORKERS", "MODEL_SERVER_WORKERS")
TIMEOUT = ("SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", "SAGEMAKER_MODEL_SERVER_TIMEOUT", "MODEL_SERVER_TIMEOUT")
BATCH = "SAGEMAKER_BATCH"
BATCH_STRATEGY = "SAGEMAKER_BATCH_STRATEGY"
MAX_CONCURRENT_TRANSFORMS = "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"
# Ours: `worker` loads the model in every worker, after the fork; else once, before it.
LOAD = "SEAPROOF_LOAD"
# Ours: how much one predict call is given when requests are joined, and how long an idle worker waits for more.
MAX_BATCH_ROWS = "SEAPROOF_MAX_BATCH_ROWS"
MAX_BATCH_DELAY_MS = "SEAPROOF_MAX_BATCH_DELAY_MS"
# Ours: how many requests, and how many MiB of their bodies, may wait in each worker; more are answered 503.
QUEUE = "SEAPROOF_QUEUE"
QUEUE_MB = "SEAPROOF_QUEUE_MB"
# Ours: which requests the access log has a line for.
ACCESS_LOG = "SEAPROOF_ACCESS_LOG"
# Ours, of a saved model that is served as it is: which file it is, what is answered to plain CSV and JSON, whether
# pickles are refused, which further types a skops file may bring, where /model/score?file= may read beside the
# model's folder, and the Java runtime of a MOJO.
MODEL = "SEAPROOF_MODEL"
OUTPUT = "SEAPROOF_OUTPUT"
NO_PICKLE = "SEAPROOF_NO_PICKLE"
TRUSTED_TYPES = "SEAPROOF_TRUSTED_TYPES"
SCORE_FOLDER = "SEAPROOF_SCORE_FOLDER"
JAVA_JAR = "SEAPROOF_JAVA_JAR"
LICENSE_KEY = "DRIVERLESS_AI_LICENSE_KEY"
PREDICT, ALL = "predict", "all"
LOG_OFF, LOG_ERRORS, LOG_ON, LOG_ALL = "off", "errors", "on", "all"

DEFAULT_PORT = 8080


@dataclass(frozen=True)
class ServingEnviron:
    """What the environment tells a serving container."""

    base_dir: str = "/opt/ml"
    port: int = DEFAULT_PORT
    workers: int = 1
    timeout: float = 60.0
    program: str = ""
    submit_directory: str = ""
    multi_model: bool = False
    model_dir: str = ""
    """The folder of the one model that this process serves, in a multi-model container; see `model_folder`."""
    memory_limit: int = 0
    """Bytes that a multi-model container may use; 0 where only the cgroup and the machine set a limit."""
    default_accept: str = ""
    max_body: int | None = None
    """Bytes; None where the variable is not set."""
    load_after_fork: bool = False
    batch_strategy: str = ""
    max_concurrent_transforms: int = 0
    """0 where the variable is not set."""
    max_batch_rows: int = 4096
    max_batch_delay: float = 0.0
    """Seconds."""
    queue: int = 1024
    """Requests, of each worker."""
    queue_bytes: int = 256 * 1024 * 1024
    access_log: str = LOG_ERRORS
    """`off`, `errors`, `on` (all but healthy pings) or `all`."""

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> ServingEnviron:
        """Read from `environ` (default: the process's own). ContractError names a variable that cannot be read."""
        env = os.environ if environ is None else environ
        max_mb = env.get(MAX_PAYLOAD_MB, "").strip()
        multi_model = is_true(env.get(MULTI_MODEL, ""))
        return cls(
            base_dir=env.get(BASE_DIR) or "/opt/ml",
            port=int(_number(env, (BIND_TO_PORT,), DEFAULT_PORT, 1, 65535)),
            # For each model of a multi-model container, where most models are idle and each worker costs memory.
            workers=int(_number(env, WORKERS, 1 if multi_model else visible_cpus(), 1, 1024)),
            timeout=_number(env, TIMEOUT, 60, 0.001, 86400),
            program=env.get(PROGRAM, ""),
            submit_directory=env.get(SUBMIT_DIRECTORY, ""),
            multi_model=multi_model,
            memory_limit=int(_number(env, (MEMORY_LIMIT_MB,), 0, 0, 1 << 30) * 1024 * 1024),
            default_accept=env.get(DEFAULT_ACCEPT, ""),
            max_body=int(_number(env, (MAX_PAYLOAD_MB,), 0, 0, 4096) * 1024 * 1024) if max_mb else None,
            load_after_fork=_load(env) == "worker",
            batch_strategy=env.get(BATCH_STRATEGY, ""),
            max_concurrent_transforms=int(_number(env, (MAX_CONCURRENT_TRANSFORMS,), 0, 0, 10000)),
            max_batch_rows=int(_number(env, (MAX_BATCH_ROWS,), 4096, 1, 1_000_000)),
            max_batch_delay=_number(env, (MAX_BATCH_DELAY_MS,), 0, 0, 10_000) / 1000,
            queue=int(_number(env, (QUEUE,), 1024, 1, 1_000_000)),
            queue_bytes=int(_number(env, (QUEUE_MB,), 256, 1, 1_000_000) * 1024 * 1024),
            access_log=_access_log(env),
        )

    @property
    def model_folder(self) -> str:
        """The folder that model_fn gets."""
        return self.model_dir or f"{self.base_dir.rstrip('/')}/model"


@dataclass(frozen=True)
class ModelEnviron:
    """What the environment tells about a saved model that is served as it is."""

    model: str = ""
    """Its file, where the folder holds several: a path, or a name in the folder."""
    output: str = PREDICT
    """`predict`: what the library's own predict returns; `all`: every output of the model."""
    no_pickle: bool = False
    trusted_types: tuple[str, ...] = ()
    score_folder: str = ""
    java_jar: str = ""
    license_key: str = ""

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> ModelEnviron:
        """Read from `environ` (default: the process's own). ContractError names a variable that cannot be read."""
        env = os.environ if environ is None else environ
        output = env.get(OUTPUT, "").strip().lower() or PREDICT
        if output not in (PREDICT, ALL):
            raise ContractError(
                f"{OUTPUT} is {output!r}",
                where="environment of the container",
                next_step=f"It can be {PREDICT} (what the library's own predict returns; the default) or {ALL} "
                "(every output of the model).",
            )
        return cls(
            model=env.get(MODEL, "").strip(),
            output=output,
            no_pickle=is_true(env.get(NO_PICKLE, "")),
            trusted_types=tuple(name.strip() for name in env.get(TRUSTED_TYPES, "").split(",") if name.strip()),
            score_folder=env.get(SCORE_FOLDER, "").strip(),
            java_jar=env.get(JAVA_JAR, "").strip(),
            license_key=env.get(LICENSE_KEY, "").strip(),
        )


@dataclass(frozen=True)
class TrainingEnviron:
    """What the environment tells a training container."""

    base_dir: str = "/opt/ml"
    job_name: str = ""
    job_arn: str = ""
    program: str = ""
    submit_directory: str = ""

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> TrainingEnviron:
        """Read from `environ` (default: the process's own)."""
        env = os.environ if environ is None else environ
        return cls(
            base_dir=env.get(BASE_DIR) or "/opt/ml",
            job_name=env.get(TRAINING_JOB_NAME, ""),
            job_arn=env.get(TRAINING_JOB_ARN, ""),
            program=env.get(PROGRAM, ""),
            submit_directory=env.get(SUBMIT_DIRECTORY, ""),
        )


def variable(name: str, default: str = "") -> str:
    """One variable of the process's own environment."""
    return os.environ.get(name, default)


def export(variables: Mapping[str, str]) -> None:
    """Add variables to the process's own environment, for code that runs in it and reads them there."""
    os.environ.update(variables)


def share_cpus(processes: int) -> None:
    """Tell numeric libraries to use no more threads than each of so many processes has CPUs, unless they were told.

    Their default is a thread for each CPU in every process. It must be said before the first of them is imported.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, visible_cpus() // processes)))


def is_true(text: str) -> bool:
    """`true`, `1`, `yes`, `on` in any case, as the platform's own containers read a switch."""
    return text.strip().lower() in ("true", "1", "yes", "on")


def _load(env: Mapping[str, str]) -> str:
    """Where the model is loaded: `master` or `worker`."""
    text = env.get(LOAD, "").strip().lower() or "master"
    if text in ("master", "worker"):
        return text
    raise ContractError(
        f"{LOAD} is {text!r}",
        where="environment of the container",
        next_step="It can be master (once, before the workers are forked; the default) or worker (in each of them).",
    )


def _access_log(env: Mapping[str, str]) -> str:
    """Which requests are logged; a plain switch is read as `on` or `off`."""
    text = env.get(ACCESS_LOG, "").strip().lower() or LOG_ERRORS
    if text in ("false", "0", "no"):
        return LOG_OFF
    if is_true(text):
        return LOG_ON
    if text in (LOG_OFF, LOG_ERRORS, LOG_ALL):
        return text
    raise ContractError(
        f"{ACCESS_LOG} is {text!r}",
        where="environment of the container",
        next_step="It can be off, errors (answers from 400 on; the default), on (all but /ping) or all.",
    )


def visible_cpus() -> int:
    """The number of CPUs this process may use; a container's cpuset counts, the host's total does not."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def _number(env: Mapping[str, str], names: tuple[str, ...], default: float, low: float, high: float) -> float:
    """The first of the variables that is set and not empty, as a number between low and high."""
    for name in names:
        text = env.get(name, "").strip()
        if not text:
            continue
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if low <= value <= high:
            return value
        raise ContractError(
            f"{name} is {text!r}, which is no number from {low:g} to {high:g}",
            where="environment of the container",
            next_step=f"Set {name} to such a number, or leave it out for the default of {default:g}.",
        )
    return default
