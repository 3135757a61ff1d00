"""Minutes of load (`make soak`): right answers only, constant memory and files, and workers killed meanwhile.

SEAPROOF_SOAK_SECONDS says how long each takes (default 600).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from container_process import Container, soon
from soak_client import SCRIPT, SCRIPT_JOINED, answer, children, families_in, family, post, questions, soak

from seaproof.api.client import Client, find

pytestmark = pytest.mark.slow
SECONDS = float(os.environ.get("SEAPROOF_SOAK_SECONDS", "600"))
WARM = min(60.0, max(5.0, SECONDS / 4))
PID = "import os\ndef transform_fn(model, data, content_type, accept):\n    return str(os.getpid())\n"
PROJECT = f"""
[images.soak]
folder = "soak"
serve = [{sys.executable!r}, "-m", "seaproof.container", "serve"]
accept_bind_to_port = true

[images.soak.environment]
SAGEMAKER_MODEL_SERVER_WORKERS = "2"
PYTHONPATH = {os.pathsep.join(sys.path[1:])!r}
"""


def by_the_container(status: int) -> tuple[int, Callable[[bytes], bool]]:
    """A refusal as the container gives it."""
    return status, lambda body: {"error", "next_step"} <= set(json.loads(body))


def by_the_service(status: int) -> tuple[int, Callable[[bytes], bool]]:
    """A container's refusal as InvokeEndpoint gives it."""
    return 424, lambda body: bool(json.loads(body)["OriginalStatusCode"] == status)


@pytest.mark.parametrize("way", ["streams", "joined"])
def test_a_container_under_load_for_long_answers_rightly_and_holds_no_more(container: Container, way: str) -> None:
    container.serve(SCRIPT if way == "streams" else SCRIPT_JOINED, SAGEMAKER_MODEL_SERVER_WORKERS="2")
    assert container.process is not None
    pid, workers = container.process.pid, container.workers()
    asked = questions("/invocations", by_the_container, way == "streams")

    tally = asyncio.run(soak(container.port, asked, SECONDS, 64, lambda: family(pid)))

    assert tally.wrong == []
    print(tally.check(WARM, SECONDS))
    assert container.workers() == workers
    assert "Traceback" not in container.log
    assert container.stop() == 0


def test_the_local_server_under_load_for_long_answers_rightly_and_holds_no_more(tmp_path: Path) -> None:
    asked = questions("/endpoints/soak/invocations", by_the_service, True)
    with local_server(tmp_path, SCRIPT) as port:
        processes = families_in(tmp_path)
        assert len(processes) >= 4, "the local server, a container and its two workers"
        tally = asyncio.run(soak(port, asked, SECONDS / 2, 64, lambda: processes))

    assert tally.wrong == []
    print(tally.check(WARM / 2, SECONDS / 2))


@contextmanager
def local_server(root: Path, script: str) -> Iterator[int]:
    """The port of a local server with the endpoint `soak`, a container of two workers that runs this script."""
    (root / "soak").mkdir()
    (root / "seaproof.toml").write_text(PROJECT)
    (root / "inference.py").write_text(script)
    bucket = root / ".seaproof" / "s3" / "bucket"
    bucket.mkdir(parents=True)
    with tarfile.open(bucket / "model.tar.gz", "w:gz") as archive:
        archive.add(root / "inference.py", "code/inference.py")
    command = [sys.executable, "-m", "seaproof.cli", "up", "--foreground", "--driver", "process", "--port", "0"]
    log = root / "log"
    with log.open("wb") as out, subprocess.Popen([*command, "--project", root], stdout=out, stderr=out) as process:
        try:
            with soon(lambda: find(root / ".seaproof"), 30) as client:
                deploy(client)
                yield int(client.url.rsplit(":", 1)[1])
                client.call("DeleteEndpoint", {"EndpointName": "soak"})
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    assert process.returncode == 0, log.read_text()


def deploy(client: Client) -> None:
    """The endpoint `soak`, in service."""
    model = {"Image": "soak", "ModelDataUrl": "s3://bucket/model.tar.gz"}
    role = "arn:aws:iam::000000000000:role/any"
    client.call("CreateModel", {"ModelName": "soak", "ExecutionRoleArn": role, "PrimaryContainer": model})
    variant = {"VariantName": "v", "ModelName": "soak", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    client.call("CreateEndpointConfig", {"EndpointConfigName": "soak", "ProductionVariants": [variant]})
    client.call("CreateEndpoint", {"EndpointName": "soak", "EndpointConfigName": "soak"})

    def in_service() -> bool:
        said = client.call("DescribeEndpoint", {"EndpointName": "soak"})
        assert said["EndpointStatus"] != "Failed", said
        return bool(said["EndpointStatus"] == "InService")

    soon(in_service, 60)


def test_workers_killed_under_load_again_and_again_cost_the_requests_in_flight_on_them_and_no_others(
    container: Container,
) -> None:
    container.serve(PID, SAGEMAKER_MODEL_SERVER_WORKERS="2")
    killed: list[tuple[float, int]] = []
    seconds, clients = min(30.0, SECONDS), 16
    started = time.monotonic()
    answered, refused, broken, unexplained = [0] * clients, 0, 0, list[str]()

    async def kill() -> None:
        while time.monotonic() - started < seconds - 2:
            await asyncio.sleep(1.0)
            if len(workers := container.workers()) == 2:
                victim = random.Random(len(killed)).choice(workers)
                killed.append((time.monotonic(), victim))
                os.kill(victim, signal.SIGKILL)

    def explain(pid: int, begun: float) -> None:
        victims = {victim for when, victim in killed if when <= time.monotonic() and begun - when < 0.5}
        if not victims or (pid and pid not in victims):
            unexplained.append(f"worker {pid} at {begun - started:.3f} s, killed: {killed}")

    async def one(number: int) -> None:
        nonlocal refused, broken
        while time.monotonic() - started < seconds:
            reader, writer = await asyncio.open_connection("127.0.0.1", container.port)
            pid, begun = 0, 0.0
            try:
                while time.monotonic() - started < seconds:
                    begun = time.monotonic()
                    writer.write(post("/invocations", "1", "text/csv", "text/csv"))
                    status, body = await asyncio.wait_for(answer(reader), 20)
                    if status == 503:
                        refused += 1
                        explain(pid, begun)
                        break
                    assert status == 200, body
                    assert pid in (0, int(body)), "a connection moved to another worker"
                    pid = int(body)
                    answered[number] += 1
            except (ConnectionError, asyncio.IncompleteReadError):
                broken += 1  # sent when its worker was gone, and before its client had looked
                explain(pid, begun)
            finally:
                writer.close()

    async def main() -> None:
        await asyncio.gather(kill(), *(one(number) for number in range(clients)))

    asyncio.run(main())

    print(f"{sum(answered)} answered, {refused} got 503 and {broken} nothing with {len(killed)} workers killed")
    assert unexplained == []
    assert len(killed) >= seconds / 6
    assert 0 < refused + broken <= clients * len(killed)
    assert broken * 20 <= refused
    assert min(answered) > 0
    soon(lambda: len(container.workers()) == 2)
    assert container.stop() == 0


def test_workers_killed_behind_the_local_server_cost_few_requests_and_each_says_so(tmp_path: Path) -> None:
    kills: list[float] = []
    seconds, clients = min(30.0, SECONDS), 16
    started, answers, unexplained = time.monotonic(), Counter[str](), list[str]()

    async def kill(master: int) -> None:
        while time.monotonic() - started < seconds - 2:
            await asyncio.sleep(1.0)
            if len(workers := children(master)) == 2:
                kills.append(time.monotonic())
                os.kill(workers[len(kills) % 2], signal.SIGKILL)

    async def one(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() - started < seconds:
            begun = time.monotonic()
            writer.write(post("/endpoints/soak/invocations", "1", "text/csv", "text/csv"))
            status, body = await asyncio.wait_for(answer(reader), 20)
            said = json.loads(body)
            answers[str(status) if status == 200 else f"{status} {said.get('OriginalStatusCode', '')}"] += 1
            if status != 200 and not any(begun - 0.5 < when <= time.monotonic() for when in kills):
                unexplained.append(f"{status} {body!r}")
        writer.close()
        await writer.wait_closed()

    async def main(port: int, master: int) -> None:
        await asyncio.gather(kill(master), *(one(port) for _ in range(clients)))

    with local_server(tmp_path, PID) as port:
        (master,) = (pid for pid in families_in(tmp_path) if len(children(pid)) == 2 and serves(pid))
        asyncio.run(main(port, master))

    print(f"{dict(answers)} with {len(kills)} workers killed")
    assert unexplained == []
    assert len(kills) >= seconds / 6
    assert sum(answers.values()) - answers["200"] <= clients * len(kills)


def serves(pid: int) -> bool:
    """Whether this is a container's own process."""
    return b"seaproof.container" in Path(f"/proc/{pid}/cmdline").read_bytes()
