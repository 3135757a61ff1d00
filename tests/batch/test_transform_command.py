"""`seaproof transform` as a user runs it: real commands, a real server, a real program behind it."""

from __future__ import annotations

import csv
import gzip
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from command_lab import command, environment, seaproof
from server_lab import asked, make_project
from transform_lab import MIB, until

from seaproof.api.client import Client, find
from seaproof.cli.job_name import taken
from seaproof.cli.screen import Screen
from seaproof.cli.session import open_session
from seaproof.cli.transform_watch import watch

ROW = b"row %06d " + b"x" * 1013 + b"\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_project(tmp_path)
    (tmp_path / "data").mkdir()
    return tmp_path


def rows(payloads: int) -> bytes:
    return b"".join(ROW % number for number in range(payloads * MIB // len(ROW % 0) - 1))


def test_a_folder_is_transformed_into_a_folder_with_one_line_for_each_object(root: Path) -> None:
    (root / "data" / "a.csv").write_bytes(b"1,one\n2,two\n")
    (root / "data" / "b.csv").write_bytes(b"3,three\n")

    done = command(root, "data", "--no-model", "--output", "out", "--input-filter", "$[1:]", "--join", "--name", "j")

    assert (root / "out" / "a.csv.out").read_bytes() == b"1,one,ONE\n2,two,TWO\n"
    assert (root / "out" / "b.csv.out").read_bytes() == b"3,three,THREE\n"
    assert re.search(r"seaproof/batch/transform/j/input/a.csv: done: 2 records, 0.0 MB in 1 request, ", done.stderr)
    assert re.search(r"^records +3 in 2 requests$", done.stdout, re.MULTILINE)
    assert asked(root) == [b"one", b"three"]
    assert not list((root / ".seaproof/s3/seaproof/batch/transform/j").glob("input/*"))
    assert (root / "data" / "a.csv").read_bytes() == b"1,one\n2,two\n"


def test_a_manifest_is_read_where_it_lies_and_the_first_name_in_it_says_the_format(root: Path) -> None:
    bucket = root / ".seaproof" / "s3" / "b"
    bucket.mkdir(parents=True)
    for name in ("one.csv", "two.csv", "three.csv"):
        (bucket / name).write_bytes(f"{name}\n".encode())
    (bucket / "list").write_text('[{"prefix": "s3://b/"}, "two.csv", "one.csv"]')

    done = command(
        root, "s3://b/list", "--manifest", "--no-model", "--output", "out", "--input-filter", "$[0]", "--join"
    )

    assert sorted(path.name for path in (root / "out").iterdir()) == ["one.csv.out", "two.csv.out"]
    assert (root / "out" / "one.csv.out").read_bytes() == b"one.csv,ONE.CSV\n"
    assert re.search(r"^objects +2$", done.stdout, re.MULTILINE)


def test_in_a_terminal_a_bar_shows_bytes_records_rate_and_time_left(root: Path) -> None:
    (root / "data" / "rows.csv").write_bytes(rows(6))
    (root / "hold").write_bytes(b"row 005000 ")  # until the bar is there
    ours, theirs = pty.openpty()
    line = [sys.executable, "-m", "seaproof.cli", "transform", "data/rows.csv", "--no-model", "--max-payload", "1"]
    with subprocess.Popen(
        [*line, "--driver", "process"], cwd=root, stdout=subprocess.PIPE, stderr=theirs, env=environment()
    ) as process:
        os.close(theirs)
        shown = b""
        while select.select([ours], [], [], 60)[0]:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # how the end of a terminal reads
                break
            if b"/6.3 MB" in shown:
                (root / "hold").unlink(missing_ok=True)
        (root / "hold").unlink(missing_ok=True)
        assert process.wait(60) == 0, shown
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())

    assert re.search(r"1/1|0/1", text)
    assert re.search(r"/6\.3 MB", text), text
    assert re.search(r"[\d,]+ records", text)


def test_a_dry_run_says_how_many_requests_and_which_record_is_too_large(root: Path) -> None:
    (root / "data" / "rows.csv").write_bytes(rows(3))
    (root / "data" / "wide.csv").write_bytes(b"1\n" + b"x" * (MIB + 1) + b"\n2\n")

    fine = command(root, "data/rows.csv", "--dry-run", "--max-payload", "1", "--json")
    wide = command(root, "data", "--dry-run", "--max-payload", "1", check=1)
    whole = command(root, "data/rows.csv", "--dry-run", "--max-payload", "1", "--split", "None", check=1)

    found = json.loads(fine.stdout)["objects"]["rows.csv"]
    assert (found["requests"], found["bytes"], found["oversizes"]) == (4, len(rows(3)), 0) or found["requests"] == 3
    assert "rows.csv: without a split the whole object is one record" in whole.stdout
    assert "wide.csv: the record at line 2 has 1,048,578 bytes, and a request takes 1,048,576" in wide.stdout
    assert not (root / ".seaproof").exists()


def test_bad_records_are_put_aside_with_their_line_numbers_and_the_rest_goes_on(root: Path) -> None:
    lines = [b"%d\n" % number for number in range(50)]
    lines[7] = b"bad seven\n"
    lines[33] = b"bad thirty-three\n"
    (root / "data" / "a.csv").write_bytes(b"".join(lines))

    done = command(root, "data/a.csv", "--no-model", "-o", "out", "--quarantine", "--retries", "0", "--json")

    aside = [json.loads(line) for line in (root / "out" / "a.csv.quarantine.jsonl").read_text().splitlines()]
    assert [(entry["line"], entry["record"]) for entry in aside] == [(8, "bad seven\n"), (34, "bad thirty-three\n")]
    assert aside[0]["reason"] == "ClientError: 400: a bad row"
    kept = [line for line in lines if not line.startswith(b"bad")]
    assert (root / "out" / "a.csv.out").read_bytes() == b"".join(kept)
    assert json.loads(done.stdout)["Numbers"]["bad"] == 2


def test_a_job_whose_tool_was_killed_goes_on_with_resume_and_no_record_is_lost_or_done_twice(root: Path) -> None:
    (root / "data" / "rows.csv").write_bytes(rows(8))
    (root / "hold").write_bytes(b"row 006000 ")
    line = [sys.executable, "-m", "seaproof.cli", "transform", "data/rows.csv", "--no-model", "--max-payload", "1"]
    with subprocess.Popen(
        [*line, "--name", "one", "--driver", "process"], cwd=root, env=environment(), stderr=subprocess.DEVNULL
    ) as tool:
        try:
            until(lambda: len(asked(root)) == 6, "the sixth payload is held")
            coordinator = json.loads((root / ".seaproof" / "coordinator.json").read_text())["pid"]
            os.kill(coordinator, signal.SIGKILL)
        finally:
            tool.kill()
    (root / "hold").unlink()
    before = len(asked(root))

    done = command(root, "--resume", "one", "--output", "out")

    assert (root / "out" / "rows.csv.out").read_bytes() == rows(8).upper()
    assert 3 <= len(asked(root)) - before <= 8
    assert "gone on with from byte" in done.stderr


def test_a_failed_job_goes_on_with_other_requests_and_the_same_output_and_is_listed_with_the_other_jobs(
    root: Path,
) -> None:
    lines = rows(4).replace(b"row 002100 ", b"bad 002100 ")
    (root / "data" / "rows.csv").write_bytes(lines)
    failed = command(root, "data/rows.csv", "--no-model", "--max-payload", "1", "--name", "one", check=3)
    before = len(asked(root))

    refused = command(root, "--resume", "one", "--repeat-header", check=2)
    elsewhere = command(root, "--resume", "one", "--output", "s3://b/out", check=2)
    options = ["--quarantine", "--max-payload", "2", "--retries", "1", "--env", "A=1", "--instances", "2"]
    done = command(root, "--resume", "one", *options, "--name", "two", "--output", "out", "--json")
    listed = seaproof(root, "jobs", "list")
    told = seaproof(root, "jobs", "describe", "one")
    log = seaproof(root, "jobs", "logs", "two")
    stopped = seaproof(root, "jobs", "stop", "two", check=1)

    assert (
        "The whole log: seaproof jobs logs one. When that is mended: seaproof transform --resume one" in failed.stderr
    )
    assert "--repeat-header does not go with --resume" in refused.stderr
    assert "the output goes where it was begun" in elsewhere.stderr
    kept, bad = lines.upper().split(b"BAD 002100 ")
    assert (root / "out" / "rows.csv.out").read_bytes() == kept + bad.partition(b"\n")[2]
    assert '"record": "bad 002100 ' in (root / "out" / "rows.csv.quarantine.jsonl").read_text()
    ran = json.loads(done.stdout)
    assert ran["Numbers"]["bad"] == 1
    assert ran["Environment"] == {"A": "1"}
    assert ran["ModelClientConfig"]["InvocationsMaxRetries"] == 1
    assert ran["TransformResources"]["InstanceCount"] == 2
    assert b"row 000000 " + b"x" * 1013 not in asked(root)[before:]
    assert [line.split()[:3] for line in listed.stdout.splitlines()[1:]] == [
        ["two", "transform", "Completed"],
        ["one", "transform", "Failed"],
    ]
    assert re.search(r"^requests +split Line, payload 1 MB$", told.stdout, re.MULTILINE)
    assert "MaxConcurrentTransforms=1, MaxPayloadInMB=2" in log.stdout
    assert "the transform job is in status Completed" in stopped.stderr


def test_what_a_detached_job_was_given_is_removed_by_the_next_command_and_the_file_stays(root: Path) -> None:
    (root / "data" / "a.csv").write_bytes(b"1\n")
    ours = root / ".seaproof" / "s3" / "seaproof" / "batch" / "transform"

    said = command(root, "data/a.csv", "--no-model", "--detach", "--name", "one")
    until(lambda: not (root / ".seaproof" / "coordinator.json").exists(), "its local server has ended")
    given = list(ours.glob("one/input/*"))
    command(root, "data/a.csv", "--no-model", "--name", "two")

    assert said.stdout == "one\n"
    assert given == [ours / "one" / "input" / "a.csv"]
    assert not list(ours.glob("*/input/*"))
    assert (ours / "one" / "output" / "a.csv.out").read_bytes() == b"1\n"
    assert (root / "data" / "a.csv").read_bytes() == b"1\n"


def test_a_stopped_job_says_how_to_go_on_and_a_new_one_takes_over(root: Path) -> None:
    (root / "data" / "rows.csv").write_bytes(rows(4))
    (root / "hold").write_bytes(b"row 002100 ")
    line = [sys.executable, "-m", "seaproof.cli", "transform", "data/rows.csv", "--no-model", "--max-payload", "1"]
    with subprocess.Popen(
        [*line, "--name", "one", "--driver", "process"],
        cwd=root,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C is ignored by what was started in the background, as these tests may have been.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as tool:
        try:
            until(lambda: len(asked(root)) == 3, "the third payload is held")
            tool.send_signal(signal.SIGINT)
            said = tool.communicate(timeout=60)[0]
        finally:
            tool.kill()
    (root / "hold").unlink()
    before = len(asked(root))

    command(root, "--resume", "one", "--name", "two", "--output", "out")
    again = command(root, "--resume", "one", check=1)

    assert tool.returncode == 130
    assert "seaproof transform --resume one" in said
    assert (root / "out" / "rows.csv.out").read_bytes() == rows(4).upper()
    assert len(asked(root)) - before == 2
    assert "two has gone on with it already" in again.stderr


def test_a_name_under_which_another_command_is_about_to_begin_a_job_is_refused(root: Path) -> None:
    (root / "data" / "a.csv").write_bytes(b"1\n")
    (root / "data" / "b.csv").write_bytes(b"2\n")
    command(root, "data/a.csv", "--no-model", "--detach", "--name", "zero")
    server = find(root / ".seaproof")
    assert server is not None

    with server, taken(open_session(root, False), server, "Transform", "one"):
        refused = command(root, "data/b.csv", "--no-model", "--name", "one", check=1)

    assert "another command begins a transform job one just now. Take another --name" in refused.stderr
    assert not list((root / ".seaproof/s3/seaproof/batch/transform").glob("one/input/*"))


def test_of_two_commands_with_one_name_one_runs_the_job_and_the_other_is_told(root: Path) -> None:
    for name in ("a", "b"):
        (root / "data" / f"{name}.csv").write_bytes(f"{name}\n".encode())
    line = [sys.executable, "-m", "seaproof.cli", "transform", "--no-model", "--driver", "process", "--name", "one"]
    running = {
        name: subprocess.Popen(
            [*line, f"data/{name}.csv", "--output", f"out-{name}"],
            cwd=root,
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("a", "b")
    }
    said = {name: process.communicate(timeout=60)[1] for name, process in running.items()}

    won, lost = sorted(running, key=lambda name: running[name].returncode)
    assert [running[won].returncode, running[lost].returncode] == [0, 1], said
    assert re.search("another command begins a transform job one|there is a transform job one already", said[lost])
    assert [path.name for path in (root / f"out-{won}").iterdir()] == [f"{won}.csv.out"]


def with_a_held_job(root: Path) -> Client:
    """The local server, with a job `one` that goes on until the file `hold` is gone."""
    (root / "data" / "a.csv").write_bytes(b"1\n")
    (root / "hold").write_bytes(b"1")
    command(root, "data/a.csv", "--no-model", "--detach", "--name", "one")
    server = find(root / ".seaproof")
    assert server is not None
    return server


class Twice(Client):
    """Who watches through this presses Ctrl-C, and again while the job is being told to stop."""

    presses = 0

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        if self.presses < 2 and operation in ("DescribeTransformJob", "StopTransformJob"):
            self.presses += 1
            signal.raise_signal(signal.SIGINT)
        return super().call(operation, request)


def test_a_second_ctrl_c_leaves_at_once_and_the_job_is_told_to_stop_all_the_same(root: Path) -> None:
    server = with_a_held_job(root)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Twice(server.url) as client, Screen() as screen, pytest.raises(KeyboardInterrupt):
            watch(client, "one", root / ".seaproof", screen)
    finally:
        signal.signal(signal.SIGINT, before)

    with server:
        found = server.call("DescribeTransformJob", {"TransformJobName": "one"})
    assert client.presses == 2
    assert found["TransformJobStatus"] in ("Stopping", "Stopped")
    (root / "hold").unlink()


class TooLate(Client):
    """Who watches through this presses Ctrl-C when the job has just come to its end, and could not know it."""

    held: Path

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        found = super().call(operation, request)
        if operation == "DescribeTransformJob" and self.held.exists():
            self.held.unlink()
            until(lambda: super(TooLate, self).call(operation, request)["TransformJobStatus"] == "Completed", "its end")
            raise KeyboardInterrupt
        return found


def test_ctrl_c_in_the_moment_in_which_the_job_ends_shows_that_end(root: Path) -> None:
    server = with_a_held_job(root)

    with (client := TooLate(server.url)), client.hold(), Screen() as screen:
        client.held = root / "hold"
        found = watch(client, "one", root / ".seaproof", screen)

    assert found["TransformJobStatus"] == "Completed"


HEADER = """
def model_fn(folder):
    return None

def input_fn(data, content_type):
    first, *rows = data.splitlines()
    names = first.split(",")
    if names != ["a", "b", "c"]:
        raise ValueError("the header is missing")
    return [dict(zip(names, row.split(","))) for row in rows]

def predict_fn(rows, model):
    return [int(row["a"]) + int(row["b"]) for row in rows]

def output_fn(sums, accept):
    return "".join(f"{each}\\n" for each in sums), "text/csv"
"""


def test_a_csv_of_12_mb_with_a_header_fails_by_default_with_the_option_to_use_and_passes_with_it(
    tmp_path: Path,
) -> None:
    program = tmp_path / "program"
    program.mkdir()
    (program / "inference.py").write_text(HEADER)
    serve = json.dumps([sys.executable, "-m", "seaproof.container", "serve"])
    (tmp_path / "seaproof.toml").write_text(
        f'[project]\nname = "header"\nimage = "header"\n[images.header]\nfolder = "program"\nserve = {serve}\n'
        "accept_bind_to_port = true\n"
    )
    wide = "x" * 200
    count = 12 * MIB // (15 + len(wide))
    with (tmp_path / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["a", "b", "c"])
        writer.writerows((f"{number:06d}", f"{2 * number:06d}", wide) for number in range(count))

    failed = command(tmp_path, "table.csv", "--no-model", "--retries", "0", check=3)
    command(tmp_path, "table.csv", "--no-model", "--repeat-header", "--output", "out")

    assert "The first line of the object looks like a header" in failed.stderr
    assert "--repeat-header" in failed.stderr
    sums = (tmp_path / "out" / "table.csv.out").read_text().split()
    assert sums == [str(3 * number) for number in range(count)]


def test_a_name_that_is_taken_is_refused_before_its_input_is_touched_and_one_that_was_refused_is_free(
    root: Path,
) -> None:
    (root / "data" / "a.csv").write_bytes(b"bad\n")
    (root / "data" / "b.csv").write_bytes(b"2\n")
    ours = root / ".seaproof" / "s3" / "seaproof" / "batch" / "transform"
    many = ["--max-payload", "50", "--concurrent", "3"]

    command(root, "data/b.csv", "--no-model", "--name", "one", *many, check=1)
    left = list(ours.glob("*/input/*"))
    command(root, "data/a.csv", "--no-model", "--name", "one", check=3)
    refused = command(root, "data/b.csv", "--no-model", "--name", "one", check=1)

    assert left == []
    assert "there is a transform job one already. Take another --name, or go on with that one" in refused.stderr
    assert [path.name for path in ours.glob("*/input/*")] == ["a.csv"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.csv", "--no-model"], "there is no such file (nothing.csv)"),
        ([], "say either INPUT or --resume JOB"),
        (["data", "--no-model", "--input-filter", "x"], "a path begins with $"),
        (
            ["mixed", "--no-model"],
            "1 of 2 files are compressed (.gz), and the others are not (mixed). One job takes one",
        ),
        (["data", "--no-model", "--manifest"], "--manifest needs INPUT in s3://"),
        (["data", "--no-model", "--output", "data/a.csv"], "'data/a.csv' is a file; name a folder for the output"),
        (["torn", "--dry-run"], "Compressed file ended before the end-of-stream marker was reached (a.csv.gz)"),
        (
            ["data", "--dry-run", "--split", "TFRecord"],
            "a TFRecord is cut short: its length is missing (a.csv, byte 0)",
        ),
        (["--resume", "never"], "Could not find requested job with name: never"),
        (["data", "--no-model", "--max-payload", "50", "--concurrent", "3"], "must not exceed 100: 3 * 50 = 150"),
    ],
)
def test_what_cannot_be_done_is_said_with_a_next_step(root: Path, arguments: list[str], said: str) -> None:
    (root / "data" / "a.csv").write_bytes(b"1\n")
    (root / "mixed").mkdir()
    (root / "torn").mkdir()
    (root / "torn" / "a.csv.gz").write_bytes(gzip.compress(b"1\n")[:-8])
    for name in ("a.csv", "b.csv.gz"):
        (root / "mixed" / name).write_bytes(b"1\n")

    done = command(root, *arguments, check=None)

    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
