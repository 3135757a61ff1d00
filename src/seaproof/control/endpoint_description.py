"""What DescribeEndpoint answers: the record of an endpoint, and what runs of it at this moment."""

from __future__ import annotations

from seaproof.control.fleet import Plan
from seaproof.control.plane import Plane
from seaproof.control.store import Body, Record

IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
_VARIANTS, _SHADOWS = "ProductionVariants", "ShadowProductionVariants"


def description(plane: Plane, record: Record) -> Body:
    """The members of DescribeEndpointOutput; what an endpoint does not have is left out."""
    plan = record.body["_plan"]
    body = {key: value for key, value in record.body.items() if not key.startswith("_")}
    body |= {
        "EndpointStatus": record.status,
        "CreationTime": record.created,
        "LastModifiedTime": record.modified,
    }
    if record.status != "Failed":
        for variant in plan["variants"]:
            body.setdefault(_list_of(variant), []).append(_variant(plane, record, variant))
        if capture := plan.get("capture"):
            body["DataCaptureConfig"] = _capture(capture)
        if asynchronous := plan.get("async"):
            body["AsyncInferenceConfig"] = {key: value for key, value in asynchronous.items() if key != "PerInstance"}
    following = record.body.get("_next")
    if following and following["version"] != plan["version"]:
        summary: Body = {
            "EndpointConfigName": following["config"],
            "StartTime": record.body.get("_since", record.modified),
        }
        for variant in following["variants"]:
            summary.setdefault(_list_of(variant), []).append(_pending(plane, record, variant))
        body["PendingDeploymentSummary"] = summary
    return body


def _capture(config: Body) -> Body:
    enabled = config.get("EnableCapture", True)
    return {
        "EnableCapture": enabled,
        "CaptureStatus": "Started" if enabled else "Stopped",
        "CurrentSamplingPercentage": config["InitialSamplingPercentage"],
        "DestinationS3Uri": config["DestinationS3Uri"],
        "KmsKeyId": config.get("KmsKeyId", ""),
    }


def _list_of(variant: Plan) -> str:
    return _SHADOWS if variant.get("shadow") else _VARIANTS


def _variant(plane: Plane, record: Record, variant: Plan) -> Body:
    following = record.body.get("_next") or record.body["_plan"]
    desired = next((v for v in following["variants"] if v["name"] == variant["name"]), variant)
    same = following["version"] == record.body["_plan"]["version"]
    summary: Body = {
        "VariantName": variant["name"],
        "DeployedImages": _images(record, variant),
        "CurrentWeight": variant["weight"],
        "DesiredWeight": desired["weight"] if same else variant["weight"],
    }
    if serverless := variant.get("serverless"):
        summary["CurrentServerlessConfig"] = serverless
        summary["DesiredServerlessConfig"] = desired.get("serverless", serverless) if same else serverless
    else:
        summary["CurrentInstanceCount"] = plane.fleets.of(record.name).count(variant["name"])
        summary["DesiredInstanceCount"] = desired["count"] if same else variant["count"]
    if record.status in IN_PROGRESS:
        status = {"Creating": "Creating", "Deleting": "Deleting"}.get(record.status, "Updating")
        summary["VariantStatus"] = [{"Status": status, "StartTime": record.body.get("_since", record.modified)}]
    return summary


def _pending(plane: Plane, record: Record, variant: Plan) -> Body:
    seats = plane.fleets.of(record.name).seats
    version = record.body["_next"]["version"]
    ready = [s for s in seats if s.version == version and s.variant["name"] == variant["name"] and s.instance]
    return {
        "VariantName": variant["name"],
        "DeployedImages": _images(record, variant),
        "CurrentWeight": 0.0,
        "DesiredWeight": variant["weight"],
        "CurrentInstanceCount": len(ready),
        "DesiredInstanceCount": variant["count"],
        "VariantStatus": [{"Status": "Creating", "StartTime": record.body.get("_since", record.modified)}],
    }


def _images(record: Record, variant: Plan) -> list[Body]:
    return [
        {
            "SpecifiedImage": container["image"],
            "ResolvedImage": container["image"],
            "ResolutionTime": variant.get("resolved", record.created),
        }
        for container in variant["containers"]
    ]
