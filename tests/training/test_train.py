"""`seaproof-container train` as SageMaker runs it: real processes, real files, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from seaproof.contract.opt_ml import Channel, Cluster, TrainingInput, write_training

SOURCE = Path(__file__).resolve().parents[2] / "src"


@dataclass
class Trial:
    """One training container in a folder: its /opt/ml, its program, its process."""

    root: Path
    program: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None

    def given(self, hyperparameters: dict[str, str], **channels: str) -> None:
        cluster = Cluster(current_host="algo-2", hosts=("algo-1", "algo-2"))
        write_training(self.root, TrainingInput(hyperparameters, {name: Channel() for name in channels}, cluster))
        for name, text in channels.items():
            (self.root / "input" / "data" / name / "rows.csv").write_text(text)

    def start(self, source: str, name: str = "train.py") -> subprocess.Popen[str]:
        (self.program / name).write_text(source)
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("SM_", "SAGEMAKER_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "seaproof.container", "train"],
            cwd=self.program,
            env={**clean, "PYTHONPATH": str(SOURCE), "SAGEMAKER_BASE_DIR": str(self.root), **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self.process

    def run(self, source: str, name: str = "train.py") -> tuple[int, str, str]:
        process = self.start(source, name)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    @property
    def failure(self) -> str:
        path = self.root / "output" / "failure"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    """A training container that has not been started."""
    (tmp_path / "program").mkdir()
    made = Trial(tmp_path / "ml", tmp_path / "program")
    made.given({})
    yield made
    if made.process and made.process.poll() is None:
        made.process.kill()
        made.process.wait()
    if made.process:
        for pipe in (made.process.stdout, made.process.stderr):
            assert pipe is not None
            pipe.close()


FUNCTION = """
from seaproof.training import Job

def train(job: Job) -> None:
    rows = [line for file in job.files("train", "*.csv") for line in file.read_text().splitlines()]
    (job.model_dir / "model.txt").write_text(f"{len(rows)} {job.hyperparameter('rate', float)}")
    (job.output_data_dir / "report.txt").write_text(f"{job.name} {job.rank} {job.is_leader} {job.hosts}")
"""


def test_a_train_function_gets_the_job_and_leaves_its_model(trial: Trial) -> None:
    trial.given({"rate": "0.5"}, train="1,2\n3,4\n")
    trial.environment["TRAINING_JOB_NAME"] = "prices"

    code, _, err = trial.run(FUNCTION)

    assert (code, err) == (0, "")
    assert (trial.root / "model" / "model.txt").read_text() == "2 0.5"
    assert (trial.root / "output" / "data" / "report.txt").read_text() == "prices 1 False ('algo-1', 'algo-2')"
    assert trial.failure == ""


@pytest.mark.parametrize("dialect", ["raw", "json"])
def test_both_dialects_of_hyperparameters_mean_the_same(trial: Trial, dialect: str) -> None:
    values = {"rate": 0.1, "name": "abc", "flag": True, "sizes": [1, 2], "rounds": 100, "code": "007"}
    raw = {"rate": "0.1", "name": "abc", "flag": "true", "sizes": "[1, 2]", "rounds": "100", "code": "007"}
    trial.given(raw if dialect == "raw" else {name: json.dumps(value) for name, value in values.items()})

    code, out, _ = trial.run(
        "def train(job):\n"
        "    kinds = dict(rate=float, name=str, flag=bool, sizes=list, rounds=int, code=str)\n"
        "    print(repr({name: job.hyperparameter(name, kind) for name, kind in kinds.items()}))\n"
        "    print(job.hyperparameter('absent', int, default=3))\n"
    )

    assert code == 0
    assert out.splitlines() == [repr(values), "3"]


SCRIPT = """
import argparse, json, os, sys

parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float)
parser.add_argument("-k", type=int)
parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
parser.add_argument("--train", default=os.environ["SM_CHANNEL_TRAIN"])

def train(args):
    print(json.dumps({"args": vars(args), "env": {k: v for k, v in os.environ.items() if k.startswith("SM_")}}))
    open(os.path.join(args.model_dir, "model.txt"), "w").write(str(args.rate))

if __name__ == "__main__":
    train(parser.parse_args())
"""


def test_a_script_runs_with_the_arguments_and_variables_of_the_toolkit(trial: Trial) -> None:
    trial.given(
        {"rate": "0.5", "k": "3", "sagemaker_program": '"fit.py"', "sagemaker_region": '"us-east-1"'}, train="1\n"
    )

    code, out, err = trial.run(SCRIPT, "fit.py")

    assert (code, err) == (0, "")
    said = json.loads(out)
    env, ml = said["env"], trial.root
    channel = str(ml / "input" / "data" / "train")
    assert said["args"] == {"rate": 0.5, "k": 3, "model_dir": str(ml / "model"), "train": channel}
    assert (ml / "model" / "model.txt").read_text() == "0.5"
    assert env["SM_OUTPUT_DATA_DIR"] == str(ml / "output" / "data")
    assert env["SM_OUTPUT_DIR"] == str(ml / "output")
    assert env["SM_INPUT_DIR"] == str(ml / "input")
    assert env["SM_INPUT_CONFIG_DIR"] == str(ml / "input" / "config")
    assert json.loads(env["SM_CHANNELS"]) == ["train"]
    assert json.loads(env["SM_HPS"]) == {"k": 3, "rate": 0.5}
    assert env["SM_HP_RATE"] == "0.5"
    assert env["SM_USER_ENTRY_POINT"] == "fit.py"
    assert json.loads(env["SM_USER_ARGS"]) == ["-k", "3", "--rate", "0.5"]
    assert json.loads(env["SM_FRAMEWORK_PARAMS"])["sagemaker_program"] == "fit.py"
    assert json.loads(env["SM_HOSTS"]) == ["algo-1", "algo-2"]
    assert env["SM_CURRENT_HOST"] == "algo-2"
    assert env["SM_NETWORK_INTERFACE_NAME"] == "eth0"
    assert int(env["SM_NUM_CPUS"]) >= 1
    assert env["SM_NUM_GPUS"].isdigit()
    assert json.loads(env["SM_RESOURCE_CONFIG"])["current_host"] == "algo-2"
    assert json.loads(env["SM_INPUT_DATA_CONFIG"])["train"]["TrainingInputMode"] == "File"
    described = json.loads(env["SM_TRAINING_ENV"])
    assert described["channel_input_dirs"] == {"train": channel}
    assert described["hyperparameters"] == {"k": 3, "rate": 0.5}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def train(job):\n    print('called')\n", "called"),
        ("def train():\n    print('called')\n", "called"),
        ("try:\n    import json\nexcept ImportError:\n    json = None\ndef train():\n    print('called')\n", "called"),
        ("def train(job):\n    print('called')\nif __name__ == '__main__':\n    print('main')\n", "called"),
        ("def train():\n    print('once')\ntrain()\n", "once"),
        ("def train(args):\n    print('main', args)\nif __name__ == '__main__':\n    train(1)\n", "main 1"),
        ("print(__name__)\n", "__main__"),
    ],
)
def test_a_function_is_told_from_a_script(trial: Trial, source: str, expected: str) -> None:
    code, out, err = trial.run(source)

    assert (code, out, err) == (0, expected + "\n", "")


def test_an_exception_ends_with_255_and_its_message_first_in_the_failure_file(trial: Trial) -> None:
    code, _, err = trial.run("def train(job):\n    raise ValueError('no rows')\n")

    assert code == 255
    message, _, trace = trial.failure.partition("\n\n")
    assert message == "ValueError: no rows"
    assert trace.startswith("Traceback")
    assert "train.py" in trace
    assert "entry.py" not in trace
    assert err == trace


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def train(job):\n    job.hyperparameter('rate', float)\n", "the hyperparameter rate is missing"),
        (
            "def train(job):\n    job.hyperparameter('name', int)\n",
            "the hyperparameter name is 'abc', and not a whole number (int)",
        ),
        (
            "def train(job):\n    job.hyperparameter('name', float)\n",
            "the hyperparameter name is 'abc', and not a number (float) (hyperparameters.json). Correct it where",
        ),
        ("def train(job):\n    job.channel('test')\n", "there is no channel test"),
        ("def train(job):\n    job.files('train', '*.parquet')\n", "no file of channel train matches *.parquet"),
        ("def train(job, data):\n    pass\n", "train takes job, data, and nothing in the file calls it"),
        ("def train(job):\n", "IndentationError: expected an indented block"),
        ("import nothing_of_this_name\n", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
    ],
)
def test_every_failure_says_what_was_wrong(trial: Trial, source: str, message: str) -> None:
    trial.given({"name": "abc"}, train="1\n")

    code, _, _ = trial.run(source)

    assert code == 255
    assert trial.failure.startswith(message)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import json\ndef trainn(job):\n    pass\n", "there is no function train"),
        ("import logging\nlog = logging.getLogger('x')\ndef trainn(job):\n    pass\n", "it defines trainn"),
        ("def fit(job):\n    pass\nclass Model:\n    pass\nRATE = 0.1\n", "it defines fit, Model"),
        ("async def train(job):\n    pass\n", "train is `async def`"),
        ("", "there is no function train"),
        ('"""Words alone."""\n', "there is no function train"),
    ],
)
def test_a_file_that_would_do_nothing_fails(trial: Trial, source: str, said: str) -> None:
    code, _, err = trial.run(source)

    assert code == 255
    assert said in trial.failure
    assert str(trial.program / "train.py") in trial.failure
    assert "Define `def train(job):`" in trial.failure
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import fit\n", "imported\n"),
        ("def unused():\n    pass\nfor _ in [1]:\n    print('loop')\n", "loop\n"),
        ("def run(f):\n    print(f.__name__)\n@run\ndef train_it():\n    pass\n", "train_it\n"),
        ("def train(*, rounds=3):\n    print(rounds)\n", "3\n"),
    ],
)
def test_a_file_that_does_something_in_its_own_way_runs(trial: Trial, source: str, expected: str) -> None:
    (trial.program / "fit.py").write_text("print('imported')\n")

    assert trial.run(source) == (0, expected, "")


def test_without_the_folder_that_the_platform_makes_nothing_is_made(trial: Trial, tmp_path: Path) -> None:
    nowhere = tmp_path / "opt" / "ml"
    trial.environment["SAGEMAKER_BASE_DIR"] = str(nowhere)

    code, out, err = trial.run("print('never')\n")

    assert (code, out) == (2, "")
    assert f"there is no folder {nowhere}" in err
    assert "SAGEMAKER_BASE_DIR" in err
    assert not nowhere.parent.exists()


def test_missing_things_name_what_there_is(trial: Trial) -> None:
    trial.given({"rate": "1"}, train="1\n", extra="2\n")

    trial.run("def train(job):\n    job.channel('test')\n")
    assert "channels are: extra, train\n" in trial.failure

    (trial.root / "output" / "failure").unlink()
    trial.run("def train(job):\n    job.files('train', '*.parquet')\n")
    assert "The channel holds rows.csv. Look at the folder, file or prefix that the channel was given" in trial.failure

    (trial.root / "output" / "failure").unlink()
    trial.run("def train(job):\n    job.hyperparameter('depth')\n")
    assert "given are: rate\n" in trial.failure


def test_a_failure_file_of_the_authors_is_kept(trial: Trial) -> None:
    source = (
        "def train(job):\n    (job.root / 'output' / 'failure').write_text('my own words')\n    raise ValueError('x')\n"
    )
    code, _, _ = trial.run(source)

    assert (code, trial.failure) == (255, "my own words")


@pytest.mark.parametrize(
    ("call", "code", "failure"),
    [
        ("sys.exit()", 0, ""),
        ("sys.exit(0)", 0, ""),
        ("sys.exit(3)", 3, "The training program ended with exit code 3.\n"),
        ("sys.exit('no data')", 1, "no data\n\nThe training program ended with exit code 1.\n"),
    ],
)
def test_an_exit_code_of_the_programs_is_kept(trial: Trial, call: str, code: int, failure: str) -> None:
    ended, _, _ = trial.run(f"import sys\n{call}\n")

    assert (ended, trial.failure) == (code, failure)


def test_sigterm_runs_finally_blocks_and_ends_with_143(trial: Trial) -> None:
    process = trial.start(
        "import time\ndef train(job):\n    try:\n        print('runs')\n        time.sleep(30)\n"
        "    finally:\n        (job.model_dir / 'saved').touch()\n"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "runs\n"

    process.send_signal(signal.SIGTERM)

    assert process.wait(60) == 143
    assert (trial.root / "model" / "saved").exists()
    assert trial.failure == ""


def test_a_program_that_watches_for_stopping_saves_and_ends_with_0(trial: Trial) -> None:
    process = trial.start(
        "def train(job):\n    stopping = job.stopping\n    print('runs')\n    assert stopping.wait(20)\n"
        "    (job.model_dir / 'saved').touch()\n"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "runs\n"

    process.send_signal(signal.SIGTERM)

    assert process.wait(60) == 0
    assert (trial.root / "model" / "saved").exists()


def test_lines_come_out_as_they_are_written(trial: Trial) -> None:
    process = trial.start("import time\nprint('epoch 1')\ntime.sleep(120)\n")
    assert process.stdout is not None

    began = time.monotonic()
    assert process.stdout.readline() == "epoch 1\n"
    assert time.monotonic() - began < 60


def test_modules_beside_the_program_can_be_imported(trial: Trial) -> None:
    source = trial.root / "code"
    source.mkdir()
    (source / "shapes.py").write_text("SIDES = 3\n")
    (source / "fit.py").write_text("import shapes\ndef train(job):\n    print(shapes.SIDES)\n")
    trial.environment["SAGEMAKER_PROGRAM"] = "fit.py"

    code, out, _ = trial.run("raise SystemExit('the wrong program')\n")

    assert (code, out) == (0, "3\n")


def test_a_local_submit_directory_is_where_the_program_is_sought_first(trial: Trial, tmp_path: Path) -> None:
    submitted = tmp_path / "submitted"
    submitted.mkdir()
    (submitted / "train.py").write_text("print('submitted')\n")
    trial.given({"sagemaker_submit_directory": json.dumps(str(submitted))})

    code, out, _ = trial.run("print('beside')\n")

    assert (code, out) == (0, "submitted\n")


def test_a_missing_program_is_sought_in_places_that_the_failure_names(trial: Trial) -> None:
    trial.environment["SAGEMAKER_PROGRAM"] = "fit.py"

    code, _, err = trial.run("print('not this one')\n")

    assert code == 255
    assert trial.failure.startswith(f"the training program fit.py is in none of {trial.root / 'code'}, {trial.program}")
    assert "Traceback" not in err


def test_a_broken_configuration_file_is_named(trial: Trial) -> None:
    (trial.root / "input" / "config" / "hyperparameters.json").write_text("{")

    code, _, err = trial.run("print('never')\n")

    assert code == 255
    assert trial.failure.startswith("hyperparameters.json is not JSON")
    assert "Traceback" not in err
