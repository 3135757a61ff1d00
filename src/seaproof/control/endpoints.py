"""The operations on endpoints: they check, write the record and answer at once; `endpoint_life` does the rest."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from seaproof.control import endpoint_life as life
from seaproof.control import fields, listing, shadows
from seaproof.control.containers import KIND
from seaproof.control.endpoint_description import IN_PROGRESS, description
from seaproof.control.fleet import Plan
from seaproof.control.plane import Plane
from seaproof.control.plans import resolve, retaining, with_changes
from seaproof.control.store import Body, Record
from seaproof.errors import ServiceError

_RETAINABLE = ("DesiredInstanceCount", "DesiredWeight", "DataCaptureConfig")


def create_endpoint(plane: Plane, request: Body) -> Body:
    """CreateEndpoint: refused where the name is taken, or the configuration cannot be run."""
    ignored = fields.check(
        "create_endpoint", request, ("EndpointName", "EndpointConfigName", "Tags"), ("DeploymentConfig",)
    )
    name = request["EndpointName"]
    arn = plane.arn(KIND, name)
    if plane.store.get(KIND, name):
        raise _taken(arn)
    plan = resolve(plane, request["EndpointConfigName"])
    body: Body = {
        "EndpointName": name,
        "EndpointArn": arn,
        "EndpointConfigName": plan["config"],
        "_plan": plan,
        "_since": time.time(),
    }
    if request.get("DeploymentConfig"):
        body["LastDeploymentConfig"] = request["DeploymentConfig"]
    with plane.store.transaction():
        if plane.store.insert(KIND, name, arn, "Creating", body) is None:
            raise _taken(arn)
        plane.store.set_tags(arn, {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])})
        plane.store.add_event(KIND, name, "status", "-> Creating.", status="Creating")
        fields.note(plane.store, KIND, name, ignored)
    shadows.forget(plane, name)
    life.create(plane, name)
    return {"EndpointArn": arn}


def describe_endpoint(plane: Plane, request: Body) -> Body:
    """DescribeEndpoint: the record, and what runs at this moment."""
    return description(plane, _find(plane, request["EndpointName"]))


def list_endpoints(plane: Plane, request: Body) -> Body:
    """ListEndpoints: one page, newest first."""
    fields.check("list_endpoints", request, listing.FIELDS)
    return listing.page(plane.store.records(KIND), request, _summary, "Endpoints")


def delete_endpoint(plane: Plane, request: Body) -> Body:
    """DeleteEndpoint: it takes no more requests from now on, finishes those under way, and goes."""
    name = request["EndpointName"]
    with plane.store.transaction():
        _settled(plane, name)
        life.transition(plane, name, "Deleting", _clear_reason)
    plane.fleets.of(name).withdraw()
    life.delete(plane, name)
    return {}


def update_endpoint(plane: Plane, request: Body) -> Body:
    """UpdateEndpoint: another configuration; the old one serves until the new one does, and goes on if it fails."""
    implemented = (
        "EndpointName",
        "EndpointConfigName",
        "RetainAllVariantProperties",
        "ExcludeRetainedVariantProperties",
        "RetainDeploymentConfig",
    )
    ignored = fields.check("update_endpoint", request, implemented, ("DeploymentConfig",))
    name = request["EndpointName"]
    record = _serving(plane, name)
    plan = resolve(plane, request["EndpointConfigName"])
    with plane.store.transaction():
        record = _serving(plane, name)
        if request.get("RetainAllVariantProperties"):
            excluded = {entry["VariantPropertyType"] for entry in request.get("ExcludeRetainedVariantProperties", [])}
            plan = retaining(plan, record.body["_plan"], set(_RETAINABLE) - excluded)
        deployment = request.get("DeploymentConfig")
        if deployment is None and request.get("RetainDeploymentConfig"):
            deployment = record.body.get("LastDeploymentConfig")
        life.transition(plane, name, "Updating", partial(_begin, plan=plan, deployment=deployment))
        fields.note(plane.store, KIND, name, ignored)
    life.change(plane, name)
    return {"EndpointArn": record.arn}


def update_endpoint_weights_and_capacities(plane: Plane, request: Body) -> Body:
    """UpdateEndpointWeightsAndCapacities: weights hold at once, instances are started or stopped behind it."""
    entry = "DesiredWeightsAndCapacities"
    members = "{VariantName,DesiredWeight,DesiredInstanceCount,ServerlessUpdateConfig}"
    fields.check("update_endpoint_weights_and_capacities", request, ("EndpointName", f"{entry}.{members}"))
    name, changes = request["EndpointName"], request[entry]
    with plane.store.transaction():
        record = _serving(plane, name)
        plan = record.body["_plan"]
        _check_changes(record, changes)
        weights = [{key: value for key, value in change.items() if key != "DesiredInstanceCount"} for change in changes]
        weighted, following = with_changes(plan, weights), with_changes(plan, changes)

        def begin(body: Body) -> None:
            _begin(body, plan=following, deployment=None)
            body["_plan"] = weighted

        life.transition(plane, name, "Updating", begin)
    plane.fleets.of(name).serve(weighted)
    life.change(plane, name)
    return {"EndpointArn": record.arn}


def _begin(body: Body, *, plan: Plan, deployment: Any) -> None:
    body["_next"], body["_since"] = plan, time.time()
    body.pop("FailureReason", None)
    if deployment:
        body["_deployment"] = deployment


def _clear_reason(body: Body) -> None:
    body.pop("FailureReason", None)


def _find(plane: Plane, name: str) -> Record:
    record = plane.store.get(KIND, name)
    if record is None:
        raise ServiceError("ValidationException", f'Could not find endpoint "{plane.arn(KIND, name)}".')
    return record


def _settled(plane: Plane, name: str) -> Record:
    record = _find(plane, name)
    if record.status in IN_PROGRESS:
        raise ServiceError("ValidationException", f'Cannot update in-progress endpoint "{record.arn}".')
    return record


def _serving(plane: Plane, name: str) -> Record:
    record = _settled(plane, name)
    if record.status == "Failed":
        raise ServiceError(
            "ValidationException",
            f'Cannot update endpoint "{record.arn}" in status Failed: nothing of it runs. '
            "Delete it and create it again.",
        )
    return record


def _taken(arn: str) -> ServiceError:
    return ServiceError("ValidationException", f'Cannot create already existing endpoint "{arn}".')


def _check_changes(record: Record, changes: list[Body]) -> None:
    known = {variant["name"]: variant for variant in record.body["_plan"]["variants"]}
    for change in changes:
        if change["VariantName"] not in known:
            raise ServiceError(
                "ValidationException",
                f'Variant "{change["VariantName"]}" is not found in endpoint "{record.arn}"; '
                f"it has: {', '.join(sorted(known))}.",
            )
        is_serverless = "serverless" in known[change["VariantName"]]
        if ("DesiredInstanceCount" if is_serverless else "ServerlessUpdateConfig") in change:
            raise ServiceError(
                "ValidationException",
                f'Variant "{change["VariantName"]}" is {"" if is_serverless else "not "}serverless: '
                f"{'ServerlessUpdateConfig' if is_serverless else 'DesiredInstanceCount'} changes its capacity.",
            )
        if change.get("DesiredInstanceCount", 1) < 1:
            raise ServiceError(
                "ValidationException",
                f'DesiredInstanceCount of variant "{change["VariantName"]}" must be at least 1; '
                "a weight of 0 takes its traffic away.",
            )


def _summary(record: Record) -> Body:
    return {
        "EndpointName": record.name,
        "EndpointArn": record.arn,
        "CreationTime": record.created,
        "LastModifiedTime": record.modified,
        "EndpointStatus": record.status,
    }
