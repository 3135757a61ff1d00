"""`seaproof check` in a test: one assertion proves an image.

    from seaproof.testing import check

    def test_the_image_is_one_that_sagemaker_takes():
        assert check("my-image:latest", payload="data/sample.csv")

It raises the AssertionError itself, so that its message is the whole report, with evidence and fix, as in a terminal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from seaproof.check.check import Report
from seaproof.check.options import Options, Payload
from seaproof.check.project_options import read_payload
from seaproof.check.reports import plain
from seaproof.check.runner import run_checks


def check(
    target: str | Path,
    *,
    roles: Sequence[str] = (),
    payload: str | Path | bytes | None = None,
    content_type: str = "",
    accept: str = "",
    model: str | Path | None = None,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    fast: bool = False,
    channels: Mapping[str, str] | None = None,
    hyperparameters: Mapping[str, str] | None = None,
    metrics: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    instance_type: str = Options.instance_type,
    input_mode: str = "File",
    hosts: int = 1,
    hold: float = 0.0,
    patience: float = 60.0,
    driver: str = "auto",
) -> Report:
    """Hold a target (an image, a folder, an archive ...) against the platform's contract, as `seaproof check` does.

    `payload` is a file, or a body with its `content_type`; `metrics` are names with their expressions; `input_mode`
    is File, FastFile or Pipe; `hold` and `patience` are in seconds. The rest is as the command's options.

    AssertionError where something would fail or could not be checked; ProjectError where `target` names nothing that
    can be checked, DriverUnavailable where an image is named and no engine answers.
    """
    body = None
    if isinstance(payload, bytes):
        body = Payload(payload, content_type, accept)
    elif payload is not None:
        body = read_payload(Path(payload), content_type, accept)
    options = Options(
        roles=tuple(roles),
        only=tuple(only),
        skip=tuple(skip),
        fast=fast,
        payload=body,
        model=Path(model) if model is not None else None,
        channels=dict(channels or {}),
        hyperparameters=dict(hyperparameters or {}),
        metrics=dict(metrics or {}),
        environment=dict(environment or {}),
        instance_type=instance_type,
        input_mode=input_mode,
        hosts=hosts,
        hold=hold,
        patience=patience,
        driver=driver,
    )
    report = run_checks(str(target), options)
    if report.exit_code:
        raise AssertionError(f"\n{plain.render(report)}")
    return report
