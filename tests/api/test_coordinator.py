"""The coordinator as a process: one per state folder, killed and started again, ended in every way there is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from runtime_lab import a_lab

from seaproof.api.client import OWNED, STATE_FILE, Client, find
from seaproof.api.coordinator import LOCK_FILE, _lock, wait_until_free
from seaproof.errors import HttpError, ServiceError


@contextmanager
def coordinator(root: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], Client]]:
    """A coordinator with the fake driver for the project folder `root`, killed at the end if it still lives."""
    command = [sys.executable, "-m", "seaproof.cli", "up", "--foreground", "--project", str(root)]
    if "--port" not in options:
        command += ["--port", "0"]
    with (root / "log").open("ab") as log:
        process = subprocess.Popen(
            [*command, *options],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**os.environ, "SEAPROOF_DRIVER": "fake"},
        )
    try:
        deadline = time.monotonic() + 30
        while (client := find(root / ".seaproof")) is None:
            assert process.poll() is None, (root / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with client:
            yield process, client
    finally:
        process.kill()
        process.wait()
        assert process.stdin
        process.stdin.close()


def a_model(client: Client, name: str) -> None:
    container = {"Image": "i", "Environment": {"NAME": name}}
    tags = [{"Key": "name", "Value": name}]
    client.call("CreateModel", {"ModelName": name, "PrimaryContainer": container, "Tags": tags})


def test_after_a_kill_the_next_one_starts_at_once_and_every_record_is_whole(tmp_path: Path) -> None:
    answered: list[str] = []
    with coordinator(tmp_path) as (process, client):
        partial = tmp_path / ".seaproof" / "s3" / ".partial" / ".seaproof-partial-left"
        partial.parent.mkdir(parents=True)
        partial.write_bytes(b"half")

        def create(thread: int) -> None:
            with Client(client.url) as own:
                for number in range(1000):
                    try:
                        a_model(own, f"m-{thread}-{number}")
                    except (HttpError, ServiceError):
                        return
                    answered.append(f"m-{thread}-{number}")

        threads = [threading.Thread(target=create, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 20
        while len(answered) < 50:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for thread in threads:
            thread.join()
    assert find(tmp_path / ".seaproof") is None

    with coordinator(tmp_path) as (_, client):
        names = {model["ModelName"] for model in client.pages("ListModels", {"MaxResults": 100}, "Models")}
        for name in names:
            model = client.call("DescribeModel", {"ModelName": name})
            assert model["PrimaryContainer"]["Environment"] == {"NAME": name}
            tags = client.call("ListTags", {"ResourceArn": model["ModelArn"]})["Tags"]
            assert tags == [{"Key": "name", "Value": name}]
    assert set(answered) <= names
    assert len(names - set(answered)) <= 4
    assert not partial.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_takes_its_address_away(tmp_path: Path, number: signal.Signals) -> None:
    with coordinator(tmp_path) as (process, _):
        process.send_signal(number)

        assert process.wait(timeout=30) == 0, (tmp_path / "log").read_text()
    assert not (tmp_path / ".seaproof" / "coordinator.json").exists()


def test_shutdown_by_a_client_answers_before_it_ends(tmp_path: Path) -> None:
    with coordinator(tmp_path) as (process, client):
        client.shutdown()

        assert process.wait(timeout=30) == 0


def test_one_that_a_command_brought_ends_once_no_command_holds_it(tmp_path: Path) -> None:
    with coordinator(tmp_path, "--until-idle") as (process, client):
        with client.hold():
            with client.hold():
                pass
            time.sleep(1.0)
            assert process.poll() is None

        assert process.wait(timeout=30) == 0


def test_one_that_is_told_to_stay_stays(tmp_path: Path) -> None:
    with coordinator(tmp_path, "--until-idle") as (process, client):
        with client.hold():
            client.stay()
        time.sleep(1.0)

        assert process.poll() is None


def test_one_whose_state_was_removed_ends_with_what_it_runs_and_shows_no_traceback(tmp_path: Path) -> None:
    marked = f"STATE_THAT_GOES={tmp_path}".encode()
    with a_lab(tmp_path) as lab:
        assert lab.process is not None
        lab.deploy({"Environment": {"STATE_THAT_GOES": str(tmp_path)}})
        assert carrying(marked)
        while (tmp_path / ".seaproof" / STATE_FILE).exists():  # again, where it was writing just then
            shutil.rmtree(tmp_path / ".seaproof", ignore_errors=True)

        assert lab.process.wait(timeout=60) == 0, (tmp_path / "log").read_text()
    said = (tmp_path / "log").read_text()
    assert "was removed, so that no command finds this server: it ends" in said
    assert "Traceback" not in said
    assert not carrying(marked)


def carrying(marked: bytes) -> list[str]:
    """The processes that have this in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            found += [path.parent.name] if marked in path.read_bytes() else []
    return found


def test_a_state_that_is_removed_by_whoever_has_it_is_locked_anew_by_whoever_waits(tmp_path: Path) -> None:
    folder, has_it, may_go = tmp_path / "state", threading.Event(), threading.Event()
    folder.mkdir()

    def take() -> None:
        with _lock(folder):
            has_it.set()
            may_go.wait(20)

    def opened() -> int:
        return sum(entry.resolve() == folder / LOCK_FILE for entry in Path("/proc/self/fd").iterdir())

    waiting = threading.Thread(target=take)
    with _lock(folder):
        waiting.start()
        deadline = time.monotonic() + 20
        while opened() < 2:
            assert time.monotonic() < deadline
        shutil.rmtree(folder)
    assert has_it.wait(20)
    is_free = wait_until_free(folder, 0)
    may_go.set()
    waiting.join()

    assert not is_free
    assert wait_until_free(folder, 0)


class Ending(BaseHTTPRequestHandler):
    """A coordinator that has just begun to end, or is about to: it lives, and cannot be held."""

    def do_GET(self) -> None:
        body = json.dumps({"state": str(self.server.state), "pid": 1, "url": ""}).encode()  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"" if "hold" in self.path else body)

    def do_POST(self) -> None:
        self.server.told.set()  # type: ignore[attr-defined]
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


def test_a_command_whose_coordinator_gave_way_to_one_that_then_ended_starts_another(tmp_path: Path) -> None:
    state = tmp_path / ".seaproof"
    state.mkdir()
    environ = {**os.environ, "SEAPROOF_DRIVER": "process", "SEAPROOF_PORT": "0"}
    with _lock(state), ThreadingHTTPServer(("127.0.0.1", 0), Ending) as ending:
        ending.state = state  # type: ignore[attr-defined]
        threading.Thread(target=ending.serve_forever).start()
        (state / STATE_FILE).write_text(json.dumps({"url": f"http://127.0.0.1:{ending.server_address[1]}"}))
        command = subprocess.Popen(
            [sys.executable, "-m", "seaproof.cli", "jobs", "list"],
            cwd=tmp_path,
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        deadline = time.monotonic() + 60
        while not (state / "coordinator.log").exists() or OWNED not in (state / "coordinator.log").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (state / STATE_FILE).unlink()
        ending.shutdown()
    said = command.communicate(timeout=120)[1].decode()

    assert command.returncode == 0, said
    assert "no job was started yet" in said
    assert wait_until_free(state, 60)


def test_one_that_was_only_starting_when_down_was_said_is_told_as_soon_as_it_can_be(tmp_path: Path) -> None:
    state = tmp_path / ".seaproof"
    state.mkdir()
    with _lock(state), ThreadingHTTPServer(("127.0.0.1", 0), Ending) as starting:
        starting.state, starting.told = state, threading.Event()  # type: ignore[attr-defined]
        threading.Thread(target=starting.serve_forever).start()
        down = subprocess.Popen(
            [sys.executable, "-m", "seaproof.cli", "down"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert down.stderr is not None
        assert "starting or ending" in down.stderr.readline()
        (state / STATE_FILE).write_text(json.dumps({"url": f"http://127.0.0.1:{starting.server_address[1]}"}))

        assert starting.told.wait(20)  # type: ignore[attr-defined]
        (state / STATE_FILE).unlink()
        starting.shutdown()
    assert "has ended" in down.communicate(timeout=60)[0]
    assert down.returncode == 0


def test_a_second_one_says_which_process_lives_and_where(tmp_path: Path) -> None:
    with coordinator(tmp_path) as (process, client):
        command = [
            sys.executable,
            "-m",
            "seaproof.cli",
            "up",
            "--foreground",
            "--port",
            "0",
            "--project",
            str(tmp_path),
        ]
        second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

        assert second.returncode == 1
        assert f"process {process.pid} at {client.url}" in second.stderr
        assert client.health()["pid"] == process.pid


def test_a_port_that_is_taken_is_told_and_one_that_brings_its_own_server_takes_another(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [
            sys.executable,
            "-m",
            "seaproof.cli",
            "up",
            "--foreground",
            "--port",
            port,
            "--project",
            str(tmp_path),
        ]
        refused = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        with coordinator(tmp_path, "--until-idle", "--port", port) as (_, client):
            assert client.url != f"http://127.0.0.1:{port}"
    (tmp_path / "other").mkdir()
    with coordinator(tmp_path / "other") as (_, other):
        command[6] = other.url.rpartition(":")[2]
        beside = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    assert refused.returncode == 1
    assert "the local server cannot listen: Address already in use" in refused.stderr
    assert "Say --port 0 for a free one" in refused.stderr
    assert f"already in use; that of {tmp_path / 'other'} listens there" in beside.stderr


def test_a_stale_address_is_nobody(tmp_path: Path) -> None:
    state = tmp_path / ".seaproof"
    state.mkdir()
    for text in ("", "{}", "[]", '{"url": "http://127.0.0.1:1", "pid": 1}', '{"url": 3}', '{"url": "http://[x"}'):
        (state / "coordinator.json").write_text(text)
        assert find(state) is None


def test_the_address_of_another_project_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two" / ".seaproof").mkdir(parents=True)
    with coordinator(tmp_path / "one"):
        text = (tmp_path / "one" / ".seaproof" / "coordinator.json").read_text()
        (tmp_path / "two" / ".seaproof" / "coordinator.json").write_text(text)

        assert find(tmp_path / "two" / ".seaproof") is None
