"""`seaproof transform DATA --target aws`: by the model of a training job, and its predictions synced down."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from seaproof.cli import requests, train_away
from seaproof.cli.app import INTERRUPTED
from seaproof.cli.screen import Screen, facts
from seaproof.cli.session import show_json
from seaproof.cli.ship import carry_out
from seaproof.cli.shipping import OnScreen, Way, refuse_with_target, stop_job, was_given, way
from seaproof.cli.transform_request import Asked, client_of
from seaproof.errors import SeaproofError
from seaproof.ship import drawing, transform
from seaproof.ship.draft import Draft
from seaproof.ship.plan import Plan
from seaproof.ship.secrecy import without_secrets

HERE_ALONE = (
    *("driver", "no_model", "target_model", "repeat_header", "quarantine", "quoted_newlines", "spread", "engine"),
    *("resume", "dry_run"),
)
"""Options of the command that SageMaker has nothing for."""


@dataclass(frozen=True)
class Away:
    """The options that say in which account a job runs, and after which training."""

    target_name: str | None
    stage: str
    profile: str | None
    region: str | None
    job: str | None
    out: Path | None
    retry: int | None

    @property
    def is_asked(self) -> bool:
        return bool(self.target_name or self.stage)

    def transform(self, folder: Path, as_json: bool, source: str | None, asked: Asked, wanted: Wanted) -> None:
        """Run the job there."""
        refuse_with_target(HERE_ALONE, self.target_name)
        if not source:
            raise click.UsageError("--target and --stage need INPUT")
        trained = self.job or (train_away.job_of(self.out) if self.out else wanted.model)
        if not trained:
            raise click.UsageError("--target and --stage need --job NAME or --out FILE of the training")
        requests.check_name(trained, "--job" if self.job else "--model")
        if wanted.name:
            requests.check_name(wanted.name, "--name")
        over = {"transform": laid_over_stage(asked)}
        target = (folder, as_json, self.stage, self.target_name, self.profile, self.region)
        with way(*target, over=over, changes=True) as found:
            predict(found, as_json, source, trained, wanted, self.retry)


@dataclass(frozen=True)
class Wanted:
    """What the job is to be called, to take, and to leave."""

    model: str | None
    """The training job, where neither --job nor --out names it."""
    output: str | None
    name: str | None
    detach: bool

    @property
    def address(self) -> str:
        """Where in s3:// the predictions are to lie, as given; empty: where the plan has them."""
        return self.output.rstrip("/") + "/" if self.output and self.output.startswith("s3://") else ""


def laid_over_stage(asked: Asked) -> dict[str, Any]:
    """The options of the command in the words of [ship.transform], which they come before."""
    given: dict[str, Any] = {
        "instance_count": asked.instances if was_given("instances") else None,
        "content_type": asked.content_type,
        "split": asked.split,
        "assemble": asked.assemble,
        "strategy": "SingleRecord" if asked.single else None,
        "input_filter": asked.input_filter,
        "output_filter": asked.output_filter,
        "join": "Input" if asked.join else None,
        "max_payload": asked.max_payload,
        "concurrency": asked.concurrent,
    }
    source = {"DataSource": {"S3DataSource": {"S3DataType": "ManifestFile"}}} if asked.manifest else {}
    request = {
        "TransformInput": {**source, **({"CompressionType": "Gzip"} if asked.gzip else {})},
        "TransformOutput": {"Accept": asked.accept} if asked.accept else {},
        "Environment": asked.pairs,
        "ModelClientConfig": client_of(asked) or {},
    }
    given["request"] = {member: value for member, value in request.items() if value}
    return {key: value for key, value in given.items() if value is not None}


def predict(found: Way, as_json: bool, source: str, job: str, wanted: Wanted, retry: int | None) -> None:
    """Upload what changed of `source`, make the model of the job, transform, and bring the predictions here.

    They stay in S3 where that is what was asked for. Ctrl-C stops the job.
    """

    def draw(draft: Draft) -> Plan:
        plan = drawing.transform_alone(draft, source, job, wanted.name or "", wanted.address)
        return plan.detached() if wanted.detach else plan

    plan = draw(found.draft)
    name = plan.names["transform job"]
    attempts = found.shipment.training.retries if retry is None else retry
    with Screen(quiet=as_json) as screen:
        watcher = OnScreen(screen)
        try:
            plan, _ = carry_out(plan, found, watcher, attempts, draw)
            name, address = plan.names["transform job"], plan.names["predictions"]
        except KeyboardInterrupt as interrupted:
            stopped, status = stop_job(found, "TransformJob", name, interrupted, watcher)
            facts({"transform job": stopped, "status": status or "it was not begun"})
            raise click.exceptions.Exit(INTERRUPTED) from None
        if wanted.detach:
            _show_begun(found, name, as_json)
            return
        files = []
        folder = Path(wanted.output) if wanted.output else found.session.project.root / "predictions" / name
        if not wanted.address:
            screen.step(f"syncing {address} down")
            files = transform.sync_down(found.target, address, folder)
            if not files:
                raise SeaproofError(
                    f"transform job {name} is Completed, and nothing lies at {address}",
                    next_step="Look whether the input has objects, and whether somebody removed the predictions;"
                    " another --name runs the job again.",
                )
    if as_json:
        show_json({**plan.names, "files": [str(file) for file in files]})
    else:
        facts({**plan.names, "files": f"{len(files)} in {folder}" if files else f"in {address}"})


def _show_begun(found: Way, name: str, as_json: bool) -> None:
    if as_json:
        asked = {"TransformJobName": name}
        show_json(without_secrets(found.target.call("sagemaker", "DescribeTransformJob", asked)))
    else:
        print(name)
