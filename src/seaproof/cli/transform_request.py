"""The request that `seaproof transform` sends, from its options and the name of the first file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from seaproof.batch.source import open_source
from seaproof.batch.survey import survey
from seaproof.batch.transform import Cutting
from seaproof.cli.session import Session
from seaproof.contract.limits import BATCH
from seaproof.control.transform_objects import Unzipped, find_objects
from seaproof.control.transform_options import Options
from seaproof.control.transform_request import MIB
from seaproof.errors import SeaproofError
from seaproof.source_files import source_files
from seaproof.storage.local import LocalStorage

_TYPES = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".jsonl": "application/jsonlines",
    ".ndjson": "application/jsonlines",
    ".libsvm": "text/libsvm",
    ".txt": "text/plain",
}
GZIP = ".gz"
_SAME = ("text/csv", "application/jsonlines")
"""Types of lines that a container is asked to answer with, too, so that answers can be put one after another."""
_LINES = ("text/csv", "application/jsonlines", "text/libsvm", "text/plain")


@dataclass(frozen=True)
class Asked:
    """The options of the command that say how; None and "" where they were not given."""

    content_type: str | None = None
    accept: str | None = None
    split: str | None = None
    single: bool = False
    assemble: str | None = None
    max_payload: int | None = None
    concurrent: int | None = None
    instances: int = 1
    gzip: bool = False
    manifest: bool = False
    input_filter: str | None = None
    output_filter: str | None = None
    join: bool = False
    timeout: int | None = None
    retries: int | None = None
    pairs: dict[str, str] = field(default_factory=dict)
    target_model: str | None = None
    repeat_header: bool = False
    quarantine: bool = False
    quoted_newlines: bool = False
    spread: bool = False
    engine: str = "threads"
    dry_run: bool = False

    def type_of(self, first: str) -> str | None:
        """The content type: as given, or by the name of a file."""
        name = Path(first.removesuffix(GZIP))
        return self.content_type or _TYPES.get(name.suffix.lower())

    def split_of(self, first: str) -> str:
        """The split: as given, or Line for what is lines."""
        media = (self.type_of(first) or "").partition(";")[0].strip()
        return self.split or ("Line" if media in _LINES else "None")


def local_files(source: str) -> list[tuple[str, Path]]:
    """The file, or all files of the folder, by their names below it."""
    path = Path(source)
    found = source_files(path)
    if not found:
        raise SeaproofError(
            "there is no such file" if not path.exists() else "there is no file in this folder",
            where=source,
            next_step="Name a file, a folder with files, or s3://bucket/prefix.",
        )
    return list(found.items())


def request_of(
    session: Session, job: str, model: str, uri: str, output: str, first: str, asked: Asked
) -> dict[str, Any]:
    """CreateTransformJob. `first` is the name of the first file, "" where it is not known."""
    split = asked.split_of(first)
    source = {"S3DataType": "ManifestFile" if asked.manifest else "S3Prefix", "S3Uri": uri}
    given: dict[str, Any] = {"DataSource": {"S3DataSource": source}, "SplitType": split}
    told: dict[str, Any] = {
        "S3OutputPath": output,
        "AssembleWith": asked.assemble or ("Line" if split == "Line" else "None"),
    }
    content_type = asked.type_of(first)
    if content_type:
        given["ContentType"] = content_type
    if asked.gzip or first.endswith(GZIP):
        given["CompressionType"] = "Gzip"
    accept = asked.accept or (content_type if asked.join or content_type in _SAME else None)
    if accept:
        told["Accept"] = accept
    request: dict[str, Any] = {
        "TransformJobName": job,
        "ModelName": model,
        "TransformInput": given,
        "TransformOutput": told,
        "TransformResources": {
            "InstanceType": session.project.endpoint.instance_type,
            "InstanceCount": asked.instances,
        },
    }
    optional = {
        "MaxPayloadInMB": asked.max_payload,
        "MaxConcurrentTransforms": asked.concurrent,
        "BatchStrategy": "SingleRecord" if asked.single else None,
        "Environment": asked.pairs or None,
        "DataProcessing": _processing(asked),
        "ModelClientConfig": client_of(asked),
        "Tags": options_of(asked).tags() or None,
    }
    return {**request, **{key: value for key, value in optional.items() if value is not None}}


def dry_run(session: Session, source: str, asked: Asked) -> dict[str, Any]:
    """`{"limit": bytes, "objects": {name: survey}}`, found out by splitting alone; nothing is started."""
    megabytes = BATCH.default_payload_mb.value if asked.max_payload is None else asked.max_payload
    objects = {}
    for name, opened in _sources(session, source, asked):
        cutting = Cutting(
            asked.split_of(name), megabytes * MIB, asked.single, asked.quoted_newlines, asked.repeat_header
        )
        try:
            objects[name] = asdict(survey(opened, cutting))
        except SeaproofError as error:
            place = f"{name}, {error.where}" if error.where else name
            raise SeaproofError(error.what, where=place, next_step=error.next_step) from error
        finally:
            opened.close()
    return {"limit": megabytes * MIB, "objects": objects}


def _sources(session: Session, source: str, asked: Asked) -> Any:
    if source.startswith("s3://"):
        storage = LocalStorage(session.state / "s3")
        request = request_of(session, "dry-run", "none", source, "s3://none/", source, asked)
        for found in find_objects(storage, request, session.state, session.settings.region):
            yield found.name, found.open()
        return
    for name, path in local_files(source):
        yield name, open_source(_unzipped(path, asked))


def _unzipped(path: Path, asked: Asked) -> Any:
    stream = path.open("rb")
    return Unzipped(stream) if asked.gzip or path.suffix == GZIP else stream


def _processing(asked: Asked) -> dict[str, str] | None:
    found = {"InputFilter": asked.input_filter, "OutputFilter": asked.output_filter}
    given = {name: path for name, path in found.items() if path}
    if asked.join:
        given["JoinSource"] = "Input"
    return given or None


def client_of(asked: Asked) -> dict[str, int] | None:
    """ModelClientConfig, where an option says something of it."""
    found = {"InvocationsTimeoutInSeconds": asked.timeout, "InvocationsMaxRetries": asked.retries}
    given = {name: value for name, value in found.items() if value is not None}
    return given or None


def options_of(asked: Asked) -> Options:
    """What it asks for beyond the platform."""
    return Options(
        repeat_header=asked.repeat_header,
        quarantine=asked.quarantine,
        quoted_newlines=asked.quoted_newlines,
        spread=asked.spread,
        engine=asked.engine,
        target_model=asked.target_model or "",
    )
