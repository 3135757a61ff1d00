"""InvokeEndpointAsync with boto3: input and output in buckets, every way to fail, and a queue that nothing loses."""

import filecmp
import http.server
import json
import threading
import urllib.request
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from runtime_lab import a_lab, order, until

from seaproof.control.async_invocations import KIND, accept
from seaproof.control.async_queue import AsyncQueue
from seaproof.errors import ServiceError
from seaproof.invocations.routing import Routing

OUTPUT = {"S3OutputPath": "s3://async/out/", "S3FailurePath": "s3://async/failed"}
TOPICS = {
    "SuccessTopic": "arn:aws:sns:us-east-1:000000000000:good",
    "ErrorTopic": "arn:aws:sns:us-east-1:000000000000:bad",
    "IncludeInferenceResponseIn": ["SUCCESS_NOTIFICATION_TOPIC"],
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A lab with an endpoint that takes two invocations at once, and a webhook that keeps what it is told."""
    told = []

    class Webhook(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.append({**body, "type": self.headers["x-amz-sns-message-type"]})
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as webhook:
        threading.Thread(target=webhook.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{webhook.server_port}/sns"
        with a_lab(tmp_path_factory.mktemp("async"), async_webhook=url) as lab:
            lab.told = told
            lab.endpoint = an_endpoint(lab, 2, NotificationConfig=TOPICS)
            yield lab
        webhook.shutdown()


def an_endpoint(lab, at_once, **output):
    config = {
        "ClientConfig": {"MaxConcurrentInvocationsPerInstance": at_once},
        "OutputConfig": {**OUTPUT, **output},
    }
    return lab.deploy(AsyncInferenceConfig=config)


def put(lab, name, body):
    """An input in a bucket; its address."""
    uri = f"s3://async/in/{name}"
    lab.file(uri).parent.mkdir(parents=True, exist_ok=True)
    lab.file(uri).write_bytes(body)
    return uri


def invoke(lab, endpoint=None, **more):
    return lab.aws("sagemaker-runtime").invoke_endpoint_async(EndpointName=endpoint or lab.endpoint, **more)


def result(lab, uri):
    """What is written there, once it is."""
    return until(lambda: lab.file(uri).exists() and lab.file(uri)).read_text()


def notice(lab, inference_id):
    """What the webhook was told of one invocation."""

    def found():
        return [note for note in lab.told if json.loads(note["Message"])["inferenceId"] == inference_id]

    (note,) = until(found)
    return note, json.loads(note["Message"])


def test_an_object_goes_in_and_the_answer_becomes_an_object(lab):
    where = put(lab, "one.json", order(say="hello"))
    accepted = invoke(
        lab, InputLocation=where, ContentType="application/json", Accept="text/csv", CustomAttributes="a=1"
    )
    answer = json.loads(result(lab, accepted["OutputLocation"]))
    note, message = notice(lab, accepted["InferenceId"])
    described = lab.aws("sagemaker").describe_endpoint(EndpointName=lab.endpoint)

    assert accepted["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert accepted["OutputLocation"].startswith("s3://async/out/")
    assert accepted["OutputLocation"].endswith(".out")
    assert accepted["FailureLocation"].startswith("s3://async/failed/")
    assert accepted["FailureLocation"].endswith("-error.out")
    seen = {name: value for name, value in answer["headers"].items() if name not in ("Host", "Content-Length")}
    assert answer["said"] == "hello"
    assert seen == {
        "Content-Type": "application/json",
        "Accept": "text/csv",
        "X-Amzn-SageMaker-Custom-Attributes": "a=1",
        "X-Amzn-SageMaker-Inference-Id": accepted["InferenceId"],
    }
    assert (note["type"], note["Type"], note["TopicArn"]) == ("Notification", "Notification", TOPICS["SuccessTopic"])
    assert (message["invocationStatus"], message["eventName"]) == ("Completed", "InferenceResult")
    assert message["requestParameters"]["inputLocation"] == where
    assert message["responseParameters"]["outputLocation"] == accepted["OutputLocation"]
    assert message["responseParameters"]["responseBody"]["encoding"] == "BASE64"
    assert described["AsyncInferenceConfig"]["ClientConfig"] == {"MaxConcurrentInvocationsPerInstance": 2}
    assert not lab.file(accepted["FailureLocation"]).exists()


def test_a_body_may_come_with_the_request_and_the_answer_be_named(lab):
    accepted = invoke(lab, Body=b"1,2", ContentType="text/csv", S3OutputPathExtension="day/1", Filename="x.csv")

    assert accepted["OutputLocation"] == "s3://async/out/day/1/x.csv"
    assert result(lab, accepted["OutputLocation"]) == "1,2"


def test_every_failure_is_an_object_and_is_told(lab):
    refused = invoke(lab, InputLocation=put(lab, "bad", order(status=400, answer="no column x")))
    absent = invoke(lab, InputLocation="s3://async/in/nobody")
    slow = invoke(lab, InputLocation=put(lab, "slow", order(sleep=60)), InvocationTimeoutSeconds=1)

    assert 'Received client error (400) from primary with message "no column x"' in result(
        lab, refused["FailureLocation"]
    )
    assert "The input cannot be read from s3://async/in/nobody" in result(lab, absent["FailureLocation"])
    assert "timed out" in result(lab, slow["FailureLocation"])
    assert not lab.file(refused["OutputLocation"]).exists()
    note, message = notice(lab, absent["InferenceId"])
    assert (note["TopicArn"], message["invocationStatus"]) == (TOPICS["ErrorTopic"], "Failed")
    assert "cannot be read" in message["failureReason"]
    until(lambda: "async-failed" in {event["type"] for event in lab.client.events("endpoint", lab.endpoint)})


def test_an_instance_gets_no_more_at_once_than_the_configuration_says(lab, tmp_path):
    endpoint, go = an_endpoint(lab, 2), tmp_path / "go"
    accepted = [invoke(lab, endpoint, Body=order(until=str(go), id=number)) for number in range(8)]
    until(lambda: printed(lab, endpoint).count("asked") == 2)

    with urllib.request.urlopen(f"{lab.client.url}/metrics") as reply:
        backlog = reply.read().decode()
    go.touch()
    peaks = [json.loads(result(lab, one["OutputLocation"]))["peak"] for one in accepted]

    until(lambda: len(data_log(lab, endpoint)) == 8)
    assert max(peaks) == 2
    assert f'ApproximateBacklogSize{{endpoint="{endpoint}"}} 8' in backlog
    assert f"[{accepted[0]['InferenceId']}] answered in" in "".join(data_log(lab, endpoint))


def printed(lab, endpoint):
    """What the instance's container has printed."""
    names = [name for name in lab.client.log_streams("Endpoints", endpoint) if not name.endswith("/data-log")]
    return "".join(lab.client.logs("Endpoints", name, 0)[0].decode() for name in names)


def data_log(lab, endpoint):
    """The lines of the instance's data log."""
    found = [name for name in lab.client.log_streams("Endpoints", endpoint) if name.endswith("/data-log")]
    return lab.client.logs("Endpoints", found[0], 0)[0].decode().splitlines() if found else []


def test_a_killed_coordinator_loses_nothing(lab, tmp_path):
    go = tmp_path / "go"
    held = order(until=str(go), say="after all")
    accepted = [invoke(lab, InputLocation=put(lab, f"held-{number}", held)) for number in range(3)]
    accepted += [invoke(lab, Body=held) for _ in range(3)]
    lab.kill()
    go.touch()
    lab.start()

    answers = [json.loads(result(lab, one["OutputLocation"]))["said"] for one in accepted]

    assert answers == ["after all"] * 6
    assert not any(lab.file(one["FailureLocation"]).exists() for one in accepted)


def test_what_cannot_be_accepted_is_refused_at_once(lab):
    real_time = lab.deploy()
    runtime = lab.aws("sagemaker-runtime")

    def refusal(**request):
        with pytest.raises(ClientError) as caught:
            invoke(lab, **request)
        error = caught.value.response["Error"]
        assert error["Code"] == "ValidationError", error
        return error["Message"]

    assert "is not an asynchronous endpoint" in refusal(endpoint=real_time, Body=b"1")
    assert "not found" in refusal(endpoint="nobody", Body=b"1")
    assert "neither is given" in refusal()
    assert "both are given" in refusal(Body=b"1", InputLocation="s3://async/in/x")
    assert "less than or equal to 128000" in refusal(Body=b"1" * 128_001)
    assert "segment" in refusal(InputLocation="s3://async/../x")
    with pytest.raises(ClientError, match="invoked by InvokeEndpointAsync only"):
        runtime.invoke_endpoint(EndpointName=lab.endpoint, Body=b"1")
    with pytest.raises(ServiceError) as synchronous:
        lab.client.invoke(lab.endpoint, b"1")
    assert "--async" in synchronous.value.next_step
    with pytest.raises(ClientError, match="invoked by InvokeEndpointAsync only"):
        runtime.invoke_endpoint_with_response_stream(EndpointName=lab.endpoint, Body=b"1")


def test_large_bodies_pass_without_being_held_in_memory(lab):
    size = 200 * 1024 * 1024
    source = lab.file("s3://async/in/large")
    source.parent.mkdir(parents=True, exist_ok=True)
    with source.open("wb") as file:
        file.truncate(size)

    def peak():
        lines = Path(f"/proc/{lab.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

    # The peak so far counts from here on.
    Path(f"/proc/{lab.process.pid}/clear_refs").write_text("5")
    before = peak()
    accepted = invoke(lab, InputLocation="s3://async/in/large", ContentType="application/octet-stream")
    written = until(lambda: lab.file(accepted["OutputLocation"]).exists() and lab.file(accepted["OutputLocation"]))
    grown = peak() - before

    assert filecmp.cmp(source, written, shallow=False)
    assert grown < size / 3
    assert list((lab.root / ".seaproof" / "async").iterdir()) == []
    source.unlink()
    written.unlink()


def test_the_topics_of_an_endpoint_tell_who_has_subscribed(lab):
    sns, sqs = lab.aws("sns"), lab.aws("sqs")
    arns = {}
    for name in ("good-news", "bad-news"):
        arns[name] = sns.create_topic(Name=name)["TopicArn"]
    queue = sqs.create_queue(QueueName="news")["QueueUrl"]
    about = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    for arn in arns.values():
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=about["QueueArn"])
    topics = {"SuccessTopic": arns["good-news"], "ErrorTopic": arns["bad-news"]}
    endpoint = an_endpoint(lab, 1, NotificationConfig=topics)
    accepted = [invoke(lab, endpoint, Body=order(status=status)) for status in (200, 400)]
    news = []

    def all_came():
        found = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        news.extend(json.loads(message["Body"]) for message in found)
        return len(news) == 2

    until(all_came)
    told = {note["TopicArn"]: json.loads(note["Message"]) for note in news}

    assert [told[arn]["invocationStatus"] for arn in arns.values()] == ["Completed", "Failed"]
    assert {one["inferenceId"] for one in told.values()} == {one["InferenceId"] for one in accepted}


def test_a_topic_that_is_not_there_is_said_once(lab):
    topics = {"SuccessTopic": "arn:aws:sns:us-east-1:000000000000:nobody"}
    endpoint = an_endpoint(lab, 1, NotificationConfig=topics)
    for _ in range(2):
        result(lab, invoke(lab, endpoint, Body=b"1")["OutputLocation"])

    def said():
        events = lab.client.events("endpoint", endpoint)
        return [event["message"] for event in events if event["type"] == "async-notice"]

    until(said)
    result(lab, invoke(lab, endpoint, Body=b"1")["OutputLocation"])

    assert said() == [f"Nobody is told through {topics['SuccessTopic']}: Endpoint does not exist"]


def test_what_waits_too_long_expires_and_a_deleted_endpoint_answers_no_more(plane):
    def an_accepted(name, ttl):
        plan = {"variants": [], "async": {"OutputConfig": OUTPUT}}
        plane.store.insert("endpoint", name, name, "InService", {"_plan": plan})
        plane.fleets.routes.publish(Routing(name, (), asynchronous=1))
        return accept(plane, name, {"EndpointName": name, "Body": b"1", "RequestTTLSeconds": ttl})

    queue = AsyncQueue(plane, lambda outcome: None, lambda topic, message: "")
    late, orphan = an_accepted("late", 0), an_accepted("orphan", 60)
    plane.store.delete("endpoint", "orphan")
    queue.recover()

    def text(accepted):
        path = plane.folder / "s3" / accepted.failure.removeprefix("s3://")
        return until(lambda: path.exists() and path).read_text()

    assert "it was not processed within 0 s" in text(late)
    assert "Endpoint orphan was deleted" in text(orphan)
    until(lambda: not plane.store.records(KIND))
    plane.join(5)
