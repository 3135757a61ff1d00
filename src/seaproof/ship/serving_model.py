"""The model in a plan: which archive, in which containers."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

from seaproof.errors import SeaproofError
from seaproof.ship import data
from seaproof.ship.draft import Draft, name_of
from seaproof.ship.plan import Call, Step
from seaproof.ship.requests import model as model_request
from seaproof.ship.shipment import laid_over

MODES = {"pipeline": "Serial", "direct": "Direct"}


def add(draft: Draft, url: str) -> str:
    """Add the model that serves the archive at `url` (empty: none); its name, which holds for this model alone."""
    request = create_request(draft, url)
    name = name_of(draft.project.name, request)
    draft.names["model"] = name
    if draft.find("sagemaker", "DescribeModel", ModelName=name):
        draft.kept.append(f"model {name}")
        return name
    call = Call("sagemaker", "CreateModel", {"ModelName": name, **request, "Tags": draft.tag_list()})
    draft.steps.append(Step(f"create model {name}", call, Call("sagemaker", "DeleteModel", {"ModelName": name})))
    return name


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
    if shape.mode in MODES:
        del request["PrimaryContainer"]
        request["Containers"] = [{**container, **given} for given in shape.containers]
        request["InferenceExecutionConfig"] = {"Mode": MODES[shape.mode]}
    if draft.shipment.training.subnets:
        shipped = draft.shipment.training
        request["VpcConfig"] = {"Subnets": list(shipped.subnets), "SecurityGroupIds": list(shipped.security_groups)}
    return laid_over(request, shape.request)


def archive(draft: Draft, bucket_is_there: bool) -> str:
    """The s3:// address of a model that `source` names, with its upload where it lies here; empty for none."""
    source = draft.shipment.model.source
    if source in ("none", ""):
        return ""
    if source.startswith("s3://"):
        return source
    path = draft.project.root / source
    if path.exists():
        packed = _packed(path, draft)
        key = f"{draft.place.prefix}/models/{data.file_digest(packed)[:16]}/"
        data.add_files(draft, {"model.tar.gz": packed}, key, bucket_is_there)
        return f"s3://{draft.place.bucket}/{key}model.tar.gz"
    found = draft.find("sagemaker", "DescribeTrainingJob", TrainingJobName=source)
    return trained(found, source)


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
