"""Every knob of the tool, once: type, default, environment name, help.

Command-line flags, environment names and the reference page are made from this table. Precedence: flag, then
environment, then `[settings]` of seaproof.toml, then the default. What a container is told is not here but in
`contract.environ`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from seaproof.contract.environ import is_true
from seaproof.contract.limits import PROFILES, Profile
from seaproof.errors import ProjectError


def _knob(default: Any, environ: str, help: str, choices: tuple[str, ...] = (), highest: float | None = None) -> Any:
    return field(default=default, metadata={"environ": environ, "help": help, "choices": choices, "highest": highest})


@dataclass(frozen=True)
class Settings:
    """The knobs with their values; `load` fills them in."""

    state: str = _knob(".seaproof", "SEAPROOF_STATE", "folder of the state: records, buckets, logs, workloads")
    driver: str = _knob(
        "auto",
        "SEAPROOF_DRIVER",
        "where containers run; auto takes docker where an engine answers, else process",
        ("auto", "docker", "process", "fake"),
    )
    host: str = _knob("127.0.0.1", "SEAPROOF_HOST", "address that the local server listens on")
    access_keys: str = _knob(
        "",
        "SEAPROOF_ACCESS_KEYS",
        "ID:SECRET,... that requests must be signed with; empty asks nobody on loopback, and makes a pair for --host",
    )
    port: int = _knob(9001, "SEAPROOF_PORT", "port of the local server; 0 takes a free one", highest=65535)
    s3: str = _knob(
        "", "SEAPROOF_S3", "another S3 for all objects: `aws`, or the address of one; empty keeps files in the state"
    )
    instant: bool = _knob(
        False, "SEAPROOF_INSTANT", "run no container: jobs complete at once, endpoints answer with what they are sent"
    )
    ephemeral: bool = _knob(
        False, "SEAPROOF_EPHEMERAL", "start the local server with an empty state, and remove it at the end"
    )
    region: str = _knob("us-east-1", "SEAPROOF_REGION", "region in ARNs")
    account: str = _knob("000000000000", "SEAPROOF_ACCOUNT", "account id in ARNs, 12 digits")
    registry: str = _knob(
        "127.0.0.1:5000", "SEAPROOF_REGISTRY", "image registry that the local server's ECR points at, host:port"
    )
    limits: str = _knob("25MB", "SEAPROOF_LIMITS", "limits of real-time hosting to hold requests to", tuple(PROFILES))
    startup_timeout: float = _knob(480.0, "SEAPROOF_STARTUP_TIMEOUT", "seconds until /ping must answer 200")
    ping_interval: float = _knob(5.0, "SEAPROOF_PING_INTERVAL", "seconds between health checks of an endpoint")
    ping_failures: int = _knob(
        3, "SEAPROOF_PING_FAILURES", "failed health checks in a row until a container is replaced"
    )
    invocation_timeout: float = _knob(60.0, "SEAPROOF_INVOCATION_TIMEOUT", "seconds a container may take for one reply")
    stream_timeout: float = _knob(
        480.0,
        "SEAPROOF_STREAM_TIMEOUT",
        "seconds a container may take for a reply that is streamed, from first to last",
    )
    async_webhook: str = _knob(
        "", "SEAPROOF_ASYNC_WEBHOOK", "URL that is told, as SNS would, when an asynchronous invocation has ended"
    )
    stop_job_grace: float = _knob(120.0, "SEAPROOF_STOP_JOB_GRACE", "seconds from SIGTERM to SIGKILL for jobs")
    stop_endpoint_grace: float = _knob(
        30.0, "SEAPROOF_STOP_ENDPOINT_GRACE", "seconds from SIGTERM to SIGKILL for endpoints"
    )
    memory: int = _knob(0, "SEAPROOF_MEMORY", "memory limit of each container in MiB; 0 for none")
    models_disk: int = _knob(
        30_720, "SEAPROOF_MODELS_DISK", "disk that the models of a multi-model instance may take in MiB; 0 for no bound"
    )
    model_patience: float = _knob(
        60.0,
        "SEAPROOF_MODEL_PATIENCE",
        "seconds until a caller whose model is still loading gets ModelNotReadyException",
    )
    model_load_timeout: float = _knob(360.0, "SEAPROOF_MODEL_LOAD_TIMEOUT", "seconds that the load of a model may take")
    keep_unfinished: float = _knob(
        7.0, "SEAPROOF_KEEP_UNFINISHED", "days that the unfinished output of a transform job is kept for --resume"
    )
    ray_address: str = _knob(
        "", "SEAPROOF_RAY_ADDRESS", "Ray cluster of transform jobs with the engine ray; empty: one on this machine"
    )
    model_trace: bool = _knob(
        False, "SEAPROOF_MODEL_TRACE", "record every TargetModel in .seaproof/traces/<endpoint>.csv"
    )

    @property
    def profile(self) -> Profile:
        """The limits of the chosen profile."""
        return PROFILES[self.limits]

    @classmethod
    def load(
        cls,
        flags: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        file: Mapping[str, Any] | None = None,
    ) -> Settings:
        """Put the four sources together; ProjectError names a value that cannot be used and where it stands.

        `flags` hold None for what was not given; `file` is the `[settings]` table of seaproof.toml.
        """
        env = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        known = {f.name: f for f in fields(cls)}
        for name in file or {}:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                raise ProjectError(
                    f"there is no setting {name!r}",
                    where="seaproof.toml, [settings]",
                    next_step=(f"Did you mean {near[0]}? " if near else "")
                    + f"Settings are: {', '.join(sorted(known))}.",
                )
        for name, knob in known.items():
            variable = knob.metadata["environ"]
            for source, value in (
                (f"--{name.replace('_', '-')}", (flags or {}).get(name)),
                (f"environment, {variable}", env.get(variable) or None),
                ("seaproof.toml, [settings]", (file or {}).get(name)),
            ):
                if value is not None:
                    values[name] = _convert(name, value, knob, source)
                    break
        return cls(**values)


def state_folder(settings: Settings, project_root: Path) -> Path:
    """The absolute folder of the state; a relative setting counts from the project's folder."""
    return (project_root / settings.state).absolute()


def variable(name: str, default: str = "") -> str:
    """One variable of the tool's own environment, for what is no knob (HOME, CI, COLUMNS)."""
    return os.environ.get(name, default)


def inherited_environ() -> dict[str, str]:
    """A copy of the tool's own environment, for processes that it starts."""
    return dict(os.environ)


def _convert(name: str, value: Any, knob: Field[Any], source: str) -> Any:
    kind: type[Any] = type(knob.default)
    choices, highest = knob.metadata["choices"], knob.metadata["highest"]
    try:
        converted: Any = is_true(str(value)) if kind is bool else kind(value)
    except (TypeError, ValueError):
        raise ProjectError(
            f"{name} is {value!r}, which is no {'whole number' if kind is int else 'number'}", where=source
        ) from None
    if choices and converted not in choices:
        raise ProjectError(f"{name} is {value!r}", where=source, next_step=f"It can be one of: {', '.join(choices)}.")
    if isinstance(converted, (int, float)) and not isinstance(converted, bool) and converted < 0:
        raise ProjectError(f"{name} is {value!r}, below zero", where=source)
    if highest is not None and converted > highest:
        raise ProjectError(f"{name} is {value!r}, over {highest:g}", where=source)
    return converted
