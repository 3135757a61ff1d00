"""Images: built, pushed to a registry, pulled from it and served; and what makes another tag."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from ship_lab import FILE, KEY, SECRET, Account, draft, project_in, seaproof

from seaproof.drivers.docker.engine import find_engine
from seaproof.project import load_project
from seaproof.ship import build_context, image, shipment
from seaproof.testing import probe

DOCKERFILE = """
FROM seaproof-base:latest
WORKDIR /opt/program
COPY probe.py .
ARG MARK=none
LABEL mark=$MARK
ENTRYPOINT ["python3", "probe.py"]
"""


@pytest.fixture
def named(tmp_path: Path, registry: str) -> Iterator[Path]:
    """A project with an image of its own name, which is removed again."""
    name = f"shipped-{uuid.uuid4().hex[:8]}"
    folder = tmp_path / name
    text = FILE.replace('name = "flowers"\n[training]', f'name = "{name}"\n[training]').split("[ship]")[0]
    project_in(folder, f'{text}[ship]\nregion = "eu-west-1"\n[ship.image]\nregistry = "{registry}"\n')
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "probe.py").write_text(Path(probe.__file__).read_text())
    yield folder
    client = find_engine().client()
    try:
        for found in client.images():
            for tag in found["RepoTags"] or []:
                if name in tag:
                    client.remove_image(tag, force=True)
    finally:
        client.close()


@pytest.mark.docker
def test_an_image_is_built_pushed_pulled_and_served(named: Path, account: Account):
    pushed = seaproof(named, account.url, "push", "--json")
    assert pushed.returncode == 0, pushed.stderr
    name = json.loads(pushed.stdout)["names"]["image"]
    again = seaproof(named, account.url, "push")
    client = find_engine().client()
    try:
        inside = json.dumps([client.inspect_image(name), client.history(name)])
        client.remove_image(name, force=True)
        gone = not client.images(name=name)
        repository, _, tag = name.rpartition(":")
        client.pull(repository, tag=tag)
    finally:
        client.close()
    file = named / "seaproof.toml"
    file.write_text(file.read_text().replace("[training]", f'image = "{name}"\n[training]', 1))
    docker = {"SEAPROOF_DRIVER": "docker"}
    served = seaproof(named, account.url, "serve", "--no-model", "--detach", **docker)
    answered = seaproof(named, account.url, "predict", "data/train.csv", **docker)
    seaproof(named, account.url, "down", **docker)

    assert "it is there already" in again.stdout
    assert not [planted for planted in (KEY, SECRET) if planted in inside]
    assert gone
    assert served.returncode == 0, served.stderr
    assert answered.stdout.startswith("a,1")


@pytest.mark.docker
def test_build_works_without_credentials_and_push_fails_loudly(named: Path, tmp_path: Path):
    file = named / "seaproof.toml"
    file.write_text(file.read_text().partition("[ship]")[0])
    nobody = {
        "AWS_ACCESS_KEY_ID": "",
        "AWS_SECRET_ACCESS_KEY": "",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }
    built = seaproof(named, "http://127.0.0.1:1", "build", "--json", **nobody)
    pushed = seaproof(named, "http://127.0.0.1:1", "push", "--region", "eu-west-1", **nobody)

    assert built.returncode == 0, built.stderr
    assert json.loads(built.stdout)["image"].startswith(f"1111.dkr.ecr.us-west-2.amazonaws.com/{named.name}:")
    assert pushed.returncode == 1
    assert "there are no credentials for AWS" in pushed.stderr


@pytest.mark.docker
def test_a_build_that_fails_fails_the_command(named: Path, account: Account):
    (named / "Dockerfile").write_text(DOCKERFILE + "RUN printf '\\033[31moh no\\033[0m\\n' && false\n")
    built = seaproof(named, account.url, "build")
    pushed = seaproof(named, account.url, "push")

    assert built.returncode == 1
    assert "  | oh no" in built.stderr
    assert "the image was not built" in built.stderr
    assert pushed.returncode == 1
    assert "step 1 of 2 failed, build image" in pushed.stderr
    assert "Say `seaproof push` again" in pushed.stderr
    assert "\x1b" not in built.stderr + pushed.stderr


@pytest.mark.docker
def test_a_registry_that_does_not_answer_is_named(named: Path, account: Account):
    file = named / "seaproof.toml"
    file.write_text(file.read_text().partition("registry = ")[0] + 'registry = "127.0.0.1:1"\n')

    pushed = seaproof(named, account.url, "push")

    assert pushed.returncode == 1
    assert "the registry cannot be asked" in pushed.stderr
    assert "[ship.image] registry" in pushed.stderr


def test_no_dockerfile_is_told_before_anything_is_done(tmp_path: Path, account: Account):
    project_in(tmp_path / "p", FILE.split("[ship.image]")[0])

    done = seaproof(tmp_path / "p", account.url, "ship")

    assert done.returncode == 1
    assert "there is no Dockerfile" in done.stderr
    assert account.client("s3").list_buckets()["Buckets"] == []


def test_the_repository_is_created_as_it_is_told(tmp_path: Path, account: Account):
    text = FILE.split("[ship.image]")[0] + "[ship.image]\nkeep = 5\nimmutable_tags = false\n"
    project = project_in(tmp_path / "p", text)
    (project.root / "Dockerfile").write_text("FROM scratch\n")
    made = draft(project, account)
    image.add(made)
    for step in made.steps:
        if step.call.service == "ecr":
            account.target.call("ecr", step.call.operation, step.call.request)
    ecr = account.client("ecr")
    [repository] = ecr.describe_repositories()["repositories"]
    policy = json.loads(ecr.get_lifecycle_policy(repositoryName="flowers")["lifecyclePolicyText"])
    again = draft(project, account)
    image.add(again)

    assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
    assert repository["imageTagMutability"] == "MUTABLE"
    assert policy["rules"][0]["selection"]["countNumber"] == 5
    assert [step.call.service for step in again.steps] == ["docker", "docker"]


@pytest.mark.parametrize(
    ("dockerfile", "sources"),
    [
        ("FROM a\nCOPY x.py y.py /opt/\n", ["x.py", "y.py"]),
        ('FROM a\nCOPY ["a b.py", "/opt/"]\nADD c /c\n', ["a b.py", "c"]),
        ("FROM a AS one\nFROM b\nCOPY --from=one /x /x\nCOPY --chown=1:1 z .\n", ["z"]),
        ("FROM a\nCOPY x \\\n  y /opt/\n", ["x", "y"]),
        ("FROM a\nADD https://example.com/x /x\n", []),
        ("FROM a\nCOPY $WHAT /opt/\n", None),
        ("FROM a\nRUN --mount=type=bind,source=.,target=/in make\n", None),
    ],
)
def test_what_a_dockerfile_takes_is_read_from_it(dockerfile: str, sources: list[str] | None):
    assert build_context.sources(dockerfile) == sources


def test_only_what_goes_into_the_image_changes_its_tag(tmp_path: Path):
    (tmp_path / "Dockerfile").write_text("FROM a\nCOPY *.py lib /opt/\n")
    (tmp_path / "train.py").write_text("1")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "deep.txt").write_text("1")
    shape = shipment.ImageShape()
    first = build_context.digest(tmp_path, shape)
    (tmp_path / "notes.txt").write_text("not copied")
    same = build_context.digest(tmp_path, shape)
    (tmp_path / "lib" / "deep.txt").write_text("2")
    other = build_context.digest(tmp_path, shape)
    (tmp_path / "train.py").chmod(0o755)
    executable = build_context.digest(tmp_path, shape)

    assert first == same
    assert (
        len({first, other, executable, build_context.digest(tmp_path, shipment.ImageShape(platform="linux/arm64"))})
        == 4
    )


def test_the_tag_names_the_revision_that_is_checked_out(tmp_path: Path):
    project = project_in(tmp_path / "p")
    (project.root / "Dockerfile").write_text("FROM a\n")
    before = image.tag(project, shipment.ImageShape())
    commit = ["-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-qm", "x"]
    for words in (["init", "-q"], ["add", "-A"], commit):
        subprocess.run(["git", "-C", str(project.root), *words], check=True)
    head = subprocess.run(
        ["git", "-C", str(project.root), "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()

    assert image.tag(load_project(project.root / "seaproof.toml"), shipment.ImageShape()) == f"{head}-{before}"
