"""Each way in which a step can fail, provoked with real processes; what is reported is held against golden files.

SEAPROOF_GOLDEN=write writes the files anew.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from containers_that_fail import a_container, a_driver, the_log, wait_until

from seaproof.drivers.driver import Handle
from seaproof.drivers.process import ProcessDriver
from seaproof.invocations.chain import Step, StepFailed, chain
from seaproof.invocations.diagnosis import Evidence, diagnose, evidence_of
from seaproof.invocations.problem import PROBLEM_JSON, members, paragraph, response
from seaproof.invocations.send import Sender, drive

GOLDEN = Path(__file__).parent / "golden"
MIB = 1024 * 1024


class Lab:
    """Starts containers, sends requests through them, and gathers what is known when one fails."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.driver: ProcessDriver = a_driver(folder)
        self.sender = Sender()
        self.handles: list[Handle] = []

    def container(self, ready: bool = True, memory: int | None = None, **environment: str) -> Step:
        number = len(self.handles) + 1
        handle = a_container(self.driver, self.folder, f"c{number}", memory, **environment)
        self.handles.append(handle)
        assert handle.host
        assert handle.port
        step = Step(f"container-{number}", handle.host, handle.port)
        if ready:
            wait_until(lambda: self.sender.ping(step.host, step.port, 2.0).status)
        return step

    def says(self, text: str) -> None:
        """Wait until the last container has printed this."""
        wait_until(lambda: text in the_log(self.driver, self.handles[-1]))

    def through(self, *steps: Step, body: bytes = b"1,2\n3,4\n", kind: str = "text/csv", timeout: float = 20.0) -> Any:
        headers = [(b"Content-Type", kind.encode())]
        deadline = time.monotonic() + timeout
        return self.sender.run(
            lambda client: drive(
                client, chain(steps, headers, body, deadline=deadline, hop_limit=5 * MIB, reply_limit=25 * MIB)
            )
        )

    def failure(self, *steps: Step, ping: bool = False, ends: bool = False, **request: Any) -> Evidence:
        """What is known of the request's failure; `ends` is whether the last container ends with it."""
        with pytest.raises(StepFailed) as caught:
            self.through(*steps, **request)
        failed = caught.value
        handle = self.handles[-1] if self.handles else None
        exit = self.driver.wait(handle, 30.0 if ends else 0.0) if handle else None
        return evidence_of(
            failed,
            log=the_log(self.driver, handle) if handle else "",
            exit_code=exit.code if exit else None,
            out_of_memory=bool(exit and exit.out_of_memory),
            ping=str(self.sender.ping(failed.step.host, failed.step.port, 2.0)) if ping else "",
        )

    def close(self) -> None:
        for handle in self.handles:
            self.driver.stop(handle, 0)
        self.sender.close()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def matches(name: str, evidence: Evidence) -> None:
    """Paragraph and problem are those of the golden file, but for ports and times."""
    diagnosis = diagnose(evidence)
    problem = members(evidence, diagnosis)
    problem.pop("seconds")
    found = {"paragraph": paragraph(evidence, diagnosis).splitlines(), "problem": problem}
    text = json.dumps(found, indent=2) + "\n"
    text = re.sub(r"\d+\.\d{3} s\b", "N.NNN s", text)
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)
    text = re.sub(r"\bport \d{4,5}\b(?<!8080)", "port PORT", text)
    text = re.sub(r"within \d+(\.\d+)? s\b", "within N s", text)
    text = re.sub(r"File .{0,200}server.py.{2}, line \d+", "File SERVER, line N", text)
    path = GOLDEN / f"{name}.json"
    if os.environ.get("SEAPROOF_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")

    assert diagnosis.cause == name
    assert text == path.read_text(encoding="utf-8")


def test_a_port_that_nobody_listens_on(lab: Lab):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]

    matches("refused", lab.failure(Step("container-1", "127.0.0.1", port)))


def test_a_container_that_is_still_loading(lab: Lab):
    step = lab.container(ready=False, FAIL="never-ready")
    lab.says("loading")

    matches("not-ready", lab.failure(step, ping=True))


def test_a_container_that_listens_on_another_port(lab: Lab):
    step = lab.container(ready=False, FAIL="wrong-port")
    lab.says("listening")

    matches("wrong-port", lab.failure(step, ping=True))


def test_a_container_that_takes_too_long(lab: Lab):
    step = lab.container(FAIL="sleep")

    matches("timeout", lab.failure(step, timeout=0.5, ping=True))


def test_two_csv_containers_of_which_the_second_compares_types_exactly(lab: Lab):
    first, second = lab.container(REPLIES="text/csv; charset=utf-8"), lab.container(EXPECTS="text/csv")

    matches("content-type-parameters", lab.failure(first, second))


def test_a_type_that_the_container_does_not_take(lab: Lab):
    matches("content-type", lab.failure(lab.container(EXPECTS="text/csv"), kind="application/json", body=b"[1]"))


def test_a_container_with_a_limit_of_its_own(lab: Lab):
    matches("body-limit", lab.failure(lab.container(FAIL="limit"), body=b"x" * 1025))


def test_a_container_that_is_killed_with_the_request(lab: Lab):
    matches("died", lab.failure(lab.container(), lab.container(FAIL="die"), ends=True))


def test_a_container_whose_memory_runs_out(lab: Lab):
    matches("out-of-memory", lab.failure(lab.container(memory=64 * MIB, FAIL="memory"), ends=True))


def test_another_program_than_meant(lab: Lab):
    matches("wrong-container", lab.failure(lab.container(FAIL="no-route")))


def test_a_connection_closed_without_an_answer(lab: Lab):
    matches("closed", lab.failure(lab.container(FAIL="close")))


def test_a_port_that_speaks_something_else(lab: Lab):
    step = lab.container(ready=False, FAIL="babble")
    wait_until(lambda: lab.sender.ping(step.host, step.port, 2.0).problem == "malformed")

    matches("not-http", lab.failure(step))


def test_a_reply_over_the_limit_between_containers(lab: Lab):
    matches("reply-too-large", lab.failure(lab.container(FAIL="large"), lab.container()))


def test_code_that_raises(lab: Lab):
    matches("container-error", lab.failure(lab.container(FAIL="raise")))


def test_a_gateway_answers_a_problem_with_the_trace(lab: Lab):
    first, second = lab.container(REPLIES="text/csv; charset=utf-8"), lab.container(EXPECTS="text/csv")
    with pytest.raises(StepFailed) as caught:
        lab.through(first, second)
    evidence = evidence_of(caught.value)

    answer = response(evidence, diagnose(evidence), caught.value.trace)

    assert (answer.status, answer.headers) == (502, [(b"Content-Type", PROBLEM_JSON)])
    assert isinstance(answer.body, bytes)
    body = json.loads(answer.body)
    assert body["status"] == 502
    assert body["type"] == "urn:seaproof:problem:content-type-parameters"
    assert [(step["name"], step["status"]) for step in body["trace"]["steps"]] == [
        ("container-1", 200),
        ("container-2", 415),
    ]
    assert body["received"]["first_bytes"] == "Content type text/csv; charset=utf-8 is not supported"
