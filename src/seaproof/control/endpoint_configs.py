"""Endpoint configurations: CreateEndpointConfig, DescribeEndpointConfig, ListEndpointConfigs, DeleteEndpointConfig.

Production variants on instances only: serverless, asynchronous, shadow and captured endpoints are refused by field.
"""

from __future__ import annotations

from seaproof.control import fields, listing, models, tags
from seaproof.control.plane import Plane
from seaproof.control.store import Body, Record
from seaproof.errors import ServiceError

KIND = "endpoint-config"
IMPLEMENTED = {
    "create_endpoint_config": (
        "EndpointConfigName",
        "Tags",
        "ProductionVariants.{VariantName,ModelName,InstanceType,InitialInstanceCount,InitialVariantWeight}",
        "ProductionVariants.{ModelDataDownloadTimeoutInSeconds,ContainerStartupHealthCheckTimeoutInSeconds}",
    ),
    "list_endpoint_configs": listing.FIELDS,
}
IGNORED = {
    "create_endpoint_config": (
        "KmsKeyId",
        "VpcConfig",
        "ExecutionRoleArn",
        "MetricsConfig",
        "ProductionVariants.{VolumeSizeInGB,EnableSSMAccess,InferenceAmiVersion,RoutingConfig,CoreDumpConfig}",
        "ProductionVariants.{CapacityReservationConfig,VariantInstanceProvisionTimeoutInSeconds}",
    )
}


def create_endpoint_config(plane: Plane, request: Body) -> Body:
    """Store a configuration. ValidationException where its name is taken or a model of it does not exist."""
    tables = IMPLEMENTED["create_endpoint_config"], IGNORED["create_endpoint_config"]
    ignored = fields.check("create_endpoint_config", request, *tables)
    name, arn = request["EndpointConfigName"], plane.arn(KIND, request["EndpointConfigName"])
    given = tags.of_request(request)
    body = {key: value for key, value in request.items() if key != "Tags"}
    body["ProductionVariants"] = [{"InitialVariantWeight": 1.0, **variant} for variant in body["ProductionVariants"]]
    body["_ignored"] = ignored
    with plane.store.transaction():
        if plane.store.by_arn(arn):
            raise _exists(arn)
        _check_variants(plane, body["ProductionVariants"])
        if plane.store.insert(KIND, name, arn, "", body) is None:
            raise _exists(arn)
        plane.store.set_tags(arn, given)
        fields.note(plane.store, KIND, name, ignored)
    return {"EndpointConfigArn": arn}


def describe_endpoint_config(plane: Plane, request: Body) -> Body:
    """What CreateEndpointConfig was given, with ARN and time."""
    record = find(plane, request["EndpointConfigName"])
    return {**record.body, "EndpointConfigArn": record.arn, "CreationTime": record.created}


def list_endpoint_configs(plane: Plane, request: Body) -> Body:
    """One page of configurations, newest first."""
    fields.check("list_endpoint_configs", request, IMPLEMENTED["list_endpoint_configs"])
    return listing.page(plane.store.records(KIND), request, _summary, "EndpointConfigs")


def delete_endpoint_config(plane: Plane, request: Body) -> Body:
    """Forget a configuration; endpoints that were made from it go on, as they hold a plan of their own."""
    if not plane.store.delete(KIND, request["EndpointConfigName"]):
        raise _missing(plane, request["EndpointConfigName"])
    return {}


def find(plane: Plane, name: str) -> Record:
    """The record of a configuration; ValidationException `Could not find endpoint configuration "arn"` without one."""
    found = plane.store.get(KIND, name)
    if found is None:
        raise _missing(plane, name)
    return found


def _exists(arn: str) -> ServiceError:
    return ServiceError("ValidationException", f'Cannot create already existing endpoint configuration "{arn}".')


def _missing(plane: Plane, name: str) -> ServiceError:
    return ServiceError("ValidationException", f'Could not find endpoint configuration "{plane.arn(KIND, name)}".')


def _check_variants(plane: Plane, variants: list[Body]) -> None:
    names = [variant["VariantName"] for variant in variants]
    for name in names:
        if names.count(name) > 1:
            raise ServiceError("ValidationException", f"Production variant names must be unique: {name!r} is not.")
    for variant in variants:
        for field in ("ModelName", "InstanceType", "InitialInstanceCount"):
            if field not in variant:
                raise ServiceError(
                    "ValidationException", f"Production variant {variant['VariantName']!r} needs {field}."
                )
        models.find(plane, variant["ModelName"])


def _summary(record: Record) -> Body:
    return {
        "EndpointConfigName": record.name,
        "EndpointConfigArn": record.arn,
        "CreationTime": record.created,
    }
