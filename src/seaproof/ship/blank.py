"""An account in which nothing is there yet: what is planned against it is the whole of a project, not what is missing.

It needs no credentials and makes no calls. Exports and costs are drawn from such a plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seaproof.errors import SeaproofError
from seaproof.project import Project
from seaproof.settings import Settings
from seaproof.ship import drawing
from seaproof.ship.draft import Draft
from seaproof.ship.shipment import Shipment
from seaproof.ship.target import Target

_PARTITIONS = {"cn-": "aws-cn", "us-gov-": "aws-us-gov", "us-iso-": "aws-iso", "us-isob-": "aws-iso-b"}
_SUFFIXES = {"aws-cn": "amazonaws.com.cn", "aws-iso": "c2s.ic.gov", "aws-iso-b": "sc2s.sgov.gov"}


@dataclass
class Blank(Target):
    """Answers every look with nothing; `trained` are jobs that are taken to have completed: name -> model's address."""

    trained: Mapping[str, str] | None = None

    @property
    def partition(self) -> str:
        """See Target."""
        return next((part for prefix, part in _PARTITIONS.items() if self.region.startswith(prefix)), "aws")

    def call(self, service: str, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """The one answer that a plan cannot do without; everything else is a mistake of the caller."""
        if (service, operation) != ("ecr", "GetAuthorizationToken"):
            raise SeaproofError(f"a plan of an empty account makes no call {service}:{operation}")
        suffix = _SUFFIXES.get(self.partition, "amazonaws.com")
        host = f"{self.account}.dkr.ecr.{self.region}.{suffix}"
        return {"authorizationData": [{"proxyEndpoint": f"https://{host}"}]}

    def find(self, service: str, operation: str, request: Mapping[str, Any]) -> dict[str, Any] | None:
        """See Target."""
        model = (self.trained or {}).get(str(request.get("TrainingJobName", "")))
        if operation != "DescribeTrainingJob" or not model:
            return None
        return {"TrainingJobStatus": "Completed", "ModelArtifacts": {"S3ModelArtifacts": model}}

    def lacks(self, service: str, operation: str, request: Mapping[str, Any]) -> bool:
        """See Target."""
        return False

    def pages(self, service: str, operation: str, request: Mapping[str, Any], member: str) -> list[dict[str, Any]]:
        """See Target."""
        return []


def whole(project: Project, settings: Settings, shipment: Shipment, account: str, region: str) -> Draft:
    """An empty plan of this stage in an empty account; `drawing.everything` fills it with all that the stage has.

    A model that is taken from a training job by its name lies where jobs of this project leave theirs.
    """
    target = Blank(None, region, account=account)
    draft = drawing.open_draft(project, settings, shipment, target)
    source = shipment.model.source
    target.trained = {source: f"{draft.place.root}/jobs/{source}/output/model.tar.gz"} if source != "train" else {}
    return draft
