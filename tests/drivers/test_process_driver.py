"""What the process driver adds to the contract: how images are found, what its programs see, why they cannot start."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import seaproof
from seaproof.drivers.driver import Exit, Workload
from seaproof.drivers.process import ProcessDriver
from seaproof.drivers.sandbox import supervisor
from seaproof.errors import ImageNotFound, StartFailed
from seaproof.project import FolderImage
from seaproof.testing import probe
from seaproof.testing.driver_contract import answers, eventually, output

namespaces_only = pytest.mark.skipif(bool(supervisor.probe()), reason="namespaces are not allowed here")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The folder of an image."""
    folder = tmp_path / "program"
    folder.mkdir()
    return folder


def _script(folder: Path, name: str, text: str, mode: int = 0o755) -> None:
    (folder / name).write_bytes(text.encode())
    (folder / name).chmod(mode)


def _workload(folder: Path, *arguments: str, image: str = "mine", name: str = "one") -> Workload:
    return Workload(name=name, image=image, opt_ml=folder / "ml", arguments=arguments)


@pytest.mark.parametrize(
    "reference",
    ["mine", "mine:1.2", "123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:1", "localhost:5000/mine@sha256:00ff"],
)
def test_an_image_reference_is_found_without_registry_and_tag(tmp_path: Path, program: Path, reference: str) -> None:
    _script(program, "train", "#!/bin/sh\necho found\n")
    driver = ProcessDriver(tmp_path / "state", {"mine": FolderImage(folder=program)})
    handle = driver.start(_workload(tmp_path, "train", image=reference))

    assert output(driver, handle) == b"found\n"
    driver.stop(handle, 0)


def test_an_exact_key_wins_over_a_shorter_one(tmp_path: Path, program: Path) -> None:
    images = {
        "mine": FolderImage(folder=program, train=("echo", "short")),
        "mine:2": FolderImage(folder=program, train=("echo", "exact")),
    }
    driver = ProcessDriver(tmp_path / "state", images)
    handle = driver.start(_workload(tmp_path, "train", image="registry.example.com/mine:2"))

    assert output(driver, handle) == b"exact\n"
    driver.stop(handle, 0)


@pytest.mark.parametrize(
    ("image", "port", "key", "verb"),
    [
        ("nosuch:1", None, "nosuch:1", "train"),
        ("1.dkr.ecr.eu-west-1.amazonaws.com/yours:3", 8080, "yours:3", "serve"),
    ],
)
def test_an_unknown_image_shows_what_is_mapped_and_what_to_add(
    tmp_path: Path, program: Path, image: str, port: int | None, key: str, verb: str
) -> None:
    driver = ProcessDriver(tmp_path / "state", {"mine": FolderImage(folder=program)})

    with pytest.raises(ImageNotFound) as caught:
        driver.start(Workload("one", image, tmp_path / "ml", arguments=(verb,), port=port))
    said = str(caught.value)
    assert "mapped are: mine" in said
    assert f'[images."{key}"]' in said
    assert f'{verb} = ["python", "{verb}.py"]' in said
    assert "\n" not in said
    # What is advised is also what is looked up.
    (program / verb).write_text("#!/bin/sh\nexit 0\n")
    (program / verb).chmod(0o755)
    driver = ProcessDriver(tmp_path / "state", {key: FolderImage(folder=program)})
    handle = driver.start(Workload("one", image, tmp_path / "ml", arguments=(verb,)))
    driver.stop(handle, 0)


def test_without_namespaces_the_programs_of_the_folder_are_found_though_the_image_names_its_own(
    tmp_path: Path, program: Path
) -> None:
    _script(program, "train", '#!/bin/sh\necho found in "$PYTHONPATH"\n')
    variables = {"PATH": "/opt/program:/usr/bin:/bin", "PYTHONPATH": "/opt/program/lib"}
    image = FolderImage(folder=program, environment=variables)
    whole = FolderImage(folder=program, train=("/opt/program/train",), environment=variables)
    driver = ProcessDriver(tmp_path / "state", {"mine": image, "whole": whole}, namespaces=False)
    handles = [driver.start(_workload(tmp_path, "train", image=name, name=name)) for name in ("mine", "whole")]

    for handle in handles:
        assert output(driver, handle) == f"found in {program}/lib\n".encode()
        assert "Namespaces are not allowed here (switched off)" in handle.detail["note"]
        assert driver.recover()[0].detail == handle.detail
        driver.stop(handle, 0)


def test_without_namespaces_a_program_that_is_not_found_is_told_so(tmp_path: Path, program: Path) -> None:
    driver = ProcessDriver(tmp_path / "state", {"mine": FolderImage(folder=program)}, namespaces=False)

    with pytest.raises(StartFailed, match="Namespaces are not allowed here"):
        driver.start(_workload(tmp_path, "train"))


@namespaces_only
def test_with_namespaces_there_is_nothing_to_note(tmp_path: Path, program: Path) -> None:
    _script(program, "train", "#!/bin/sh\nexit 0\n")
    driver = ProcessDriver(tmp_path / "state", {"mine": FolderImage(folder=program)})
    handle = driver.start(_workload(tmp_path, "train"))

    assert handle.detail == {}
    driver.stop(handle, 0)


@pytest.mark.parametrize(
    ("name", "text", "mode", "what"),
    [
        ("train", "", None, "no executable file of that name on PATH"),
        ("train", "#!/bin/sh\n", 0o644, "Permission denied; it is not executable"),
        ("train", "#!/bin/sh\r\nexit 0\r\n", 0o755, "its lines end with CRLF"),
        ("train", "#!/usr/bin/env python3\r\n", 0o755, "its lines end with CRLF"),
        ("train", "#!/no/such/python\n", 0o755, "names the interpreter '/no/such/python', which does not exist"),
        ("train", "print(1)\n", 0o755, "exec format error"),
    ],
)
def test_a_program_that_cannot_be_executed_is_explained(
    tmp_path: Path, program: Path, name: str, text: str, mode: int | None, what: str
) -> None:
    if mode is not None:
        _script(program, name, text, mode)
    driver = ProcessDriver(tmp_path / "state", {"mine": FolderImage(folder=program)})

    with pytest.raises(StartFailed, match=what) as caught:
        driver.start(_workload(tmp_path, "train"))
    assert caught.value.next_step
    assert list((tmp_path / "state" / "process").iterdir()) == []


def test_arguments_follow_the_command_of_the_image_and_an_entrypoint_replaces_it(tmp_path: Path, program: Path) -> None:
    driver = ProcessDriver(tmp_path / "state", {"mine": FolderImage(folder=program, train=("echo", "configured"))})
    configured = driver.start(_workload(tmp_path, "train", "--fast", name="a"))
    replaced = driver.start(
        Workload(name="b", image="mine", opt_ml=tmp_path / "ml", entrypoint=("echo", "own"), arguments=("train",))
    )

    assert output(driver, configured) == b"configured --fast\n"
    assert output(driver, replaced) == b"own train\n"
    for handle in (configured, replaced):
        driver.stop(handle, 0)


def test_the_callers_environment_is_not_passed_on(tmp_path: Path, program: Path) -> None:
    image = FolderImage(folder=program, train=("env",), environment={"FROM_IMAGE": "1", "BOTH": "image"})
    driver = ProcessDriver(tmp_path / "state", {"mine": image})
    handle = driver.start(
        Workload(
            name="one", image="mine", opt_ml=tmp_path / "ml", arguments=("train",), environment={"BOTH": "workload"}
        )
    )
    seen = dict(line.split("=", 1) for line in output(driver, handle).decode().splitlines())
    driver.stop(handle, 0)

    assert {"FROM_IMAGE": "1", "BOTH": "workload", "LANG": "C.UTF-8"}.items() <= seen.items()
    assert set(seen) <= {"PATH", "HOME", "LANG", "FROM_IMAGE", "BOTH", "PWD", "_", "SHLVL"}


def test_the_folders_own_virtual_environment_is_on_the_path(tmp_path: Path, program: Path) -> None:
    (program / ".venv" / "bin").mkdir(parents=True)
    _script(program / ".venv" / "bin", "gunicorn", "#!/bin/sh\necho mine\n")
    driver = ProcessDriver(tmp_path / "state", {"mine": FolderImage(folder=program)})
    handle = driver.start(_workload(tmp_path, "gunicorn"))

    assert output(driver, handle) == b"mine\n"
    driver.stop(handle, 0)


@namespaces_only
@pytest.mark.parametrize("target", ["/opt/program", "/application/code", "/usr/src/app"])
def test_writing_to_the_program_folder_does_not_change_the_image(tmp_path: Path, program: Path, target: str) -> None:
    text = '#!/bin/sh\npwd; touch new /tmp/new /var/log/new && rm train && ls | wc -l; ls "$0" /opt/ml\n'
    _script(program, "train", text)
    driver = ProcessDriver(tmp_path / "state", {"mine": FolderImage(folder=program, program=target)})
    handle = driver.start(_workload(tmp_path, "train"))
    said = output(driver, handle).decode().splitlines()
    driver.stop(handle, 0)

    assert said[:2] == [target, "1"]
    assert [path.name for path in program.iterdir()] == ["train"]
    assert not Path(target).exists()
    assert not Path("/var/log/new").exists()


@namespaces_only
def test_a_program_on_its_own_address_only_is_not_reached(tmp_path: Path, program: Path) -> None:
    text = (
        "import http.server\nhttp.server.HTTPServer(('{}', 8080), http.server.SimpleHTTPRequestHandler).serve_forever()"
    )
    driver = ProcessDriver(tmp_path / "state", {"mine": FolderImage(folder=program)})
    handles = [
        driver.start(
            Workload(
                name=name,
                image="mine",
                opt_ml=tmp_path / "ml",
                arguments=("python3", "-c", text.format(host)),
                port=8080,
            )
        )
        for name, host in (("local", "127.0.0.1"), ("all", "0.0.0.0"))
    ]

    def status(port: int | None) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    eventually(lambda: status(handles[1].port) == 200, "an answer on all addresses")
    assert status(handles[0].port) == 0
    for handle in handles:
        driver.stop(handle, 1)


@namespaces_only
def test_many_connections_pass_the_relay_at_once_and_broken_ones_do_no_harm(tmp_path: Path) -> None:
    driver = ProcessDriver(tmp_path / "state", {"probe": FolderImage(folder=Path(probe.__file__).parent)})
    command = ("python3", "probe.py", "serve")
    handle = driver.start(Workload(name="one", image="probe", opt_ml=tmp_path / "ml", arguments=command, port=8080))
    eventually(lambda: answers(handle), "an answer")
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", handle.port or 0)) as broken:
            broken.sendall(b"POST /invocations HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + bytes(1000))
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda size: answers(handle, os.urandom(size)), [1, 10_000, 1_000_000] * 20))
    driver.stop(handle, 5)

    assert all(results)


_AS_ORDINARY_USER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from seaproof.drivers.driver import Workload
from seaproof.drivers.process import ProcessDriver
from seaproof.project import FolderImage

root = Path(sys.argv[1])
program = root / "program"
program.mkdir()
lines = "id -u", "ls /opt/ml", "touch /opt/ml/model/x 2>&1 | grep -c Read-only", "touch new"
(program / "train").write_text("\\n".join(("#!/bin/sh", *lines)))
(program / "train").chmod(0o755)
(root / "ml" / "model").mkdir(parents=True)
driver = ProcessDriver(root / "state", {"mine": FolderImage(folder=program)})
fields = dict(image="mine", opt_ml=root / "ml", read_only=("model",), isolated=True, network="n")
handles = [
    driver.start(Workload(name=f"w{k}", arguments=("train",), hostname=f"algo-{k}", **fields)) for k in (1, 2)
]
for handle in handles:
    assert driver.wait(handle, 20).code == 0
    print(b"".join(driver.logs(handle)).decode().split())
    driver.stop(handle, 1)
print([path.name for path in program.iterdir()], list((root / "state" / "process").iterdir()))
"""


@namespaces_only
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user here")
def test_an_ordinary_user_gets_all_of_it_too(open_path: Path) -> None:
    # The system's own Python and a copy of the package: what root runs from may be closed to others.
    root = open_path / "root"
    shutil.copytree(Path(seaproof.__file__).parent, root / "seaproof", ignore=shutil.ignore_patterns("__pycache__"))
    for path in (root, *root.rglob("*")):
        path.chmod(0o755)
    os.chown(root, 65534, 65534)
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-c", _AS_ORDINARY_USER, str(root)],
        user=65534,
        group=65534,
        extra_groups=[],
        cwd="/",
        env={},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["['65534', 'model', '1']", "['65534', 'model', '1']", "['train'] []"]


def test_the_death_of_the_supervisor_takes_the_workload_along(tmp_path: Path, program: Path) -> None:
    driver = ProcessDriver(tmp_path / "state", {"mine": FolderImage(folder=program, accept_bind_to_port=True)})
    text = "import http.server, os; http.server.ThreadingHTTPServer(('', int(os.environ['SAGEMAKER_BIND_TO_PORT'])), "
    text += "type('A', (http.server.BaseHTTPRequestHandler,), {'do_POST': lambda self: (self.send_response(200), "
    text += "self.end_headers(), self.wfile.write(self.rfile.read(5)))})).serve_forever()"
    handle = driver.start(
        Workload(name="one", image="mine", opt_ml=tmp_path / "ml", arguments=("python3", "-c", text), port=8080)
    )
    eventually(lambda: answers(handle), "an answer")
    os.kill(int(handle.id.partition(":")[0]), 9)

    assert driver.wait(handle, 10) == Exit(137)
    eventually(lambda: not answers(handle), "its end")
    driver.stop(handle, 0)
    assert driver.recover() == []


def test_isolation_without_namespaces_is_refused(tmp_path: Path, program: Path) -> None:
    driver = ProcessDriver(tmp_path / "state", {"mine": FolderImage(folder=program)}, namespaces=False)

    with pytest.raises(StartFailed, match="isolation"):
        driver.start(Workload(name="one", image="mine", opt_ml=tmp_path / "ml", arguments=("ls",), isolated=True))
    assert "SAGEMAKER_BASE_DIR" in driver.check().facts["namespaces"]
