"""What `seaproof jobs describe` shows of a job, for each kind; `--json` shows the description itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from seaproof.cli.screen import moment


def _training(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "training job": found["TrainingJobName"],
        "arn": found["TrainingJobArn"],
        "status": f"{found['TrainingJobStatus']} ({found['SecondaryStatus']})",
        "reason": found.get("FailureReason"),
        "image": found["AlgorithmSpecification"].get("TrainingImage"),
        "created": moment(found["CreationTime"]),
        "ended": moment(found.get("TrainingEndTime")),
        "model": found.get("ModelArtifacts", {}).get("S3ModelArtifacts"),
        "hyperparameters": "\n".join(f"{k} = {v}" for k, v in found.get("HyperParameters", {}).items()),
        "metrics": "\n".join(f"{m['MetricName']} = {m['Value']:g}" for m in found.get("FinalMetricDataList", [])),
        "transitions": "\n".join(
            f"{moment(t['StartTime'])}  {t['Status']}  {t.get('StatusMessage', '')}"
            for t in found.get("SecondaryStatusTransitions", [])
        ),
    }


def _processing(found: dict[str, Any]) -> dict[str, Any]:
    app = found["AppSpecification"]
    inputs = [given["S3Input"] for given in found.get("ProcessingInputs", []) if "S3Input" in given]
    outputs = [
        given["S3Output"] for given in found.get("ProcessingOutputConfig", {}).get("Outputs", []) if "S3Output" in given
    ]
    return {
        "processing job": found["ProcessingJobName"],
        "arn": found["ProcessingJobArn"],
        "status": found["ProcessingJobStatus"],
        "reason": found.get("FailureReason"),
        "message": found.get("ExitMessage"),
        "image": app["ImageUri"],
        "command": " ".join([*app.get("ContainerEntrypoint", []), *app.get("ContainerArguments", [])]) or None,
        "created": moment(found["CreationTime"]),
        "ended": moment(found.get("ProcessingEndTime")),
        "inputs": "\n".join(f"{given['S3Uri']} -> {given.get('LocalPath', '')}" for given in inputs) or None,
        "outputs": "\n".join(f"{given.get('LocalPath', '')} -> {given['S3Uri']}" for given in outputs) or None,
    }


def _transform(found: dict[str, Any]) -> dict[str, Any]:
    given, output = found["TransformInput"], found["TransformOutput"]
    source = given["DataSource"]["S3DataSource"]
    client = found.get("ModelClientConfig", {})
    processing = found.get("DataProcessing", {})
    resources = found["TransformResources"]
    sent = {
        "split": given.get("SplitType"),
        "strategy": found.get("BatchStrategy"),
        "payload": f"{found['MaxPayloadInMB']} MB" if "MaxPayloadInMB" in found else None,
        "at once": found.get("MaxConcurrentTransforms"),
        "timeout": f"{seconds} s" if (seconds := client.get("InvocationsTimeoutInSeconds")) else None,
        "retries": client.get("InvocationsMaxRetries"),
    }
    return {
        "transform job": found["TransformJobName"],
        "arn": found["TransformJobArn"],
        "status": found["TransformJobStatus"],
        "reason": found.get("FailureReason"),
        "model": found["ModelName"],
        "created": moment(found["CreationTime"]),
        "ended": moment(found.get("TransformEndTime")),
        "input": " ".join(filter(None, (source["S3Uri"], given.get("ContentType"), given.get("CompressionType")))),
        "output": " ".join(filter(None, (output["S3OutputPath"], output.get("Accept")))),
        "instances": resources["InstanceCount"],
        "requests": ", ".join(f"{name} {value}" for name, value in sent.items() if value is not None),
        "filters": ", ".join(f"{name} {value}" for name, value in processing.items()) or None,
    }


FACTS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "Training": _training,
    "Processing": _processing,
    "Transform": _transform,
}
"""By the noun of the kind of job."""
