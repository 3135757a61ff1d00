"""The local server as a process, with boto3 and raw HTTP in front of it and a plain container behind."""

import http.client
import io
import json
import re
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from seaproof.api.client import Client, find
from seaproof.errors import HttpError, ServiceError

TRAIN = """#!/usr/bin/env python3
import json, pathlib
ml = pathlib.Path("/opt/ml")
hyper = json.loads((ml / "input/config/hyperparameters.json").read_text())
rows = [line for file in sorted((ml / "input/data/train").iterdir()) for line in file.read_text().splitlines()]
print(f"rows={len(rows)};", flush=True)
(ml / "model/factor").write_text(hyper["factor"])
"""
SERVE = """#!/usr/bin/env python3
import http.server, os, pathlib
factor = float(pathlib.Path("/opt/ml/model/factor").read_text())
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
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            self.answer(200, str(float(body) * factor).encode(), "text/csv; charset=x")
        except ValueError as error:
            self.answer(400, str(error).encode())
    def log_message(self, *args):
        pass
port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", 8080))
http.server.ThreadingHTTPServer(("0.0.0.0", port), Handler).serve_forever()
"""
PROJECT = """
[images.times]
folder = "times"
accept_bind_to_port = true
"""
ROLE = "arn:aws:iam::000000000000:role/any"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A coordinator in a project with one image, `times`, and data in a bucket."""
    root = tmp_path_factory.mktemp("project")
    (root / "times").mkdir()
    for name, text in (("train", TRAIN), ("serve", SERVE)):
        (root / "times" / name).write_text(text)
        (root / "times" / name).chmod(0o755)
    (root / "seaproof.toml").write_text(PROJECT)
    data = root / ".seaproof" / "s3" / "bucket" / "data"
    data.mkdir(parents=True)
    (data / "a.csv").write_text("1\n2\n")
    command = [sys.executable, "-m", "seaproof.cli", "up", "--foreground", "--driver", "process", "--port", "0"]
    log = (root / "log").open("wb")
    with subprocess.Popen([*command, "--project", root], stdout=log, stderr=log) as process:
        deadline = time.monotonic() + 30
        while (client := find(root / ".seaproof")) is None:
            assert process.poll() is None, (root / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield client
        client.close()
        process.send_signal(signal.SIGTERM)
    log.close()
    assert process.returncode == 0, (root / "log").read_text()


def aws(server, service):
    return boto3.client(
        service,
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )


def training_job(name, **changes):
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/data/"}
    return {
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": {
            "TrainingImage": "times",
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "rows", "Regex": "rows=([0-9]+);"}],
        },
        "HyperParameters": {"factor": "2.5"},
        "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/jobs"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        **changes,
    }


def until(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


def raw(server, method, path, body=b"", headers=None):
    host, port = server.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request(method, path, body, headers or {})
    reply = connection.getresponse()
    answer = reply.status, dict(reply.getheaders()), reply.read()
    connection.close()
    return answer


def test_boto3_trains_deploys_predicts_and_deletes(server):
    sagemaker, runtime = aws(server, "sagemaker"), aws(server, "sagemaker-runtime")
    sagemaker.create_training_job(**training_job("job-1"))
    waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
    waiter.wait(TrainingJobName="job-1", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    job = sagemaker.describe_training_job(TrainingJobName="job-1")
    assert job["TrainingJobStatus"] == "Completed"
    assert job["FinalMetricDataList"][0]["Value"] == 2.0

    artifact = job["ModelArtifacts"]["S3ModelArtifacts"]
    sagemaker.create_model(
        ModelName="times", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "times", "ModelDataUrl": artifact}
    )
    variant = {"VariantName": "v", "ModelName": "times", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName="times", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="Times", EndpointConfigName="times")
    waiter = sagemaker.get_waiter("endpoint_in_service")
    waiter.wait(EndpointName="Times", WaiterConfig={"Delay": 1, "MaxAttempts": 30})

    answer = runtime.invoke_endpoint(EndpointName="Times", Body=b"4", ContentType="text/csv")
    assert answer["Body"].read() == b"10.0"
    assert (answer["ContentType"], answer["InvokedProductionVariant"]) == ("text/csv; charset=x", "v")
    with pytest.raises(ClientError) as caught:
        runtime.invoke_endpoint(EndpointName="Times", Body=b"four", ContentType="text/csv")
    error = caught.value.response
    assert (error["Error"]["Code"], error["OriginalStatusCode"]) == ("ModelError", 400)
    assert "could not convert string to float" in error["OriginalMessage"]
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 424

    sagemaker.delete_endpoint(EndpointName="Times")
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="Times", WaiterConfig={"Delay": 1, "MaxAttempts": 40})
    with pytest.raises(ClientError, match="not found"):
        runtime.invoke_endpoint(EndpointName="Times", Body=b"4")


def test_errors_of_the_control_plane_reach_boto3_in_the_services_words(server):
    sagemaker = aws(server, "sagemaker")

    with pytest.raises(ClientError, match="Could not find model") as missing:
        sagemaker.describe_model(ModelName="nobody")
    assert missing.value.response["Error"]["Code"] == "ValidationException"
    with pytest.raises(ClientError, match="1 validation error detected: Value 'bad_name!' at 'modelName'"):
        sagemaker.create_model(ModelName="bad_name!")
    with pytest.raises(ClientError, match="CreatePipeline"):
        sagemaker.create_pipeline(PipelineName="p", ClientRequestToken="t" * 32, RoleArn=ROLE, PipelineDefinition="{}")
    with pytest.raises(ClientError, match=r"no operation at PUT /BatchPutMetrics: .* sagemaker-runtime") as beside:
        aws(server, "sagemaker-metrics").batch_put_metrics(
            TrialComponentName="t", MetricData=[{"MetricName": "m", "Timestamp": 1, "Value": 1.0}]
        )
    assert beside.value.response["Error"]["Code"] == "UnknownOperationException"


def test_log_lines_and_history_are_served(server):
    server.call("CreateTrainingJob", training_job("job-logs"))
    until(
        lambda: server.call("DescribeTrainingJob", {"TrainingJobName": "job-logs"})["TrainingJobStatus"] == "Completed"
    )
    (stream,) = server.log_streams("TrainingJobs", "job-logs")

    text, offset = server.logs("TrainingJobs", stream, 0)

    assert stream.startswith("job-logs/algo-1-")
    assert (text, offset) == (b"rows=2;\n", 8)
    assert server.logs("TrainingJobs", stream, 8) == (b"", 8)
    assert server.logs("TrainingJobs", stream, -3)[0] == b"2;\n"
    assert server.logs("TrainingJobs", stream, -100)[0] == b"rows=2;\n"


BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def page(server, path):
    """What a browser gets there: status and text."""
    status, headers, body = raw(server, "GET", path, headers=BROWSER)
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    return status, body.decode()


def test_a_browser_is_shown_a_job_that_failed_with_its_reason_and_its_log_as_text(server):
    server.call("CreateTrainingJob", training_job("job-page", HyperParameters={"other": "<b>"}))
    until(lambda: server.call("DescribeTrainingJob", {"TrainingJobName": "job-page"})["TrainingJobStatus"] == "Failed")

    status, first = page(server, "/")
    link = re.search(r'href="(/_seaproof/pages/job\?name=job-page)"', first)[1]
    _, shown = page(server, link)

    assert status == 200
    assert re.search(r"job-page</a></td><td>training</td><td><span class=\"status bad\">Failed", first)
    assert "AlgorithmError" in shown
    assert "KeyError: &#x27;factor&#x27;" in shown
    assert "rows=2;" in shown
    assert 'http-equiv="refresh"' not in shown
    assert "<script" not in first + shown


def test_a_browser_is_shown_an_endpoint_that_failed_and_one_that_serves(server):
    data = Path(server.health()["state"]) / "s3" / "bucket" / "models"
    data.mkdir(parents=True, exist_ok=True)
    with tarfile.open(data / "half.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("factor")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"0.5"))
    for name, image in (("page-good", "times"), ("page-bad", "nowhere")):
        container = {"Image": image, "ModelDataUrl": "s3://bucket/models/half.tar.gz"}
        server.call("CreateModel", {"ModelName": name, "ExecutionRoleArn": ROLE, "PrimaryContainer": container})
        variant = {"VariantName": "v", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        server.call("CreateEndpointConfig", {"EndpointConfigName": name, "ProductionVariants": [variant]})
        server.call("CreateEndpoint", {"EndpointName": name, "EndpointConfigName": name})

    def ended():
        return {server.call("DescribeEndpoint", {"EndpointName": name})["EndpointStatus"] for name in names}

    names = ("page-good", "page-bad")
    until(lambda: ended() == {"InService", "Failed"})
    server.invoke("page-good", b"4")
    with pytest.raises(ServiceError):
        server.invoke("page-good", b"four")
    _, first = page(server, "/")
    _, good = page(server, "/_seaproof/pages/endpoint?name=page-good")
    _, bad = page(server, "/_seaproof/pages/endpoint?name=page-bad")
    for name in names:
        server.call("DeleteEndpoint", {"EndpointName": name})

    row = re.search(r"page-good</a></td>(.*?)</tr>", first)[1]
    assert re.findall(r'<td class="n">(.*?)</td>', row)[:2] == ["2", "1"]
    assert f"{server.url}/endpoints/page-good/invocations" in good
    assert "2, 1 of them failed" in good
    assert re.search(r'<p class="why">[^<]*nowhere', bad)
    assert "Ask it" not in bad


def test_a_page_of_what_is_not_there_says_so_and_programs_get_the_routes_as_before(server):
    assert page(server, "/_seaproof/pages/job?name=%3Cb%3Enobody")[0] == 404
    assert "<b>nobody" not in page(server, "/_seaproof/pages/endpoint?name=%3Cb%3Enobody")[1]
    assert page(server, "/_seaproof/pages/nothing")[0] == 404
    assert "routes" in json.loads(raw(server, "GET", "/", headers={"Accept": "*/*"})[2])


def test_the_pages_of_an_empty_server_say_what_to_do(tmp_path):
    command = [sys.executable, "-m", "seaproof.cli", "up", "--port", "0", "--driver", "process", "--project", tmp_path]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    with find(tmp_path / ".seaproof") as empty:
        shown = page(empty, "/")[1]
        lists = [
            subprocess.run([*command[:3], *words], check=True, capture_output=True, text=True, cwd=tmp_path, timeout=60)
            for words in (["jobs", "list"], ["endpoints", "list"])
        ]
        empty.shutdown()

    assert [done.stdout.split()[0] for done in lists] == ["JOB", "ENDPOINT"]
    assert all("`seaproof " in done.stderr for done in lists)
    assert "No endpoint yet" in shown
    assert "<code>seaproof train</code>" in shown
    assert tmp_path.name in shown


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("POST", "/", {}, b"{}", 400),
        ("POST", "/", {"X-Amz-Target": "SageMaker.NoSuchThing"}, b"{}", 400),
        ("POST", "/", {"X-Amz-Target": "SageMaker.ListModels"}, b"{", 400),
        ("POST", "/", {"X-Amz-Target": "SageMaker.ListModels"}, b"[]", 400),
        ("POST", "/", {"X-Amz-Target": "SageMaker.ListModels"}, b"[" * 100_000, 400),
        ("GET", "/nothing", {}, b"", 404),
        ("PUT", "/", {}, b"", 405),
        ("GET", "/endpoints/x/invocations", {}, b"", 405),
        ("POST", "/endpoints/x/invocations", {}, b"1", 400),
        ("GET", "/_seaproof/logs?group=TrainingJobs&stream=../../seaproof", {}, b"", 404),
        ("GET", "/_seaproof/logs?group=../..&stream=x", {}, b"", 404),
        ("GET", "/_seaproof/log-streams?group=..&owner=..", {}, b"", 404),
        ("GET", "/_seaproof/logs?group=TrainingJobs", {}, b"", 400),
        ("GET", "/_seaproof/logs?group=TrainingJobs&stream=x&offset=y", {}, b"", 400),
        ("GET", "/ping", {"Host": "evil.example"}, b"", 403),
        ("POST", "/_seaproof/shutdown", {"Origin": "http://evil.example"}, b"", 403),
    ],
)
def test_a_request_that_cannot_be_served_is_refused_and_the_server_lives(server, method, path, headers, body, status):
    answer = raw(server, method, path, body, headers)

    assert answer[0] == status, answer
    assert raw(server, "GET", "/ping")[0] == 200


def test_a_second_coordinator_is_refused_with_the_address_of_the_first(server):
    root = Path(server.health()["state"]).parent
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "seaproof.cli",
            "up",
            "--foreground",
            "--port",
            "0",
            "--project",
            root,
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 1
    assert server.url in done.stderr
    assert "`seaproof down` ends it" in done.stderr


def test_what_it_announces_is_for_its_owner_only(server):
    file = Path(server.health()["state"]) / "coordinator.json"

    assert file.stat().st_mode & 0o077 == 0
    assert json.loads(file.read_text())["url"] == server.url


def test_a_client_without_a_server_says_so():
    with pytest.raises(HttpError, match="the local server does not answer"):
        Client("http://127.0.0.1:9").call("ListModels", {})
