"""A plan while it is drawn: what is known so far, what exists, and the steps that came of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from seaproof.errors import SeaproofError
from seaproof.project import Project
from seaproof.ship import refusals
from seaproof.ship.plan import Plan, Step
from seaproof.ship.requests import Place
from seaproof.ship.shipment import Shipment
from seaproof.ship.target import Target

GONE = ("Failed", "Stopped", "Stopping")
"""Status of a job that leaves nothing to use."""
PROJECT_TAG, STAGE_TAG = "seaproof-project", "seaproof-stage"


@dataclass
class Draft:
    """What the parts of a plan (image, data, role, training, model, endpoint) read and add to."""

    project: Project
    shipment: Shipment
    target: Target
    place: Place
    steps: list[Step] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)
    """s3:// addresses outside of the project's own, which a job reads."""
    writes: list[str] = field(default_factory=list)
    """Such, which a job writes."""
    image_content: str = ""
    """What the image is made of, where its address does not say so: an id or a hash that changes with it."""

    @property
    def base_name(self) -> str:
        """What the names of this stage's jobs, models and configurations begin with."""
        return "-".join(filter(None, (self.project.name, self.shipment.stage)))

    @property
    def tags(self) -> dict[str, str]:
        """What everything is tagged with that takes tags."""
        own = {PROJECT_TAG: self.project.name, STAGE_TAG: self.shipment.label}
        return {**self.shipment.tags, **own}

    def tag_list(self) -> list[dict[str, str]]:
        """The tags as most services take them."""
        return [{"Key": key, "Value": value} for key, value in sorted(self.tags.items())]

    def find(self, service: str, operation: str, **request: Any) -> dict[str, Any] | None:
        """What is there; None where it is not."""
        return self.target.find(service, operation, request)

    def finished(self) -> Plan:
        """The plan that came of it."""
        return Plan(
            stage=self.shipment.label,
            target=self.target.name,
            account=self.target.account,
            region=self.target.region,
            steps=tuple(self.steps),
            kept=tuple(self.kept),
            left_out=tuple(self.left_out),
            names=dict(self.names),
        )


def next_job(draft: Draft, kind: str, name: str, is_over: Callable[[str, str], bool]) -> tuple[str, str]:
    """The first of NAME, NAME-2, ... that is free, or whose job is not over; and that job's status, empty where free.

    `kind` is TrainingJob or TransformJob; `is_over` is asked with a job's name and status. Names are taken for good.
    """
    number = 1
    while True:
        job = name if number == 1 else f"{name}-{number}"
        found = draft.find("sagemaker", f"Describe{kind}", **{f"{kind}Name": job})
        status = str(found[f"{kind}Status"]) if found else ""
        if not status or not is_over(job, status):
            return job, status
        number += 1


def free_name(draft: Draft, kind: str, name: str) -> str:
    """The name that was asked for; SeaproofError where a job has it already, since names are taken for good.

    One that found no capacity gives way to NAME-2, so that it can be sent again.
    """
    number, job = 1, name
    while found := draft.find("sagemaker", f"Describe{kind}", **{f"{kind}Name": job}):
        if str(found.get("FailureReason", "")).partition(":")[0] not in refusals.CAPACITY:
            raise SeaproofError(
                f"there is a job {job} already, which is {found[f'{kind}Status']}",
                next_step="Say another --name; without one, the job for this data is found again and not run twice.",
            )
        number += 1
        job = f"{name}-{number}"
    return job


def name_of(prefix: str, request: Mapping[str, Any]) -> str:
    """A name that holds for this request alone: the same request has the same name, whenever it is planned."""
    digest = hashlib.sha256(json.dumps(request, sort_keys=True, default=str).encode()).hexdigest()[:10]
    return f"{prefix[:50].rstrip('-')}-{digest}"
