"""The training job in a plan: named after what it trains on, so that the same job is never run twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from seaproof.ship.draft import GONE, Draft, free_name, name_of, next_job
from seaproof.ship.plan import Call, Step
from seaproof.ship.requests import training_job
from seaproof.ship.shipment import laid_over


def add(draft: Draft, channels: dict[str, tuple[str, str]], wanted: str = "") -> str:
    """Add the job that makes the model, or the wait for it; its name, which is `wanted` where that is given.

    A job that has completed for the same image, data, hyperparameters and settings is taken as it is. One that failed,
    or whose model was removed, is run again under the next name: names are taken for good.
    """
    request = job_request(draft, channels)
    if wanted:
        job = draft.names["training job"] = free_name(draft, "TrainingJob", wanted)
        draft.steps.append(step(draft, {**named(request, job), "Tags": draft.tag_list()}))
        return job
    made_of: dict[str, Any] = {"data": {key: held for key, (_, held) in channels.items()}}
    if draft.image_content:
        made_of["image"] = draft.image_content
    name = name_of(draft.base_name, {**request, **made_of})
    over: list[str] = []

    def is_over(job: str, status: str) -> bool:
        if status == "Completed" and _model_is_there(draft, job):
            return False
        if status in (*GONE, "Completed"):
            over.append(f"{job} is {status}" if status in GONE else f"the model that {job} left is gone")
            return True
        return False

    job, status = next_job(draft, "TrainingJob", name, is_over)
    draft.names["training job"] = job
    if status == "Completed":
        draft.kept.append(f"training job {job}, which has completed")
    elif status:
        look = Call("sagemaker", "DescribeTrainingJob", {"TrainingJobName": job})
        draft.steps.append(Step(f"wait for training job {job}, which runs", look, waits_for="training job"))
    else:
        run = step(draft, {**named(request, job), "Tags": draft.tag_list()})
        draft.steps.append(replace(run, title=f"{run.title} (again: {over[-1]})") if over else run)
    return job


def step(draft: Draft, request: dict[str, Any]) -> Step:
    """The step that runs this job. What it leaves can be taken back; the job stays on record, as AWS has it."""
    job = request["TrainingJobName"]
    left = {"Bucket": draft.place.bucket, "Prefix": f"{draft.place.prefix}/jobs/{job}/"}
    call = Call("sagemaker", "CreateTrainingJob", request)
    return Step(f"run training job {job}", call, Call("files", "DeletePrefix", left), waits_for="training job")


def named(request: dict[str, Any], job: str) -> dict[str, Any]:
    """The request under this name, with checkpoints of its own."""
    request = {**request, "TrainingJobName": job}
    if "CheckpointConfig" in request:
        root = str(request["CheckpointConfig"]["S3Uri"])
        request["CheckpointConfig"] = {**request["CheckpointConfig"], "S3Uri": f"{root}/{job}"}
    return request


def job_request(draft: Draft, channels: dict[str, tuple[str, str]]) -> dict[str, Any]:
    """CreateTrainingJob without a name: what the project says, with what the stage says laid over it."""
    shape, training = draft.shipment.training, draft.project.training
    training = replace(
        training,
        instance_type=shape.instance_type or training.instance_type,
        instance_count=shape.instance_count or training.instance_count,
        max_runtime=shape.max_runtime or training.max_runtime,
    )
    uris = {channel: uri for channel, (uri, _) in channels.items()}
    request = training_job(replace(draft.project, training=training), draft.place, "", {}, uris)
    request["ResourceConfig"]["VolumeSizeInGB"] = shape.volume_size
    if shape.kms_key:
        request["ResourceConfig"]["VolumeKmsKeyId"] = shape.kms_key
        request["OutputDataConfig"]["KmsKeyId"] = shape.kms_key
    if shape.spot:
        request["EnableManagedSpotTraining"] = True
        stopping = request["StoppingCondition"]
        stopping["MaxWaitTimeInSeconds"] = max(shape.max_wait, stopping["MaxRuntimeInSeconds"])
    if shape.checkpoints:
        request["CheckpointConfig"] = {"S3Uri": f"{draft.place.root}/checkpoints"}
    if shape.subnets:
        request["VpcConfig"] = {"Subnets": list(shape.subnets), "SecurityGroupIds": list(shape.security_groups)}
    if shape.network_isolation:
        request["EnableNetworkIsolation"] = True
    return laid_over(request, shape.request)


def _model_is_there(draft: Draft, job: str) -> bool:
    key = model_uri(draft, job).removeprefix(f"s3://{draft.place.bucket}/")
    return draft.find("s3", "HeadObject", Bucket=draft.place.bucket, Key=key) is not None


def model_uri(draft: Draft, job: str) -> str:
    """Where a job of this plan leaves its model; known before it has run."""
    return f"{draft.place.root}/jobs/{job}/output/model.tar.gz"
