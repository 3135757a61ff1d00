"""The operations on transform jobs: create, describe, list, stop."""

from __future__ import annotations

from dataclasses import asdict

from seaproof.control import fields, job_operations, plans, tags, transform_request
from seaproof.control.fleet import Plan
from seaproof.control.job_endings import COMPLETED, ENDED, IN_PROGRESS, STOPPING
from seaproof.control.listing import FIELDS, page
from seaproof.control.models import find as find_model
from seaproof.control.plane import Plane
from seaproof.control.store import Body, Record
from seaproof.control.transform_options import OUTPUT, Options, tag_of
from seaproof.control.transform_record import KIND, WORK, Job, job_folder
from seaproof.control.transform_steps import start
from seaproof.errors import ServiceError

_IMPLEMENTED = (
    "TransformJobName",
    "ModelName",
    "MaxConcurrentTransforms",
    "ModelClientConfig",
    "MaxPayloadInMB",
    "BatchStrategy",
    "Environment",
    "TransformInput",
    "TransformOutput.{S3OutputPath,Accept,AssembleWith}",
    "TransformResources.{InstanceType,InstanceCount}",
    "DataProcessing",
    "Tags",
)
_IGNORED = (
    "TransformOutput.KmsKeyId",
    "TransformResources.{VolumeKmsKeyId,TransformAmiVersion}",
    "ExperimentConfig",
)
_NOT_SHOWN = ("Tags", "LastModifiedTime")


def create_transform_job(plane: Plane, request: Body) -> Body:
    """Store the job, answer its ARN at once, and run it in the background."""
    ignored = fields.check("create_transform_job", request, _IMPLEMENTED, _IGNORED)
    given = tags.of_request(request)
    options = Options.read(given)
    transform_request.check(request, options)
    plan = _plan(plane, request, options)
    name, arn = request["TransformJobName"], plane.arn(KIND, request["TransformJobName"])
    with plane.store.transaction():
        _check_resumed(plane, request, options)
        if plane.store.insert(KIND, name, arn, IN_PROGRESS, _new_body(request, arn, ignored, options, plan)) is None:
            raise ServiceError(
                "ResourceInUse",
                "Job name must be unique within an AWS account and region, and a job with this name already exists"
                f" ({arn})",
            )
        plane.store.set_tags(arn, given)
        fields.note(plane.store, KIND, name, ignored)
        _take_over(plane, name, options)
    start(Job(plane, name))
    return {"TransformJobArn": arn}


def describe_transform_job(plane: Plane, request: Body) -> Body:
    """The job as the platform shows it; what is absent is left out, never empty."""
    return job_operations.shown(job_operations.find(plane, Job, request), _NOT_SHOWN)


def list_transform_jobs(plane: Plane, request: Body) -> Body:
    """One page of summaries, newest first unless the request says otherwise."""
    fields.check("list_transform_jobs", request, FIELDS)
    return page(plane.store.records(KIND), request, _summary, "TransformJobSummaries")


def stop_transform_job(plane: Plane, request: Body) -> Body:
    """Ask the job to stop; objects that are whole stay, the rest is kept for a job that resumes this one."""
    job_operations.stop(plane, Job, request, lambda body: body.update(TransformJobStatus=STOPPING))
    return {}


def _plan(plane: Plane, request: Body, options: Options) -> Plan:
    """What the job will run, also if the model is deleted meanwhile. ValidationException where it cannot."""
    model = find_model(plane, request["ModelName"])
    containers = model.body.get("Containers") or [model.body["PrimaryContainer"]]
    if any(container.get("ModelDataSource") for container in containers):
        raise ServiceError(
            "ValidationException",
            f"Model {model.name} has a ModelDataSource, which transform jobs do not take. Use ModelDataUrl.",
        )
    if (model.body.get("InferenceExecutionConfig") or {}).get("Mode") == "Direct":
        raise ServiceError(
            "ValidationException",
            f"Model {model.name} has InferenceExecutionConfig.Mode Direct: a job names no container. Use Serial.",
        )
    many = any(container.get("Mode") == "MultiModel" for container in containers)
    if many and not options.target_model:
        raise ServiceError(
            "ValidationException",
            f"Model {model.name} has a multi-model container; the tag seaproof:target-model says which model is asked.",
        )
    if options.target_model and not many:
        raise ServiceError(
            "ValidationException",
            f"seaproof:target-model is given, and model {model.name} has no multi-model container.",
        )
    return plans.variant(plane, {"VariantName": "algo-1", "ModelName": model.name})


def _check_resumed(plane: Plane, request: Body, options: Options) -> None:
    """ValidationException where the job to be gone on with does not fit."""
    if not options.resume:
        return
    old = plane.store.get(KIND, options.resume)
    problem = ""
    if old is None:
        problem = "there is no such job"
    elif old.status not in ENDED or old.status == COMPLETED:
        problem = f"it is {old.status}"
    elif "_resumed_by" in old.body:
        problem = f"{old.body['_resumed_by']} has gone on with it already"
    else:
        differ = [key for key in WORK if old.body.get(key) != request.get(key)]
        begun = Options(**old.body["_options"])
        differ += [tag_of(name) for name in OUTPUT if getattr(begun, name) != getattr(options, name)]
        if differ:
            problem = f"{', '.join(differ)} differ from that job's"
    if problem:
        raise ServiceError("ValidationException", f"{options.resume} cannot be resumed: {problem}.")


def _take_over(plane: Plane, name: str, options: Options) -> None:
    if options.resume:
        plane.store.update(KIND, options.resume, lambda body: body.update(_resumed_by=name))
        folder = job_folder(plane, options.resume)
        if folder.exists():
            folder.rename(job_folder(plane, name))


def _new_body(request: Body, arn: str, ignored: list[str], options: Options, plan: Plan) -> Body:
    given = {key: value for key, value in request.items() if value not in (None, {}, [])}
    return {
        **given,
        "TransformJobArn": arn,
        "TransformJobStatus": IN_PROGRESS,
        "_ignored": ignored,
        "_options": asdict(options),
        "_plan": plan,
    }


def _summary(record: Record) -> Body:
    return job_operations.summary(Job, record, "TransformEndTime", "FailureReason")
