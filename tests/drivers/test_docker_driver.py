"""What the docker driver adds to the contract: images, entrypoints, owners, networks."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seaproof.drivers.docker import DockerDriver
from seaproof.drivers.docker.engine import find_engine
from seaproof.drivers.docker.images import local_spellings
from seaproof.drivers.docker.networks import plan
from seaproof.drivers.driver import Workload
from seaproof.errors import ImageNotFound
from seaproof.testing.driver_contract import output

_ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


@pytest.mark.parametrize(
    ("reference", "spellings"),
    [
        ("mine", ["mine"]),
        ("team/mine:2", ["team/mine:2"]),
        (f"{_ECR}/mine:2", [f"{_ECR}/mine:2", "mine:2", "mine"]),
        (f"{_ECR}/team/mine", [f"{_ECR}/team/mine", "team/mine"]),
        ("localhost:5000/mine:2", ["localhost:5000/mine:2", "mine:2"]),
    ],
)
def test_local_tags_are_looked_for_before_any_pull(reference: str, spellings: list[str]) -> None:
    assert local_spellings(reference) == spellings


def test_networks_follow_from_isolation_peers_and_port(tmp_path: Path) -> None:
    def mode(**fields: object) -> tuple[str, bool, bool]:
        chosen = plan(Workload(**{"name": "w", "image": "i", "opt_ml": tmp_path, **fields}), "p")  # type: ignore[arg-type]
        return chosen.mode, chosen.internal, chosen.publish

    assert mode() == ("bridge", False, False)
    assert mode(port=8080) == ("bridge", False, True)
    assert mode(network="job") == ("p-job", False, False)
    assert mode(isolated=True) == ("none", False, False)
    assert mode(isolated=True, port=8080) == ("p-w-isolated", True, False)
    assert mode(isolated=True, network="job") == ("p-job-isolated", True, False)


@pytest.mark.docker
def test_an_ecr_reference_runs_the_local_image(tmp_path: Path, probe_image: str) -> None:
    driver = DockerDriver(tmp_path / "state")
    workload = Workload(name="one", image=f"{_ECR}/{probe_image}:77", opt_ml=tmp_path / "ml", arguments=("say=hello",))
    handle = driver.start(workload)

    assert output(driver, handle) == b"hello\n"
    driver.stop(handle, 0)


@pytest.mark.docker
def test_a_pull_that_fails_says_what_was_tried(tmp_path: Path, probe_image: str) -> None:
    with pytest.raises(ImageNotFound) as caught:
        DockerDriver(tmp_path).start(Workload(name="one", image=f"{_ECR}/nobody:1", opt_ml=tmp_path / "ml"))

    assert f"no local tag {_ECR}/nobody:1 or nobody:1 or nobody, and the pull failed" in str(caught.value)
    assert "docker build -t nobody ." in caught.value.next_step
    assert "aws ecr get-login-password" in caught.value.next_step


@pytest.mark.docker
def test_entrypoint_and_arguments_as_the_platform_combines_them(tmp_path: Path, probe_image: str) -> None:
    driver = DockerDriver(tmp_path / "state")
    said = []
    for entrypoint, arguments in (
        (None, ("say=kept",)),
        (("echo", "own"), ()),
        (("echo", "own"), ("train",)),
    ):
        handle = driver.start(
            Workload(name="one", image=probe_image, opt_ml=tmp_path / "ml", entrypoint=entrypoint, arguments=arguments)
        )
        said.append(output(driver, handle))
        driver.stop(handle, 0)

    assert said == [b"kept\n", b"own\n", b"own train\n"]


@pytest.mark.docker
def test_code_of_the_image_is_seen_unless_other_code_was_put_there(tmp_path: Path, probe_image: str) -> None:
    client = find_engine().client()
    dockerfile = f"FROM {probe_image}\nRUN mkdir -p /opt/ml/code && echo own > /opt/ml/code/said\n".encode()
    try:
        image = next(
            step["aux"]["ID"]
            for step in client.build(fileobj=io.BytesIO(dockerfile), rm=True, decode=True)
            if "aux" in step
        )
    finally:
        client.close()
    driver, opt_ml, said = DockerDriver(tmp_path / "state"), tmp_path / "ml", []
    workload = Workload("one", image, opt_ml, entrypoint=("cat", "/opt/ml/code/said"), arguments=())
    for text in ("", "", "another's"):
        if text:
            (opt_ml / "code" / "said").write_text(text)
        handle = driver.start(workload)
        said.append(output(driver, handle))
        driver.stop(handle, 0)

    assert said == [b"own\n", b"own\n", b"another's"]


@pytest.mark.docker
def test_what_root_wrote_is_given_to_the_owner_of_the_folder(tmp_path: Path, probe_image: str) -> None:
    opt_ml = tmp_path / "ml"
    opt_ml.mkdir()
    os.chown(opt_ml, 12345, 12346)
    driver = DockerDriver(tmp_path / "state")
    handle = driver.start(Workload(name="one", image=probe_image, opt_ml=opt_ml, arguments=("write=model/deep/x",)))
    driver.wait(handle, 30)
    driver.stop(handle, 1)

    assert {(p.stat().st_uid, p.stat().st_gid) for p in opt_ml.rglob("*")} == {(12345, 12346)}
    assert (opt_ml / "model" / "deep" / "x").read_text() == "written"


@pytest.mark.docker
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user here")
def test_a_caller_who_is_not_root_gets_the_files_back_through_a_container(open_path: Path, probe_image: str) -> None:
    opt_ml = open_path / "ml"
    opt_ml.mkdir()
    os.chown(opt_ml, 12345, 12346)
    # As one who may use the engine's socket, but is not root: the group of the socket, another user.
    group = Path("/var/run/docker.sock").stat().st_gid
    source = (
        "import json, os, sys\n"
        "from pathlib import Path\n"
        "from seaproof.drivers.docker import DockerDriver\n"
        "from seaproof.drivers.driver import Workload\n"
        "import docker, requests\n"
        "folder, image, group = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])\n"
        "driver = DockerDriver(folder / 'state')\n"
        "driver.check()\n"
        "os.setgroups([group]); os.setgid(12346); os.setuid(12345)\n"
        "workload = Workload(name='one', image=image, opt_ml=folder / 'ml', arguments=('write=model/deep/x',))\n"
        "handle = driver.start(workload)\n"
        "driver.wait(handle, 30)\n"
        "print(json.dumps([path.stat().st_uid for path in (folder / 'ml').rglob('*')]))\n"
        "driver.stop(handle, 1)\n"
    )
    command = [sys.executable, "-c", source, str(open_path), probe_image, str(group)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [12345] * 3, "given back as soon as it has ended"


@pytest.mark.docker
def test_nothing_is_left_behind_and_projects_do_not_collide(tmp_path: Path, probe_image: str) -> None:
    client = find_engine().client()

    def seen() -> tuple[set[str], set[str]]:
        return (
            {entry["Id"] for entry in client.containers(all=True)},
            {entry["Name"] for entry in client.networks()},
        )

    try:
        before = seen()
        drivers = [DockerDriver(tmp_path / "one"), DockerDriver(tmp_path / "two")]
        workload = Workload(
            name="same",
            image=probe_image,
            opt_ml=tmp_path / "ml",
            arguments=("after=100",),
            network="n",
            hostname="algo-1",
        )
        handles = [driver.start(workload) for driver in drivers]

        assert [driver.recover() for driver in drivers] == [[handle] for handle in handles]
        for driver, handle in zip(drivers, handles, strict=True):
            driver.stop(handle, 1)
        # Other tests may run beside this one, so only what is ours counts.
        prefixes = tuple(driver._prefix for driver in drivers)
        names = {name for entry in client.containers(all=True) for name in entry["Names"]}
        assert not [name for name in names if name.lstrip("/").startswith(prefixes)]
        assert not [name for name in seen()[1] - before[1] if name.startswith(prefixes)]
    finally:
        client.close()
