"""The operations on processing jobs: create, describe, list, stop; and their recovery after a restart."""

from __future__ import annotations

from collections.abc import Sequence

from seaproof.control import fields, job_operations, job_steps
from seaproof.control.job_endings import IN_PROGRESS, STOPPING
from seaproof.control.listing import FIELDS, page
from seaproof.control.plane import Plane
from seaproof.control.processing_record import KIND, Job
from seaproof.control.processing_request import read_inputs, read_outputs
from seaproof.control.processing_steps import COURSE
from seaproof.control.store import Body, Record
from seaproof.drivers.driver import Handle
from seaproof.errors import ServiceError

_MAX_RUNTIME = 86_400

_IMPLEMENTED = (
    "ProcessingJobName",
    # A role has nothing to open on one machine; it is checked and shown.
    "RoleArn",
    "AppSpecification",
    "ProcessingInputs.{InputName,AppManaged}",
    "ProcessingInputs.S3Input.{S3Uri,LocalPath,S3DataType,S3InputMode,S3DataDistributionType,S3CompressionType}",
    "ProcessingOutputConfig.Outputs.{OutputName,AppManaged,S3Output}",
    "ProcessingResources.ClusterConfig.{InstanceType,InstanceCount}",
    "StoppingCondition",
    "Environment",
    "NetworkConfig.EnableNetworkIsolation",
    "Tags",
)
_IGNORED = (
    "ProcessingOutputConfig.KmsKeyId",
    "ProcessingResources.ClusterConfig.{VolumeSizeInGB,VolumeKmsKeyId}",
    "NetworkConfig.{EnableInterContainerTrafficEncryption,VpcConfig}",
    "ExperimentConfig",
)
_REFUSED_VALUES = ("ProcessingInputs.S3Input.S3InputMode=Pipe",)
_NOT_SHOWN = ("Tags",)


def create_processing_job(plane: Plane, request: Body) -> Body:
    """Store the job, answer its ARN at once, and run it in the background."""
    ignored = fields.check("create_processing_job", request, _IMPLEMENTED, _IGNORED, _REFUSED_VALUES)
    _check_count(request["ProcessingResources"]["ClusterConfig"])
    read_inputs(request)
    read_outputs(request)
    name = request["ProcessingJobName"]
    arn = plane.arn(KIND, name)
    job_operations.insert(plane, Job, request, _new_body(request, arn, ignored))
    job_steps.start(Job(plane, name), COURSE)
    return {"ProcessingJobArn": arn}


def describe_processing_job(plane: Plane, request: Body) -> Body:
    """The job as the platform shows it; what is absent is left out, never empty."""
    return job_operations.shown(job_operations.find(plane, Job, request), _NOT_SHOWN)


def list_processing_jobs(plane: Plane, request: Body) -> Body:
    """One page of summaries, newest first unless the request says otherwise."""
    fields.check("list_processing_jobs", request, FIELDS)
    return page(plane.store.records(KIND), request, _summary, "ProcessingJobSummaries")


def stop_processing_job(plane: Plane, request: Body) -> Body:
    """Ask the job to stop: its containers get SIGTERM and, two minutes later, SIGKILL."""
    job_operations.stop(plane, Job, request, lambda body: body.update(ProcessingJobStatus=STOPPING))
    return {}


def recover_processing_jobs(plane: Plane, living: Sequence[Handle]) -> list[Handle]:
    """Go on with every job that an earlier coordinator left; returns the handles that jobs adopted."""
    return job_operations.recover(plane, Job, COURSE, living)


def _check_count(cluster: Body) -> None:
    for field in ("InstanceType", "InstanceCount"):
        if cluster.get(field) is None:
            raise ServiceError(
                "ValidationException",
                f"ProcessingResources.ClusterConfig.{field} is required; InstancePreferences are not supported here.",
            )


def _new_body(request: Body, arn: str, ignored: list[str]) -> Body:
    return {
        **job_operations.started(request, request["ProcessingResources"]["ClusterConfig"]["InstanceCount"], ignored),
        "ProcessingJobArn": arn,
        "ProcessingJobStatus": IN_PROGRESS,
        "StoppingCondition": {"MaxRuntimeInSeconds": _MAX_RUNTIME, **request.get("StoppingCondition", {})},
    }


def _summary(record: Record) -> Body:
    return job_operations.summary(Job, record, "ProcessingEndTime", "FailureReason", "ExitMessage")
