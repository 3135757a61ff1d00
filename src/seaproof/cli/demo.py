"""`seaproof demo`: the main job on real data, from training to an update under load, and a table of what ran."""

from __future__ import annotations

import csv
import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import click

from seaproof.api.client import Client
from seaproof.cli import requests
from seaproof.cli.app import WorkloadFailed
from seaproof.cli.screen import Screen, table
from seaproof.cli.serve import deploy, wait_until_settled
from seaproof.cli.session import Session, coordinator, driver_option, open_session, show_json
from seaproof.cli.train import watch
from seaproof.errors import SeaproofError
from seaproof.ship.requests import new_name, this_machine, training_job

EXAMPLE = "income"
CLIENTS = 4
# The two variants: values of the hyperparameter that the example's train.py chooses its model by.
FIRST, SECOND = {"model": "linear"}, {"model": "boosting"}


@dataclass
class Demo:
    """One run: what it talks to, and the table that it ends with."""

    session: Session
    client: Client
    screen: Screen
    rows: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def step(self, what: str) -> Iterator[dict[str, Any]]:
        """Time one step; the block puts what came of it under `result`."""
        row: dict[str, Any] = {"step": what, "result": "", "seconds": 0.0}
        self.screen.step(what)
        started = time.monotonic()
        yield row
        row["seconds"] = round(time.monotonic() - started, 2)
        self.rows.append(row)


@click.command("demo")
@driver_option
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("seaproof-demo"),
    show_default=True,
    help="Where the demo's project is written, to look at afterwards.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(driver: str | None, folder: Path, as_json: bool) -> None:
    """Run the main job on real data: train, deploy, predict, and replace the endpoint while requests flow.

    Needs scikit-learn: in this Python for the process driver, in the image for Docker. Ends with a table of what
    ran and how long it took; the exit code says whether every step did what it should.
    """
    write_example(folder)
    session = open_session(folder, as_json, driver=driver, port=0)
    started = time.monotonic()
    with Screen(quiet=as_json) as screen, coordinator(session) as client:
        demo = Demo(session, client, screen)
        runs_on = client.health()["driver"]
        play(demo)
    total = time.monotonic() - started
    if as_json:
        show_json({"driver": runs_on, "steps": demo.rows, "seconds": round(total, 2)})
        return
    table([(r["step"], r["result"], f"{r['seconds']:.1f} s") for r in demo.rows], ("STEP", "RESULT", "TIME"))
    print(f"\nAll of it in {total:.1f} s on the {runs_on} driver. The project: {folder}")


def play(demo: Demo) -> None:
    """The steps in their order; WorkloadFailed at the first that does not do what it should."""
    name = demo.session.project.name
    features, labels = read_held_out(demo.session.project.root / "data" / "held_out.csv")
    first = train(demo, "train a linear model", FIRST)
    with demo.step("deploy it to an endpoint") as row:
        shown = deploy(demo.session, demo.client, name, first)
        wait_until_settled(demo.client, name, demo.screen, shown)
        row["result"] = f"{name} is in service"
    score(demo, "predict the held-out rows (CSV)", features, labels)
    with demo.step("predict one row (JSON)") as row:
        answer = demo.client.invoke(
            name, as_json_row(features), content_type="application/json", accept="application/json"
        )
        row["result"] = answer.body.decode().strip()
    second = train(demo, "train boosted trees", SECOND)
    with demo.step("replace the endpoint under load") as row, requests_flowing(demo, features) as counted:
        shown = deploy(demo.session, demo.client, name, second)
        wait_until_settled(demo.client, name, demo.screen, shown)
        row["result"] = f"{counted['ok']:,} requests answered, {counted['failed']} failed"
    if counted["failed"]:
        raise WorkloadFailed(f"{counted['failed']} requests failed while the endpoint was replaced")
    score(demo, "predict the held-out rows again", features, labels)
    with demo.step("delete the endpoint") as row:
        demo.client.call("DeleteEndpoint", {"EndpointName": name})
        row["result"] = "deleted"


def train(demo: Demo, what: str, hyperparameters: dict[str, str]) -> str:
    """Run one training job; the s3:// address of its model."""
    session, job = demo.session, new_name(demo.session.project)
    with demo.step(what) as row:
        uris = requests.put_channels(session.project, session.state, job, {})
        demo.client.call(
            "CreateTrainingJob",
            training_job(session.project, this_machine(session.project, session.settings), job, hyperparameters, uris),
        )
        ended = watch(demo.client, job, demo.screen)
        if ended["TrainingJobStatus"] != "Completed":
            raise WorkloadFailed(f"training job {job} ended {ended['TrainingJobStatus']}: {ended.get('FailureReason')}")
        row["result"] = ", ".join(f"{m['MetricName']} {m['Value']:g}" for m in ended.get("FinalMetricDataList", []))
    return str(ended["ModelArtifacts"]["S3ModelArtifacts"])


def score(demo: Demo, what: str, features: bytes, labels: list[str]) -> None:
    """Predict rows that the model has not seen, and count how many are right."""
    with demo.step(what) as row:
        answer = demo.client.invoke(demo.session.project.name, features, content_type="text/csv", accept="text/csv")
        predicted = answer.body.decode().split()
        if len(predicted) != len(labels):
            raise WorkloadFailed(f"{len(labels)} rows were sent and {len(predicted)} predictions came back")
        right = sum(one == other for one, other in zip(predicted, labels, strict=True))
        row["result"] = f"accuracy {right / len(labels):.3f} on {len(labels):,} rows"


@contextmanager
def requests_flowing(demo: Demo, features: bytes) -> Iterator[Counter[str]]:
    """Clients that send one row after another while the block runs; what came of their requests."""
    header, line = features.splitlines(keepends=True)[:2]
    counted: Counter[str] = Counter()
    ended = threading.Event()

    def send() -> None:
        client = Client(demo.client.url)
        while not ended.is_set():
            try:
                client.invoke(demo.session.project.name, header + line, content_type="text/csv", accept="text/csv")
                counted["ok"] += 1
            except SeaproofError as error:
                counted["failed"] += 1
                demo.screen.line(f"a request failed: {error}")

    threads = [threading.Thread(target=send, name=f"client {number}") for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield counted
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def read_held_out(path: Path) -> tuple[bytes, list[str]]:
    """The held-out rows without their label, as CSV with header, and the labels (first column)."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    labels = [row[0] for row in rows[1:]]
    return "".join(",".join(row[1:]) + "\n" for row in rows).encode(), labels


def as_json_row(features: bytes) -> bytes:
    """The first of the rows as a JSON object, numbers as numbers."""
    first = next(csv.DictReader(features.decode().splitlines()))
    return json.dumps({name: int(cell) if cell.isdigit() else cell for name, cell in first.items()}).encode()


def write_example(folder: Path) -> None:
    """Copy the example's project into a folder; a copy of an earlier run is refreshed, its state kept."""
    packaged = files("seaproof") / "examples" / EXAMPLE
    source = packaged if packaged.is_dir() else files("seaproof") / ".." / ".." / "examples" / EXAMPLE
    with as_file(source) as example:
        shutil.copytree(example, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", ".seaproof"))
