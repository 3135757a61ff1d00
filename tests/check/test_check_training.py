"""Checks of training jobs, each with a program that fails it for exactly that reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from containers import causes, folder, outcome, prove

from seaproof.check.check import FAILED, NOT_APPLICABLE, PASSED, UNCHECKED, WARNED, Report

TRAIN = """#!/usr/bin/env python3
import json, os, pathlib, signal, sys, time, traceback
ml = pathlib.Path("/opt/ml")
%(first)s
try:
    parameters = json.loads((ml / "input/config/hyperparameters.json").read_text())
    depth = int(%(depth)s)
    rows = [row for path in sorted((ml / "input/data/training").iterdir()) for row in path.read_text().splitlines()]
    if not rows:
        raise ValueError("no rows")
    %(work)s
    print("validation:auc=%%.3f" %% 0.91, flush=True)
    %(save)s
except Exception:
    %(fail)s
    sys.exit(1)
"""
DEPTH = "str(parameters.get('depth', 3)).strip('\"')"
SAVE = '(ml / "model/model.txt").write_text(str(len(rows)))'
FAIL = '(ml / "output").mkdir(exist_ok=True); (ml / "output/failure").write_text(traceback.format_exc())'
CHECKPOINTS = """kept = ml / "checkpoints/step"
    step = int(kept.read_text()) if kept.exists() else 0
    while step < 12:
        step += 1; kept.write_text(str(step)); time.sleep(0.1)"""


def program(first: str = "", depth: str = DEPTH, work: str = "pass", save: str = SAVE, fail: str = FAIL) -> str:
    return TRAIN % {"first": first, "depth": depth, "work": work, "save": save, "fail": fail}


def train(root: Path, text: str, *only: str, **options: object) -> Report:
    data = root / "data"
    data.mkdir(parents=True, exist_ok=True)
    (data / "rows.csv").write_text("1,2\n3,4\n")
    folder(root / "image", train=text)
    given = {"roles": ("training",), "channels": {"training": str(data)}, "hyperparameters": {"depth": "5"}, **options}
    return prove(root / "image", *only, **{"patience": 15.0, **given})


def found(root: Path, text: str, id: str, **options: object) -> tuple[str, str]:
    report = train(root, text, id, **options)
    return outcome(report, id), causes(report, id)


@pytest.mark.bad("SP042")
@pytest.mark.good("SP019", "SP028", "SP029", "SP031", "SP043", "SP104", "SP117", "SP118", "SP128")
def test_a_good_training_program_passes_all(tmp_path: Path):
    report = train(
        tmp_path,
        program(work=CHECKPOINTS),
        hosts=2,
        stop_job_seconds=15.0,
        metrics={"auc": "validation:auc=([0-9.]+)"},
    )
    wrong = [(r.check.id, r.outcome, r.reason, [f.cause for f in r.findings]) for r in report.results if r.findings]

    assert [one for one in wrong if one[0] != "SP042"] == []
    assert outcome(report, "SP042") == WARNED  # it wants rows on every host
    assert {r.check.id for r in report.of(PASSED)} >= {
        "SP117", "SP028", "SP128", "SP019", "SP029", "SP031", "SP118", "SP104", "SP043"
    }  # fmt: skip


@pytest.mark.bad("SP117")
def test_a_job_that_fails_is_shown_with_its_failure_file(tmp_path: Path):
    report = train(tmp_path, program(work="raise ValueError('the label is missing')"), "SP117")
    evidence = {e.title: e.text for e in report.results[0].findings[0].evidence}

    assert causes(report, "SP117") == "`train` ended with exit code 1"
    assert "the label is missing" in evidence["/opt/ml/output/failure"]


def test_a_channel_that_was_not_given_is_named(tmp_path: Path):
    report = train(
        tmp_path, program(work='open(sorted(pathlib.Path("/opt/ml/input/data/train").glob("*"))[0])'), "SP117"
    )
    finding = report.results[0].findings[0]

    assert finding.cause.endswith("and it reads /opt/ml/input/data/train, which is no channel given")
    assert finding.fix == "--channel train=FOLDER"


@pytest.mark.bad("SP028", "SP128")
def test_a_job_without_a_model_is_found(tmp_path: Path):
    elsewhere = '(ml / "output/model.txt").write_text("1")'

    assert found(tmp_path, program(save=elsewhere), "SP028") == (FAILED, "nothing is in /opt/ml/model")
    links = SAVE + '; (ml / "model/best").symlink_to("model.txt")'
    assert found(tmp_path, program(save=links), "SP128")[0] == FAILED


@pytest.mark.bad("SP019")
@pytest.mark.good("SP019")
def test_a_failure_that_says_nothing_is_told(tmp_path: Path):
    assert found(tmp_path, program(fail="pass"), "SP019")[0] == WARNED
    assert found(tmp_path, program(), "SP019")[0] == PASSED


@pytest.mark.bad("SP029")
def test_a_program_that_reads_one_dialect_only_is_found(tmp_path: Path):
    assert found(tmp_path, program(depth="parameters['depth']"), "SP029")[0] == FAILED
    assert found(tmp_path, program(), "SP029", hyperparameters={})[0] == NOT_APPLICABLE


@pytest.mark.parametrize(
    ("pattern", "cause"),
    [
        ("val_auc: ([0-9.]+)", "auc matches no line"),
        ("(validation):auc", "no number"),
        ("(", "expression of auc is none"),
    ],
)
@pytest.mark.bad("SP031")
def test_a_metric_that_is_not_found_is_told(tmp_path: Path, pattern: str, cause: str):
    state, told = found(tmp_path, program(), "SP031", metrics={"auc": pattern})

    assert state == FAILED
    assert cause in told


@pytest.mark.bad("SP118")
@pytest.mark.good("SP118")
def test_a_job_that_ignores_sigterm_is_found(tmp_path: Path):
    deaf = program(first="signal.signal(signal.SIGTERM, signal.SIG_IGN)", work="time.sleep(4.5)")

    assert found(tmp_path, deaf, "SP118")[0] == FAILED
    assert found(tmp_path, program(work="time.sleep(1.5)"), "SP118", stop_job_seconds=15.0)[0] == PASSED


@pytest.mark.bad("SP104")
def test_a_job_that_trips_over_its_checkpoints_is_found(tmp_path: Path):
    broken = CHECKPOINTS.replace("step = int(kept.read_text())", "step = int('x')")

    assert found(tmp_path, program(work=broken), "SP104")[0] == FAILED
    forgets = CHECKPOINTS.replace("int(kept.read_text()) if kept.exists() else 0", "0")
    assert found(tmp_path, program(work=forgets), "SP104")[1].endswith("reads none of them, and begins anew")
    assert found(tmp_path, program(), "SP104")[0] == NOT_APPLICABLE


PIPES = """#!/usr/bin/env python3
import pathlib
total = 0
for epoch in range(2):
    fifo = pathlib.Path("/opt/ml/input/data/training_%d" % epoch)
    while not fifo.exists():
        pass
    with fifo.open("rb") as stream:
        total += len(stream.read())
pathlib.Path("/opt/ml/model/total").write_text(str(total))
"""


@pytest.mark.bad("SP041")
@pytest.mark.good("SP041")
def test_a_program_that_takes_a_pipe_for_a_folder_is_found(tmp_path: Path):
    assert found(tmp_path, program(), "SP041", input_mode="Pipe")[0] == FAILED
    assert found(tmp_path, PIPES, "SP041", input_mode="Pipe") == (PASSED, "")
    never = "#!/bin/sh\nexit 0\n"
    assert found(tmp_path, never, "SP041", input_mode="Pipe") == (FAILED, "training_0 was never opened")


WAITS = """#!/usr/bin/env python3
import json, pathlib, socket, sys, time
ml = pathlib.Path("/opt/ml")
config = json.loads((ml / "input/config/resourceconfig.json").read_text())
other = next((host for host in config["hosts"] if host != config["current_host"]), None)
if config["current_host"] == config["hosts"][0] and other:
    with socket.create_server((config["current_host"], 7711)) as listener:
        listener.settimeout(5); listener.accept()
elif other:
    for attempt in range(ATTEMPTS):
        try:
            socket.create_connection((other, 7711), 1).close(); break
        except OSError:
            time.sleep(0.2)
    else:
        sys.exit("Could not resolve " + other)
(ml / "model/x").write_text("1")
"""


TWICE = """#!/usr/bin/env python3
import threading, time
def read():
    stream = open("/opt/ml/input/data/training_0", "rb"); time.sleep(0.5); stream.read()
threads = [threading.Thread(target=read) for _ in range(2)]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
open("/opt/ml/model/x", "w").write("1")
"""


@pytest.mark.bad("SP041")
def test_two_readers_of_one_pipe_are_found(tmp_path: Path):
    assert "training_0 was opened by 2 readers at once" in found(tmp_path, TWICE, "SP041", input_mode="Pipe")[1]


@pytest.mark.bad("SP119")
@pytest.mark.good("SP119")
def test_data_that_cannot_be_written_is_enough(tmp_path: Path):
    writes = program(work='(ml / "input/data/training/cache").write_text("x")')

    assert found(tmp_path, writes, "SP119", input_mode="FastFile")[0] == FAILED
    assert found(tmp_path, program(), "SP119", input_mode="FastFile")[0] == PASSED


@pytest.mark.bad("SP042")
@pytest.mark.good("SP042")
def test_an_empty_share_fails_only_where_data_is_dealt_out(tmp_path: Path):
    assert found(tmp_path, program(), "SP042", hosts=2)[0] == WARNED
    state, told = found(tmp_path, program(), "SP042", hosts=2, sharded=("training",))
    assert (state, told) == (FAILED, "algo-2 ended with exit code 1, with nothing in the channels of algo-2")
    easy = program().replace("if not rows:", "if rows is None:")
    assert found(tmp_path, easy, "SP042", hosts=2, sharded=("*",))[0] == PASSED


@pytest.mark.bad("SP043")
@pytest.mark.good("SP043")
def test_hosts_that_do_not_wait_for_one_another_are_found(tmp_path: Path):
    meets = WAITS.replace("ATTEMPTS", "20")
    hasty = meets.replace("listener.settimeout(5)", "listener.settimeout(0.2)")
    resolves = meets.replace("import json", "import json, socket\nsocket.gethostbyname('algo-2')\nimport json")

    patient = WAITS.replace("ATTEMPTS", "60").replace("settimeout(5)", "settimeout(14)")
    assert found(tmp_path, patient, "SP043", hosts=2) == (PASSED, "")
    state, told = found(tmp_path, hasty + 'interface = "eth0"\n', "SP043", hosts=2)
    assert (state, "algo-1 ended with exit code 1" in told) == (FAILED, True)
    assert "eth0 is written into /opt/program/train" in told
    assert found(tmp_path, resolves, "SP043", hosts=2)[0] == FAILED  # the name is not known yet


@pytest.mark.bad("SP117", "SP119")
def test_a_request_in_the_project_says_how_data_arrives(tmp_path: Path):
    source = {"S3DataSource": {"S3DataDistributionType": "ShardedByS3Key"}}
    body = {
        "AlgorithmSpecification": {"TrainingInputMode": "FastFile"},
        "HyperParameters": {"depth": "x"},
        "ResourceConfig": {"InstanceCount": 2},
        "InputDataConfig": [{"ChannelName": "training", "DataSource": source}],
    }
    image = folder(tmp_path / "image", CreateTrainingJob_json=json.dumps(body))
    table = '[project]\nimage = "it"\n[images.it]\nfolder = "."\n[check]\nrequests = ["CreateTrainingJob.json"]\n'
    (image / "seaproof.toml").write_text(table)
    writes = program(work='(ml / "input/data/training/cache").write_text("x")')
    report = train(tmp_path, writes, "SP119", "SP042", "SP117", hyperparameters={}, roles=())

    assert report.roles == ("training",)
    assert causes(report, "SP117") == "`train` ended with exit code 1"  # its depth is no number
    (image / "CreateTrainingJob.json").write_text(json.dumps({**body, "HyperParameters": {"depth": "7"}}))
    report = train(tmp_path, writes, "SP119", "SP042", "SP117", hyperparameters={}, roles=())
    assert outcome(report, "SP119") == FAILED
    assert (outcome(report, "SP042"), outcome(report, "SP117")) == (UNCHECKED, UNCHECKED)


def test_without_data_a_job_is_not_checked(tmp_path: Path):
    assert found(tmp_path, program(), "SP117", channels={})[0] == UNCHECKED
