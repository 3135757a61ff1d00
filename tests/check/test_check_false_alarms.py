"""No false alarm: containers that SageMaker takes, of several makes, pass everything; known faults are listed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from containers import folder

from seaproof.check.check import Report
from seaproof.check.options import Options, Payload
from seaproof.check.runner import run_checks
from venvs import ROOT, make_environment

CLASSIC = ROOT / "examples" / "classic"
INCOME = ROOT / "examples" / "income"

NODE = """#!/usr/bin/env node
const server = require("http").createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    if (request.url === "/ping") return response.end();
    if (request.url !== "/invocations") return response.writeHead(404).end();
    try {
      const rows = Buffer.concat(parts).toString().split("\\n").filter((line) => line).map(JSON.parse);
      response.setHeader("Content-Type", "application/json");
      response.end(rows.map((row) => JSON.stringify({ sum: row.x + 1 })).join("\\n"));
    } catch (error) {
      response.writeHead(400).end(String(error));
    }
  });
});
server.listen(process.env.SAGEMAKER_BIND_TO_PORT || 8080, "0.0.0.0");
process.on("SIGTERM", () => server.close(() => process.exit(0)));
"""
JAVA = """
import com.sun.net.httpserver.*;
import java.net.*;
public class Main {
  public static void main(String[] words) throws Exception {
    HttpServer server = HttpServer.create(new InetSocketAddress(8080), 256);
    server.createContext("/ping", exchange -> { exchange.sendResponseHeaders(200, -1); exchange.close(); });
    server.createContext("/invocations", exchange -> {
      byte[] body = exchange.getRequestBody().readAllBytes();
      exchange.getResponseHeaders().add("Content-Type", "text/csv");
      exchange.sendResponseHeaders(200, body.length == 0 ? -1 : body.length);
      exchange.getResponseBody().write(body);
      exchange.close();
    });
    server.setExecutor(java.util.concurrent.Executors.newFixedThreadPool(16));
    server.start();
  }
}
"""


def prove(target: Path, **options: object) -> Report:
    """Everything that applies, with the platform's own limits, on the process driver."""
    given: dict[str, object] = {"driver": "process", "patience": 120.0, "invocations": 200, **options}
    return run_checks(str(target), Options(**given))  # type: ignore[arg-type]


def alarms(report: Report) -> dict[str, str]:
    """What was found, by id."""
    return {r.check.id: "; ".join(f.cause for f in r.findings) for r in report.results if r.findings}


def blocked(report: Report) -> list[str]:
    """What keeps the proof from being whole."""
    return [f"{r.check.id} {r.reason}" for r in report.results if r.blocks]


def test_a_node_container_is_not_complained_about(tmp_path: Path):
    report = prove(folder(tmp_path, serve=NODE), payload=Payload(b'{"x": 1}', "application/json"))

    assert (alarms(report), blocked(report)) == ({}, [])


@pytest.mark.slow
def test_a_java_container_is_not_complained_about(tmp_path: Path):
    folder(tmp_path, Main_java=JAVA, serve="#!/bin/sh\nexec java -XX:-UseContainerSupport -cp /opt/program Main\n")
    subprocess.run(["javac", "-d", str(tmp_path), str(tmp_path / "Main.java")], check=True)
    report = prove(tmp_path, payload=Payload(b"1,2\n", "text/csv"))

    assert (alarms(report), blocked(report)) == ({}, [])


@pytest.mark.slow
def test_a_project_as_it_is_begun_is_not_complained_about(tmp_path: Path):
    project = tmp_path / "flowers"
    subprocess.run([sys.executable, "-m", "seaproof.cli", "init", str(project)], check=True, capture_output=True)
    report = prove(project)

    assert (alarms(report), blocked(report)) == ({}, [])
    assert {"training", "realtime", "batch"} == set(report.roles)


@pytest.mark.slow
def test_our_example_is_not_complained_about(tmp_path: Path):
    row = (INCOME / "data" / "held_out.csv").read_text().splitlines()[1].partition(",")[2]
    report = prove(INCOME, payload=Payload(row.encode(), "text/csv"), hyperparameters={"model": "linear"})

    assert (alarms(report), blocked(report)) == ({}, [])


@pytest.mark.slow
def test_nginx_and_gunicorn_the_ancestors_way_has_its_known_faults_and_no_other():
    make_environment("classic")
    report = prove(CLASSIC, payload=Payload(b"5.1,3.5,1.4,0.2\n", "text/csv"))

    assert alarms(report) == {
        "SP020": "a body of 6 MB: what batch transform sends by default is refused with 413",
        "SP029": "it fails when values are JSON-encoded, as the SDK sends them",
    }
    assert blocked(report) == []


@pytest.mark.slow
def test_multi_model_server_is_not_complained_about(tmp_path: Path):
    program = _with_environment(tmp_path, ROOT / "tests" / "gateway" / "programs" / "many")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "factor").write_text("2")
    report = prove(
        program,
        roles=("multi-model",),
        model=tmp_path / "model",
        payload=Payload(b"1,2", "text/csv"),
        skip=("SP012", "SP107"),  # a folder has no labels, and this one listens on the port it is told
    )

    found = alarms(report)

    # Known: its own limit of 6.5 MB.
    assert {"SP020"} >= set(found), found
    assert blocked(report) == []


TOOLKIT = """#!/usr/bin/env python
import os
os.environ["TEMP"] = os.environ["TMPDIR"] = "/tmp"
from sagemaker_inference import model_server
model_server.MMS_CONFIG_FILE = "/tmp/sagemaker-mms.properties"
model_server.start_model_server(handler_service="service")
"""
SERVICE = """
from sagemaker_inference import default_inference_handler
from sagemaker_inference.default_handler_service import DefaultHandlerService
from sagemaker_inference.transformer import Transformer


class Handler(default_inference_handler.DefaultInferenceHandler):
    def default_model_fn(self, model_dir, context=None):
        return 2

    def default_predict_fn(self, data, model, context=None):
        return data * model


class Service(DefaultHandlerService):
    def __init__(self):
        super().__init__(transformer=Transformer(default_inference_handler=Handler()))


_service = Service()


def handle(data, context):
    if not getattr(_service, "started", False):
        _service.initialize(context)
        _service.started = True
    return _service.handle(data, context) if data is not None else None
"""


@pytest.mark.slow
def test_the_inference_toolkits_server_is_not_complained_about(tmp_path: Path):
    source = folder(tmp_path / "source", serve=TOOLKIT, service_py=SERVICE)
    program = _with_environment(tmp_path, source)
    report = prove(
        program,
        roles=("realtime",),
        payload=Payload(b"[1, 2]", "application/json", "application/json"),
        environment={"PYTHONPATH": "/opt/program", "SAGEMAKER_MODEL_SERVER_WORKERS": "1"},
    )
    found = alarms(report)

    # As above: it is the same server.
    assert {"SP020"} >= set(found), found
    assert blocked(report) == []


def _with_environment(root: Path, source: Path) -> Path:
    """A copy of a program's folder whose .venv is the toolkit's."""
    program = root / "program"
    program.mkdir()
    for path in source.iterdir():
        if path.is_file():
            (program / path.name).write_bytes(path.read_bytes())
            (program / path.name).chmod(path.stat().st_mode)
    (program / ".venv").symlink_to(make_environment("inference-toolkit"))
    assert os.access(program / "serve", os.X_OK)
    return program
