"""The commands as a user runs them: a project from init to down, on the process driver."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path

import pytest

from seaproof.api import client

ROOT = Path(__file__).parent.parent.parent
SEAPROOF = [sys.executable, "-m", "seaproof.cli"]


class Project:
    """A folder in which commands are run, as a user at a terminal would."""

    def __init__(self, root):
        self.root = root
        self.environ = {**os.environ, "SEAPROOF_DRIVER": "process", "SEAPROOF_PORT": "0"}

    def run(self, *args, check=True, stdin=None, cwd=None):
        done = subprocess.run(
            [*SEAPROOF, *args],
            cwd=cwd or self.root,
            env=self.environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if check:
            assert done.returncode == 0, done.stderr + done.stdout
        assert "seaproof/cli/" not in done.stderr  # a traceback of the container's is shown, one of ours never
        return done

    def json(self, *args, **how):
        return json.loads(self.run(*args, "--json", **how).stdout)

    def start(self, *args):
        return subprocess.Popen(
            [*SEAPROOF, *args],
            cwd=self.root,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
            # Ctrl-C is ignored by what was started in the background, as these tests may have been.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def workloads(self):
        """Processes of this project that live: each has the project's folder in its command line or environment."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                except OSError:
                    continue
                if str(self.root).encode() in text:
                    found.append(int(entry.name))
        return found


@pytest.fixture
def project(tmp_path):
    made = Project(tmp_path / "flowers")
    subprocess.run([*SEAPROOF, "init", "flowers"], cwd=tmp_path, check=True, capture_output=True)
    yield made
    made.run("down")
    wait_until(lambda: not made.workloads())


def command_line(pid):
    """The words of a process; of one that has ended those of the coordinator, which may still be leaving."""
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_bytes().decode().split("\0")
    except OSError:
        return ["seaproof.cli"]


def wait_until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_a_project_from_init_to_down(project):
    trained = project.run("train", "-H", "shrink=0.1")
    assert "accuracy" in trained.stdout
    assert "rows=135" in trained.stderr
    assert "Next: seaproof serve --detach" in trained.stderr

    served = project.json("serve", "--detach")
    assert served["EndpointStatus"] == "InService"

    answer = project.run("predict", "data/sample.csv", "--accept", "text/csv")
    assert answer.stdout.split()[0] == "setosa"
    by_stdin = project.json("predict", "-", "--content-type", "application/json", stdin="[[5.1, 3.5, 1.4, 0.2]]")
    assert "setosa" in by_stdin["body"]

    assert [e["EndpointName"] for e in project.json("endpoints", "list")] == ["flowers"]
    assert project.json("endpoints", "describe", "flowers")["ProductionVariants"][0]["CurrentInstanceCount"] == 1
    assert "InService" in project.run("endpoints", "describe", "flowers").stdout

    project.run("endpoints", "delete", "flowers")
    assert project.json("endpoints", "list") == []


def test_a_failing_training_program_ends_with_its_traceback_and_exit_code_3(project):
    (project.root / "train.py").write_text("def train(job):\n    raise ValueError('no such column: income')\n")

    done = project.run("train", check=False)

    assert done.returncode == 3
    assert "AlgorithmError" in done.stderr
    assert "no such column: income" in done.stderr
    job = project.json("jobs", "list")[0]["TrainingJobName"]
    described = project.json("jobs", "describe", job)
    assert described["TrainingJobStatus"] == "Failed"
    assert "Traceback" in subprocess.run(
        [*SEAPROOF, "jobs", "logs", job], cwd=project.root, env=project.environ, capture_output=True, text=True
    ).stdout  # fmt: skip


def test_a_job_that_leaves_no_model_says_so(project):
    (project.root / "train.py").write_text("def train(job):\n    print('nothing to keep')\n")

    done = project.run("train")

    assert "note: " in done.stderr
    assert "none: the program left nothing in the model folder" in done.stdout


def test_what_looks_like_a_credential_is_hidden_in_what_commands_show(project):
    (project.root / "train.py").write_text("def train(job):\n    print(job.hyperparameter('hub_token'))\n")

    trained = project.json("train", "-H", "hub_token=s3cr3t", "-H", "depth=8")
    described = project.json("jobs", "describe", trained["TrainingJobName"])
    told = project.run("jobs", "describe", trained["TrainingJobName"]).stdout

    assert trained["HyperParameters"] == described["HyperParameters"]
    assert (trained["HyperParameters"]["hub_token"], trained["HyperParameters"]["depth"]) == ("********", "8")
    assert "s3cr3t" not in told
    assert "s3cr3t" in project.run("jobs", "logs", trained["TrainingJobName"]).stdout  # the job itself got it


def test_a_model_that_does_not_load_fails_the_endpoint_with_the_reason(project):
    project.run("train")
    (project.root / "inference.py").write_text("def model_fn(model_dir):\n    raise OSError('weights are gone')\n")

    done = project.run("serve", "--detach", check=False)

    assert done.returncode == 3
    assert "weights are gone" in done.stderr


def test_an_endpoint_in_the_foreground_is_deleted_by_ctrl_c(project):
    project.run("train")
    with project.start("serve") as serving:
        lines = []
        for line in serving.stdout:
            lines.append(line)
            if "Ctrl-C deletes it" in line:
                break
        assert "".join(lines).count("is in service at") == 1
        assert project.run("predict", "data/sample.csv", "--accept", "text/csv").stdout.startswith("setosa")

        serving.send_signal(signal.SIGINT)
        serving.wait(timeout=60)
        assert serving.returncode == 0
    assert project.json("endpoints", "list") == []


def test_a_command_that_is_killed_leaves_nothing_running(project):
    project.run("train")
    with project.start("serve") as serving:
        for line in serving.stdout:
            if "Ctrl-C deletes it" in line:
                break
        serving.kill()
    wait_until(lambda: not project.workloads())


def test_a_detached_job_goes_on_alone_and_its_server_ends_by_itself(project):
    job = project.run("train", "--detach").stdout.strip()
    wait_until(lambda: project.json("jobs", "list")[0]["TrainingJobStatus"] == "Completed")

    assert project.json("jobs", "describe", job)["ModelArtifacts"]["S3ModelArtifacts"].endswith("model.tar.gz")
    wait_until(lambda: not (project.root / ".seaproof" / "coordinator.json").exists(), seconds=30)


def test_a_job_is_stopped_by_ctrl_c(project):
    (project.root / "train.py").write_text(
        "import time\ndef train(job):\n    print('working', flush=True)\n"
        "    while not job.stopping.wait(0.05): pass\n    (job.model_dir / 'part').write_text('saved')\n"
    )
    with project.start("train") as training:
        for line in training.stdout:
            if "working" in line:
                break
        training.send_signal(signal.SIGINT)
        rest = training.stdout.read()
        training.wait(timeout=60)
    assert "Stopped" in rest
    assert training.returncode == 130
    assert project.json("jobs", "list")[0]["TrainingJobStatus"] == "Stopped"


def test_up_is_found_by_other_commands_and_survives_kill_9(project):
    project.run("train")
    first = project.json("up")
    assert project.json("up")["started"] is False
    project.run("serve", "--detach")

    os.kill(first["pid"], signal.SIGKILL)
    second = project.json("up")

    assert second["pid"] != first["pid"]
    assert project.json("endpoints", "list")[0]["EndpointStatus"] == "InService"
    assert project.run("predict", "data/sample.csv", "--accept", "text/csv").stdout.startswith("setosa")


@pytest.mark.parametrize("moment", [0.1, 0.2])
def test_up_finds_a_server_whenever_another_ends_by_itself(project, moment):
    state = project.root / ".seaproof"
    with project.start("up", "--foreground", "--until-idle"):
        wait_until(lambda: (state / client.STATE_FILE).exists())
        with client.find(state) as brought:
            brought.hold().close()
        time.sleep(moment)  # about what it waits before it ends

        stays = project.json("up")["pid"]
        time.sleep(1)  # in which one that does not stay would end
        assert project.json("up") | {"started": False, "pid": stays} == project.json("up")
        project.run("down")


def test_endpoints_rest_through_down_and_up(project):
    project.run("train")
    project.run("up")
    project.run("serve", "--detach")
    project.run("down")
    wait_until(lambda: not project.workloads())
    project.run("up")

    wait_until(lambda: project.json("endpoints", "list")[0]["EndpointStatus"] == "InService")
    assert project.run("predict", "data/sample.csv", "--accept", "text/csv").stdout.startswith("setosa")


SLEEPER = """
import time
def train(job):
    print("working", flush=True)
    time.sleep(job.hyperparameter("seconds", float))
    (job.model_dir / "part").write_text("saved")
"""


def test_a_command_that_ends_takes_no_other_commands_job_with_it(project):
    (project.root / "train.py").write_text(SLEEPER)
    with project.start("train", "-H", "seconds=1") as first:
        for line in first.stdout:
            if "working" in line:
                break
        with project.start("train", "-H", "seconds=4") as second:
            assert first.wait(timeout=60) == 0
            assert "Completed" in second.stdout.read()
        assert second.returncode == 0


def test_three_commands_at_the_same_moment_share_one_coordinator(project):
    trainings = [project.start("train") for _ in range(3)]
    for training in trainings:
        with training:
            assert "Completed" in training.stdout.read()
        assert training.returncode == 0


def test_a_job_survives_kill_9_and_a_command_that_only_looks(project):
    go = project.root / "go"
    (project.root / "train.py").write_text(
        f"import os, time\ndef train(job):\n    while not os.path.exists({str(go)!r}):\n        time.sleep(0.05)\n"
        "    (job.model_dir / 'model').write_text('done')\n"
    )
    pid = project.json("up")["pid"]
    project.run("train", "--detach")
    wait_until(lambda: project.json("jobs", "list")[0]["TrainingJobStatus"] == "InProgress")
    os.kill(pid, signal.SIGKILL)

    assert project.json("jobs", "list")[0]["TrainingJobStatus"] == "InProgress"
    go.touch()
    wait_until(lambda: project.json("jobs", "list")[0]["TrainingJobStatus"] == "Completed")


def test_serve_goes_on_after_down_and_from_the_foreground_leaves_what_was_there(project):
    project.run("train")
    project.run("serve", "--detach")
    project.run("down")
    assert project.json("endpoints", "list")[0]["EndpointStatus"] == "OutOfService"
    project.run("serve", "--detach")

    with project.start("serve") as serving:
        for line in serving.stdout:
            if "Ctrl-C leaves" in line:
                break
        serving.send_signal(signal.SIGINT)
        assert serving.wait(timeout=60) == 0
    assert project.json("endpoints", "list")[0]["EndpointStatus"] == "InService"


def test_down_returns_when_nothing_runs_any_more(project):
    project.environ["SEAPROOF_STOP_JOB_GRACE"] = "2"
    (project.root / "train.py").write_text(
        "import signal, time\ndef train(job):\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    print('deaf', flush=True)\n    time.sleep(60)\n"
    )
    job = project.run("train", "--detach").stdout.strip()
    wait_until(lambda: "deaf" in project.run("jobs", "logs", job).stdout)

    project.run("down")

    assert [words for words in map(command_line, project.workloads()) if "seaproof.cli" not in words] == []
    assert project.json("jobs", "list")[0]["TrainingJobStatus"] == "Stopped"


def test_every_command_of_the_readme_runs(tmp_path):
    """The README's shell lines, in their order; `make demo` and `make test` are what brought this test here."""
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    assert lines[:2] == ["make demo", "make test"]
    project, folder = Project(tmp_path), tmp_path

    for line in lines[2:]:
        words = line.split()
        if words[0] == "cd":
            folder = folder / words[1]
            continue
        if words[0] == ".":
            assert (ROOT / words[1]).is_file(), f"README: {line}"
            continue
        assert words[0] == "seaproof", f"README: {line}"
        project.run(*words[1:], cwd=folder)


def test_names_are_whole_in_a_table_on_a_terminal_of_80_columns():
    name = "flowers-20261130-003731-739610-and-more"
    rows = [(name, "transform", "Completed", "2026-11-30 00:27:51", "0.8 s")]
    code = f"from seaproof.cli.screen import table; table({rows!r}, ('JOB', 'KIND', 'STATUS', 'CREATED', 'TIME'))"
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    subprocess.run([sys.executable, "-c", code], stdout=its, env={**environment, "TERM": "xterm"}, check=True)
    os.close(its)
    shown = ""
    with suppress(OSError):  # how the end of a terminal reads
        while piece := os.read(ours, 10_000):
            shown += piece.decode()
    os.close(ours)

    assert name in shown
    assert "2026-11-30" in shown
