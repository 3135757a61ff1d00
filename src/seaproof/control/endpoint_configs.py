"""Endpoint configurations: CreateEndpointConfig, DescribeEndpointConfig, ListEndpointConfigs, DeleteEndpointConfig."""

from __future__ import annotations

from seaproof.control import fields, listing, models, tags
from seaproof.control.plane import Plane
from seaproof.control.store import Body, Record
from seaproof.errors import ServiceError

KIND = "endpoint-config"
_LISTS = ("ProductionVariants", "ShadowProductionVariants")
IMPLEMENTED = {
    "create_endpoint_config": (
        "EndpointConfigName",
        "Tags",
        "DataCaptureConfig.{EnableCapture,InitialSamplingPercentage,DestinationS3Uri,CaptureOptions}",
        "DataCaptureConfig.CaptureContentTypeHeader",
        "AsyncInferenceConfig.ClientConfig.MaxConcurrentInvocationsPerInstance",
        "AsyncInferenceConfig.OutputConfig.{S3OutputPath,S3FailurePath,NotificationConfig}",
        *(
            f"{variants}.{{{members}}}"
            for variants in _LISTS
            for members in (
                "VariantName,ModelName,InstanceType,InitialInstanceCount,InitialVariantWeight",
                "ModelDataDownloadTimeoutInSeconds,ContainerStartupHealthCheckTimeoutInSeconds,ServerlessConfig",
            )
        ),
    ),
    "list_endpoint_configs": listing.FIELDS,
}
IGNORED = {
    "create_endpoint_config": (
        "KmsKeyId",
        "DataCaptureConfig.KmsKeyId",
        "AsyncInferenceConfig.OutputConfig.KmsKeyId",
        "VpcConfig",
        "ExecutionRoleArn",
        "MetricsConfig",
        *(
            f"{variants}.{{{members}}}"
            for variants in _LISTS
            for members in (
                "VolumeSizeInGB,EnableSSMAccess,InferenceAmiVersion,RoutingConfig,CoreDumpConfig",
                "CapacityReservationConfig,VariantInstanceProvisionTimeoutInSeconds",
            )
        ),
    )
}


def create_endpoint_config(plane: Plane, request: Body) -> Body:
    """Store a configuration. ValidationException where its name is taken or a model of it does not exist."""
    tables = IMPLEMENTED["create_endpoint_config"], IGNORED["create_endpoint_config"]
    ignored = fields.check("create_endpoint_config", request, *tables)
    name, arn = request["EndpointConfigName"], plane.arn(KIND, request["EndpointConfigName"])
    given = tags.of_request(request)
    body = {key: value for key, value in request.items() if key != "Tags"}
    for variants in _LISTS:
        if body.get(variants):
            body[variants] = [{"InitialVariantWeight": 1.0, **variant} for variant in body[variants]]
    body["_ignored"] = ignored
    with plane.store.transaction():
        if plane.store.by_arn(arn):
            raise _exists(arn)
        _check_variants(plane, [variant for variants in _LISTS for variant in body.get(variants) or []])
        _check_shadows(body)
        _check_async(body)
        _check_serverless(body)
        _check_uri("dataCaptureConfig.destinationS3Uri", body.get("DataCaptureConfig", {}).get("DestinationS3Uri"))
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
        hardware = () if "ServerlessConfig" in variant else ("InstanceType", "InitialInstanceCount")
        for field in ("ModelName", *hardware):
            if field not in variant:
                raise ServiceError(
                    "ValidationException", f"Production variant {variant['VariantName']!r} needs {field}."
                )
        models.find(plane, variant["ModelName"])


def _check_serverless(body: Body) -> None:
    """Source: developer guide, "Serverless endpoint operations" and "Feature exclusions"."""
    variants = [variant for variants in _LISTS for variant in body.get(variants) or []]
    serverless = [variant for variant in variants if "ServerlessConfig" in variant]
    if not serverless:
        return
    given, name = serverless[0]["ServerlessConfig"], serverless[0]["VariantName"]
    problem = ""
    if len(variants) > 1:
        problem = "a serverless endpoint has one production variant"
    elif "InstanceType" in serverless[0] or "InitialInstanceCount" in serverless[0]:
        problem = "it has ServerlessConfig and InstanceType or InitialInstanceCount; give one of the two"
    elif given["MemorySizeInMB"] % 1024:
        problem = f"MemorySizeInMB is {given['MemorySizeInMB']}; it can be 1024, 2048, 3072, 4096, 5120 or 6144"
    elif given.get("ProvisionedConcurrency", 0) > given["MaxConcurrency"]:
        problem = "ProvisionedConcurrency is over MaxConcurrency"
    for field in ("DataCaptureConfig", "AsyncInferenceConfig", "VpcConfig"):
        if body.get(field):
            problem = f"{field} is not supported for serverless endpoints"
    if problem:
        raise ServiceError("ValidationException", f"Production variant {name!r}: {problem}.")


def _check_shadows(body: Body) -> None:
    """Source: API model, ShadowProductionVariants: one shadow variant, of one production variant."""
    shadows = body.get("ShadowProductionVariants") or []
    if shadows and (len(shadows) > 1 or len(body["ProductionVariants"]) > 1):
        raise ServiceError(
            "ValidationException",
            "ShadowProductionVariants takes one variant, which shadows the one variant of ProductionVariants;"
            f" there are {len(shadows)} and {len(body['ProductionVariants'])}.",
        )


def _check_async(body: Body) -> None:
    config = body.get("AsyncInferenceConfig")
    if not config:
        return
    for field in ("S3OutputPath", "S3FailurePath"):
        name = f"asyncInferenceConfig.outputConfig.{field[0].lower()}{field[1:]}"
        _check_uri(name, config["OutputConfig"].get(field))
    if body.get("ShadowProductionVariants"):
        raise ServiceError("ValidationException", "An asynchronous endpoint cannot have ShadowProductionVariants.")


def _check_uri(member: str, uri: str | None) -> None:
    """Where something is to be written to has to be an address of S3's."""
    if uri and not uri.startswith("s3://"):
        raise ServiceError(
            "ValidationException",
            f"{member} is {uri!r}: seaproof writes to s3:// addresses. Write it as s3://bucket/prefix.",
        )


def _summary(record: Record) -> Body:
    return {
        "EndpointConfigName": record.name,
        "EndpointConfigArn": record.arn,
        "CreationTime": record.created,
    }
