"""Drawing a plan: seaproof.toml and what exists, turned into the calls that are missing. It only looks."""

from __future__ import annotations

from dataclasses import replace

from seaproof.project import Project
from seaproof.settings import Settings
from seaproof.ship import data, endpoint, image, role, serving_model, training, transform, validity
from seaproof.ship.draft import Draft
from seaproof.ship.plan import Plan
from seaproof.ship.requests import Place, this_machine
from seaproof.ship.shipment import Shipment
from seaproof.ship.target import Target


def open_draft(project: Project, settings: Settings, shipment: Shipment, target: Target) -> Draft:
    """An empty plan of this stage at this target."""
    here = this_machine(project, settings)
    if target.is_local:
        place = Place(here.role, here.image, shipment.bucket or here.bucket, shipment.prefix)
        return Draft(project, shipment, target, place, image_content=image.content_here(project, shipment))
    place = Place(
        role=role.arn(shipment.role, target.account, target.partition),
        image=image.uri(project, shipment, image.registry(shipment, target)),
        bucket=shipment.bucket or f"seaproof-{target.region}-{target.account}",
        prefix=shipment.prefix,
    )
    return Draft(project, shipment, target, place)


def endpoint_name(draft: Draft) -> str:
    """What the endpoint of this stage is called."""
    return endpoint.name(draft)


def everything(draft: Draft) -> Plan:
    """From the image, which may fail to build and then leaves nothing behind, to the endpoint."""
    image.add(draft)
    there = data.add_bucket(draft)
    role.add(draft)
    if draft.shipment.model.source == "train":
        job = training.add(draft, data.add_channels(draft, there))
        url = training.model_uri(draft, job)
    else:
        url = serving_model.archive(draft, there)
    endpoint.add(draft, serving_model.add(draft, url))
    return _checked(draft)


def training_alone(draft: Draft, name: str = "") -> Plan:
    """From the image to the trained model; `name` is the job's, if not one that stands for what it trains on."""
    image.add(draft)
    there = data.add_bucket(draft)
    role.add(draft)
    training.add(draft, data.add_channels(draft, there), name)
    return _checked(draft)


def transform_alone(draft: Draft, source: str, job: str, name: str = "", output: str = "") -> Plan:
    """A batch transform of a folder, a file or s3://, by the model of a training job.

    `name` is the transform job's, `output` the s3:// address of its predictions, if not the plan's own choice.
    """
    found = draft.find("sagemaker", "DescribeTrainingJob", TrainingJobName=job)
    url = serving_model.trained(found, job)
    assert found is not None
    trained_in = str(found["AlgorithmSpecification"].get("TrainingImage", draft.place.image))
    draft = replace(draft, place=replace(draft.place, image=trained_in))
    draft.reads += [source] if source.startswith("s3://") else []
    draft.writes += [output] if output else []
    there = data.add_bucket(draft)
    role.add(draft)
    transform.add(draft, source, serving_model.add(draft, url), there, name, output)
    return _checked(draft)


def image_alone(draft: Draft) -> Plan:
    """The image, where the platform pulls it from."""
    image.add(draft)
    return _checked(draft)


def _checked(draft: Draft) -> Plan:
    """The plan, once it is sure that AWS takes every request in it."""
    return validity.check(draft.finished(), str(draft.project.file or draft.project.root))
