"""`seaproof pack`, `serve FILE` and `init --model` as a user runs them."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import catboost
import joblib
import numpy as np
import pytest
from format_lab import SOURCE, csv_text, same
from recipes import pickled_regression, xgboost_iris

from seaproof.control.archives import unpack

SEAPROOF = [sys.executable, "-m", "seaproof.cli"]
ROOT = Path(__file__).parents[2]
IMAGE = "seaproof-test-formats"


def run(folder: Path, *words: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command in this folder; its exit code is what is expected."""
    done = subprocess.run(
        [*SEAPROOF, *words],
        cwd=folder,
        env={**os.environ, "SEAPROOF_PORT": "0", **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A folder with a CatBoost model and its schema."""
    model = catboost.CatBoostRegressor(iterations=2, verbose=0, allow_writing_files=False)
    model.fit(np.array([[0.0, 1.0], [1.0, 0.0]]), [0.0, 1.0])
    model.save_model(str(tmp_path / "model.cbm"))
    fields = [{"name": "left", "type": "float"}, {"name": "right", "type": "float"}]
    (tmp_path / "schema.json").write_text(json.dumps({"id": "lr-1", "input": fields, "output": []}))
    return tmp_path


# pack


def test_a_model_is_packed_with_its_schema_at_the_top(saved: Path) -> None:
    done = run(saved, "pack", "model.cbm")

    assert "model.cbm\n  schema.json\nTry it: seaproof serve model.tar.gz" in done.stdout
    unpack(saved / "model.tar.gz", saved / "unpacked")
    assert (saved / "unpacked" / "model.cbm").read_bytes() == (saved / "model.cbm").read_bytes()
    assert (saved / "unpacked" / "schema.json").is_file()


def test_the_same_files_are_the_same_bytes(saved: Path) -> None:
    first = json.loads(run(saved, "pack", "model.cbm", "-o", "a/one.tar.gz", "--json").stdout)
    run(saved, "pack", "model.cbm", "-o", "two.tar.gz")

    assert first["members"] == ["model.cbm", "schema.json"]
    assert first["bytes"] == (saved / "two.tar.gz").stat().st_size
    assert (saved / "a" / "one.tar.gz").read_bytes() == (saved / "two.tar.gz").read_bytes()


def test_code_goes_where_hosting_expects_it_and_a_folder_keeps_its_name_beside_files(saved: Path) -> None:
    (saved / "inference.py").touch()
    (saved / "assets").mkdir()
    (saved / "assets" / "words.txt").touch()
    (saved / "assets" / "._words.txt").touch()
    said = json.loads(run(saved, "pack", "model.cbm", "inference.py", "assets", "--json").stdout)

    assert said["members"] == ["model.cbm", "code/inference.py", "assets/words.txt"]


def test_one_folder_alone_is_the_models_folder(saved: Path) -> None:
    (saved / "export" / "code").mkdir(parents=True)
    (saved / "export" / "code" / "inference.py").touch()
    (saved / "export" / "model.cbm").touch()
    run(saved, "pack", "export")

    with tarfile.open(saved / "model.tar.gz") as archive:
        assert sorted(archive.getnames()) == ["code", "code/inference.py", "model.cbm"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing.cbm"], "there is no file or folder nothing.cbm"),
        (["linked"], "x is a symlink"),
        (["piped"], "p is neither a file nor a folder"),
        (["model.cbm", "other/model.cbm"], "two files would be model.cbm"),
        (["other/model.cbm"], "model.cbm is empty"),
        (["empty"], "there is no file to pack"),
    ],
)
def test_what_hosting_would_refuse_is_refused(saved: Path, words: list[str], said: str) -> None:
    for name in ("linked", "piped", "other", "empty"):
        (saved / name).mkdir()
    (saved / "linked" / "x").symlink_to("../model.cbm")
    os.mkfifo(saved / "piped" / "p")
    (saved / "other" / "model.cbm").touch()
    done = run(saved, "pack", *words, code=1)

    assert done.stderr.startswith(f"seaproof: {said}")
    assert not (saved / "model.tar.gz").exists()


# serve FILE


@contextmanager
def serving(folder: Path, *words: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The command in the foreground, and what it said when it was ready; ended as Ctrl-C ends it."""
    command = [*SEAPROOF, "serve", *words, "--port", "0", "--json"]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        text = ""
        while not text.endswith("}\n"):
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            text += line
        yield process, json.loads(text)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def ask(url: str, body: str, content_type: str = "text/csv") -> Any:
    request = urllib.request.Request(url, body.encode(), {"Content-Type": content_type})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


@pytest.mark.parametrize("what", ["model.cbm", "model.tar.gz"])
def test_a_saved_file_is_served_without_a_project(saved: Path, what: str) -> None:
    run(saved, "pack", "model.cbm")
    expected = catboost.CatBoost().load_model(str(saved / "model.cbm")).predict([[0.0, 1.0]])
    with serving(saved, what) as (process, said):
        answer = ask(said["url"], '{"right": "1", "left": "0"}', "application/octet-stream")
        with urllib.request.urlopen(said["docs"], timeout=20) as page:
            assert b"lr-1" in page.read()
        assert said["model"] == "model.cbm (CatBoost)"
        assert float(answer["prediction"]) == expected[0]

    assert process.returncode == 0


def test_sigterm_ends_the_container_with_the_command(saved: Path) -> None:
    with serving(saved, "model.cbm") as (process, said):
        process.terminate()

        assert process.wait(30) == 0
        with pytest.raises(OSError, match="refused"):
            ask(said["url"], "1,2")


def test_a_pickle_is_refused_where_it_is_not_wanted(tmp_path: Path) -> None:
    joblib.dump("anything", tmp_path / "model.joblib")
    done = run(tmp_path, "serve", "model.joblib", "--no-pickle", "--port", "0", code=3)

    assert "model.joblib is a pickle, and pickles are not to be loaded here" in done.stderr
    assert "the container ended with code 1 before it was ready" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nothing.cbm"], 1, "there is no file or folder nothing.cbm"),
        (["notes.md"], 1, "no model that can be served is among the files: notes.md"),
        (["notes.md", "--detach"], 2, "--detach is for a project's endpoint"),
        (["--port", "1"], 2, "--port, --python and --no-pickle are for FILES"),
        (["notes.md", "--python", "/bin/false"], 1, "/bin/false cannot run seaproof"),
    ],
)
def test_what_cannot_be_served_is_said(tmp_path: Path, words: list[str], code: int, said: str) -> None:
    (tmp_path / "notes.md").write_text("what was tried")
    done = run(tmp_path, "serve", *words, code=code)

    assert said in done.stderr


def test_a_port_that_is_taken_is_said_before_anything_is_started(saved: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = run(saved, "serve", "model.cbm", "--port", str(other.getsockname()[1]), code=1)

    assert "cannot be listened on: Address already in use" in done.stderr
    assert "--port" in done.stderr


# init --model


def test_a_project_for_a_saved_model_needs_nothing_more(saved: Path) -> None:
    done = run(saved, "init", "pair", "--model", "model.cbm")

    assert "Next: cd pair && seaproof serve --model model" in done.stdout
    requirements = (saved / "pair" / "requirements.txt").read_text()
    assert f"catboost=={catboost.__version__}" in requirements
    assert "orjson" in requirements
    assert "CatBoost" in (saved / "pair" / "Dockerfile").read_text()
    again = run(saved, "init", "pair", "--model", "model.cbm", code=1)
    assert "init overwrites nothing" in again.stderr
    wrong = run(saved, "init", "other", "--model", "schema.json", code=1)
    assert "no model that can be served" in wrong.stderr
    assert not (saved / "other" / "model").exists()


def test_a_project_that_the_disk_has_no_room_for_is_not_half_there(saved: Path) -> None:
    limit = (saved / "model.cbm").stat().st_size // 2
    done = subprocess.run(
        [*SEAPROOF, "init", "full", "--model", "model.cbm"],
        cwd=saved,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )

    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert not (saved / "full").exists() or list((saved / "full").iterdir()) == []


def test_a_project_for_a_mojo_says_which_jar_to_bring(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("model.ini", "[info]\n")
    done = run(tmp_path, "init", "mojo", "--model", "model.zip")
    dockerfile = (tmp_path / "mojo" / "Dockerfile").read_text()

    assert "Put the MOJO's runtime beside the Dockerfile: h2o-genmodel.jar" in done.stdout
    assert "default-jre-headless" in dockerfile
    assert "COPY *.jar /opt/program/" in dockerfile


def models_of_three(folder: Path) -> dict[str, tuple[str, Any]]:
    """Three saved models in folders of their names; the rows to send, and what their libraries say."""
    made = {}
    for name, recipe in (("xgboost", xgboost_iris), ("sklearn", pickled_regression)):
        (folder / name).mkdir()
        model = recipe(folder / name)
        made[name] = (csv_text(model.columns), model.predicted)
    (folder / "function").mkdir()
    (folder / "function" / "model.py").write_text(
        "import numpy as np\ndef predict(columns):\n    return np.hypot(columns['a'], columns['b'])\n"
    )
    fields = [{"name": "a", "type": "float"}, {"name": "b", "type": "float"}]
    (folder / "function" / "schema.json").write_text(json.dumps({"input": fields, "output": []}))
    made["function"] = ("b,a\n4,3\n12,5\n", np.array([5.0, 13.0]))
    return made


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project as `init --model` writes it; beside it the three models' folders."""
    folder = tmp_path_factory.mktemp("formats")
    models_of_three(folder)
    run(folder, "init", "pair", "--model", "xgboost")
    return folder / "pair"


@pytest.mark.parametrize("driver", ["process", pytest.param("docker", marks=pytest.mark.docker)])
def test_three_formats_are_endpoints_under_both_drivers(project: Path, tmp_path: Path, driver: str) -> None:
    models = models_of_three(tmp_path)
    if driver == "docker":
        build_image(project)
    environment = {"SEAPROOF_DRIVER": driver, "PYTHONPATH": str(SOURCE)}
    try:
        for name, (rows, predicted) in models.items():
            run(project, "serve", "--model", str(tmp_path / name), "--detach", **environment)
            (project / "rows.csv").write_text(rows)
            answer = run(project, "predict", "rows.csv", **environment).stdout

            # An image brings its own builds of the libraries, whose sums may differ in the last bit.
            alike = same if driver == "process" else nearly
            assert alike(json.loads(answer), predicted), name
    finally:
        run(project, "down", **environment)


@pytest.mark.docker
def test_a_config_trains_in_the_projects_image_and_its_model_is_served_there(project: Path) -> None:
    build_image(project)
    environment = {"SEAPROOF_DRIVER": "docker", "PYTHONPATH": str(SOURCE)}
    rows = [[n % 7, "abc"[n % 3], "yes" if n % 7 > 3 else "no"] for n in range(200)]
    (project / "table.csv").write_text("n,kind,answer\n" + "".join(f"{n},{kind},{y}\n" for n, kind, y in rows))
    config = "data: table.csv\ntarget: answer\nalgorithm: xgboost\nmodel_params: {n_estimators: 5, max_depth: 2}\n"
    try:
        (project / "config.yaml").write_text(config.replace("max_depth", "max_dept"))
        name = run(project, "train", "config.yaml", code=1, **environment).stderr
        (project / "config.yaml").write_text(config.replace("max_depth: 2", "max_depth: deep"))
        value = run(project, "train", "config.yaml", code=1, **environment).stderr
        (project / "config.yaml").write_text(config)
        job = json.loads(run(project, "train", "config.yaml", "--json", **environment).stdout)
        metrics = {one["MetricName"]: one["Value"] for one in job["FinalMetricDataList"]}
        run(project, "serve", "--detach", **environment)
        (project / "rows.csv").write_text("kind,n\na,6\nb,1\n")
        labels = run(project, "predict", "rows.csv", "--accept", "text/csv", **environment).stdout.split()
        report = Path(job["ModelArtifacts"]["S3ModelArtifacts"].replace("s3://", f"{project}/.seaproof/s3/"))

        assert "`max_dept` is no parameter of XGBClassifier (config.yaml, line 4)" in name
        assert "xgboost refuses `deep` as `max_depth`" in value
        assert metrics["accuracy"] == 1.0
        assert labels == ["yes", "no"]
        assert "<h3>What matters" in report.with_name("report.html").read_text()
    finally:
        run(project, "down", **environment)


def nearly(answered: Any, expected: Any) -> bool:
    """Whether numbers are the same but for the rounding of their last bits."""
    return bool(np.allclose(np.array(answered, dtype=float), np.array(expected, dtype=float), rtol=1e-6))


def build_image(project: Path) -> None:
    """The project's own Dockerfile on the tests' base, once for both tests; the packages of the three models go in,
    and those of training by a config."""
    if IMAGE in (project / "seaproof.toml").read_text():
        return
    with (project / "requirements.txt").open("a") as file:
        for package in ("joblib", "pandas", "scikit-learn", "scipy"):
            file.write(f"{package}=={version(package)}\n")
    wheel = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(project), str(ROOT)]
    subprocess.run(wheel, check=True)
    base = ["--build-arg", "BASE=seaproof-base:latest"]
    build = ["docker", "build", "-q", "--network", "host", *base, "-t", IMAGE, "."]
    built = subprocess.run(build, cwd=project, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    manifest = project / "seaproof.toml"
    manifest.write_text(manifest.read_text().replace("pair:latest", f"{IMAGE}:latest"))
