"""The endpoint in a plan: its configuration, itself, and how it grows."""

from __future__ import annotations

from typing import Any

from seaproof.ship import validity
from seaproof.ship.draft import Draft, name_of
from seaproof.ship.plan import Call, Step
from seaproof.ship.shipment import EndpointShape, laid_over

VARIANT = "AllTraffic"
SCALING = "application-autoscaling"
COUNT = "sagemaker:variant:DesiredInstanceCount"
POLICY = "seaproof"
"""Name of our scaling policies; others of an endpoint are not touched."""


def add(draft: Draft, model: str) -> None:
    """Add the configuration and the endpoint that serve this model."""
    request = config_request(draft, model)
    validity.hold(draft, "CreateEndpointConfig", {"EndpointConfigName": "any", **request})
    config = name_of(draft.base_name, request)
    endpoint = name(draft)
    draft.names.update({"endpoint config": config, "endpoint": endpoint})
    if draft.find("sagemaker", "DescribeEndpointConfig", EndpointConfigName=config):
        draft.kept.append(f"endpoint config {config}")
    else:
        call = Call(
            "sagemaker", "CreateEndpointConfig", {"EndpointConfigName": config, **request, "Tags": draft.tag_list()}
        )
        undo = Call("sagemaker", "DeleteEndpointConfig", {"EndpointConfigName": config})
        draft.steps.append(Step(f"create endpoint config {config}", call, undo))
    _add_endpoint(draft, endpoint, config, request["ProductionVariants"])
    _add_scaling(draft, endpoint, [variant["VariantName"] for variant in request["ProductionVariants"]])


def name(draft: Draft) -> str:
    """What the endpoint is called: as the stage says, else as the project says, else as the project."""
    return draft.shipment.endpoint.name or draft.project.endpoint.name or draft.project.name


def _add_endpoint(draft: Draft, endpoint: str, config: str, variants: list[dict[str, Any]]) -> None:
    """Create it, update it, or wait for what is being done to it."""
    found = draft.find("sagemaker", "DescribeEndpoint", EndpointName=endpoint)
    status = str(found["EndpointStatus"]) if found else ""
    delete = Call("sagemaker", "DeleteEndpoint", {"EndpointName": endpoint})
    if status in ("Failed", "OutOfService"):
        draft.steps.append(Step(f"remove endpoint {endpoint}, which is {status}", delete, waits_for="endpoint to go"))
        status = ""
    if not status:
        request = {"EndpointName": endpoint, "EndpointConfigName": config, "Tags": draft.tag_list()}
        call = Call("sagemaker", "CreateEndpoint", request)
        draft.steps.append(Step(f"create endpoint {endpoint}", call, delete, waits_for="endpoint"))
        return
    assert found is not None
    if found["EndpointConfigName"] == config:
        if status == "InService":
            draft.kept.append(f"endpoint {endpoint}, in service")
        else:
            look = Call("sagemaker", "DescribeEndpoint", {"EndpointName": endpoint})
            draft.steps.append(Step(f"wait for endpoint {endpoint}, which is {status}", look, waits_for="endpoint"))
        return
    request = {"EndpointName": endpoint, "EndpointConfigName": config, **deployment(draft.shipment.endpoint)}
    call = Call("sagemaker", "UpdateEndpoint", {**request, **_retained(draft, found, variants)})
    undo = Call(
        "sagemaker", "UpdateEndpoint", {"EndpointName": endpoint, "EndpointConfigName": found["EndpointConfigName"]}
    )
    draft.steps.append(Step(f"update endpoint {endpoint}", call, undo, waits_for="endpoint"))


def _retained(draft: Draft, found: dict[str, Any], variants: list[dict[str, Any]]) -> dict[str, Any]:
    """What an update keeps: weights that were promoted and instances that were scaled since the last one.

    Only where the file says of them what it said then; a value that was changed in the file holds.
    """
    said = draft.find("sagemaker", "DescribeEndpointConfig", EndpointConfigName=found["EndpointConfigName"]) or {}
    before = {str(variant["VariantName"]): variant for variant in said.get("ProductionVariants", [])}
    now = {str(variant["VariantName"]): variant for variant in found.get("ProductionVariants", [])}
    shared = [variant for variant in variants if variant["VariantName"] in before and variant["VariantName"] in now]
    changed, kept = [], False
    for member, live in (("InitialInstanceCount", "DesiredInstanceCount"), ("InitialVariantWeight", "DesiredWeight")):
        pairs = [(each.get(member), before[each["VariantName"]].get(member)) for each in shared]
        if any(new != old for new, old in pairs):
            changed.append(live)
        else:
            kept = kept or any(
                now[each["VariantName"]].get(live, each.get(member)) != each.get(member) for each in shared
            )
    if not kept:
        return {}
    others = [{"VariantPropertyType": name} for name in (*changed, "DataCaptureConfig")]
    return {"RetainAllVariantProperties": True, "ExcludeRetainedVariantProperties": others}


def config_request(draft: Draft, model: str) -> dict[str, Any]:
    """CreateEndpointConfig without its name."""
    shape, place = draft.shipment.endpoint, draft.place
    variants = [_variant(draft, model, given) for given in shape.variants or ({},)]
    request: dict[str, Any] = {"ProductionVariants": variants}
    if shape.asynchronous:
        output: dict[str, Any] = {"S3OutputPath": shape.asynchronous.get("output", f"{place.root}/async")}
        topics = {"SuccessTopic": "success_topic", "ErrorTopic": "error_topic"}
        told = {name: shape.asynchronous[key] for name, key in topics.items() if key in shape.asynchronous}
        if told:
            output["NotificationConfig"] = told
        request["AsyncInferenceConfig"] = {"OutputConfig": output}
        if "concurrency" in shape.asynchronous:
            most = {"MaxConcurrentInvocationsPerInstance": shape.asynchronous["concurrency"]}
            request["AsyncInferenceConfig"]["ClientConfig"] = most
    if shape.capture:
        request["DataCaptureConfig"] = {
            "EnableCapture": True,
            "InitialSamplingPercentage": shape.capture.get("percentage", 100),
            "DestinationS3Uri": shape.capture.get("destination", f"{place.root}/captured"),
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        }
    return laid_over(request, shape.request)


def _variant(draft: Draft, model: str, given: Any) -> dict[str, Any]:
    shape, project = draft.shipment.endpoint, draft.project.endpoint
    variant: dict[str, Any] = {"VariantName": VARIANT, "ModelName": model}
    if shape.serverless and "InstanceType" not in given:
        serverless = {
            "MemorySizeInMB": shape.serverless.get("memory", 2048),
            "MaxConcurrency": shape.serverless.get("concurrency", 5),
        }
        if "provisioned" in shape.serverless:
            serverless["ProvisionedConcurrency"] = shape.serverless["provisioned"]
        variant["ServerlessConfig"] = serverless
    else:
        variant["InstanceType"] = shape.instance_type or project.instance_type
        variant["InitialInstanceCount"] = shape.instance_count or project.instance_count
    variant["InitialVariantWeight"] = 1.0
    return {**variant, **given}


def deployment(shape: EndpointShape) -> dict[str, Any]:
    """DeploymentConfig of an update: blue/green, all at once, by a canary or in equal steps."""
    given = shape.deployment
    if not given:
        return {}
    strategy = str(given.get("strategy", "all-at-once"))
    size = {"Type": "CAPACITY_PERCENT", "Value": given.get("percent", 10)}
    wait = given.get("wait", 300)
    routing: dict[str, Any] = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": wait}
    if strategy == "canary":
        routing = {"Type": "CANARY", "CanarySize": size, "WaitIntervalInSeconds": wait}
    elif strategy == "linear":
        routing = {"Type": "LINEAR", "LinearStepSize": size, "WaitIntervalInSeconds": wait}
    policy: dict[str, Any] = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": wait}
    if "max_seconds" in given:
        policy["MaximumExecutionTimeoutInSeconds"] = given["max_seconds"]
    config: dict[str, Any] = {"BlueGreenUpdatePolicy": policy}
    if given.get("alarms"):
        config["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": alarm} for alarm in given["alarms"]]}
    return {"DeploymentConfig": config}


def _add_scaling(draft: Draft, endpoint: str, variants: list[str]) -> None:
    given = draft.shipment.endpoint.autoscaling
    if not given:
        _stop_scaling(draft, endpoint, variants)
        return
    if draft.target.is_local:
        draft.left_out.append("autoscaling: the local server has none")
        return
    for variant in variants:
        resource, named = _scalable(endpoint, variant)
        bounds = {"MinCapacity": given.get("min", 1), "MaxCapacity": given.get("max", 2)}
        _set_bounds(draft, resource, named, bounds)
        _set_policy(draft, resource, named, _scaling_policy(given))


def _scalable(endpoint: str, variant: str) -> tuple[str, dict[str, Any]]:
    """What is scaled: its id, and how requests name it."""
    resource = f"endpoint/{endpoint}/variant/{variant}"
    return resource, {"ServiceNamespace": "sagemaker", "ResourceId": resource, "ScalableDimension": COUNT}


def _stop_scaling(draft: Draft, endpoint: str, variants: list[str]) -> None:
    """Where the file no longer asks for it: what was registered by us, as its policy's name says, goes."""
    if draft.target.is_local or draft.find("sagemaker", "DescribeEndpoint", EndpointName=endpoint) is None:
        return
    for variant in variants:
        resource, named = _scalable(endpoint, variant)
        found = draft.find(SCALING, "DescribeScalingPolicies", **named, PolicyNames=[POLICY]) or {}
        if found.get("ScalingPolicies"):
            policy = Call(SCALING, "DeleteScalingPolicy", {"PolicyName": POLICY, **named})
            draft.steps.append(Step(f"remove the scaling policy of {resource}", policy))
            draft.steps.append(Step(f"scale {resource} no longer", Call(SCALING, "DeregisterScalableTarget", named)))


def _set_bounds(draft: Draft, resource: str, named: dict[str, Any], bounds: dict[str, Any]) -> None:
    look = {"ServiceNamespace": "sagemaker", "ResourceIds": [resource], "ScalableDimension": COUNT}
    there = (draft.find(SCALING, "DescribeScalableTargets", **look) or {}).get("ScalableTargets", [])
    if there and all(there[0][key] == value for key, value in bounds.items()):
        draft.kept.append(f"scaling of {resource}")
        return
    undo = None if there else Call(SCALING, "DeregisterScalableTarget", named)
    register = Call(SCALING, "RegisterScalableTarget", {**named, **bounds})
    lowest, highest = bounds.values()
    draft.steps.append(Step(f"scale {resource} from {lowest} to {highest} instances", register, undo))


def _set_policy(draft: Draft, resource: str, named: dict[str, Any], wanted: dict[str, Any]) -> None:
    look = {**named, "PolicyNames": [POLICY]}
    there = (draft.find(SCALING, "DescribeScalingPolicies", **look) or {}).get("ScalingPolicies", [])
    if there and there[0]["TargetTrackingScalingPolicyConfiguration"] == wanted:
        draft.kept.append(f"scaling policy of {resource}")
        return
    request = {"PolicyName": POLICY, **named, "PolicyType": "TargetTrackingScaling"}
    request["TargetTrackingScalingPolicyConfiguration"] = wanted
    undo = None if there else Call(SCALING, "DeleteScalingPolicy", {"PolicyName": POLICY, **named})
    title = f"aim at {wanted['TargetValue']:g} invocations a minute for each instance of {resource}"
    draft.steps.append(Step(title, Call(SCALING, "PutScalingPolicy", request), undo))


def _scaling_policy(given: Any) -> dict[str, Any]:
    return {
        "TargetValue": float(given.get("invocations", 100)),
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
        "ScaleInCooldown": given.get("cooldown_in", 300),
        "ScaleOutCooldown": given.get("cooldown_out", 60),
    }
