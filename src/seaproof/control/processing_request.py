"""The inputs and outputs of a CreateProcessingJob request, and what the API model does not say of them.

Source: API reference, ProcessingS3Input and ProcessingS3Output; DG build-your-own-processing-container.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from seaproof.contract.opt_ml import Channel
from seaproof.control.channels import Input
from seaproof.control.store import Body
from seaproof.errors import ServiceError, StorageError
from seaproof.storage.storage import parse_address

_ROOT = ("/", "opt", "ml", "processing")
CONTINUOUS = "Continuous"


@dataclass(frozen=True)
class Output:
    """One output: its folder below /opt/ml, and where its files go."""

    name: str
    folder: str
    uri: str
    continuous: bool
    """Whether files are saved while the containers run; else when the job completes."""


def read_inputs(request: Body) -> list[Input]:
    """The inputs that are copied from storage. ServiceError names what is wrong.

    One that is AppManaged is the program's own business.
    """
    inputs = []
    for number, given in enumerate(request.get("ProcessingInputs") or [], 1):
        where = f"processingInputs.{number}.member"
        if not given.get("S3Input"):
            raise _invalid(f"'{where}' has no S3Input.")
        if not given.get("AppManaged"):
            inputs.append(_read_input(given["InputName"], given["S3Input"], f"{where}.s3Input"))
    _check_unique([given["InputName"] for given in request.get("ProcessingInputs") or []], "Input names")
    _check_unique([f"/opt/ml/{given.folder}" for given in inputs], "The LocalPath of inputs")
    return inputs


def read_outputs(request: Body) -> list[Output]:
    """The outputs that are saved. ServiceError names what is wrong."""
    outputs = []
    every = (request.get("ProcessingOutputConfig") or {}).get("Outputs") or []
    for number, given in enumerate(every, 1):
        where = f"processingOutputConfig.outputs.{number}.member"
        if given.get("AppManaged"):
            continue
        if not given.get("S3Output"):
            raise _invalid(f"'{where}' has no S3Output.")
        s3 = given["S3Output"]
        folder = _below(s3.get("LocalPath"), f"{where}.s3Output.localPath")
        _check_uri(s3["S3Uri"], f"{where}.s3Output.s3Uri")
        outputs.append(Output(given["OutputName"], folder, s3["S3Uri"], s3["S3UploadMode"] == CONTINUOUS))
    _check_unique([given["OutputName"] for given in every], "Output names")
    return outputs


def _read_input(name: str, s3: Body, where: str) -> Input:
    if s3.get("S3CompressionType") == "Gzip":
        raise _invalid(f"Value 'Gzip' at '{where}.s3CompressionType' goes with the S3InputMode Pipe only. Use None.")
    _check_uri(s3["S3Uri"], f"{where}.s3Uri")
    return Input(
        name=name,
        told=Channel(distribution=s3.get("S3DataDistributionType", "FullyReplicated")),
        uri=s3["S3Uri"],
        manifest=s3["S3DataType"] == "ManifestFile",
        folder=_below(s3.get("LocalPath"), f"{where}.localPath"),
    )


def _below(path: str | None, where: str) -> str:
    """A LocalPath as a path below /opt/ml."""
    parts = PurePosixPath(path or "").parts
    if parts[:4] != _ROOT or len(parts) == 4 or ".." in parts:
        raise _invalid(f"Value '{path or ''}' at '{where}' must be a folder below /opt/ml/processing/.")
    return "/".join(parts[3:])


def _check_uri(uri: str, where: str) -> None:
    try:
        parse_address(uri)
    except StorageError as error:
        raise _invalid(f"{where}: {error}") from error


def _check_unique(names: Sequence[str], what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise _invalid(f"{what} must be unique; {name!r} is given twice.")


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)
