"""What a CreateTransformJob asks for: checked beyond the API model, and resolved against what the container prefers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seaproof.batch.jsonpath import PathError, parse
from seaproof.batch.records import FAMILIES, Processing
from seaproof.batch.transform import Cutting
from seaproof.batch.work import Job as WorkJob
from seaproof.contract import environ
from seaproof.contract.http import parse_media_type
from seaproof.contract.limits import BATCH
from seaproof.control.store import Body
from seaproof.control.transform_options import Options
from seaproof.errors import ServiceError, StorageError
from seaproof.storage.storage import parse_address

MULTI, SINGLE = "MultiRecord", "SingleRecord"
_WIRE_NAMES = {MULTI: "MULTI_RECORD", SINGLE: "SINGLE_RECORD"}
MIB = 1024 * 1024


@dataclass(frozen=True)
class Parameters:
    """What decides how requests are made: the request's word, else the container's, else the default."""

    concurrent: int
    payload_mb: int
    strategy: str
    """`MultiRecord` or `SingleRecord`."""

    def __str__(self) -> str:
        """As the platform logs it."""
        return (
            f"MaxConcurrentTransforms={self.concurrent}, MaxPayloadInMB={self.payload_mb},"
            f" BatchStrategy={_WIRE_NAMES[self.strategy]}"
        )


def check(request: Body, options: Options) -> None:
    """ValidationException for what the API model lets through and no job can be made of."""
    source = request["TransformInput"]["DataSource"]["S3DataSource"]
    if source["S3DataType"] not in ("S3Prefix", "ManifestFile"):
        raise _invalid(f"S3DataType {source['S3DataType']} is not supported here. Use S3Prefix or ManifestFile.")
    for where, uri in (
        ("TransformInput.DataSource.S3DataSource.S3Uri", source["S3Uri"]),
        ("TransformOutput.S3OutputPath", request["TransformOutput"]["S3OutputPath"]),
    ):
        try:
            parse_address(uri)
        except StorageError as error:
            raise _invalid(f"{where}: {error}") from error
    payload = request.get("MaxPayloadInMB")
    if payload is not None and payload > BATCH.payload_mb.value:
        raise _invalid(f"MaxPayloadInMB is {payload}; it can be at most {BATCH.payload_mb.value}.")
    if payload and request.get("MaxConcurrentTransforms"):
        _check_product(request["MaxConcurrentTransforms"], payload)
    if request["TransformResources"]["InstanceCount"] > BATCH.instances.value:
        raise _invalid(f"TransformResources.InstanceCount can be at most {BATCH.instances.value}.")
    for key, value in request.get("Environment", {}).items():
        if len(key) > BATCH.environment_key.value or len(value) > BATCH.environment_value.value:
            raise _invalid(f"Environment: {key[:80]} or its value is too long.")
    processing(request, options)
    _check_options(request, options)


def processing(request: Body, options: Options) -> Processing:
    """DataProcessing, read. ValidationException where it does not fit the formats."""
    asked = request.get("DataProcessing", {})
    paths = {}
    for name in ("InputFilter", "OutputFilter"):
        try:
            paths[name] = parse(asked.get(name) or "$")
        except PathError as error:
            raise _invalid(f"DataProcessing.{name}: {error}") from error
    join = asked.get("JoinSource", "None") == "Input"
    given, output = request["TransformInput"], request["TransformOutput"]
    split = given.get("SplitType", "None")
    lines = split == "Line"
    if not (join or any(paths.values())):
        return Processing(lines=lines, quoted=options.quoted_newlines)
    types = {
        "TransformInput.ContentType": given.get("ContentType", ""),
        "TransformOutput.Accept": output.get("Accept", ""),
    }
    families = {name: FAMILIES.get(parse_media_type(text).essence, "") for name, text in types.items() if text}
    if "TransformInput.ContentType" not in families:
        raise _invalid(
            "DataProcessing needs TransformInput.ContentType: text/csv, application/json or application/jsonlines."
        )
    for name, family in families.items():
        if not family:
            raise _invalid(
                f"DataProcessing does not know {name} {types[name]!r}; it can be text/csv, application/json or"
                " application/jsonlines."
            )
    if (join or paths["OutputFilter"]) and len(set(families.values())) > 1:
        raise _invalid(f"JoinSource and OutputFilter need Accept to be of the same format as ContentType: {types}.")
    if join and split != output.get("AssembleWith", "None"):
        raise _invalid(
            f"JoinSource=Input needs AssembleWith to be what SplitType is; SplitType is {split}, AssembleWith is"
            f" {output.get('AssembleWith', 'None')}."
        )
    if split in ("RecordIO", "TFRecord"):
        raise _invalid(f"DataProcessing cannot look into records of SplitType {split}.")
    return Processing(
        paths["InputFilter"],
        paths["OutputFilter"],
        join,
        families["TransformInput.ContentType"],
        lines or families["TransformInput.ContentType"] != "json",
        options.quoted_newlines,
    )


def container_environment(request: Body) -> dict[str, str]:
    """What the containers of a job are told besides their model's own environment."""
    told = {environ.BATCH: "true"}
    if request.get("MaxPayloadInMB") is not None:
        told[environ.MAX_PAYLOAD_MB] = str(request["MaxPayloadInMB"])
    if request.get("BatchStrategy"):
        told[environ.BATCH_STRATEGY] = _WIRE_NAMES[request["BatchStrategy"]]
    if request.get("MaxConcurrentTransforms"):
        told[environ.MAX_CONCURRENT_TRANSFORMS] = str(request["MaxConcurrentTransforms"])
    return {**told, **request.get("Environment", {})}


def resolve(request: Body, preferred: Mapping[str, Any]) -> Parameters:
    """The request's word, else that of /execution-parameters, else the default."""
    strategies = {wire: name for name, wire in _WIRE_NAMES.items()}
    wished = str(preferred.get("BatchStrategy", ""))
    strategy = request.get("BatchStrategy") or strategies.get(wished, wished)
    concurrent = request.get("MaxConcurrentTransforms") or _whole(preferred.get("MaxConcurrentTransforms")) or 1
    payload = request.get("MaxPayloadInMB")
    if payload is None:
        wish = _whole(preferred.get("MaxPayloadInMB"))
        payload = BATCH.default_payload_mb.value if wish is None else min(wish, BATCH.payload_mb.value)
    if payload and not request.get("MaxConcurrentTransforms"):
        concurrent = max(1, min(concurrent, BATCH.payload_mb.value // payload))
    return Parameters(concurrent, payload, strategy if strategy in _WIRE_NAMES else MULTI)


def read_preferences(body: bytes) -> dict[str, Any]:
    """The answer to GET /execution-parameters; nothing where it is no JSON object."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def cutting(request: Body, options: Options, parameters: Parameters) -> Cutting:
    """How the objects are cut."""
    return Cutting(
        split=request["TransformInput"].get("SplitType", "None"),
        limit=parameters.payload_mb * MIB,
        single=parameters.strategy == SINGLE,
        quoted=options.quoted_newlines,
        repeat_header=options.repeat_header,
    )


def work(request: Body, options: Options, parameters: Parameters) -> WorkJob:
    """What is done with each payload."""
    return WorkJob(
        processing=processing(request, options),
        retries=client_config(request)[1],
        limit=parameters.payload_mb * MIB,
        line_ends=request["TransformOutput"].get("AssembleWith", "None") == "Line",
        quarantine=options.quarantine,
    )


def client_config(request: Body) -> tuple[float, int]:
    """Seconds that one invocation may take, and how often it is repeated."""
    given = request.get("ModelClientConfig", {})
    return (
        float(given.get("InvocationsTimeoutInSeconds", BATCH.invocation.value)),
        int(given.get("InvocationsMaxRetries", BATCH.retries.value)),
    )


def _check_product(concurrent: int, payload: int) -> None:
    if concurrent * payload > BATCH.payload_mb.value:
        raise _invalid(
            f"MaxConcurrentTransforms * MaxPayloadInMB must not exceed {BATCH.payload_mb.value}:"
            f" {concurrent} * {payload} = {concurrent * payload}."
        )


def _check_options(request: Body, options: Options) -> None:
    split = request["TransformInput"].get("SplitType", "None")
    for name in ("repeat_header", "quoted_newlines", "quarantine"):
        if getattr(options, name) and split != "Line":
            raise _invalid(f"seaproof:{name.replace('_', '-')} needs SplitType Line; it is {split}.")


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)
