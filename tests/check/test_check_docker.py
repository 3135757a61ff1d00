"""What only an image has: its configuration, layers, entry point with the verb, limits of an engine."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from containers import BASE_IMAGE, UNHURRIED, causes, folder, outcome, prove, server

from seaproof.check.check import FAILED, PASSED, UNCHECKED, WARNED
from seaproof.drivers.docker.engine import find_engine

pytestmark = pytest.mark.docker

DOCKERFILE = f"""FROM {BASE_IMAGE}
COPY main.py /opt/program/main.py
ENTRYPOINT ["python3", "/opt/program/main.py"]
"""


def image(root: Path, program: str, more: str = "", docker: str = DOCKERFILE) -> Path:
    """A folder whose Dockerfile makes an image of the program."""
    return folder(root, main_py=program, Dockerfile=docker + more)


def of_ours() -> set[str]:
    """Containers of checks that the engine still has, those included that were made to be looked at."""
    client = find_engine().client()
    try:
        started = client.containers(all=True, filters={"label": ["seaproof.project"]})
        looked_at = client.containers(all=True, filters={"label": ["seaproof.look"]})
        return {e["Id"] for e in started if any("-check-" in n for n in e["Names"])} | {e["Id"] for e in looked_at}
    finally:
        client.close()


@pytest.mark.good("SP004", "SP005", "SP006", "SP030", "SP033", "SP036", "SP134")
def test_a_good_image_is_built_and_proved(tmp_path: Path):
    before = of_ours()
    target = image(tmp_path, server(start="assert sys.argv[1] == 'serve'"))
    report = prove(target, driver="docker", roles=("realtime", "serverless", "batch"), disk=1 << 30, **UNHURRIED)
    wrong = [(r.check.id, r.outcome, r.reason, [f.cause for f in r.findings]) for r in report.results if r.findings]

    assert wrong == []
    assert report.exit_code == 0, [(r.check.id, r.reason) for r in report.results if r.blocks]
    assert {r.check.id for r in report.of(PASSED)} >= {"SP004", "SP005", "SP006", "SP030", "SP033", "SP036", "SP134"}
    assert of_ours() <= before


@pytest.mark.bad("SP001", "SP033", "SP036")
def test_what_is_wrong_with_an_image_is_seen_without_starting_it(tmp_path: Path):
    more = 'RUN echo driver > /usr/lib/libcuda.so.1\nUSER 1000\nENTRYPOINT ["gone"]\n'
    target = image(tmp_path, server(), more)
    client = find_engine().client()
    try:
        steps = list(client.build(path=str(target), tag="seaproof-test-wrong", rm=True, decode=True))
    finally:
        client.close()
    assert not [step for step in steps if "error" in step]
    report = prove(
        "seaproof-test-wrong", driver="docker", fast=True, roles=("realtime", "serverless"), image_limit=1 << 20
    )

    assert causes(report, "SP001") == "the ENTRYPOINT's program `gone` is not in the image"
    assert causes(report, "SP033") == "/usr/lib/libcuda.so.1 is in the image"
    assert outcome(report, "SP036") == FAILED


class Registry(BaseHTTPRequestHandler):
    """A registry that has one manifest, whatever it is asked for."""

    protocol_version = "HTTP/1.1"
    kind = ""

    def do_GET(self) -> None:
        body = b'{"schemaVersion": 2, "manifests": []}' if "manifests" in self.path else b"{}"
        self.send_response(200)
        self.send_header("Content-Type", self.kind if "manifests" in self.path else "application/json")
        self.send_header("Docker-Content-Digest", "sha256:" + hashlib.sha256(body).hexdigest())
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *args: object) -> None:
        pass


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("application/vnd.oci.image.index.v1+json", FAILED),
        ("application/vnd.docker.distribution.manifest.v2+json", PASSED),
    ],
)
def test_what_was_pushed_under_the_images_name_is_asked_of_its_registry(kind: str, state: str):
    handler = type("Handler", (Registry,), {"kind": kind})
    client = find_engine().client()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as registry:
        threading.Thread(target=registry.serve_forever, daemon=True).start()
        name = f"127.0.0.1:{registry.server_port}/flowers:1"
        client.tag(BASE_IMAGE, name.rpartition(":")[0], "1")
        try:
            report = prove(name, "SP005", driver="docker", fast=True, roles=("realtime",))
        finally:
            client.remove_image(name)
            client.close()
            registry.shutdown()

    assert outcome(report, "SP005") == state


@pytest.mark.bad("SP030")
def test_a_program_that_does_not_take_the_verb_is_found(tmp_path: Path):
    parses = "import argparse\nargparse.ArgumentParser().parse_args()"
    report = prove(image(tmp_path, server(start=parses)), "SP030", driver="docker", roles=("realtime",), patience=10.0)

    assert causes(report, "SP030") == "it was started with the argument `serve`, which it does not take"


def test_a_fix_that_is_pasted_makes_an_image_that_is_taken(tmp_path: Path):
    """A CMD without ENTRYPOINT is replaced by `serve`; an interpreter as ENTRYPOINT takes `serve` for its script."""
    replaced = image(
        tmp_path / "a", server(), docker=f'FROM {BASE_IMAGE}\nCOPY main.py .\nCMD ["python3", "/main.py"]\n'
    )
    taken = image(tmp_path / "b", server(), docker=DOCKERFILE.replace('["python3", ', '["python3"]\nCMD ['))
    words: dict[str, object] = {"driver": "docker", "roles": ("realtime",), "patience": 10.0}
    found = {replaced: prove(replaced, "SP001", **words), taken: prove(taken, "SP030", "SP109", **words)}

    assert causes(found[replaced], "SP001").endswith("is not in the image, and its CMD is replaced by `serve`")
    assert causes(found[taken], "SP030") == "it was started with the argument `serve`, which it does not take"
    assert outcome(found[taken], "SP109") == UNCHECKED
    for path, report in found.items():
        with (path / "Dockerfile").open("a") as dockerfile:
            dockerfile.write(report.of(FAILED)[0].findings[0].fix + "\n")
        assert prove(path, "SP001", "SP002", "SP003", **words).exit_code == 0


@pytest.mark.bad("SP006")
def test_a_shell_form_entrypoint_drops_the_verb(tmp_path: Path):
    target = image(tmp_path, server(), "ENTRYPOINT python3 /opt/program/main.py\n")
    report = prove(target, "SP006", driver="docker", roles=("realtime",))

    assert outcome(report, "SP006") == FAILED


@pytest.mark.bad("SP035", "SP134")
def test_shared_memory_and_other_users_are_taken_away_by_the_engine(tmp_path: Path):
    needs = "import multiprocessing\nmultiprocessing.Semaphore()\nopen('/root/mine', 'w')"
    target = image(tmp_path, server(start=needs))
    report = prove(target, "SP035", "SP134", driver="docker", roles=("serverless",), patience=6.0)

    assert outcome(report, "SP035") == WARNED
    assert outcome(report, "SP134") == FAILED


@pytest.mark.slow
def test_who_forks_without_end_is_held_by_the_engine(tmp_path: Path):
    forks = "#!/usr/bin/env python3\nimport os, time\nwhile True:\n    os.fork() or time.sleep(600)\n"
    report = prove(image(tmp_path, forks), "SP109", "SP007", driver="docker", roles=("realtime",), patience=4.0)

    assert report.exit_code in (1, 2)


def test_an_image_that_cannot_be_built_is_unchecked_with_the_reason(tmp_path: Path):
    report = prove(image(tmp_path, server(), "RUN false\n"), "SP007", driver="docker", roles=("realtime",))

    assert outcome(report, "SP007") == UNCHECKED
    assert "the image could not be built" in report.results[0].reason
