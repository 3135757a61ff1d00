"""`seaproof transform DATA --target aws`: by the model of a training job, and its predictions synced down."""

from __future__ import annotations

from pathlib import Path

from seaproof.cli.screen import Screen, facts
from seaproof.cli.session import show_json
from seaproof.cli.ship import carry_out
from seaproof.cli.shipping import OnScreen, Way
from seaproof.ship import drawing, transform


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
