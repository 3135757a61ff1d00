"""Which driver is taken, and what is said where an engine is missing or cannot be used."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from seaproof.drivers.choice import check_all, open_driver
from seaproof.drivers.docker.engine import candidates
from seaproof.errors import DriverUnavailable
from seaproof.project import FolderImage, Project
from seaproof.settings import Settings


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project without images."""
    return Project(root=tmp_path, name="p", image="p")


def _dead_socket(folder: Path) -> str:
    """A socket file that nobody listens on any more."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "dead.sock"))
    return f"unix://{folder / 'dead.sock'}"


def test_auto_takes_process_where_no_engine_answers(
    tmp_path: Path, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", _dead_socket(tmp_path))

    assert open_driver(Settings(), project, tmp_path / "state").name == "process"
    assert not (tmp_path / "state").exists(), "looking has no side effects"


@pytest.mark.docker
def test_auto_takes_docker_where_an_engine_answers(tmp_path: Path, project: Project) -> None:
    assert open_driver(Settings(), project, tmp_path / "state").name == "docker"


@pytest.mark.docker
def test_auto_takes_the_folder_until_the_image_is_built(tmp_path: Path, probe_image: str) -> None:
    folders = {"not-built-yet": FolderImage(tmp_path), probe_image: FolderImage(tmp_path)}
    new = Project(root=tmp_path, name="p", image="not-built-yet", images=folders)
    built = Project(root=tmp_path, name="p", image=probe_image, images=folders)

    assert open_driver(Settings(), new, tmp_path / "state").name == "process"
    assert open_driver(Settings(), built, tmp_path / "state").name == "docker"


@pytest.mark.docker
def test_doctor_says_why_docker_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "seaproof.toml").write_text(
        '[project]\nimage = "not-built-yet"\n[images.not-built-yet]\nfolder = "."\n'
    )
    command = [sys.executable, "-m", "seaproof.cli", "doctor", "--project", str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if name != "SEAPROOF_DRIVER"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)

    assert "commands use process" in done.stdout
    assert "until `docker build -t not-built-yet .` is done" in done.stdout


@pytest.mark.parametrize("name", ["process", "fake"])
def test_a_driver_asked_for_by_name_is_taken(tmp_path: Path, project: Project, name: str) -> None:
    assert open_driver(Settings(driver=name), project, tmp_path).name == name


def test_a_dead_engine_is_named_with_what_to_do(
    tmp_path: Path, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", _dead_socket(tmp_path))

    with pytest.raises(DriverUnavailable, match="the engine is not running") as caught:
        open_driver(Settings(driver="docker"), project, tmp_path)
    assert "systemctl start docker" in caught.value.next_step


def test_no_engine_at_all_is_said_as_such(tmp_path: Path, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    docker, process = check_all(project, tmp_path)

    assert (docker.driver, docker.works) == ("docker", False)
    assert docker.reason.startswith("no container engine was found")
    assert "--driver process" in docker.next_step
    assert (process.driver, process.works) == ("process", True)
    assert "namespaces" in process.facts


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user here")
def test_a_socket_that_may_not_be_used_is_named_with_the_group_to_join(open_path: Path) -> None:
    folder = open_path / "locked"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "docker.sock"))
        listener.listen()
        (folder / "docker.sock").chmod(0o600)
        open_path.chmod(0o755)
        code = (
            "import os, sys; from seaproof.drivers.docker.engine import find_engine; import docker, requests\n"
            "os.setuid(65534)\n"
            "try: find_engine()\n"
            "except Exception as error: print(type(error).__name__, error)"
        )
        environment = {**os.environ, "DOCKER_HOST": f"unix://{folder}/docker.sock"}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    assert "DriverUnavailable no container engine can be used: permission denied" in done.stdout
    assert "usermod -aG docker" in done.stdout


def test_the_chosen_docker_context_comes_before_the_usual_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "mine"
    meta = tmp_path / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text('{"Endpoints": {"docker": {"Host": "unix:///mine.sock"}}}')
    (tmp_path / "config.json").write_text('{"currentContext": "mine"}')
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    assert candidates()[0] == ("unix:///mine.sock", "docker context mine")
    assert candidates()[1][0] == "unix:///var/run/docker.sock"
