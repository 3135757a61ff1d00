"""What every driver owes, as tests: subclass `DriverContract` (and `ContainerContract` for one that isolates).

    class TestMyDriver(ContainerContract):
        def open(self, state): return MyDriver(state)
        def workload(self, behaviour, opt_ml, **fields): ...

A behaviour is a text such as `exit=137,after=2`, as `seaproof.testing.probe` reads it; `workload` says how this
driver runs that program (the fake driver plays the same texts). pytest finds the tests in the subclass.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from seaproof.drivers.driver import Driver, Exit, Handle, Workload
from seaproof.errors import DriverError, ImageNotFound, StartFailed

DEADLINE = 30.0


def eventually(condition: Callable[[], bool], what: str, deadline: float = DEADLINE) -> None:
    """Poll until `condition` holds; fails naming `what` after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"{what}: not within {deadline:g} s")
        time.sleep(0.02)


def answers(handle: Handle, body: bytes = b"hello") -> bool:
    """Whether the workload answers POST /invocations with what it was sent."""
    connection = http.client.HTTPConnection(handle.host or "", handle.port, timeout=DEADLINE)
    try:
        connection.request("POST", "/invocations", body)
        return connection.getresponse().read() == body
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def output(driver: Driver, handle: Handle) -> bytes:
    """All that it prints until it ends."""
    return b"".join(driver.logs(handle, follow=True))


def first_line(driver: Driver, handle: Handle) -> bytes:
    """What it prints first, once it has."""
    seen = b""
    for piece in driver.logs(handle, follow=True):
        seen += piece
        if b"\n" in seen:
            break
    return seen.partition(b"\n")[0]


class DriverContract:
    """The behaviour that docker, process and fake share."""

    def open(self, state: Path) -> Driver:
        """A driver on this state folder; called again, it is the next coordinator's."""
        raise NotImplementedError

    def workload(self, behaviour: str, opt_ml: Path, **fields: Any) -> Workload:
        """This driver's workload for a behaviour; `fields` are further fields of Workload (`name` among them)."""
        raise NotImplementedError

    def failing(self, opt_ml: Path) -> Workload:
        """A workload that cannot be started: its program does not exist."""
        return replace(self.workload("exit=0", opt_ml, name="broken"), entrypoint=("no-such-program",))

    @pytest.fixture
    def opt_ml(self, tmp_path: Path) -> Path:
        """An empty /opt/ml on the host."""
        folder = tmp_path / "ml"
        folder.mkdir()
        return folder

    @pytest.fixture
    def driver(self, tmp_path: Path) -> Any:
        """The driver; what a test leaves running is stopped."""
        driver = self.open(tmp_path / "state")
        yield driver
        for handle in driver.recover():
            driver.stop(handle, 0)

    def test_it_says_that_it_works(self, driver: Driver) -> None:
        health = driver.check()

        assert (health.driver, health.works, health.reason) == (driver.name, True, "")

    def test_an_unknown_image_is_not_found(self, driver: Driver, opt_ml: Path) -> None:
        workload = replace(self.workload("exit=0", opt_ml), image="registry.invalid/nobody/made-this:1")

        with pytest.raises(ImageNotFound, match="made-this"):
            driver.start(workload)
        assert driver.recover() == []

    def test_a_start_that_fails_says_why_and_leaves_nothing(self, driver: Driver, opt_ml: Path) -> None:
        said = ""
        try:
            handle = driver.start(self.failing(opt_ml))
            # Where an init runs the program, as on the platform, it is that which cannot.
            assert driver.wait(handle, DEADLINE) == Exit(127)
            said = output(driver, handle).decode()
            driver.stop(handle, 0)
        except StartFailed as error:
            said = error.next_step and str(error)

        assert said
        assert driver.recover() == []

    def test_exit_code_137_after_a_while(self, driver: Driver, opt_ml: Path) -> None:
        lives = driver.start(self.workload("after=100", opt_ml, name="lives"))
        handle = driver.start(self.workload("exit=137,after=1", opt_ml))

        assert (handle.driver, handle.host, handle.port) == (driver.name, None, None)
        assert driver.wait(lives, 0.1) is None
        assert driver.wait(handle, DEADLINE) == Exit(137)
        assert driver.wait(handle) == Exit(137), "may be asked again"

    def test_its_port_is_reached_at_the_address_in_the_handle(self, driver: Driver, opt_ml: Path) -> None:
        handle = driver.start(self.workload("serve,ready_after=0.3", opt_ml, port=8080))
        eventually(lambda: answers(handle), "an answer")
        megabytes = os.urandom(6_000_000)

        assert answers(handle, megabytes)
        driver.stop(handle, 5)
        assert not answers(handle)

    def test_a_port_that_never_opens_is_no_end_of_the_workload(self, driver: Driver, opt_ml: Path) -> None:
        handle = driver.start(self.workload("never_ready", opt_ml, port=8080))

        assert driver.wait(handle, 0.5) is None
        assert not answers(handle)

    def test_two_at_once_have_ports_of_their_own(self, driver: Driver, opt_ml: Path) -> None:
        first = driver.start(self.workload("serve", opt_ml, name="first", port=8080))
        second = driver.start(self.workload("serve", opt_ml, name="second", port=8080))
        eventually(lambda: answers(first) and answers(second), "answers from both")
        driver.stop(first, 5)

        assert (first.host, first.port) != (second.host, second.port)
        assert answers(second)
        assert [handle.name for handle in driver.recover()] == ["second"]

    def test_death_after_ready_is_seen_by_who_waits(self, driver: Driver, opt_ml: Path) -> None:
        handle = driver.start(self.workload("serve,dies_after_ready=0.5,exit=9", opt_ml, port=8080))

        assert driver.wait(handle, DEADLINE) == Exit(9)
        assert not answers(handle)

    def test_sigterm_ends_it_within_the_grace(self, driver: Driver, opt_ml: Path) -> None:
        handle = driver.start(self.workload("say=up,after=100", opt_ml))
        first_line(driver, handle)
        begin = time.monotonic()
        driver.stop(handle, 60)

        assert time.monotonic() - begin < 20

    def test_who_ignores_sigterm_is_killed_after_the_grace(self, driver: Driver, opt_ml: Path) -> None:
        handle = driver.start(self.workload("ignore_sigterm,say=up", opt_ml))
        first_line(driver, handle)
        ends: list[Exit | None] = []
        waiter = threading.Thread(target=lambda: ends.append(driver.wait(handle, DEADLINE)))
        waiter.start()
        begin = time.monotonic()
        driver.stop(handle, 1)
        waiter.join()

        assert 0.9 < time.monotonic() - begin < 15
        assert ends == [Exit(137)]

    def test_stop_twice_and_of_what_is_long_gone(self, driver: Driver, opt_ml: Path) -> None:
        handle = driver.start(self.workload("exit=0", opt_ml))
        driver.wait(handle, DEADLINE)
        driver.stop(handle, 1)
        driver.stop(handle, 1)

        assert driver.recover() == []
        with pytest.raises(DriverError):
            driver.wait(replace(handle, id="1:never:was"), 1)
        driver.stop(replace(handle, name="never-was", id="1:never:was"), 1)

    def test_many_may_stop_it_at_once_while_others_wait_for_it(self, driver: Driver, opt_ml: Path) -> None:
        handle = driver.start(self.workload("say=up,after=100", opt_ml))
        first_line(driver, handle)
        problems: list[Exception] = []
        ends: list[Exit | None] = []

        def stop() -> None:
            try:
                driver.stop(handle, DEADLINE)
            except Exception as error:
                problems.append(error)

        waiter = threading.Thread(target=lambda: ends.append(driver.wait(handle, DEADLINE)))
        stoppers = [threading.Thread(target=stop) for _ in range(3)]
        for thread in (waiter, *stoppers):
            thread.start()
        for thread in (waiter, *stoppers):
            thread.join()

        assert problems == []
        assert driver.recover() == []
        assert ends == [Exit(143)]

    def test_an_old_handle_does_not_stop_its_successor(self, driver: Driver, opt_ml: Path) -> None:
        old = driver.start(self.workload("exit=0", opt_ml))
        driver.wait(old, DEADLINE)
        new = driver.start(self.workload("after=100", opt_ml))
        driver.stop(old, 0)

        assert driver.wait(new, 0.3) is None

    def test_a_leftover_of_the_same_name_is_cleared_away(self, driver: Driver, opt_ml: Path) -> None:
        driver.start(self.workload("ignore_sigterm,say=old", opt_ml))
        new = driver.start(self.workload("say=new,after=100", opt_ml))

        assert driver.recover() == [new]
        assert first_line(driver, new) == b"new"

    def test_ten_megabytes_of_log_are_whole_and_in_order(self, driver: Driver, opt_ml: Path) -> None:
        handle = driver.start(self.workload("log=10MB", opt_ml))
        followed = output(driver, handle)
        lines = followed.splitlines()

        assert len(followed) == 10 * 1024 * 1024
        assert [int(line) for line in lines] == list(range(len(lines)))
        assert b"".join(driver.logs(handle)) == followed
        assert b"".join(driver.logs(handle, offset=10_000_001)) == followed[10_000_001:]
        assert b"".join(driver.logs(handle, offset=len(followed), follow=True)) == b""

    def test_a_second_driver_finds_what_lives_and_what_has_ended(
        self, driver: Driver, opt_ml: Path, tmp_path: Path
    ) -> None:
        lives = driver.start(self.workload("serve,say=here", opt_ml, name="lives", port=8080))
        ended = driver.start(self.workload("exit=3", opt_ml, name="ended"))
        driver.wait(ended, DEADLINE)
        successor = self.open(tmp_path / "state")
        found = {handle.name: handle for handle in successor.recover()}

        assert found == {"lives": lives, "ended": ended}
        assert successor.wait(found["ended"], 1) == Exit(3)
        assert successor.wait(found["lives"], 0.1) is None
        eventually(lambda: answers(found["lives"]), "an answer")
        successor.stop(found["lives"], 5)
        successor.stop(found["ended"], 5)
        assert driver.recover() == []

    def test_handles_survive_as_json(self, driver: Driver, opt_ml: Path) -> None:
        handle = driver.start(self.workload("exit=4", opt_ml))

        assert driver.wait(Handle.from_json(handle.to_json()), DEADLINE) == Exit(4)

    def test_it_sees_its_environment_and_arguments(self, driver: Driver, opt_ml: Path) -> None:
        workload = self.workload("report", opt_ml, environment={"GREETING": "hello, ünïcode = ok"})
        driver.wait(driver.start(workload), DEADLINE)
        report = json.loads((opt_ml / "output" / "report.json").read_text("utf-8"))

        assert report["environment"]["GREETING"] == "hello, ünïcode = ok"
        assert report["arguments"] == list(workload.arguments)


class ContainerContract(DriverContract):
    """What a driver owes besides that runs programs in a world of their own."""

    def source(self, state: Path) -> str:
        """Python source that makes the same driver as `open`, by the name `driver`, in another process."""
        raise NotImplementedError

    def test_it_sees_its_folder_as_opt_ml(self, driver: Driver, opt_ml: Path) -> None:
        (opt_ml / "input").mkdir()
        (opt_ml / "input" / "rows.csv").write_text("1,2\n")
        driver.wait(driver.start(self.workload("report", opt_ml)), DEADLINE)
        report = json.loads((opt_ml / "output" / "report.json").read_text("utf-8"))

        assert report["opt_ml"] == ["input", "input/rows.csv"]
        assert not [name for name in report["environment"] if name.startswith(("PYTEST", "SSH", "GITHUB"))]

    def test_a_read_only_folder_refuses_and_the_rest_does_not(self, driver: Driver, opt_ml: Path) -> None:
        (opt_ml / "model").mkdir()
        fields: dict[str, Any] = {"read_only": ("model",)}
        inside = driver.start(self.workload("write=model/x", opt_ml, name="inside", **fields))
        beside = driver.start(self.workload("write=other/x", opt_ml, name="beside", **fields))

        assert b"refused" in output(driver, inside)
        assert b"written" in output(driver, beside)
        assert list((opt_ml / "model").iterdir()) == []

    def test_what_it_writes_belongs_to_the_caller_afterwards(self, driver: Driver, opt_ml: Path) -> None:
        handle = driver.start(self.workload("report", opt_ml))
        driver.wait(handle, DEADLINE)
        driver.stop(handle, 1)

        assert {path.stat().st_uid for path in opt_ml.rglob("*")} == {opt_ml.stat().st_uid}

    def test_stdout_and_stderr_are_both_in_the_log(self, driver: Driver, opt_ml: Path) -> None:
        handle = driver.start(self.workload("say=out,complain=err", opt_ml))

        assert sorted(output(driver, handle).splitlines()) == [b"err", b"out"]

    @pytest.mark.parametrize("how", ["ends", "stop"])
    def test_its_children_end_with_it(self, driver: Driver, opt_ml: Path, how: str) -> None:
        handle = driver.start(self.workload("children=2,after=" + ("0" if how == "ends" else "100"), opt_ml))
        first_line(driver, handle)
        if how == "ends":
            driver.wait(handle, DEADLINE)
        else:
            driver.stop(handle, 5)
        beats = [path.read_text() for path in sorted((opt_ml / "output").glob("beat-*"))]
        time.sleep(0.2)

        assert len(beats) == 2
        assert [path.read_text() for path in sorted((opt_ml / "output").glob("beat-*"))] == beats

    def test_isolation_leaves_no_way_out_but_a_way_in(self, driver: Driver, opt_ml: Path) -> None:
        isolated: dict[str, Any] = {"isolated": True}
        job = driver.start(self.workload("connect=192.0.2.1:80", opt_ml, name="job", **isolated))
        server = driver.start(self.workload("serve", opt_ml, name="server", port=8080, **isolated))

        assert b"refused" in output(driver, job)
        eventually(lambda: answers(server), "an answer")

    @pytest.mark.parametrize("isolated", [False, True])
    def test_peers_reach_one_another_by_name(self, driver: Driver, opt_ml: Path, isolated: bool) -> None:
        fields: dict[str, Any] = {"network": "job-1", "isolated": isolated}
        first = driver.start(self.workload("answer=7711", opt_ml, name="j-1", hostname="algo-1", **fields))
        second = driver.start(self.workload("connect=algo-1:7711", opt_ml, name="j-2", hostname="algo-2", **fields))

        assert output(driver, second) == b"connected: algo-1\n"
        driver.stop(first, 0)

    def test_a_peer_that_comes_later_is_known_by_name_from_then_on(self, driver: Driver, opt_ml: Path) -> None:
        fields: dict[str, Any] = {"network": "job-2", "isolated": True}
        early = self.workload("connect=algo-2:7711", opt_ml, name="j-3", hostname="algo-1", **fields)
        first = driver.start(replace(early, unresolved=("algo-2",)))
        second = driver.start(self.workload("answer=7711", opt_ml, name="j-4", hostname="algo-2", **fields))

        assert output(driver, first) == b"connected: algo-2\n"
        driver.stop(second, 0)

    def test_who_takes_more_memory_than_allowed_ends_with_out_of_memory(self, driver: Driver, opt_ml: Path) -> None:
        handle = driver.start(self.workload("allocate=400MB,after=60", opt_ml, memory=100 * 1024 * 1024))

        assert driver.wait(handle, DEADLINE) == Exit(137, out_of_memory=True)

    def test_it_may_have_so_many_processes_and_no_more(self, driver: Driver, opt_ml: Path) -> None:
        handle = driver.start(self.workload("fork=200,after=60", opt_ml, processes=50))
        seen = []

        def is_held() -> bool:
            seen.append(len(driver.usage(handle).processes))
            return driver.wait(handle, 0) is not None or b"no more" in b"".join(driver.logs(handle))

        eventually(is_held, "the limit")
        driver.stop(handle, 0)

        assert max(seen) < 150

    def test_its_processes_and_what_it_writes_are_told(self, driver: Driver, opt_ml: Path) -> None:
        handle = driver.start(self.workload("fill=20MB,after=60", opt_ml))
        first_line(driver, handle)

        eventually(lambda: driver.usage(handle).written >= 20 * 1024 * 1024, "what was written")
        assert driver.usage(handle).processes
        driver.stop(handle, 0)
        assert driver.usage(handle).processes == ()

    def test_it_runs_as_the_user_asked_for(self, driver: Driver, opt_ml: Path) -> None:
        handle = driver.start(self.workload("who", opt_ml, user=12345))

        assert output(driver, handle) == b"user 12345, group 12345\n"

    def test_shared_memory_can_be_left_out(self, driver: Driver, opt_ml: Path) -> None:
        fields: dict[str, Any] = {"shared_memory": False}
        without = driver.start(self.workload("share", opt_ml, name="without", **fields))
        with_it = driver.start(self.workload("share", opt_ml, name="with-it"))

        assert output(driver, without).startswith(b"refused")
        assert output(driver, with_it) == b"shared\n"

    def test_its_tmp_holds_no_more_than_allowed(self, driver: Driver, opt_ml: Path) -> None:
        handle = driver.start(self.workload("fill=20MB", opt_ml, scratch=4 * 1024 * 1024))

        assert b"No space left on device" in output(driver, handle)

    def test_it_has_no_more_rights_than_a_container(self, driver: Driver, opt_ml: Path) -> None:
        handle = driver.start(self.workload("rights", opt_ml))

        assert int(output(driver, handle), 16) & (1 << 21 | 1 << 12 | 1 << 16) == 0  # sys_admin, net_admin, sys_module

    def test_the_next_coordinator_finds_all_after_a_sigkill(self, tmp_path: Path, opt_ml: Path, driver: Driver) -> None:
        workloads = [
            self.workload("serve", opt_ml, name="server", port=8080),
            self.workload("say=done,after=0.5,exit=6", opt_ml, name="job"),
        ]
        source = "\n".join(
            [
                self.source(tmp_path / "state"),
                "import json, sys, time",
                "from seaproof.drivers.driver import Workload",
                "from pathlib import Path",
                "for fields in json.load(sys.stdin):",
                "    workload = Workload(**{**fields, 'opt_ml': Path(fields['opt_ml'])})",
                "    print(driver.start(workload).to_json(), flush=True)",
                "print('all', flush=True)",
                "time.sleep(600)",
            ]
        )
        with subprocess.Popen(
            [sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as coordinator:
            assert coordinator.stdin
            assert coordinator.stdout
            coordinator.stdin.write(json.dumps([asdict(workload) for workload in workloads], default=str))
            coordinator.stdin.close()
            started = [Handle.from_json(coordinator.stdout.readline()) for _ in workloads]
            assert coordinator.stdout.readline() == "all\n"
            coordinator.send_signal(signal.SIGKILL)
        found = {handle.name: handle for handle in driver.recover()}

        assert found == {handle.name: handle for handle in started}
        eventually(lambda: answers(found["server"]), "an answer")
        assert driver.wait(found["job"], DEADLINE) == Exit(6)
        assert output(driver, found["job"]) == b"done\n"
        driver.stop(found["server"], 5)
        driver.stop(found["job"], 5)
        assert driver.recover() == []
