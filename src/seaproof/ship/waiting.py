"""Waiting for what takes time: a training or transform job with its log, an endpoint with its state and its reason."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Protocol

from seaproof.errors import SeaproofError, ServiceError
from seaproof.ship import refusals
from seaproof.ship.plan import Step
from seaproof.ship.secrecy import masked
from seaproof.ship.target import Target

FIRST_SECONDS, LAST_SECONDS = 0.3, 10.0
"""From one look to the next: short at first, since a local server is quick, longer as time goes by."""
TAIL = 20
"""Lines of the log that a failure shows."""
CHANGING = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


class Watcher(Protocol):
    """What shows people how it goes."""

    def step(self, number: int, of: int, step: Step) -> None:
        """A step begins."""

    def status(self, text: str) -> None:
        """How far what is waited for has come."""

    def log(self, line: str) -> None:
        """A line of a container's log."""

    def note(self, text: str) -> None:
        """Something that people should know, and that is no failure."""


class EndedBadly(SeaproofError):
    """What was waited for failed; `reason` is its FailureReason."""

    def __init__(self, what: str, reason: str, **more: str) -> None:
        super().__init__(masked(what), **more)
        self.reason = reason


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while something was waited for, which runs on; `kind` is as in `Step.waits_for`.

    `log` is that of a job, as far as it has been shown.
    """

    def __init__(self, kind: str, name: str, log: Log | None = None) -> None:
        super().__init__(f"{kind} {name}")
        self.kind, self.name, self.log = kind, name, log


def wait(step: Step, target: Target, watcher: Watcher) -> dict[str, Any]:
    """Until what the step began has come to its end; its last description.

    EndedBadly where that is no good one, Interrupted on Ctrl-C.
    """
    try:
        return _waited(step, target, watcher)
    except Interrupted:
        raise
    except KeyboardInterrupt as error:
        raise Interrupted("endpoint", str(step.call.request["EndpointName"])) from error


def _waited(step: Step, target: Target, watcher: Watcher) -> dict[str, Any]:
    request = step.call.request
    if step.waits_for == "training job":
        return job(target, watcher, "TrainingJob", str(request["TrainingJobName"]))
    if step.waits_for == "transform job":
        return job(target, watcher, "TransformJob", str(request["TransformJobName"]))
    if step.waits_for == "endpoint to go":
        return _gone(target, watcher, str(request["EndpointName"]))
    return endpoint(target, watcher, str(request["EndpointName"]))


def job(target: Target, watcher: Watcher, kind: str, name: str, log: Log | None = None) -> dict[str, Any]:
    """A TrainingJob or TransformJob; its log is shown as it comes, from where `log` stopped.

    EndedBadly where it did not complete, Interrupted on Ctrl-C.
    """
    log = log or Log(target, f"/aws/sagemaker/{kind}s", f"{name}/")
    called = "training job" if kind == "TrainingJob" else "transform job"
    try:
        for _ in _looks():
            found = target.call("sagemaker", f"Describe{kind}", {f"{kind}Name": name})
            status = str(found[f"{kind}Status"])
            log.show(watcher.log)
            if status not in ("InProgress", "Stopping"):
                break
            watcher.status(f"{name}: {found.get('SecondaryStatus', status)}")
    except KeyboardInterrupt as error:
        raise Interrupted(called, name, log) from error
    if status != "Completed":
        reason = str(found.get("FailureReason", "no reason was given"))
        raise EndedBadly(
            f"{called} {name} is {status}: {reason}",
            reason,
            next_step=cause(reason),
        )
    return found


def endpoint(target: Target, watcher: Watcher, name: str) -> dict[str, Any]:
    """An endpoint; where it fails, its log's last lines are shown."""
    for _ in _looks():
        found = target.call("sagemaker", "DescribeEndpoint", {"EndpointName": name})
        if found["EndpointStatus"] not in CHANGING:
            break
        watcher.status(f"{name}: {found['EndpointStatus']}{_traffic(found)}")
    reason = str(found.get("FailureReason", ""))
    if found["EndpointStatus"] != "InService" or reason:
        for line in Log(target, f"/aws/sagemaker/Endpoints/{name}", "", found.get("CreationTime")).tail():
            watcher.log(line)
        kept = "; the version before it goes on serving" if found["EndpointStatus"] == "InService" else ""
        raise EndedBadly(
            f"endpoint {name} is {found['EndpointStatus']}{kept}: {reason or 'no reason was given'}",
            reason,
            next_step=cause(reason),
        )
    return found


def _gone(target: Target, watcher: Watcher, name: str) -> dict[str, Any]:
    for _ in _looks():
        if target.find("sagemaker", "DescribeEndpoint", {"EndpointName": name}) is None:
            break
        watcher.status(f"{name}: Deleting")
    return {}


def cause(reason: str) -> str:
    """What most likely lies behind a FailureReason, and what to do."""
    words = reason.lower()
    for sign, advice in _CAUSES:
        if sign in words:
            return advice
    return refusals.next_step(reason.partition(":")[0], reason)


_CAUSES = (
    (
        "ping health check",
        "The container does not answer /ping with 200 on the port it was told: `seaproof check` says why.",
    ),
    ("could not find model data", "Nothing lies at ModelDataUrl: the training wrote no model, or wrote it elsewhere."),
    (
        "failed to extract model data",
        "The archive holds what SageMaker refuses: `seaproof check model.tar.gz` names it.",
    ),
    ("manifest", "The image is an index of several: build it with `seaproof build`."),
    ("exec format", "The image is for another architecture than the instance's: set [ship.image] platform."),
    ("image size", "Serverless endpoints take images up to 10 GB."),
    (
        "ecr",
        "SageMaker may not pull the image: `seaproof role` shows what the role must allow.",
    ),
    ("exit code: 137", "The container was killed, most often for want of memory: take a larger instance_type."),
    (
        "algorithmerror",
        "The training program failed; its log above says where. `seaproof train` repeats it on this machine.",
    ),
)


class Log:
    """The streams of a log group that begin with a prefix, read on from where they were left.

    `since` leaves out what was written before: of an earlier endpoint of that name.
    """

    def __init__(self, target: Target, group: str, prefix: str, since: datetime | None = None) -> None:
        self._target, self._group, self._prefix = target, group, prefix
        self._since = {"startTime": int(since.timestamp() * 1000)} if since else {}
        self._tokens: dict[str, str] = {}

    def show(self, line: Callable[[str], None]) -> None:
        """Give every line that has come since; nothing where there is no log yet, or none may be read."""
        for stream in self._streams():
            for message in self._new(stream):
                line(message)

    def tail(self) -> list[str]:
        """The last lines of the stream that was written to last."""
        streams = self._streams()
        lines = [message for stream in streams[-1:] for message in self._new(stream)]
        return lines[-TAIL:]

    def _streams(self) -> list[str]:
        request: dict[str, Any] = {"logGroupName": self._group}
        if self._prefix:
            request["logStreamNamePrefix"] = self._prefix
        try:
            found = self._target.find("logs", "DescribeLogStreams", request) or {}
        except ServiceError:  # a log that may not be read is no reason to stop
            return []
        return [str(stream["logStreamName"]) for stream in found.get("logStreams", [])]

    def _new(self, stream: str) -> Iterator[str]:
        while True:
            request: dict[str, Any] = {
                "logGroupName": self._group,
                "logStreamName": stream,
                "startFromHead": True,
                **self._since,
            }
            token = self._tokens.get(stream)
            if token:
                request["nextToken"] = token
            found = self._target.find("logs", "GetLogEvents", request) or {}
            yield from (str(event["message"]) for event in found.get("events", []))
            self._tokens[stream] = str(found.get("nextForwardToken", token or ""))
            if not found or self._tokens[stream] == token:
                return


def _looks() -> Iterator[None]:
    """Turns of a loop, further and further apart."""
    pause = FIRST_SECONDS
    while True:
        yield
        time.sleep(pause)
        pause = min(pause * 1.3, LAST_SECONDS)


def _traffic(found: dict[str, Any]) -> str:
    """Which share of a variant's instances an update has reached."""
    parts = [
        f"{variant['VariantName']} {variant.get('CurrentInstanceCount', 0)}/{variant['DesiredInstanceCount']} instances"
        for variant in found.get("ProductionVariants", [])
        if "DesiredInstanceCount" in variant
    ]
    return f", {', '.join(parts)}" if parts else ""
