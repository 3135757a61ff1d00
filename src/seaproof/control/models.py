"""Models: CreateModel, DescribeModel, ListModels, DeleteModel.

A model is a record and nothing more: which images and model data an endpoint is to run. Its data must exist when it
is created, as on the platform; whether an image can be run is found out by the driver that runs it.
"""

from __future__ import annotations

from seaproof.control import fields, listing, tags
from seaproof.control.plane import Plane
from seaproof.control.store import Body, Record
from seaproof.errors import NoSuchObject, ServiceError, StorageError
from seaproof.storage.storage import Address, parse_address

KIND = "model"
_CONTAINER = "{Image,Environment,ModelDataUrl,ContainerHostname,Mode}"
_MULTI_MODEL = "MultiModelConfig.ModelCacheSetting"
_SOURCE = "ModelDataSource.S3DataSource.{S3Uri,S3DataType,CompressionType}"
IMPLEMENTED = {
    "create_model": (
        "ModelName",
        "ExecutionRoleArn",
        "EnableNetworkIsolation",
        "InferenceExecutionConfig",
        "Tags",
        *(
            f"{where}.{what}"
            for where in ("PrimaryContainer", "Containers")
            for what in (_CONTAINER, _SOURCE, _MULTI_MODEL)
        ),
    ),
    "list_models": listing.FIELDS,
}
IGNORED = {
    "create_model": (
        "VpcConfig",
        "PrimaryContainer.{ImageConfig,ContainerMetricsConfig}",
        "Containers.{ImageConfig,ContainerMetricsConfig}",
        "PrimaryContainer.ModelDataSource.S3DataSource.ModelAccessConfig",
        "Containers.ModelDataSource.S3DataSource.ModelAccessConfig",
    )
}


def create_model(plane: Plane, request: Body) -> Body:
    """Store a model. ValidationException where its name is taken or its data is not in storage."""
    ignored = fields.check("create_model", request, IMPLEMENTED["create_model"], IGNORED["create_model"])
    name, arn = request["ModelName"], plane.arn(KIND, request["ModelName"])
    given = tags.of_request(request)
    for container in _containers(request):
        _check_container(plane, container)
    body = {key: value for key, value in request.items() if key != "Tags"}
    body = {"EnableNetworkIsolation": False, **body, "_ignored": ignored}
    with plane.store.transaction():
        if plane.store.by_arn(arn) or plane.store.insert(KIND, name, arn, "", body) is None:
            raise ServiceError("ValidationException", f'Cannot create already existing model "{arn}".')
        plane.store.set_tags(arn, given)
        fields.note(plane.store, KIND, name, ignored)
    return {"ModelArn": arn}


def describe_model(plane: Plane, request: Body) -> Body:
    """What CreateModel was given, with ARN and time."""
    record = find(plane, request["ModelName"])
    return {**record.body, "ModelArn": record.arn, "CreationTime": record.created}


def list_models(plane: Plane, request: Body) -> Body:
    """One page of models, newest first."""
    fields.check("list_models", request, IMPLEMENTED["list_models"])
    return listing.page(plane.store.records(KIND), request, _summary, "Models")


def delete_model(plane: Plane, request: Body) -> Body:
    """Forget a model; endpoints that were made from it go on, as they hold a plan of their own."""
    if not plane.store.delete(KIND, request["ModelName"]):
        raise _missing(plane, request["ModelName"])
    return {}


def find(plane: Plane, name: str) -> Record:
    """The record of a model; ValidationException `Could not find model "arn"` where there is none."""
    found = plane.store.get(KIND, name)
    if found is None:
        raise _missing(plane, name)
    return found


def _missing(plane: Plane, name: str) -> ServiceError:
    return ServiceError("ValidationException", f'Could not find model "{plane.arn(KIND, name)}".')


def _containers(request: Body) -> list[Body]:
    containers: list[Body] = request.get("Containers") or []
    if bool(containers) == bool(request.get("PrimaryContainer")):
        raise ServiceError("ValidationException", "Specify exactly one of PrimaryContainer and Containers.")
    names = [container["ContainerHostname"] for container in containers if container.get("ContainerHostname")]
    if len(set(names)) < len(names):
        raise ServiceError("ValidationException", "ContainerHostname must be unique among the containers of a model.")
    if sum(container.get("Mode") == "MultiModel" for container in containers) > 1:
        raise ServiceError(
            "ValidationException",
            "At most one of the containers of a model can have Mode MultiModel: a request names one TargetModel.",
        )
    if (request.get("InferenceExecutionConfig") or {}).get("Mode") == "Direct":
        _check_direct(containers)
    if len({_name(container, number) for number, container in enumerate(containers, 1)}) < len(containers):
        raise ServiceError(
            "ValidationException",
            "A ContainerHostname is the name of another container, which has none and is called by its place.",
        )
    return containers or [request["PrimaryContainer"]]


def _name(container: Body, number: int) -> str:
    return container.get("ContainerHostname") or f"container-{number}"


def _check_direct(containers: list[Body]) -> None:
    if len(containers) < 2:
        raise ServiceError(
            "ValidationException", "InferenceExecutionConfig.Mode Direct needs a model with 2 to 15 Containers."
        )
    nameless = [str(number) for number, given in enumerate(containers, 1) if not given.get("ContainerHostname")]
    if nameless:
        raise ServiceError(
            "ValidationException",
            "With InferenceExecutionConfig.Mode Direct each container needs a ContainerHostname, by which requests "
            f"name it; missing for container {', '.join(nameless)}.",
        )


def _check_container(plane: Plane, container: Body) -> None:
    if not container.get("Image"):
        raise ServiceError("ValidationException", "Each container needs an Image.")
    url, source = container.get("ModelDataUrl"), container.get("ModelDataSource", {}).get("S3DataSource")
    if url and source:
        raise ServiceError("ValidationException", "Specify at most one of ModelDataUrl and ModelDataSource.")
    if container.get("Mode") == "MultiModel":
        _check_multi_model(url, source)
    elif container.get("MultiModelConfig"):
        raise ServiceError("ValidationException", "MultiModelConfig is for containers with Mode MultiModel alone.")
    if url:
        _check_data(plane, url, is_prefix=container.get("Mode") == "MultiModel")
    if source:
        is_prefix = source["S3DataType"] == "S3Prefix"
        if is_prefix and (source["CompressionType"] == "Gzip" or not source["S3Uri"].endswith("/")):
            raise ServiceError(
                "ValidationException",
                f"S3DataType S3Prefix needs an S3Uri that ends with a slash and CompressionType None;"
                f" {source['S3Uri']} with {source['CompressionType']} is not that.",
            )
        _check_data(plane, source["S3Uri"], is_prefix=is_prefix)


def _check_multi_model(url: str | None, source: Body | None) -> None:
    # Whether its image has the multi-models label is not looked at: a folder that plays an image has no labels.
    if source:
        raise ServiceError(
            "ValidationException", "ModelDataSource is not supported with Mode MultiModel; give ModelDataUrl."
        )
    if not url:
        raise ServiceError(
            "ValidationException", "Mode MultiModel needs ModelDataUrl, the prefix below which its models lie."
        )


def _check_data(plane: Plane, url: str, *, is_prefix: bool) -> None:
    try:
        address = parse_address(url)
        if not (_any_below(plane, address) if is_prefix else _is_object(plane, address)):
            raise ServiceError("ValidationException", f"Could not find model data at {url}.")
    except StorageError as error:
        raise ServiceError("ValidationException", f"Could not read model data at {url}: {error}") from error


def _any_below(plane: Plane, prefix: Address) -> bool:
    return next(iter(plane.storage.list(prefix)), None) is not None


def _is_object(plane: Plane, address: Address) -> bool:
    try:
        plane.storage.open(address).close()
    except NoSuchObject:
        return False
    return True


def _summary(record: Record) -> Body:
    return {"ModelName": record.name, "ModelArn": record.arn, "CreationTime": record.created}
