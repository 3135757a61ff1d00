"""hazal's README, step by step, with containers that were started by hand; and what adoption is held to."""

from __future__ import annotations

import fcntl
import io
import json
import secrets
import socket
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pipeline_process import PROGRAMS, call, in_terminal, pipeline, seaproof, until

from seaproof.drivers.docker.engine import find_engine

pytestmark = pytest.mark.docker

README = """
[{:type "single"               # type of container: single or multi-model
  :container "sagemaker-pre"}  # name of the container (docker run --name ...)
{:type "multi"
 :container "sagemaker-inf"}]
"""
MODEL = "RUN mkdir -p /opt/ml/models/allseeingeye/model && printf 'I see' > /opt/ml/models/allseeingeye/model/text\n"


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    """The engine, with the two images built."""
    client = find_engine().client()
    for name in ("single", "multi"):
        dockerfile = "FROM seaproof-base:latest\n" + (MODEL if name == "multi" else "") + f"COPY {name}.py /serve.py\n"
        dockerfile += 'ENTRYPOINT ["python3", "-u", "/serve.py"]\n'
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as archive:
            for member, text in (("Dockerfile", dockerfile), (f"{name}.py", (PROGRAMS / f"{name}.py").read_text())):
                info = tarfile.TarInfo(member)
                info.size = len(text.encode())
                archive.addfile(info, io.BytesIO(text.encode()))
        context.seek(0)
        steps = list(client.build(fileobj=context, custom_context=True, tag=_image(name), rm=True, decode=True))
        assert not [step for step in steps if "error" in step], steps
    yield client
    client.close()


def _image(name: str) -> str:
    return f"seaproof-test-pipeline-{name}"


@contextmanager
def docker_run(
    client: Any, name: str, kind: str, ports: dict[int, Any] | None = None, environment: dict[str, str] | None = None
) -> Iterator[str]:
    """As `docker run -d --name NAME -p 127.0.0.1::8080 IMAGE serve`."""
    ports = {8080: ("127.0.0.1", None)} if ports is None else ports
    made = client.create_container(
        _image(kind), ["serve"], name=name, ports=list(ports), environment=environment or {},
        host_config=client.create_host_config(port_bindings=ports),
    )  # fmt: skip
    try:
        client.start(made["Id"])
        yield made["Id"]
    finally:
        client.remove_container(made["Id"], force=True, v=True)


def _names() -> tuple[str, str]:
    """Names of hazal's kind that nothing else on this machine has."""
    mark = secrets.token_hex(4)
    return f"sagemaker-pre-{mark}", f"sagemaker-inf-{mark}"


def _write(folder: Path, pre: str, inf: str) -> None:
    text = README.replace("sagemaker-pre", pre).replace("sagemaker-inf", inf)
    (folder / "containers.jdn").write_text(text)


@contextmanager
def alone() -> Iterator[None]:
    """Names of containers and ports are the machine's: nobody else has those of the README meanwhile."""
    with (Path(tempfile.gettempdir()) / "seaproof-test-hazal.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def shell(command: str) -> str:
    return subprocess.run(command, shell=True, capture_output=True, text=True, check=True, timeout=60).stdout


def test_hazals_readme_works_to_the_letter(engine: Any, tmp_path: Path):
    (tmp_path / "containers.jdn").write_text(README)
    with alone():
        try:
            shell(f"docker run -d --name sagemaker-pre -p 8080 {_image('single')} serve")
            shell(f"docker run -d --name sagemaker-inf -p 8080 {_image('multi')} serve")
            # Another program may have the README's port here; nothing else is different then.
            with in_terminal(tmp_path, port=None if is_free(9001) else 0) as front:
                at = front.url.replace("http://127.0.0.1", "localhost")
                found = shell(f"curl -s '{at}?model=allseeingeye' -d '{{\"x\": 1}}'")
        finally:
            shell("docker rm -f sagemaker-pre sagemaker-inf")

    replies = json.loads(found)
    assert list(replies) == ["sagemaker-pre", "sagemaker-inf"]
    assert (replies["sagemaker-pre"]["prepared"], replies["sagemaker-inf"]["says"]) == ('{"x": 1}', "I see")


def test_what_is_adopted_by_its_name_is_left_running(engine: Any, tmp_path: Path):
    pre, inf = _names()
    _write(tmp_path, pre, inf)
    with docker_run(engine, pre, "single"), docker_run(engine, inf, "multi"), pipeline(tmp_path) as front:
        status, body = front.post("?model=allseeingeye", b'{"x": 1}', Content_Type="application/json")
        missing = front.post("?model=blindeye", b"{}")
        assert front.stop() == 0
        running = {name for c in engine.containers() for name in c["Names"]}

    found = json.loads(body)
    assert (status, list(found)) == (200, [pre, inf])
    assert (found[pre]["prepared"], found[pre]["type"]) == ('{"x": 1}', "application/json")
    assert (found[inf]["model"], found[inf]["says"], found[inf]["given"]) == ("allseeingeye", "I see", found[pre])
    assert missing == (404, b"Model blindeye not found!")
    assert {f"/{pre}", f"/{inf}"} <= running


def test_a_container_that_is_not_running_is_said(engine: Any, tmp_path: Path):
    pre, inf = _names()
    _write(tmp_path, pre, inf)
    with docker_run(engine, pre, "single") as first, docker_run(engine, inf, "multi") as id:
        engine.pause(first)
        paused = seaproof(tmp_path, "--check")
        engine.unpause(first)
        engine.kill(id)
        done = seaproof(tmp_path, "--check")
        gone = seaproof(tmp_path, "--port", "0")

    assert f"container {pre} is paused" in paused.stderr
    assert f"docker unpause {pre}" in paused.stderr
    assert (done.returncode, gone.returncode) == (1, 1)
    assert f"container {inf} is not running: exited, exit code 137" in done.stderr
    assert f"docker start {inf}" in gone.stderr


def test_a_name_that_only_contains_the_name_is_not_taken(engine: Any, tmp_path: Path):
    pre, inf = _names()
    _write(tmp_path, pre, inf)
    with docker_run(engine, f"{pre}-old", "single") as id:
        done = seaproof(tmp_path, "--check")
        (tmp_path / "containers.jdn").write_text(f'[{{:type "single" :container "{id[:12]}"}}]')
        by_id = seaproof(tmp_path, "--check")

    assert f"there is no container by the name {pre}; running are: {pre}-old" in done.stderr
    assert f"there is no container by the name {id[:12]}" in by_id.stderr


def test_the_port_is_the_contracts_or_the_one_that_the_container_was_told(engine: Any, tmp_path: Path):
    pre, inf = _names()
    _write(tmp_path, pre, inf)
    local = ("127.0.0.1", None)
    told = {"SAGEMAKER_BIND_TO_PORT": "9191"}
    with ExitStack() as stack:
        stack.enter_context(docker_run(engine, pre, "single", {80: local, 8080: local, 9000: local}))
        stack.enter_context(docker_run(engine, inf, "multi", {8080: local, 9191: local}, told))
        plan = seaproof(tmp_path, "--check").stdout
        with pipeline(tmp_path) as front:
            status = front.post("?model=allseeingeye")[0]

    assert status == 200
    assert "published: 8080 -> " in plan
    assert "published: 9191 -> " in plan


def test_a_port_that_is_not_published_is_reached_at_the_containers_own_address(engine: Any, tmp_path: Path):
    pre, inf = _names()
    _write(tmp_path, pre, inf)
    with docker_run(engine, pre, "single", {}), docker_run(engine, inf, "multi", {8080: ("::1", None)}):
        plan = seaproof(tmp_path, "--check").stdout
        with pipeline(tmp_path) as front:
            status = front.post("?model=allseeingeye")[0]

    assert status == 200
    assert "port 8080 is not published; the container's own address" in plan
    assert f"{inf} runs and is adopted at ::1:" in plan


def test_a_container_that_is_restarted_is_found_again_and_its_models_are_loaded_again(engine: Any, tmp_path: Path):
    pre, inf = _names()
    _write(tmp_path, pre, inf)
    with docker_run(engine, pre, "single"), docker_run(engine, inf, "multi") as id, pipeline(tmp_path) as front:
        assert front.post("?model=allseeingeye&trace=1")[0] == 200
        engine.restart(id, timeout=0)
        until(lambda: front.ping() == 200)
        status, body = front.post("?model=allseeingeye&trace=1")

    assert status == 200
    assert json.loads(body)["loads"][0]["model"] == "allseeingeye"


def test_a_container_that_dies_is_named_with_its_exit_code_and_log(engine: Any, tmp_path: Path):
    pre, inf = _names()
    _write(tmp_path, pre, inf)
    with docker_run(engine, pre, "single"), docker_run(engine, inf, "multi"), pipeline(tmp_path) as front:
        status, body = front.post("?model=allseeingeye", b"die")

    found = json.loads(body)
    assert (status, found["cause"], found["step"]["name"]) == (502, "died", pre)
    assert "exit code 3" in found["detail"]
    assert found["log"][-1] == "ends as it was told"


def test_images_are_started_on_demand_beside_a_container_that_runs(engine: Any, tmp_path: Path):
    pre, inf = _names()
    (tmp_path / "seaproof.toml").write_text(
        f'[[pipeline.containers]]\ncontainer = "{pre}"\n'
        f'[[pipeline.containers]]\ncontainer = "{inf}"\ntype = "multi"\nmodels = "models"\n'
        f'image = "{_image("multi")}"\n'
    )
    (tmp_path / "models" / "mine").mkdir(parents=True)
    (tmp_path / "models" / "mine" / "text").write_text("mine")
    with docker_run(engine, pre, "single"):
        with pipeline(tmp_path) as front:
            status, body = front.post("?model=mine")
            page = json.loads(call(front.url.replace("/pipeline", "/"), None, {})[1])
        names = [name for c in engine.containers(all=True) for name in c["Names"]]

    assert (status, json.loads(body)["says"]) == (200, "mine")
    assert [container["how"].split(":")[0] for container in page["containers"]] == ["published", "docker driver"]
    assert f"/{pre}" in names
    assert not [name for name in names if inf in name]
