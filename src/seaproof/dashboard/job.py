"""The page of one job, of whatever kind."""

from __future__ import annotations

from html import escape
from typing import Any

from seaproof.api.client import Client
from seaproof.dashboard.layout import document, facts, is_busy, moment, span, state, table, why
from seaproof.dashboard.logs import logs
from seaproof.errors import ServiceError

NOUNS = ("Training", "Processing", "Transform")
"""The kinds of jobs, as the API's members have them."""


def job_page(client: Client, name: str) -> str:
    """What is known of the job; ServiceError where no kind has one of this name."""
    noun, found = _find(client, name)
    status = found[f"{noun}JobStatus"]
    detail = found.get("SecondaryStatus", status)
    kind = f"{noun.lower()} job" + (f", {detail}" if detail != status else "")
    events = client.events(f"{noun.lower()}-job", name)
    model = found.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    parts = [
        "<p><a href='/'>All that is here</a></p>",
        f"<h1>{escape(name)}</h1>",
        f"<p>{state(status)} <span class='soft'>{escape(kind)}</span></p>",
        why(found.get("FailureReason")),
        facts(
            {
                "image": _image(found),
                "model": found.get("ModelName"),
                "data": _data(found),
                "output": model or found.get("TransformOutput", {}).get("S3OutputPath"),
                "instances": _instances(found),
                "created": moment(found["CreationTime"]),
                "ended": moment(found.get(f"{noun}EndTime")),
                "took": span(found["CreationTime"], found.get(f"{noun}EndTime")),
                "message": found.get("ExitMessage"),
            }
        ),
    ]
    if metrics := found.get("FinalMetricDataList"):
        parts += ["<h2>Metrics</h2>", table([(m["MetricName"], f"{m['Value']:g}") for m in metrics], ("name", "#last"))]
    if steps := found.get("SecondaryStatusTransitions"):
        rows = [
            (moment(s["StartTime"]), s["Status"], span(s["StartTime"], s.get("EndTime")), s.get("StatusMessage"))
            for s in steps
        ]
        parts += ["<h2>Steps</h2>", table(rows, ("@when", "step", "#took", "what"))]
    if events:
        told = [(moment(e["time"]), e["type"], e["message"]) for e in events]
        parts += ["<h2>What happened</h2>", table(told, ("@when", "what", ""))]
    parts += ["<h2>Log</h2>", logs(client, f"{noun}Jobs", name, f"seaproof jobs logs {name}")]
    return document(name, *parts, busy=is_busy(status))


def _find(client: Client, name: str) -> tuple[str, dict[str, Any]]:
    absent: ServiceError | None = None
    for noun in NOUNS:
        try:
            return noun, client.call(f"Describe{noun}Job", {f"{noun}JobName": name})
        except ServiceError as error:
            absent = absent or error
    assert absent is not None
    raise absent


def _image(found: dict[str, Any]) -> str:
    algorithm, app = found.get("AlgorithmSpecification", {}), found.get("AppSpecification", {})
    return str(algorithm.get("TrainingImage") or app.get("ImageUri", ""))


def _data(found: dict[str, Any]) -> str:
    channels = [
        f"{channel['ChannelName']}: {channel['DataSource']['S3DataSource']['S3Uri']}"
        for channel in found.get("InputDataConfig", [])
        if "S3DataSource" in channel.get("DataSource", {})
    ]
    inputs = [
        f"{given['InputName']}: {given['S3Input']['S3Uri']}"
        for given in found.get("ProcessingInputs", [])
        if "S3Input" in given
    ]
    source = found.get("TransformInput", {}).get("DataSource", {}).get("S3DataSource", {})
    return ", ".join([*channels, *inputs, *([source["S3Uri"]] if source else [])])


def _instances(found: dict[str, Any]) -> str:
    resources = (
        found.get("ResourceConfig")
        or found.get("TransformResources")
        or found.get("ProcessingResources", {}).get("ClusterConfig", {})
    )
    return " x ".join(str(resources[key]) for key in ("InstanceCount", "InstanceType") if key in resources)
