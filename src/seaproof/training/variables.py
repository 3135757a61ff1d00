"""The SM_ variables and command-line arguments that scripts for the SageMaker training toolkit read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seaproof.contract.environ import TrainingEnviron, visible_cpus
from seaproof.contract.opt_ml import OptMl, read_json
from seaproof.training.job import Job
from seaproof.training.program import Program

FRAMEWORK_PREFIX = "sagemaker_"


def own_hyperparameters(job: Job) -> dict[str, Any]:
    """The author's hyperparameters, without those that the SDK sends for itself."""
    return {name: value for name, value in job.hyperparameters.items() if not name.startswith(FRAMEWORK_PREFIX)}


def arguments(hyperparameters: Mapping[str, Any]) -> list[str]:
    """`--name value` for each, sorted by name; one hyphen for a name of one letter."""
    words = []
    for name, value in sorted(hyperparameters.items()):
        words.append(f"--{name}" if len(name) > 1 else f"-{name}")
        if isinstance(value, dict):
            words.append(",".join(f"{key}={given}" for key, given in sorted(value.items())))
        else:
            words.append("" if value is None else str(value))
    return words


def variables(job: Job, program: Program, environ: TrainingEnviron) -> dict[str, str]:
    """All of them by name; what is no text is JSON."""
    own = own_hyperparameters(job)
    given = _given(job, program, environ, own)
    described = {name.lower(): value for name, value in given.items()}
    described["channel_input_dirs"] = {name: str(job.channel(name)) for name in job.channels}
    described["is_master"] = job.is_leader
    described["master_hostname"] = job.hosts[0]
    described["job_name"] = job.name
    described["hyperparameters"] = own
    described["additional_framework_parameters"] = described.pop("framework_params")
    every: dict[str, Any] = {**given, "TRAINING_ENV": described}
    every.update({f"CHANNEL_{name.upper()}": str(job.channel(name)) for name in job.channels})
    every.update({f"HP_{name.upper()}": value for name, value in own.items()})
    result = {f"SM_{name}": _text(value) for name, value in every.items()}
    result["CURRENT_HOST"] = job.current_host
    result["SAGEMAKER_JOB_NAME"] = str(job.hyperparameters.get("sagemaker_job_name") or job.name)
    result["PYTHONUNBUFFERED"] = "1"
    return result


def _given(job: Job, program: Program, environ: TrainingEnviron, own: Mapping[str, Any]) -> dict[str, Any]:
    tree = OptMl(job.root)
    resources = read_json(tree.resource_config)
    groups = resources.get("instance_groups", [])
    group = job.cluster.group
    return {
        "MODEL_DIR": str(job.model_dir),
        "OUTPUT_DATA_DIR": str(job.output_data_dir),
        "OUTPUT_DIR": str(tree.failure.parent),
        "OUTPUT_INTERMEDIATE_DIR": str(tree.failure.parent / "intermediate"),
        "INPUT_DIR": str(tree.data.parent),
        "INPUT_CONFIG_DIR": str(tree.config),
        "CHANNELS": sorted(job.channels),
        "HPS": own,
        "FRAMEWORK_PARAMS": {n: v for n, v in job.hyperparameters.items() if n.startswith(FRAMEWORK_PREFIX)},
        "FRAMEWORK_MODULE": "",
        "USER_ARGS": arguments(own),
        "USER_ENTRY_POINT": program.path.name,
        "MODULE_NAME": program.path.stem,
        "MODULE_DIR": str(program.folder),
        "HOSTS": list(job.hosts),
        "CURRENT_HOST": job.current_host,
        "CURRENT_INSTANCE_TYPE": job.cluster.instance_type,
        "CURRENT_INSTANCE_GROUP": group,
        "CURRENT_INSTANCE_GROUP_HOSTS": _hosts_of(groups, group, job),
        "INSTANCE_GROUPS": [entry["instance_group_name"] for entry in groups],
        "INSTANCE_GROUPS_DICT": {entry["instance_group_name"]: entry for entry in groups},
        "DISTRIBUTION_INSTANCE_GROUPS": [],
        "IS_HETERO": len(groups) > 1,
        "NETWORK_INTERFACE_NAME": job.cluster.network_interface,
        "NUM_CPUS": visible_cpus(),
        "NUM_GPUS": _count_devices("nvidia"),
        "NUM_NEURONS": _count_devices("neuron"),
        "LOG_LEVEL": 20,
        "RESOURCE_CONFIG": resources,
        "INPUT_DATA_CONFIG": read_json(tree.input_data_config),
    }


def _hosts_of(groups: list[dict[str, Any]], name: str, job: Job) -> list[str]:
    for entry in groups:
        if entry["instance_group_name"] == name:
            return list(entry["hosts"])
    return list(job.hosts)


def _count_devices(kind: str) -> int:
    """How many devices like /dev/nvidia0 there are."""
    return sum(1 for device in Path("/dev").glob(f"{kind}[0-9]*") if device.name[len(kind) :].isdigit())


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, sort_keys=True, separators=(",", ":"))
