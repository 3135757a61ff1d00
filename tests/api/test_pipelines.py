"""Serial inference pipelines end to end: boto3, the local server as a process, containers in three languages."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from seaproof.api.client import find

ROLE = "arn:aws:iam::000000000000:role/any"
# Doubles every number; its reply names the charset, as web frameworks do. What it is sent is read by our own codecs.
DOUBLES = """
import json

def model_fn(model_dir):
    return 2.0

def predict_fn(rows, model):
    return [[model * float(cell) for cell in row] for row in rows]

def output_fn(rows, accept):
    if accept == "application/json":
        return json.dumps(rows), "application/json"
    return "".join(",".join(f"{cell:g}" for cell in row) + "\\n" for row in rows), "text/csv; charset=utf-8"
"""
# Compares the type exactly, as many handlers do.
EXACT = """#!/usr/bin/env python3
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self, status, body, kind="text/plain"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(200, b"")
    def do_POST(self):
        body, kind = self.rfile.read(int(self.headers["Content-Length"])), self.headers["Content-Type"]
        if body.startswith(b"die"):
            os.kill(os.getpid(), 9)
        print("accept", self.headers["Accept"], "trace", self.headers["traceparent"], flush=True)
        if kind != "text/csv":
            return self.answer(415, b"I want text/csv, not %s" % kind.encode())
        self.answer(200, body, kind)
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""
# Appends a row and hands the type on as it came.
APPENDS = r"""
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static void serve(int peer) {
    char text[65536] = {0}, type[200] = "none", reply[66000];
    size_t have = 0, length = 0;
    char *end = NULL;
    while (!end || have < (size_t)(end + 4 - text) + length) {
        ssize_t got = read(peer, text + have, sizeof text - 1 - have);
        if (got <= 0) return;
        have += (size_t)got;
        if (end || !(end = strstr(text, "\r\n\r\n"))) continue;
        for (char *line = strstr(text, "\r\n"); line && line < end; line = strstr(line + 2, "\r\n")) {
            if (!strncasecmp(line + 2, "content-length:", 15)) length = strtoul(line + 17, NULL, 10);
            if (!strncasecmp(line + 2, "content-type:", 13)) sscanf(line + 15, " %199[^\r]", type);
        }
    }
    const char *row = strncmp(text, "POST", 4) ? "" : "0,1\n";
    int size = snprintf(reply, sizeof reply,
        "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%.*s%s",
        type, length + strlen(row), (int)length, end + 4, row);
    if (write(peer, reply, (size_t)size) != size) return;
}

int main(void) {
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_port = htons((unsigned short)atoi(getenv("SAGEMAKER_BIND_TO_PORT")));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 64)) return 1;
    for (;;) {
        int peer = accept(listener, NULL, NULL);
        serve(peer);
        close(peer);
    }
}
"""
# Reads and writes piece by piece, as ACTS says.
PARTS = """#!/usr/bin/env python3
import http.server, os, time
MB = 2**20
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def begin(self, length):
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
    def do_GET(self):
        self.begin(0)
    def do_POST(self):
        left, acts, passed = int(self.headers["Content-Length"]), os.environ["ACTS"], 0
        print("told of", left, flush=True)
        if acts != "count":
            self.begin(4 * MB)
        while left:
            part = self.rfile.read(min(left, MB))
            if not part:
                print("broken off", flush=True)
                return self.connection.close()
            if not passed:
                print("begun", flush=True)
            left -= len(part)
            if acts != "count" and passed < 4 * MB:
                self.wfile.write(part)
            passed += len(part)
            if acts == "break" and passed == 2 * MB:
                self.wfile.flush()
                while not os.path.exists(os.environ["GO"]):
                    time.sleep(0.02)
                os._exit(3)
        if acts == "count":
            self.begin(len(str(passed)))
            self.wfile.write(str(passed).encode())
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""
PROJECT = """
[images.parts]
folder = "parts"
accept_bind_to_port = true

[images.doubles]
folder = "doubles"
serve = ["seaproof-container", "serve"]
accept_bind_to_port = true

[images.exact]
folder = "exact"
accept_bind_to_port = true

[images.appends]
folder = "appends"
accept_bind_to_port = true
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A coordinator in a project with the three images."""
    root = tmp_path_factory.mktemp("pipelines")
    for name in ("doubles", "exact", "appends", "parts"):
        (root / name).mkdir()
    (root / "doubles" / "inference.py").write_text(DOUBLES)
    for name, program in (("exact", EXACT), ("parts", PARTS)):
        (root / name / "serve").write_text(program)
        (root / name / "serve").chmod(0o755)
    (root / "server.c").write_text(APPENDS)
    subprocess.run(["cc", "-O1", "-o", root / "appends" / "serve", root / "server.c"], check=True)
    (root / "seaproof.toml").write_text(PROJECT)
    command = [sys.executable, "-m", "seaproof.cli", "up", "--foreground", "--driver", "process", "--port", "0"]
    log = (root / "log").open("wb")
    with subprocess.Popen([*command, "--project", root], stdout=log, stderr=log) as process:
        deadline = time.monotonic() + 30
        while (client := find(root / ".seaproof")) is None:
            assert process.poll() is None, (root / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        client.root, client.pid = root, process.pid
        yield client
        client.close()
        process.send_signal(signal.SIGTERM)
    log.close()
    assert process.returncode == 0, (root / "log").read_text()


def aws(server, service):
    return boto3.client(
        service, endpoint_url=server.url, region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any"
    )


def container(image, **more):
    # The caller's Accept is for the last container alone; this says what those before it answer with.
    environment = {"SAGEMAKER_MODEL_SERVER_WORKERS": "1", "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv"}
    return {"Image": image, "Environment": environment, **more}


@pytest.fixture
def deployed(server):
    """Deploys containers under a name; all of it is gone after the test."""
    sagemaker, names = aws(server, "sagemaker"), []

    def deploy(name, *containers, mode="Serial", capture=""):
        sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=ROLE,
            Containers=list(containers),
            InferenceExecutionConfig={"Mode": mode},
        )
        variant = {"VariantName": "v", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        options = {
            "InitialSamplingPercentage": 100,
            "CaptureOptions": [{"CaptureMode": "Input"}],
            "EnableCapture": True,
        }
        more = {"DataCaptureConfig": {"DestinationS3Uri": capture, **options}} if capture else {}
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant], **more)
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        names.append(name)
        until(lambda: sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] != "Creating")
        found = sagemaker.describe_endpoint(EndpointName=name)
        assert found["EndpointStatus"] == "InService", found
        return aws(server, "sagemaker-runtime")

    yield deploy
    for name in names:
        sagemaker.delete_endpoint(EndpointName=name)


def until(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


def metrics(server):
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as reply:
        assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        lines = [line for line in reply.read().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_a_chain_of_three_languages_answers_boto3(server, deployed):
    runtime = deployed("mixed", container("doubles"), container("appends"), container("doubles"))

    answer = runtime.invoke_endpoint(
        EndpointName="mixed", Body=b"1,2\n3,4\n", ContentType="text/csv", Accept="application/json"
    )

    assert json.loads(answer["Body"].read()) == [[4.0, 8.0], [12.0, 16.0], [0.0, 2.0]]
    assert (answer["ContentType"], answer["InvokedProductionVariant"]) == ("application/json", "v")
    found = metrics(server)
    assert found['Invocations_total{endpoint="mixed",variant="v"}'] == 1
    for number in (1, 2, 3):
        labels = f'{{endpoint="mixed",variant="v",container="container-{number}"}}'
        assert found[f"ContainerLatency_seconds_count{labels}"] == 1
        assert found[f"InvocationModelErrors_total{labels}"] == 0
    assert found['ModelLatency_seconds_bucket{endpoint="mixed",variant="v",le="+Inf"}'] == 1


def test_two_containers_that_differ_in_a_charset_give_415_and_the_explanation(server, deployed):
    runtime = deployed("differ", container("doubles"), container("exact", ContainerHostname="strict"))

    for _ in range(3):
        with pytest.raises(ClientError) as caught:
            runtime.invoke_endpoint(EndpointName="differ", Body=b"1,2\n", ContentType="text/csv")

    error = caught.value.response
    assert (error["Error"]["Code"], error["OriginalStatusCode"]) == ("ModelError", 415)
    assert error["OriginalMessage"] == "I want text/csv, not text/csv; charset=utf-8"
    assert 'Received client error (415) from strict with message "I want' in error["Error"]["Message"]
    failed = until(lambda: [e for e in server.events("endpoint", "differ") if e["type"] == "invocation-failed"])
    assert len(failed) == 1
    assert failed[0]["problem"]["cause"] == "content-type-parameters"
    assert [step["name"] for step in failed[0]["problem"]["trace"]["steps"]] == ["container-1", "strict"]
    trace_id = failed[0]["problem"]["trace"]["trace_id"]
    assert any(f"accept None trace 00-{trace_id}-" in line for line in failed[0]["problem"]["log"])
    labels = '{endpoint="differ",variant="v",container="strict"}'
    assert metrics(server)[f"Invocation4XXErrors_total{labels}"] == 3
    shown = subprocess.run(
        [sys.executable, "-m", "seaproof.cli", "endpoints", "describe", "differ", "--project", server.root],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert 'The container was sent "text/csv; charset=utf-8", as container-1 said, and refuses it' in shown
    assert "cause      content-type-parameters" in shown


def test_a_direct_endpoint_asks_the_container_that_the_request_names(server, deployed):
    first, second = container("doubles", ContainerHostname="double"), container("exact", ContainerHostname="same")
    runtime = deployed("direct", first, second, mode="Direct")

    def ask(**target):
        return runtime.invoke_endpoint(EndpointName="direct", Body=b"1,2\n", ContentType="text/csv", **target)

    assert ask(TargetContainerHostname="double")["Body"].read() == b"2,4\n"
    assert ask(TargetContainerHostname="same")["Body"].read() == b"1,2\n"
    with pytest.raises(ClientError, match="missing a target container hostname header"):
        ask()
    with pytest.raises(ClientError, match="no container with hostname other"):
        ask(TargetContainerHostname="other")


def test_a_container_that_is_killed_is_explained_and_its_instance_replaced(server, deployed):
    runtime = deployed("killed", container("appends"), container("exact"))

    with pytest.raises(ClientError) as caught:
        runtime.invoke_endpoint(EndpointName="killed", Body=b"die\n", ContentType="text/csv")

    assert caught.value.response["Error"]["Code"] == "ModelError"
    failed = until(lambda: [e for e in server.events("endpoint", "killed") if e["type"] == "invocation-failed"])
    assert failed[0]["problem"]["cause"] == "died"
    assert "exit code 137, by signal 9" in failed[0]["message"]
    until(lambda: sum(e["type"] == "ready" for e in server.events("endpoint", "killed")) == 2)
    answer = runtime.invoke_endpoint(EndpointName="killed", Body=b"1,1\n", ContentType="text/csv")
    assert answer["Body"].read() == b"1,1\n0,1\n"


def parts(acts, **more):
    return {"Image": "parts", "Environment": {"ACTS": acts, **more}}


def printed(server, endpoint, container):
    names = [name for name in server.log_streams("Endpoints", endpoint) if name.endswith(f"/{container}")]
    return "".join(server.logs("Endpoints", name, 0)[0].decode() for name in names)


def most_memory(server):
    status = (Path("/proc") / str(server.pid) / "status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def test_a_large_body_goes_on_while_it_comes_and_is_not_held(server, deployed):
    deployed("large", parts("cut"), parts("cut"), parts("count"))
    body, before = b"0123456789abcdef" * 2**20, most_memory(server)
    address = urllib.parse.urlsplit(server.url)

    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        head = f"POST /endpoints/large/invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body[: len(body) // 2])
        # The last container works on it, and the second half has not been sent.
        until(lambda: "begun" in printed(server, "large", "container-3"))
        connection.sendall(body[len(body) // 2 :])
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        said = answer.read()

    assert (answer.status, said) == (200, b"%d" % (4 * 2**20))
    until(lambda: "told of 16777216" in printed(server, "large", "container-1"))
    assert most_memory(server) - before < len(body) // 2


def test_a_step_that_breaks_off_while_the_next_one_works_on_its_reply_is_the_one_that_is_named(
    server, deployed, tmp_path
):
    go = tmp_path / "go"
    runtime = deployed("torn", parts("cut"), parts("break", GO=str(go)), parts("count"))

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(runtime.invoke_endpoint, EndpointName="torn", Body=b"x" * (8 * 2**20))
        until(lambda: "begun" in printed(server, "torn", "container-3"))
        go.touch()
        with pytest.raises(ClientError) as caught:
            answer.result()

    found = until(lambda: [e for e in server.events("endpoint", "torn") if e["type"] == "invocation-failed"])

    assert caught.value.response["Error"]["Code"] == "ModelError"
    said = caught.value.response["Error"]["Message"]
    assert "container-2" in said
    assert "the connection was closed before the reply was complete" in said
    until(lambda: "broken off" in printed(server, "torn", "container-3"))
    text = found[0]["message"]
    assert "Step 2, container-2 " in text
    assert "then it broke off: the connection was closed before the reply was complete" in text


def test_a_large_body_that_is_captured_is_captured_whole(server, deployed):
    runtime = deployed("kept", parts("count"), parts("count"), capture="s3://kept/large")

    runtime.invoke_endpoint(EndpointName="kept", Body=b"x" * 2**20, ContentType="text/csv")
    folder = server.root / ".seaproof" / "s3" / "kept" / "large"
    (file,) = until(lambda: [path for path in folder.rglob("*.jsonl") if path.stat().st_size])

    assert len(json.loads(file.read_text())["captureData"]["endpointInput"]["data"]) >= 2**20
