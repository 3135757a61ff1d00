"""A plan: an endpoint configuration and its models, resolved into what to run, so that nothing is left to look up.

It is kept in the endpoint's record. A container that dies a week later is replaced from it, whatever has become of
the model and the configuration meanwhile.

    {"version": "3f2a...", "config": name, "variants": [{"name", "weight", "count", "model", "resolved",
     "isolated", "startup", "download", "mode", "containers": [{"name", "image", "environment", "hostname",
     "model_data", "multi_model"}]}]}

A shadow variant is one of them with `"shadow": true`. Where there are such, `capture` is the DataCaptureConfig, and
`async` the AsyncInferenceConfig with `PerInstance`, the invocations that each instance gets at once.

`mode` is Serial or Direct: through all containers, or to the one that a request names.

`model_data` is {} where there is none, else {"uri", "compressed"}: an archive to unpack, or a prefix or object to
copy. `multi_model` is there for a multi-model container alone: {"uri", "stay"}, the prefix of its models and whether
they stay loaded. Times are in seconds.
"""

from __future__ import annotations

import copy
import secrets
import time
from typing import Any

from seaproof.contract.limits import SERVERLESS
from seaproof.control.async_invocations import PER_INSTANCE
from seaproof.control.fleet import Plan, Seat
from seaproof.control.plane import Plane
from seaproof.control.store import Body, Record
from seaproof.errors import ServiceError

_NOT_SUPPORTED_CONFIG = ("ExplainerConfig",)
_NOT_SUPPORTED_VARIANT = ("ManagedInstanceScaling", "InstancePools")


def resolve(plane: Plane, config_name: str) -> Plan:
    """The plan for an endpoint configuration. ValidationException where it, or a model it names, is missing or asks
    for what cannot be run here."""
    config = plane.store.get("endpoint-config", config_name)
    if config is None:
        arn = plane.arn("endpoint-config", config_name)
        raise ServiceError("ValidationException", f'Could not find endpoint configuration "{arn}".')
    for field in _NOT_SUPPORTED_CONFIG:
        if config.body.get(field):
            raise _not_supported(f"{field} of endpoint configuration {config_name}")
    variants = [variant(plane, given) for given in config.body["ProductionVariants"]]
    shadows = config.body.get("ShadowProductionVariants") or []
    variants += [{**variant(plane, given), "shadow": True} for given in shadows]
    plan: Plan = {"version": secrets.token_hex(4), "config": config.name, "variants": variants}
    if config.body.get("DataCaptureConfig"):
        plan["capture"] = config.body["DataCaptureConfig"]
    if config.body.get("AsyncInferenceConfig"):
        given = config.body["AsyncInferenceConfig"]
        at_once = (given.get("ClientConfig") or {}).get("MaxConcurrentInvocationsPerInstance", PER_INSTANCE)
        plan["async"] = {**given, "PerInstance": at_once}
    return plan


def seats_of(endpoint: str, plan: Plan, variant: Plan, count: int) -> list[Seat]:
    """So many new seats for one variant of a plan."""
    return [Seat(endpoint, variant, plan["version"]) for _ in range(count)]


def with_changes(plan: Plan, changes: list[Body]) -> Plan:
    """A copy of the plan with the weights and counts of UpdateEndpointWeightsAndCapacities; the version stays."""
    changed = copy.deepcopy(plan)
    by_name = {variant["name"]: variant for variant in changed["variants"]}
    for change in changes:
        variant = by_name[change["VariantName"]]
        variant["weight"] = float(change.get("DesiredWeight", variant["weight"]))
        variant["count"] = int(change.get("DesiredInstanceCount", variant["count"]))
        if change.get("ServerlessUpdateConfig"):
            variant["serverless"] |= change["ServerlessUpdateConfig"]
    return changed


def retaining(plan: Plan, old: Plan, properties: set[str]) -> Plan:
    """A copy of a new plan that keeps what is named of the old one: weights and counts where a variant's name is the
    same, and the data capture."""
    kept = copy.deepcopy(plan)
    by_name = {variant["name"]: variant for variant in old["variants"]}
    for variant in kept["variants"]:
        before = by_name.get(variant["name"])
        if before and "DesiredWeight" in properties:
            variant["weight"] = before["weight"]
        if before and "DesiredInstanceCount" in properties:
            variant["count"] = before["count"]
    if "DataCaptureConfig" in properties:
        kept.pop("capture", None)
        if "capture" in old:
            kept["capture"] = copy.deepcopy(old["capture"])
    return kept


def variant(plane: Plane, given: Body) -> Plan:
    """What an instance of a production variant runs. ValidationException where its model is missing or cannot run."""
    name = given["VariantName"]
    for field in _NOT_SUPPORTED_VARIANT:
        if given.get(field):
            raise _not_supported(f"{field} of production variant {name}")
    if not given.get("ModelName"):
        raise _not_supported(f"Production variant {name} without ModelName (inference components)")
    model = plane.store.get("model", given["ModelName"])
    if model is None:
        raise ServiceError("ValidationException", f'Could not find model "{plane.arn("model", given["ModelName"])}".')
    settings, serverless = plane.settings, given.get("ServerlessConfig")
    plan: Plan = {
        "name": name,
        "weight": float(given.get("InitialVariantWeight", 1.0)),
        "count": int(given.get("InitialInstanceCount", 1)),
        "model": model.name,
        "resolved": time.time(),
        "isolated": bool(model.body.get("EnableNetworkIsolation", False)),
        "startup": float(given.get("ContainerStartupHealthCheckTimeoutInSeconds", settings.startup_timeout)),
        "download": float(given.get("ModelDataDownloadTimeoutInSeconds", settings.profile.download.value)),
        "mode": (model.body.get("InferenceExecutionConfig") or {}).get("Mode", "Serial"),
        "containers": _containers(model),
    }
    if serverless:
        _check_serverless(plan)
        # Source: developer guide, serverless: one time for download and ping together.
        longest = float(SERVERLESS.startup.value)
        plan |= {"serverless": serverless, "count": 1, "download": longest, "startup": min(plan["startup"], longest)}
    return plan


def _check_serverless(plan: Plan) -> None:
    """What a model of a serverless variant cannot have. Source: developer guide, "Feature exclusions"."""
    containers = plan["containers"]
    for unsupported, what in (
        (len(containers) > 1, "several containers"),
        (any(container.get("multi_model") for container in containers), "Mode MultiModel"),
        (plan["isolated"], "EnableNetworkIsolation"),
    ):
        if unsupported:
            raise ServiceError(
                "ValidationException",
                f"Production variant {plan['name']} is serverless, and its model {plan['model']} has {what}, which"
                " serverless endpoints do not support.",
            )


def _containers(model: Record) -> list[Plan]:
    given = model.body.get("Containers") or [model.body["PrimaryContainer"]]
    if len(given) == 1:
        return [_container(model.name, given[0], "primary")]
    names = [container.get("ContainerHostname") or f"container-{n}" for n, container in enumerate(given, 1)]
    return [_container(model.name, container, name) for container, name in zip(given, names, strict=True)]


def _container(model: str, given: Body, name: str) -> Plan:
    if given.get("AdditionalModelDataSources"):
        raise _not_supported(f"AdditionalModelDataSources of model {model}")
    if not given.get("Image"):
        raise _not_supported(f"A container without Image (model {model})")
    if given.get("Mode") == "MultiModel":
        data: Plan = {"model_data": {}, "multi_model": _multi_model(model, given)}
    else:
        data = {"model_data": _model_data(given)}
    return {
        "name": name,
        "image": given["Image"],
        "environment": dict(given.get("Environment") or {}),
        "hostname": given.get("ContainerHostname"),
        **data,
    }


def _multi_model(model: str, given: Body) -> dict[str, Any]:
    if not given.get("ModelDataUrl"):
        raise ServiceError(
            "ValidationException",
            f"A container of model {model} has Mode MultiModel and no ModelDataUrl, the prefix of its models.",
        )
    setting = (given.get("MultiModelConfig") or {}).get("ModelCacheSetting", "Enabled")
    return {"uri": given["ModelDataUrl"], "stay": setting != "Disabled"}


def _model_data(given: Body) -> dict[str, Any]:
    source = (given.get("ModelDataSource") or {}).get("S3DataSource")
    if source:
        return {"uri": source["S3Uri"], "compressed": source.get("CompressionType", "None") == "Gzip"}
    if given.get("ModelDataUrl"):
        return {"uri": given["ModelDataUrl"], "compressed": True}
    return {}


def _not_supported(what: str) -> ServiceError:
    return ServiceError("ValidationException", f"{what} is not supported by seaproof yet.")
