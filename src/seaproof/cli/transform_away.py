"""`seaproof transform DATA --target aws`: by the model of a training job, and its predictions synced down."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from seaproof.cli import train_away
from seaproof.cli.screen import Screen, facts
from seaproof.cli.session import show_json
from seaproof.cli.ship import carry_out
from seaproof.cli.shipping import OnScreen, Way, way
from seaproof.ship import drawing, transform


@dataclass(frozen=True)
class Away:
    """The options that say in which account a job runs, and after which training."""

    target_name: str | None
    stage: str
    profile: str | None
    region: str | None
    job: str | None
    out: Path | None
    retry: int

    @property
    def is_asked(self) -> bool:
        return bool(self.target_name or self.stage)

    def transform(self, folder: Path, as_json: bool, source: str | None, model: str | None, output: str | None) -> None:
        """Run the job there; `model` may name the training job, too."""
        trained = self.job or (train_away.job_of(self.out) if self.out else model)
        if not source or not trained:
            raise click.UsageError("--target and --stage need INPUT, and --job NAME or --out FILE of the training")
        with way(folder, as_json, self.stage, self.target_name, self.profile, self.region, changes=True) as found:
            predict(found, as_json, source, trained, Path(output) if output else None, self.retry)


def predict(found: Way, as_json: bool, source: str, job: str, output: Path | None, retry: int) -> None:
    """Upload what changed of `source`, make the model of the job, transform, and bring the predictions here."""
    plan = drawing.transform_alone(found.draft, source, job)
    folder = output or found.session.project.root / "predictions" / plan.names["transform job"]
    with Screen(quiet=as_json) as screen:
        carry_out(plan, found, OnScreen(screen), retry)
        screen.step(f"syncing {plan.names['predictions']} down")
        files = transform.sync_down(found.target, plan.names["predictions"], folder)
    if as_json:
        show_json({**plan.names, "files": [str(file) for file in files]})
    else:
        facts({**plan.names, "files": f"{len(files)} in {folder}"})
