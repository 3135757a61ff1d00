"""Checks of batch transform, multi-model containers, chains and processing jobs, each with its bad example."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from containers import INVOKE, causes, folder, outcome, prove, server

from seaproof.check.check import FAILED, NOT_APPLICABLE, PASSED, WARNED
from seaproof.check.options import Payload

DOCUMENT = "import json; self.answer(200, json.dumps(json.loads(body)).encode(), 'application/json')"
JSON = Payload(b'{"x": 1}', "application/json")


def found(root: Path, id: str, program: str, role: str = "batch", **options: object) -> tuple[str, str]:
    folder(root, serve=program)
    report = prove(root, id, **{"roles": (role,), **options})
    return outcome(report, id), causes(report, id)


@pytest.mark.bad("SP021")
@pytest.mark.good("SP021")
def test_a_server_of_one_json_document_fails_for_two(tmp_path: Path):
    state, told = found(tmp_path, "SP021", server(invoke=DOCUMENT), payload=JSON)

    assert state == FAILED
    assert "no answer" in told or "500" in told
    first = "self.answer(200, b'1\\n')"
    assert found(tmp_path, "SP021", server(invoke=first))[1] == "two records in one body have the answer of one"
    assert found(tmp_path, "SP021", server())[0] == PASSED


@pytest.mark.bad("SP022")
@pytest.mark.good("SP022")
def test_a_server_that_is_not_healthy_in_a_batch_job_is_found(tmp_path: Path):
    refuses = server(start="sys.exit('no batch') if os.environ.get('SAGEMAKER_BATCH') else None")

    assert found(tmp_path, "SP022", refuses)[0] == FAILED
    assert found(tmp_path, "SP022", server())[0] == PASSED


@pytest.mark.bad("SP023")
@pytest.mark.good("SP023")
def test_one_bad_record_that_ends_the_container_is_found(tmp_path: Path):
    dies = "if b'seaproof' in body: os._exit(1)\n        " + INVOKE

    assert found(tmp_path, "SP023", server(invoke=dies))[0] == FAILED
    assert found(tmp_path, "SP023", server(invoke=INVOKE.replace("400", "500")))[0] == WARNED
    assert found(tmp_path, "SP023", server())[0] == PASSED


@pytest.mark.bad("SP121")
@pytest.mark.good("SP121")
def test_execution_parameters_that_make_no_sense_are_told(tmp_path: Path):
    def answered(body: str) -> str:
        ping = f"self.answer(200, {body.encode()!r} if self.path == '/execution-parameters' else b'')"
        return found(tmp_path, "SP121", server(ping=ping))[0]

    assert answered('{"MaxConcurrentTransforms": 50, "MaxPayloadInMB": 6}') == FAILED
    assert answered('{"BatchStrategy": "Multi"}') == FAILED
    assert answered("yes") == WARNED
    assert answered('{"MaxConcurrentTransforms": 4, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 6}') == PASSED


@pytest.mark.bad("SP024")
@pytest.mark.good("SP024")
def test_a_type_with_a_parameter_is_to_be_taken(tmp_path: Path):
    exact = INVOKE.replace('.partition(";")[0]', "")

    assert found(tmp_path, "SP024", server(invoke=exact), "pipeline") == (
        FAILED,
        "text/csv; charset=utf-8 is answered with 415",
    )
    assert found(tmp_path, "SP024", server(), "pipeline")[0] == PASSED


@pytest.mark.bad("SP012")
@pytest.mark.good("SP012")
def test_labels_that_the_use_needs_are_missed(tmp_path: Path):
    folder(tmp_path, Dockerfile="FROM scratch\nCOPY serve /usr/bin/serve\n", serve=server())
    options: dict[str, object] = {"fast": True, "driver": "auto"}

    report = prove(tmp_path, "SP012", roles=("multi-model",), **options)
    assert causes(report, "SP012") == ("the image has no label com.amazonaws.sagemaker.capabilities.multi-models=true")
    report = prove(tmp_path, "SP012", roles=("pipeline",), **options)
    assert "accept-bind-to-port" in causes(report, "SP012")
    assert outcome(prove(tmp_path, "SP012", roles=("realtime",), **options), "SP012") == NOT_APPLICABLE
    labelled = "FROM scratch\nLABEL com.amazonaws.sagemaker.capabilities.multi-models=true\nCOPY serve /usr/bin/serve\n"
    folder(tmp_path, Dockerfile=labelled)
    assert outcome(prove(tmp_path, "SP012", roles=("multi-model",), **options), "SP012") == PASSED


MULTI = """#!/usr/bin/env python3
import json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
loaded = {}

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, value=None):
        body = json.dumps(value).encode() if value is not None else b""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        shown = [{"modelName": name, "modelUrl": url} for name, (url, _) in loaded.items()]
        name = self.path.rpartition("/")[2]
        if self.path == "/ping":
            self.answer(200)
        elif self.path == "/models":
            LIST
        else:
            known = [one for one in shown if one["modelName"] == name]
            self.answer(200, known[0]) if known else self.answer(404)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.endswith("/invoke"):
            return self.answer(200, 1) if self.path.split("/")[2] in loaded else self.answer(404)
        given = json.loads(body)
        if given["model_name"] in loaded:
            return self.answer(409)
        if ROOM:
            return self.answer(507)
        loaded[given["model_name"]] = given["url"], bytearray(os.urandom(1) * (12 << 20))
        self.answer(200, {"status": "loaded"})

    def do_DELETE(self):
        self.answer(200) if loaded.pop(self.path.rpartition("/")[2], None) else self.answer(404)

    def log_message(self, *args):
        pass

ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""
LIST = 'self.answer(200, {"models": shown})'


def multi(listed: str = LIST, room: str = "len(loaded) > 3") -> str:
    return MULTI.replace("LIST", listed).replace("ROOM", room)


@pytest.mark.bad("SP013")
@pytest.mark.good("SP013")
def test_a_server_without_the_multi_model_calls_is_found(tmp_path: Path):
    state, told = found(tmp_path, "SP013", server(), "multi-model")

    assert (state, told) == (FAILED, "GET /models without a model is not answered with 200")
    bare = multi(listed="self.answer(200, [])")
    assert "does not name 'models'" in found(tmp_path, "SP013", bare, "multi-model")[1]
    assert found(tmp_path, "SP013", multi(), "multi-model") == (PASSED, "")


@pytest.mark.bad("SP014")
@pytest.mark.good("SP014")
def test_a_server_that_loads_until_it_dies_is_found(tmp_path: Path):
    small: dict[str, object] = {"memory": 100 << 20}

    state, told = found(tmp_path, "SP014", multi(room="False"), "multi-model", **small)
    assert state == FAILED
    assert "its memory ran out, and 507 never came" in told
    assert found(tmp_path, "SP014", multi(), "multi-model", **small) == (PASSED, "")


@pytest.mark.bad("SP124")
@pytest.mark.good("SP124")
def test_a_chain_names_the_step_that_breaks_it(tmp_path: Path):
    for name, program in (
        ("first", server(invoke="self.answer(200, body, 'text/csv; charset=utf-8')")),
        ("second", server(invoke=INVOKE.replace('.partition(";")[0]', ""))),
    ):
        folder(tmp_path / name, serve=program)
    chain = '[project]\nimage = "it"\n[images.it]\nfolder = "first"\n' + "".join(
        f'[[pipeline.containers]]\ncontainer = "{name}"\nfolder = "{name}"\n' for name in ("first", "second")
    )
    (tmp_path / "seaproof.toml").write_text(chain)

    report = prove(tmp_path, "SP124", roles=("pipeline",), patience=20.0)
    assert causes(report, "SP124") == "step 2, second, answers 415 to what came before it"
    folder(tmp_path / "second", serve=server())
    assert outcome(prove(tmp_path, "SP124", roles=("pipeline",), patience=20.0), "SP124") == PASSED


PROCESS = "#!/bin/sh\nprintf '%s' > /opt/ml/output/message\n%s\n"


def process(root: Path, message: str, rest: str = "true", **request: object) -> Path:
    folder(root, serve=server())
    (root / "process").write_text(PROCESS % (message, rest))
    (root / "process").chmod(0o755)
    table = '[project]\nimage = "it"\n[images.it]\nfolder = "."\n'
    if request:
        (root / "CreateProcessingJob.json").write_text(json.dumps(request))
        table += '[check]\nrequests = ["CreateProcessingJob.json"]\n'
    (root / "seaproof.toml").write_text(table)
    return root


@pytest.mark.bad("SP047")
@pytest.mark.good("SP047")
def test_a_message_that_is_no_text_is_found(tmp_path: Path):
    bad = prove(process(tmp_path / "bad", "\\351t\\351"), "SP047", roles=("processing",))
    good = prove(process(tmp_path / "good", "done"), "SP047", roles=("processing",))

    assert causes(bad, "SP047") == "/opt/ml/output/message is no UTF-8 at byte 0"
    assert outcome(good, "SP047") == PASSED


@pytest.mark.bad("SP048")
@pytest.mark.good("SP048", "SP148")
def test_outputs_that_are_not_fetched_are_found(tmp_path: Path):
    output = {"OutputName": "o", "S3Output": {"S3Uri": "s3://b/o", "S3UploadMode": "EndOfJob"}}
    wrong = {"Outputs": [{**output, "S3Output": {**output["S3Output"], "LocalPath": "/tmp/out"}}]}  # type: ignore[dict-item]
    report = prove(process(tmp_path / "a", "", ProcessingOutputConfig=wrong), "SP048", roles=("processing",))

    assert "/tmp/out does not lie below /opt/ml/processing" in causes(report, "SP048")
    links = "cd /opt/ml/processing/output; touch x; ln -s x y"
    report = prove(process(tmp_path / "b", "", links), "SP048", roles=("processing",))
    assert causes(report, "SP048") == "/opt/ml/processing/output/y is a link, which is not followed"
    writes = "touch /opt/ml/processing/output/x"
    report = prove(process(tmp_path / "c", "", writes), "SP048", "SP148", roles=("processing",))
    assert [outcome(report, id) for id in ("SP048", "SP148")] == [PASSED, PASSED]


@pytest.mark.bad("SP148")
def test_a_processing_job_that_fails_or_cannot_be_started_is_found(tmp_path: Path):
    fails = prove(process(tmp_path / "a", "", "echo no input; exit 3"), "SP148", roles=("processing",))
    gone = prove(
        process(tmp_path / "b", "", AppSpecification={"ContainerEntrypoint": ["gone"]}), "SP148", roles=("processing",)
    )

    assert causes(fails, "SP148") == "the job ended with exit code 3"
    assert "no input" in fails.results[0].findings[0].evidence[1].text
    assert causes(gone, "SP148") == "it could not be started"
