"""What the local server does not do: answer strangers, leave its folders, let others read what it keeps."""

import http.client
import json
import os
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from wire_lab import KEYS, local_server, service, start, wait_until_up

SEAPROOF = [sys.executable, "-m", "seaproof.cli"]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server on all addresses of this machine."""
    root = tmp_path_factory.mktemp("guarded")
    with local_server(root, "--host", "0.0.0.0") as client:
        client.root = root
        yield client


def values(root):
    """What `seaproof env` gives."""
    done = subprocess.run([*SEAPROOF, "env", "--json"], cwd=root, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def signed(name, environ, secret=None, **config):
    return boto3.client(
        name,
        endpoint_url=environ["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id=environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=secret or environ["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"max_attempts": 1}, **config),
    )


def code_of(call, **request):
    with pytest.raises(ClientError) as refusal:
        call(**request)
    return refusal.value.response["Error"]["Code"], refusal.value.response["ResponseMetadata"]["HTTPStatusCode"]


def test_whoever_signs_with_the_keys_of_env_is_let_in(guarded):
    environ = values(guarded.root)
    s3 = signed("s3", environ)

    s3.create_bucket(Bucket="guarded")
    s3.put_object(Bucket="guarded", Key="sp ace/ü+(1)*'!.txt", Body=b"1" * 100_000, Metadata={"a": "b  c"})
    listed = s3.list_objects_v2(Bucket="guarded", Prefix="sp ace/ü+")["Contents"]

    assert [entry["Key"] for entry in listed] == ["sp ace/ü+(1)*'!.txt"]
    assert signed("sagemaker", environ).list_models()["Models"] == []
    assert signed("sts", environ).get_caller_identity()["Account"] == "000000000000"
    assert signed("logs", environ).describe_log_groups()["logGroups"] == []


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_presigned_addresses_are_let_in_unless_somebody_changed_them(guarded, version):
    s3 = signed("s3", values(guarded.root), signature_version=version)
    s3.create_bucket(Bucket="presigned")
    s3.put_object(Bucket="presigned", Key="a b", Body=b"hello")
    address = s3.generate_presigned_url("get_object", Params={"Bucket": "presigned", "Key": "a b"})

    with urllib.request.urlopen(address) as reply:
        assert reply.read() == b"hello"
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(address.replace("a%20b", "other"))
    assert refusal.value.code == 403
    refusal.value.close()


def test_who_does_not_know_the_secret_is_refused_in_each_services_words(guarded):
    environ = values(guarded.root)

    assert code_of(signed("s3", environ, "wrong").list_buckets) == ("SignatureDoesNotMatch", 403)
    assert code_of(signed("sagemaker", environ, "wrong").list_models) == ("InvalidSignatureException", 403)
    assert code_of(service("sagemaker", guarded.url).list_models) == ("InvalidClientTokenId", 403)
    runtime = signed("sagemaker-runtime", environ, "wrong")
    assert code_of(runtime.invoke_endpoint, EndpointName="e", Body=b"1") == ("InvalidSignatureException", 403)


@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/_seaproof/health", "/_seaproof/events?kind=a&name=b", "/bucket/key"]
)
def test_who_does_not_sign_is_refused(guarded, path):
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(f"{guarded.url}{path}")

    assert refusal.value.code == 403
    refusal.value.close()
    with urllib.request.urlopen(f"{guarded.url}/ping") as reply:
        assert reply.status == 200


def test_the_command_line_gets_in_by_the_token(guarded):
    done = subprocess.run(
        [*SEAPROOF, "endpoints", "list"], cwd=guarded.root, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_configured_keys_are_asked_for_on_loopback_too(tmp_path):
    environ = {**os.environ, "SEAPROOF_ACCESS_KEYS": "me:secret"}
    with local_server(tmp_path, env=environ) as client:
        url = {"AWS_ENDPOINT_URL": client.url, "AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "secret"}

        assert signed("sagemaker", url).list_models()["Models"] == []
        assert code_of(service("sagemaker", client.url).list_models)[1] == 403


def test_what_is_kept_is_the_owners_alone(guarded):
    state = guarded.root / ".seaproof"

    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    for name in ("coordinator.json", "access-keys", "s3.db"):
        assert stat.S_IMODE((state / name).stat().st_mode) == 0o600


def test_a_page_that_has_its_name_lead_here_is_refused(tmp_path):
    with local_server(tmp_path) as client:
        connection = http.client.HTTPConnection(urlsplit(client.url).netloc)
        for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example:9001"):
            connection.request("GET", "/_seaproof/health", headers={"Host": host})
            reply = connection.getresponse()
            reply.read()
            assert reply.status == 403
        connection.request("GET", "/_seaproof/health", headers={"Origin": "http://evil.example"})
        assert connection.getresponse().status == 403
        connection.close()


def test_an_object_that_is_opened_in_a_browser_runs_no_scripts(tmp_path):
    with local_server(tmp_path) as client:
        s3 = service("s3", client.url)
        s3.create_bucket(Bucket="bucket")
        s3.put_object(Bucket="bucket", Key="page.html", Body=b"<script>", ContentType="text/html")

        with urllib.request.urlopen(f"{client.url}/bucket/page.html") as reply:
            assert reply.headers["Content-Type"] == "text/html"
            assert reply.headers["Content-Security-Policy"] == "sandbox"


def test_an_ephemeral_server_leaves_nothing_even_where_it_was_killed(tmp_path):
    process = start(tmp_path, "--ephemeral")
    with wait_until_up(tmp_path, process) as client:
        service("s3", client.url).create_bucket(Bucket="gone")
    process.kill()
    process.wait()
    with local_server(tmp_path, "--ephemeral") as client:
        assert service("s3", client.url).list_buckets()["Buckets"] == []

    assert not (tmp_path / ".seaproof").exists()


def test_an_ephemeral_server_removes_no_state_that_is_not_its_own(tmp_path):
    with local_server(tmp_path) as client:
        service("s3", client.url).create_bucket(Bucket="kept")

    process = start(tmp_path, "--ephemeral")

    assert process.wait(30) == 1
    assert "there is a state already" in (tmp_path / "server.log").read_text()
    assert (tmp_path / ".seaproof" / "s3" / "kept").is_dir()


def test_an_instant_server_completes_jobs_and_echoes(tmp_path):
    quickly = {"WaiterConfig": {"Delay": 1, "MaxAttempts": 30}}
    with local_server(tmp_path, "--instant") as client:
        sagemaker, role = service("sagemaker", client.url), "arn:aws:iam::000000000000:role/any"
        sagemaker.create_training_job(
            TrainingJobName="j",
            RoleArn=role,
            AlgorithmSpecification={"TrainingImage": "no-such-image", "TrainingInputMode": "File"},
            OutputDataConfig={"S3OutputPath": "s3://bucket/out"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 60},
        )
        sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName="j", **quickly)
        job = sagemaker.describe_training_job(TrainingJobName="j")
        model = {"Image": "no-such-image", "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]}
        sagemaker.create_model(ModelName="m", ExecutionRoleArn=role, PrimaryContainer=model)
        variant = {"VariantName": "all", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
        sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
        sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="e", **quickly)
        runtime = boto3.client("sagemaker-runtime", endpoint_url=client.url, **KEYS)

        assert job["TrainingJobStatus"] == "Completed"
        assert runtime.invoke_endpoint(EndpointName="e", Body=b"echo")["Body"].read() == b"echo"
        sagemaker.delete_endpoint(EndpointName="e")
