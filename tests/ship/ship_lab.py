"""An account to ship to: moto's server as a process of its own, a project to ship, and what both were asked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from click.testing import CliRunner

from seaproof.cli.app import seaproof as commands
from seaproof.drivers.ports import free_port
from seaproof.project import Project, load_project
from seaproof.settings import Settings
from seaproof.ship import drawing, execute, record, shipment, taking_back
from seaproof.ship.draft import Draft
from seaproof.ship.plan import Plan, Step
from seaproof.ship.target import Target

KEY, SECRET = "AKIAPLANTEDPLANTED00", "planted/secret/that/must/never/be/seen00"
REGION, ACCOUNT = "eu-west-1", "123456789012"
BUCKET = f"seaproof-{REGION}-{ACCOUNT}"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/flowers:1"
FILE = f"""
[project]
name = "flowers"
[training]
instance_type = "ml.m5.large"
[training.channels]
training = "data"
[training.hyperparameters]
depth = 3
[training.metrics]
accuracy = "accuracy=([0-9.]+)"
[endpoint]
name = "flowers"
[ship]
region = "{REGION}"
[ship.image]
uri = "{IMAGE}"
"""


def free_address() -> str:
    """HOST:PORT of this machine where nothing listens."""
    return f"127.0.0.1:{free_port()}"


@contextmanager
def running(command: list[str], url: str) -> Iterator[None]:
    """A server that answers at `url` while the block lasts."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    try:
        while True:
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < deadline, f"{command[0]} did not answer"
                time.sleep(0.05)
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def moto_server(python: str = sys.executable) -> Iterator[str]:
    """The address of a moto server that lives as long as the block; `python` has moto in its environment."""
    address = free_address()
    host, _, port = address.partition(":")
    with running([python, "-m", "moto.server", "-H", host, "-p", port], f"http://{address}/moto-api/data.json"):
        yield f"http://{address}"


def emptied(url: str) -> str:
    """The account with nothing in it."""
    urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset", method="POST"), timeout=60).close()
    return url


class Account:
    """One account behind an address, seen by our own code, and what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[str] = []
        session = boto3.Session(aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name=REGION)
        session.events.register("before-call", self._note)
        self.target = Target(session, REGION, endpoint_url=url, account=ACCOUNT)

    def client(self, service: str) -> Any:
        return boto3.client(
            service, endpoint_url=self.url, region_name=REGION, aws_access_key_id=KEY, aws_secret_access_key=SECRET
        )

    def changes(self) -> list[str]:
        """The calls that change something, in the order in which they were made; they are forgotten then."""
        reads = ("Describe", "Get", "List", "Head")
        changing = [name for name in self.asked if not name.partition(":")[2].startswith(reads)]
        self.asked.clear()
        return changing

    def _note(self, model: Any, **_: Any) -> None:
        self.asked.append(f"{model.service_model.service_name}:{model.name}")


class Quiet:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def step(self, number: int, of: int, step: Step) -> None:
        self.said.append(f"{number}/{of} {step.title}")

    def status(self, text: str) -> None:
        self.said.append(text)

    log = note = status


def project_in(folder: Path, text: str = FILE) -> Project:
    """A project that trains on one small file."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "data" / "train.csv").write_text("a,1\nb,2\n")
    (folder / "seaproof.toml").write_text(text)
    return load_project(folder / "seaproof.toml")


def draft(project: Project, account: Account, stage: str = "") -> Draft:
    return drawing.open_draft(project, Settings(), shipment.read(project, stage), account.target)


def planned(project: Project, account: Account, stage: str = "") -> Plan:
    return drawing.everything(draft(project, account, stage))


def shipped(project: Project, account: Account, stage: str = "", **how: Any) -> Plan:
    """Ship, and then do what the platform does: the training job leaves a model."""
    plan = planned(project, account, stage)
    execute.execute(plan, account.target, record_of(project, account, stage), Quiet(), **how)
    leave_models(account)
    return plan


def leave_models(account: Account) -> None:
    """What the platform does at the end of a job, and moto does not: model.tar.gz lies where the job was told."""
    sagemaker, s3 = account.client("sagemaker"), account.client("s3")
    for found in sagemaker.list_training_jobs()["TrainingJobSummaries"]:
        job = sagemaker.describe_training_job(TrainingJobName=found["TrainingJobName"])
        bucket, _, key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").partition("/")
        s3.put_object(Bucket=bucket, Key=key, Body=b"model")


def record_of(project: Project, account: Account, stage: str = "") -> record.Record:
    path = record.path_of(project.root / ".seaproof", "aws", ACCOUNT, REGION, stage or "default")
    return record.load(path, ACCOUNT, REGION)


def unshipped(project: Project, account: Account, stage: str = "") -> list[str]:
    watcher = Quiet()
    taking_back.take_back(record_of(project, account, stage), account.target, watcher)
    return watcher.said


def environment(url: str) -> dict[str, str]:
    """The environment of a user whose AWS is at this address."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_EC2_METADATA_DISABLED": "true",
        "SEAPROOF_PORT": "0",
        "SEAPROOF_DRIVER": "process",
    }


def seaproof(folder: Path, url: str, *args: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command as a user says it."""
    return subprocess.run(
        [sys.executable, "-m", "seaproof.cli", *args],
        cwd=folder,
        env={**environment(url), **more},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def refused(folder: Path, url: str, *words: str) -> str:
    """What a command says that is refused. It runs in this process, since many do and it takes no time."""
    nobody = {name: None for name in os.environ if name.startswith("AWS_")}
    runner = CliRunner(env={**nobody, **environment(url)})
    done = runner.invoke(commands, [words[0], "--project", str(folder), *words[1:]])
    assert done.exit_code, done.output
    return f"{done.output}{done.exception}"


def fresh_copy(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))
