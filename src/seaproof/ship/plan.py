"""A plan is data: the calls that bring an account from what exists to what seaproof.toml says, in order.

A step is a call of the AWS API, named as the API names it. Two services stand for what has no API: `docker` (build,
push) and `files` (what is uploaded or removed below a prefix). `execute` does what is written here and decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from seaproof.ship.secrecy import masked, without_secrets

Request = Mapping[str, Any]


@dataclass(frozen=True)
class Call:
    """One call: a service as boto3 names it, an operation as the API names it, its request."""

    service: str
    operation: str
    request: Request = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.service}:{self.operation}"


@dataclass(frozen=True)
class Step:
    """One thing to do."""

    title: str
    """In words: `create endpoint flowers`."""
    call: Call
    undo: Call | None = None
    """What takes it back; None for a change of something that was there before."""
    source: str = ""
    """The local file whose bytes go with it."""
    size: int = 0
    """Bytes of that file."""
    waits_for: str = ""
    """A kind of `waiting`, where the thing is not done when the call is answered."""


@dataclass(frozen=True)
class Plan:
    """What would be done, and what is there already."""

    stage: str
    target: str
    account: str
    region: str
    steps: Sequence[Step]
    kept: Sequence[str] = ()
    """What is there as it should be, in words."""
    left_out: Sequence[str] = ()
    """What the target cannot do, in words."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What things are called: image, bucket, training job, model, endpoint config, endpoint."""

    def detached(self) -> Plan:
        """The same, begun and not waited for."""
        return replace(self, steps=tuple(replace(step, waits_for="") for step in self.steps))

    def as_json(self) -> dict[str, Any]:
        """The plan for programs; values that look like secrets are hidden."""
        return {
            "stage": self.stage,
            "target": self.target,
            "account": self.account,
            "region": self.region,
            "names": dict(self.names),
            "steps": [as_json(step) for step in self.steps],
            "kept": list(self.kept),
            "left_out": list(self.left_out),
        }


def as_json(step: Step) -> dict[str, Any]:
    """One step for programs and records."""
    shown: dict[str, Any] = {
        "title": masked(step.title),
        "service": step.call.service,
        "operation": step.call.operation,
        "request": without_secrets(step.call.request),
    }
    if step.source:
        shown["source"], shown["bytes"] = step.source, step.size
    if step.undo:
        shown["undo"] = call_as_json(step.undo)
    if step.waits_for:
        shown["waits_for"] = step.waits_for
    return shown


def call_as_json(call: Call) -> dict[str, Any]:
    """A call that takes something back, for records; `call_from_json` reads it."""
    return {"service": call.service, "operation": call.operation, "request": dict(call.request)}


def call_from_json(given: Mapping[str, Any]) -> Call:
    """The call of a record."""
    return Call(str(given["service"]), str(given["operation"]), dict(given["request"]))
