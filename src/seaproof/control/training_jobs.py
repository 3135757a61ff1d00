"""The operations on training jobs: create, describe, list, stop; and their recovery after a restart."""

from __future__ import annotations

from collections.abc import Sequence

from seaproof.contract.opt_ml import host_names
from seaproof.control import channels, checkpoints, fields
from seaproof.control.artifacts import model_uri
from seaproof.control.job_record import ask_to_stop, shown
from seaproof.control.listing import FIELDS, page
from seaproof.control.metrics import regex_problem
from seaproof.control.plane import Plane
from seaproof.control.store import Body, Record
from seaproof.control.training_record import Job
from seaproof.control.training_status import ENDED, IN_PROGRESS, KIND, STOPPING, enter
from seaproof.control.training_steps import clear_ended, start
from seaproof.drivers.driver import Handle
from seaproof.errors import ServiceError, StorageError
from seaproof.storage.storage import parse_address

_MAX_RUNTIME = 86_400

_IMPLEMENTED = (
    "TrainingJobName",
    # A role has nothing to open on one machine; it is checked and shown.
    "RoleArn",
    "HyperParameters",
    "AlgorithmSpecification.{TrainingImage,TrainingInputMode,MetricDefinitions,ContainerEntrypoint,ContainerArguments}",
    # Each channel is checked by `channels`, which says more than that a field is unknown.
    "InputDataConfig",
    "OutputDataConfig.{S3OutputPath,CompressionType}",
    "ResourceConfig.{InstanceType,InstanceCount}",
    "StoppingCondition.MaxRuntimeInSeconds",
    "EnableNetworkIsolation",
    "CheckpointConfig",
    "Environment",
    "Tags",
)
_IGNORED = (
    "AlgorithmSpecification.{EnableSageMakerMetricsTimeSeries,TrainingImageConfig}",
    "OutputDataConfig.KmsKeyId",
    "ResourceConfig.{VolumeSizeInGB,VolumeKmsKeyId,KeepAlivePeriodInSeconds,TrainingPlanArn,InstancePlacementConfig}",
    "StoppingCondition.{MaxWaitTimeInSeconds,MaxPendingTimeInSeconds}",
    "VpcConfig",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "DebugHookConfig",
    "DebugRuleConfigurations",
    "TensorBoardOutputConfig",
    "ExperimentConfig",
    "ProfilerConfig",
    "ProfilerRuleConfigurations",
    "RetryStrategy",
    "RemoteDebugConfig",
    "InfraCheckConfig",
    "SessionChainingConfig",
)
# Members of the request that DescribeTrainingJob does not have.
_NOT_SHOWN = ("Tags", "SessionChainingConfig")


def create_training_job(plane: Plane, request: Body) -> Body:
    """Store the job, answer its ARN at once, and run it in the background."""
    ignored = fields.check("create_training_job", request, _IMPLEMENTED, _IGNORED)
    _check(request)
    inputs = channels.read_channels(request)
    checkpoints.local_folder(request)
    name = request["TrainingJobName"]
    arn = plane.arn(KIND, name)
    with plane.store.transaction():
        if plane.store.insert(KIND, name, arn, IN_PROGRESS, _new_body(request, arn, ignored)) is None:
            raise ServiceError(
                "ResourceInUse",
                "Training job names must be unique within an AWS account and region, and a training job with this name"
                f" already exists ({arn})",
            )
        plane.store.set_tags(arn, {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])})
        fields.note(plane.store, KIND, name, ignored)
        for message in channels.notes(inputs):
            plane.store.add_event(KIND, name, "channels", message)
    start(Job(plane, name))
    return {"TrainingJobArn": arn}


def describe_training_job(plane: Plane, request: Body) -> Body:
    """The job as the platform shows it; what is absent is left out, never empty."""
    record = _find(plane, request)
    return {**shown(record, _NOT_SHOWN), "CreationTime": record.created, "LastModifiedTime": record.modified}


def list_training_jobs(plane: Plane, request: Body) -> Body:
    """One page of summaries, newest first unless the request says otherwise."""
    fields.check("list_training_jobs", request, FIELDS)
    return page(plane.store.records(KIND), request, _summary, "TrainingJobSummaries")


def stop_training_job(plane: Plane, request: Body) -> Body:
    """Ask the job to stop; its thread sends SIGTERM, and what the containers leave is saved."""
    with plane.store.transaction():
        ask_to_stop(plane, _find(plane, request), _stopping)
    return {}


def recover_training_jobs(plane: Plane, living: Sequence[Handle]) -> list[Handle]:
    """Go on with every job that an earlier coordinator left, from the step that its record names.

    `living` is what the driver's `recover()` found. Returns the handles that jobs adopted; all others are strays as
    far as training is concerned. A container that is not among the living fails its job with InternalServerError.
    """
    by_name = {handle.name: handle for handle in living}
    adopted = []
    clear_ended(plane)
    for record in plane.store.records(KIND):
        if record.status in ENDED:
            continue
        job = Job(plane, record.name, by_name)
        plane.store.add_event(KIND, record.name, "recovered", f"goes on from the step {record.body['_step']}")
        if record.body["_step"] == "Training":
            # In any other step no container of the job has a reason to live.
            names = [job.workload(host) for host in record.body["_hosts"]]
            adopted += [by_name[name] for name in names if name in by_name]
        start(job)
    return adopted


def _check(request: Body) -> None:
    """What the API model does not require, and a job cannot do without."""
    if not request.get("AlgorithmSpecification", {}).get("TrainingImage"):
        raise ServiceError(
            "ValidationException",
            "AlgorithmSpecification.TrainingImage is required: only jobs with an image of their own run here.",
        )
    for definition in request["AlgorithmSpecification"].get("MetricDefinitions", []):
        if problem := regex_problem(definition["Regex"]):
            raise ServiceError(
                "ValidationException",
                f"AlgorithmSpecification.MetricDefinitions: the Regex of the metric {definition['Name']!r}: {problem}",
            )
    _check_count(request.get("ResourceConfig", {}))
    uris = {"OutputDataConfig.S3OutputPath": request["OutputDataConfig"]["S3OutputPath"]}
    if request.get("CheckpointConfig"):
        uris["CheckpointConfig.S3Uri"] = request["CheckpointConfig"]["S3Uri"]
    for where, uri in uris.items():
        try:
            parse_address(uri)
        except StorageError as error:
            raise ServiceError("ValidationException", f"{where}: {error}") from error


def _check_count(resources: Body) -> None:
    count = resources.get("InstanceCount")
    if count is None:
        raise ServiceError(
            "ValidationException",
            "ResourceConfig.InstanceCount is required, and InstanceGroups are not supported here.",
        )
    if count < 1:
        raise ServiceError(
            "ValidationException", f"ResourceConfig.InstanceCount is {count}; a training job needs at least 1 instance."
        )


def _new_body(request: Body, arn: str, ignored: list[str]) -> Body:
    given = {key: value for key, value in request.items() if value not in (None, {}, [])}
    body: Body = {
        **given,
        "TrainingJobArn": arn,
        "TrainingJobStatus": IN_PROGRESS,
        "ModelArtifacts": {"S3ModelArtifacts": model_uri(request)},
        "StoppingCondition": {"MaxRuntimeInSeconds": _MAX_RUNTIME, **request.get("StoppingCondition", {})},
        "_ignored": ignored,
        "_step": "Starting",
        "_hosts": list(host_names(request["ResourceConfig"]["InstanceCount"])),
        "_exits": {},
    }
    enter(body, "Starting")
    return body


def _find(plane: Plane, request: Body) -> Record:
    record = plane.store.get(KIND, request["TrainingJobName"])
    if record is None:
        raise ServiceError("ValidationException", "Requested resource not found.")
    return record


def _stopping(body: Body) -> None:
    body["TrainingJobStatus"] = STOPPING
    enter(body, "Stopping")


def _summary(record: Record) -> Body:
    summary = {
        "TrainingJobName": record.name,
        "TrainingJobArn": record.arn,
        "CreationTime": record.created,
        "LastModifiedTime": record.modified,
        "TrainingJobStatus": record.status,
        "SecondaryStatus": record.body["SecondaryStatus"],
    }
    if "TrainingEndTime" in record.body:
        summary["TrainingEndTime"] = record.body["TrainingEndTime"]
    return summary
