"""The operations on training jobs: create, describe, list, stop; and their recovery after a restart."""

from __future__ import annotations

from collections.abc import Sequence

from seaproof.control import channels, checkpoints, fields, job_operations, job_steps
from seaproof.control.artifacts import model_uri
from seaproof.control.job_endings import IN_PROGRESS, STOPPING
from seaproof.control.listing import FIELDS, page
from seaproof.control.metrics import regex_problem
from seaproof.control.plane import Plane
from seaproof.control.store import Body, Record
from seaproof.control.training_record import Job
from seaproof.control.training_status import KIND, enter
from seaproof.control.training_steps import COURSE
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
    notes = [("channels", message) for message in channels.notes(inputs)]
    job_operations.insert(plane, Job, request, _new_body(request, arn, ignored), notes)
    job_steps.start(Job(plane, name), COURSE)
    return {"TrainingJobArn": arn}


def describe_training_job(plane: Plane, request: Body) -> Body:
    """The job as the platform shows it; what is absent is left out, never empty."""
    return job_operations.shown(job_operations.find(plane, Job, request), _NOT_SHOWN)


def list_training_jobs(plane: Plane, request: Body) -> Body:
    """One page of summaries, newest first unless the request says otherwise."""
    fields.check("list_training_jobs", request, FIELDS)
    return page(plane.store.records(KIND), request, _summary, "TrainingJobSummaries")


def stop_training_job(plane: Plane, request: Body) -> Body:
    """Ask the job to stop; its thread sends SIGTERM, and what the containers leave is saved."""
    job_operations.stop(plane, Job, request, _ask_to_stop)
    return {}


def recover_training_jobs(plane: Plane, living: Sequence[Handle]) -> list[Handle]:
    """Go on with every job that an earlier coordinator left; returns the handles that jobs adopted."""
    return job_operations.recover(plane, Job, COURSE, living)


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
    body: Body = {
        **job_operations.started(request, request["ResourceConfig"]["InstanceCount"], ignored),
        "TrainingJobArn": arn,
        "TrainingJobStatus": IN_PROGRESS,
        "ModelArtifacts": {"S3ModelArtifacts": model_uri(request)},
        "StoppingCondition": {"MaxRuntimeInSeconds": _MAX_RUNTIME, **request.get("StoppingCondition", {})},
    }
    enter(body, "Starting")
    return body


def _ask_to_stop(body: Body) -> None:
    body["TrainingJobStatus"] = STOPPING
    enter(body, "Stopping")


def _summary(record: Record) -> Body:
    more = {"SecondaryStatus": record.body["SecondaryStatus"]}
    return {**job_operations.summary(Job, record, "TrainingEndTime"), **more}
