"""The model in a plan: which archive, in which containers."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seaproof.control.archives import examine
from seaproof.errors import ArchiveError, SeaproofError
from seaproof.ship import data
from seaproof.ship.draft import Draft, name_of
from seaproof.ship.plan import Call, Step
from seaproof.ship.requests import model as model_request
from seaproof.ship.shipment import laid_over

MODES = {"pipeline": "Serial", "direct": "Direct"}


def add(draft: Draft, url: str) -> str:
    """Add the model that serves the archive at `url` (empty: none); its name, which holds for this model alone."""
    request = create_request(draft, url)
    name = name_of(draft.base_name, _with_content(draft, request))
    draft.names["model"] = name
    if draft.find("sagemaker", "DescribeModel", ModelName=name):
        draft.kept.append(f"model {name}")
        return name
    call = Call("sagemaker", "CreateModel", {"ModelName": name, **request, "Tags": draft.tag_list()})
    draft.steps.append(Step(f"create model {name}", call, Call("sagemaker", "DeleteModel", {"ModelName": name})))
    return name


def _with_content(draft: Draft, request: dict[str, Any]) -> dict[str, Any]:
    return {**request, "image": draft.image_content} if draft.image_content else request


def create_request(draft: Draft, url: str) -> dict[str, Any]:
    """CreateModel without its name."""
    shape, endpoint = draft.shipment.model, draft.shipment.endpoint
    request = model_request(draft.project, draft.place, "", url or None)
    del request["ModelName"]
    container = request["PrimaryContainer"]
    environment = {**container.get("Environment", {}), **endpoint.environment}
    if environment:
        container["Environment"] = environment
    if draft.shipment.image.registry:
        container["ImageConfig"] = {"RepositoryAccessMode": "Vpc"}
    if shape.mode == "multi-model":
        container["Mode"] = "MultiModel"
        container["ModelDataUrl"] = _folder_of(url)
    if shape.mode in MODES:
        del request["PrimaryContainer"]
        request["Containers"] = [{**container, **given} for given in shape.containers]
        request["InferenceExecutionConfig"] = {"Mode": MODES[shape.mode]}
    if draft.shipment.training.subnets:
        shipped = draft.shipment.training
        request["VpcConfig"] = {"Subnets": list(shipped.subnets), "SecurityGroupIds": list(shipped.security_groups)}
    return laid_over(request, shape.request)


def _folder_of(url: str) -> str:
    """What a multi-model container is given: the folder that its archives lie in, not an archive."""
    if not url:
        raise SeaproofError(
            "a multi-model endpoint serves archives, and the stage names none",
            where="[ship.model] source",
            next_step="Name a folder of .tar.gz archives, an s3:// prefix, or a training job.",
        )
    return f"{url.rpartition('/')[0]}/" if url.endswith(".tar.gz") else f"{url.rstrip('/')}/"


def archive(draft: Draft, bucket_is_there: bool) -> str:
    """The s3:// address of a model that `source` names, with its upload where it lies here; empty for none."""
    source, several = draft.shipment.model.source, draft.shipment.model.mode == "multi-model"
    if source in ("none", ""):
        return ""
    if source.startswith("s3://"):
        return source
    path = draft.project.root / source
    if path.exists():
        archives = _archives(path, source) if several else {"model.tar.gz": _packed(path, draft)}
        whole = hashlib.sha256("".join(f"{n}{data.file_digest(p)}" for n, p in archives.items()).encode()).hexdigest()
        key = f"{draft.place.prefix}/models/{whole[:16]}/"
        known = len(draft.steps)
        data.add_files(draft, archives, key, bucket_is_there, alone=False)
        if len(draft.steps) > known:  # what is there already was looked at when it was sent
            _examine(archives, source)
        return f"s3://{draft.place.bucket}/{key}model.tar.gz"
    found = draft.find("sagemaker", "DescribeTrainingJob", TrainingJobName=source)
    return trained(found, source)


def _examine(archives: Mapping[str, Path], source: str) -> None:
    """ArchiveError where the platform would refuse to unpack one of them, before it is sent."""
    for path in archives.values():
        problems = examine(path, 1)[1]
        if problems:
            raise ArchiveError(
                f"SageMaker would refuse it: {problems[0].what}",
                where=f"[ship.model] source = {source!r}",
                next_step=problems[0].next_step or "`seaproof pack` makes an archive of model files.",
            )


def _archives(path: Path, source: str) -> dict[str, Path]:
    """The archives of a multi-model endpoint, by the names that requests call them by."""
    if path.is_file():
        return {path.name: path}
    found = {each.relative_to(path).as_posix(): each for each in sorted(path.rglob("*.tar.gz")) if each.is_file()}
    if not found:
        raise SeaproofError(
            f"{source!r} holds no archive for a multi-model endpoint",
            where=str(path),
            next_step="It serves every .tar.gz below a folder; `seaproof pack MODEL_FILE -o NAME.tar.gz` makes one.",
        )
    return found


def trained(job: dict[str, Any] | None, name: str) -> str:
    """Where the model of a training job lies; SeaproofError where there is no such job, or it left none."""
    if job is None:
        raise SeaproofError(
            f"{name!r} is no training job there, and no file or folder here",
            next_step="`train` takes what the plan's own job makes; an s3:// address is taken as it is.",
        )
    uri = job.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    if job["TrainingJobStatus"] != "Completed" or not uri:
        reason = job.get("FailureReason", "it left no model")
        raise SeaproofError(f"training job {name} is {job['TrainingJobStatus']}: {reason}")
    return str(uri)


def _packed(path: Path, draft: Draft) -> Path:
    """A folder as an archive whose bytes depend on its content alone; a file is taken as it is."""
    if path.is_file():
        return path
    import gzip

    target = draft.project.root / ".seaproof" / "ship" / "model.tar.gz"
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        target.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for member in sorted(path.rglob("*")):
            info = tar.gettarinfo(str(member), member.relative_to(path).as_posix())
            info.mtime, info.uid, info.gid, info.uname, info.gname = 0, 0, 0, "", ""
            if info.isfile():
                with member.open("rb") as content:
                    tar.addfile(info, content)
            else:
                tar.addfile(info)
    return target
