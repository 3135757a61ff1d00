"""Shipping to the local server: the same plan, and real containers. Traffic is shifted, given back, and proxied."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from seaproof.cli.init import write_template

ROW = "5.1,3.5,1.4,0.2"
SHIP = """
[ship]
target = "local"
[ship.endpoint.autoscaling]
max = 3
"""
TWO = """
[[ship.endpoint.variants]]
VariantName = "steady"
[[ship.endpoint.variants]]
VariantName = "candidate"
InitialVariantWeight = 0.0
"""


class Folder:
    """A project as `seaproof init` writes it, whose stage is this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environ = {**os.environ, "SEAPROOF_DRIVER": "process", "SEAPROOF_PORT": "0"}

    def run(self, *args: str, code: int = 0, typed: str = "") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "seaproof.cli", *args],
            cwd=self.root,
            env=self.environ,
            input=typed,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "seaproof/cli/" not in done.stderr  # a traceback of the container is shown, one of ours never
        return done

    def json(self, *args: str) -> Any:
        return json.loads(self.run(*args, "--json").stdout)

    def steps(self) -> list[str]:
        """What the plan would call, in order."""
        return [f"{step['service']}:{step['operation']}" for step in self.json("plan")["steps"]]

    def change(self, before: str, after: str) -> None:
        file = self.root / "seaproof.toml"
        text = file.read_text()
        assert before in text
        file.write_text(text.replace(before, after))


@pytest.fixture
def flowers(tmp_path: Path) -> Iterator[Folder]:
    root = tmp_path / "flowers"
    write_template(root)
    folder = Folder(root)
    (root / "seaproof.toml").write_text((root / "seaproof.toml").read_text() + SHIP)
    yield folder
    folder.run("down")


def test_a_project_is_shipped_changed_given_back_and_removed(flowers: Folder):
    first = flowers.run("ship")
    nothing = flowers.steps()
    predicted = flowers.run("predict", "data/sample.csv").stdout
    flowers.change("shrink = 0.0", "shrink = 0.3")
    needed = flowers.steps()
    second = flowers.json("ship")
    back = flowers.json("rollback")
    needed_after_rollback = flowers.steps()
    nobody = flowers.run("unship", code=1)
    refused = flowers.run("unship", code=1, typed="n\n")
    before = flowers.json("endpoints", "list")
    flowers.run("unship", typed="y\n")

    assert "left out: autoscaling: the local server has none" in first.stdout
    assert nothing == []
    assert json.loads(predicted)[0] == "setosa"
    assert needed == [
        "sagemaker:CreateTrainingJob",
        "sagemaker:CreateModel",
        "sagemaker:CreateEndpointConfig",
        "sagemaker:UpdateEndpoint",
    ]
    assert back["EndpointConfigName"] != second["names"]["endpoint config"]
    assert needed_after_rollback == ["sagemaker:UpdateEndpoint"]
    assert "nobody answered, so nothing is removed. --yes removes" in nobody.stderr
    assert "nothing is removed, as you said" in refused.stderr
    assert len(before) == 1
    assert flowers.json("endpoints", "list") == []


def test_another_checkout_gives_the_endpoint_back_when_it_is_taken_back(flowers: Folder):
    first = flowers.json("ship")["names"]
    (flowers.root / ".seaproof" / "ship").rename(flowers.root / "the first checkout's")  # which this one does not know
    (flowers.root / "train.py").write_text((flowers.root / "train.py").read_text() + "\n# changed\n")
    needed = flowers.steps()
    second = flowers.json("ship")["names"]
    flowers.run("unship", "--yes")
    served = flowers.json("endpoints", "describe", "flowers")

    assert needed[0] == "sagemaker:CreateTrainingJob"  # the image is this folder: other code is another image
    assert second["model"] != first["model"]
    assert served["EndpointConfigName"] == first["endpoint config"]
    assert json.loads(flowers.run("predict", "data/sample.csv").stdout)[0] == "setosa"


def test_a_container_that_fails_says_why_and_what_to_do(flowers: Folder):
    (flowers.root / "inference.py").write_text("import no_such_module\n")
    done = flowers.run("ship", code=3)
    again = flowers.run("plan")

    assert "endpoint flowers is Failed" in done.stderr
    assert "Done before it: create bucket" in done.stderr
    assert "remove endpoint flowers, which is Failed" in again.stdout


def test_traffic_is_shifted_to_a_variant(flowers: Folder):
    flowers.change("[ship.endpoint.autoscaling]\nmax = 3\n", TWO)
    flowers.run("ship")
    tenth = flowers.json("promote", "candidate", "--percent", "10")
    whole = flowers.json("promote", "candidate")
    unknown = flowers.run("promote", "nobody", code=1)

    assert weights(tenth) == {"steady": 90.0, "candidate": 10.0}
    assert weights(whole) == {"steady": 0.0, "candidate": 100.0}
    assert "has no variant 'nobody'. It has: steady, candidate." in unknown.stderr


def test_one_variant_has_all_the_traffic_and_nothing_came_before(flowers: Folder):
    flowers.run("ship")
    promoted = flowers.run("promote", "AllTraffic", code=1)
    returned = flowers.run("rollback", code=1)

    assert "[[ship.endpoint.variants]]" in promoted.stderr
    assert "nothing is known that endpoint flowers served before" in returned.stderr


def test_curl_reaches_an_endpoint_through_the_proxy(flowers: Folder):
    flowers.run("ship")
    with proxy(flowers, "flowers", "--port", "0") as address:
        answered = ask(address, "POST", "/invocations", ROW, {"Content-Type": "text/csv"})
        ping = ask(address, "GET", "/ping")
        refused = ask(address, "POST", "/invocations", "x,y", {"Content-Type": "text/csv"})
        lost = ask(address, "GET", "/nowhere")
        from_a_page = ask(address, "POST", "/invocations", ROW, {"Origin": "http://evil.example"})
        by_another_name = ask(address, "POST", "/invocations", ROW, {"Host": "evil.example"})

    assert answered == (200, '["setosa"]')
    assert ping[0] == 200
    assert refused[0] == 400
    assert "ModelError" in refused[1]
    assert lost[0] == 404
    assert (from_a_page[0], by_another_name[0]) == (403, 403)


def test_another_address_wants_a_token(flowers: Folder):
    flowers.run("ship")
    with proxy(flowers, "flowers", "--port", "0", "--host", "0.0.0.0", "--token", "open-sesame") as address:
        without = ask(address, "POST", "/invocations", ROW, {"Content-Type": "text/csv"})
        headers = {"Content-Type": "text/csv", "Authorization": "Bearer open-sesame"}
        with_it = ask(address, "POST", "/invocations", ROW, headers)
        flowers.run("endpoints", "delete", "flowers")
        gone = ask(address, "POST", "/invocations", ROW, headers)

    assert without[0] == 401
    assert with_it == (200, '["setosa"]')
    assert gone[0] == 400
    assert "flowers" in gone[1]


def test_an_endpoint_that_is_not_there_is_told(flowers: Folder):
    told = flowers.run("proxy", "nobody", "--port", "0", code=1)

    assert "there is no endpoint nobody" in told.stderr


def weights(endpoint: dict[str, Any]) -> dict[str, float]:
    return {variant["VariantName"]: variant["CurrentWeight"] for variant in endpoint["ProductionVariants"]}


@contextmanager
def proxy(folder: Folder, *args: str) -> Iterator[tuple[str, int]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "seaproof.cli", "proxy", *args],
        cwd=folder.root,
        env=folder.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        found = re.search(r":(\d+)/", process.stdout.readline())
        assert found
        yield "127.0.0.1", int(found[1])
    finally:
        process.send_signal(signal.SIGINT)
        process.stdout.close()
        assert process.wait(30) == 0


def ask(
    address: tuple[str, int], method: str, path: str, body: str = "", headers: dict[str, str] | None = None
) -> tuple[int, str]:
    connection = http.client.HTTPConnection(*address, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        reply = connection.getresponse()
        return reply.status, reply.read().decode().strip()
    finally:
        connection.close()
