"""A batch transform in a plan: the data uploaded, the model of a training job, the job, and its output synced down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seaproof.ship import data, validity
from seaproof.ship.draft import GONE, Draft, free_name, name_of, next_job
from seaproof.ship.plan import Call, Step
from seaproof.ship.shipment import laid_over
from seaproof.ship.target import Target


def add(draft: Draft, source: str, model: str, bucket_is_there: bool, own_name: str = "", own_output: str = "") -> str:
    """Add the upload of `source` (a file or folder; s3:// is taken as it is) and the job that predicts it; its output.

    What is returned is the s3:// address below which the predictions lie, one object for each of the input. Where it is
    `own_output`, nothing takes the predictions back: others may keep things there.
    """
    uri, held = source, source
    if not source.startswith("s3://"):
        files = data.local_files(draft.project, source, "the transform")
        key = f"{draft.place.prefix}/transform/{Path(source).name}/"
        held = data.add_files(draft, files, key, bucket_is_there)
        uri = f"s3://{draft.place.bucket}/{key}"
    request = job_request(draft, uri, model)
    validity.hold(draft, "CreateTransformJob", {**request, "TransformJobName": "any"})
    if own_name:
        name, status = free_name(draft, "TransformJob", own_name), ""
    else:
        content = {**request, "data": held, **({"output": own_output} if own_output else {})}
        wanted = name_of(draft.base_name, content)
        name, status = next_job(draft, "TransformJob", wanted, lambda _, status: status in GONE)
    output = own_output or f"{draft.place.root}/predictions/{name}/"
    draft.names.update({"transform job": name, "predictions": output})
    if status == "Completed":
        draft.kept.append(f"transform job {name}, which has completed")
        return output
    request = {**request, "TransformJobName": name, "Tags": draft.tag_list()}
    request["TransformOutput"] = {**request["TransformOutput"], "S3OutputPath": output}
    if status:
        look = Call("sagemaker", "DescribeTransformJob", {"TransformJobName": name})
        draft.steps.append(Step(f"wait for transform job {name}, which runs", look, waits_for="transform job"))
    else:
        prefix = output.removeprefix(f"s3://{draft.place.bucket}/")
        undo = Call("files", "DeletePrefix", {"Bucket": draft.place.bucket, "Prefix": prefix})
        call = Call("sagemaker", "CreateTransformJob", request)
        step = Step(f"run transform job {name}", call, None if own_output else undo, waits_for="transform job")
        draft.steps.append(step)
    return output


def job_request(draft: Draft, uri: str, model: str) -> dict[str, Any]:
    """CreateTransformJob without its name and its output."""
    shape = draft.shipment.transform
    request: dict[str, Any] = {
        "ModelName": model,
        "BatchStrategy": shape.strategy,
        "MaxPayloadInMB": shape.max_payload,
        "MaxConcurrentTransforms": shape.concurrency,
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}},
            "ContentType": shape.content_type,
            "SplitType": shape.split,
        },
        "TransformOutput": {"S3OutputPath": draft.place.root, "AssembleWith": shape.assemble},
        "TransformResources": {"InstanceType": shape.instance_type, "InstanceCount": shape.instance_count},
    }
    filters = {"InputFilter": shape.input_filter, "OutputFilter": shape.output_filter, "JoinSource": shape.join}
    processing = {name: value for name, value in filters.items() if value}
    if processing:
        request["DataProcessing"] = processing
    return laid_over(request, shape.request)


def sync_down(target: Target, uri: str, folder: Path) -> list[Path]:
    """Bring every object below an s3:// address into a folder; the files, in order."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    written = []
    for found in target.pages("s3", "ListObjectsV2", {"Bucket": bucket, "Prefix": prefix}, "Contents"):
        relative = str(found["Key"])[len(prefix) :]
        path = (folder / relative).resolve()
        if not relative or relative.endswith("/") or not path.is_relative_to(folder.resolve()):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        target.download(bucket, str(found["Key"]), str(part))
        part.replace(path)
        written.append(path)
    return written
