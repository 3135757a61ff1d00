"""`seaproof env` and `seaproof run`: what they set, and that programs which build an address of AWS still come here."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from wire_lab import local_server

ASK_STS = """
import boto3
sts = boto3.client("sts", region_name="us-east-1", endpoint_url="https://sts.us-east-1.amazonaws.com")
print(sts.get_caller_identity()["Account"], sts.meta.endpoint_url)
"""
SEAPROOF = [sys.executable, "-m", "seaproof.cli"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    root = tmp_path_factory.mktemp("env")
    with local_server(root) as client:
        client.root = root
        yield client


def seaproof(root, *words, **environ):
    return subprocess.run(
        [*SEAPROOF, *words], cwd=root, capture_output=True, text=True, check=False, env={**os.environ, **environ}
    )


def test_a_shell_that_takes_it_over_talks_to_the_local_server(server):
    script = (
        f'export AWS_PROFILE=mine; eval "$({" ".join(SEAPROOF)} env)"\n'
        f'echo "$AWS_PROFILE|$AWS_ENDPOINT_URL"\n{sys.executable} -c '
        '\'import boto3; print(boto3.client("s3").list_buckets()["Buckets"][0]["Name"])\''
    )

    done = subprocess.run(["sh", "-c", script], cwd=server.root, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == [f"|{server.url}", "sagemaker-us-east-1-000000000000"]


def test_an_address_of_one_service_and_what_forbids_addresses_do_not_win(server):
    others = {
        "AWS_ENDPOINT_URL_S3": "https://s3.eu-west-1.amazonaws.com",
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": "https://runtime.sagemaker.eu-west-1.amazonaws.com",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "AWS_USE_DUALSTACK_ENDPOINT": "true",
    }
    ask = "import boto3; print(*(boto3.client(n).meta.endpoint_url for n in ('s3', 'sagemaker', 'sagemaker-runtime')))"
    words = f'eval "$({" ".join(SEAPROOF)} env)"; {sys.executable} -c "{ask}"'

    ran = seaproof(server.root, "run", "--no-hook", "--", sys.executable, "-c", ask, **others)
    taken = subprocess.run(
        ["sh", "-c", words], cwd=server.root, capture_output=True, text=True, check=True, env={**os.environ, **others}
    )

    assert ran.stdout.split() == taken.stdout.split() == [server.url] * 3


def test_the_callers_own_credentials_go_to_an_external_s3_whole(server):
    own = {"AWS_ACCESS_KEY_ID": "ASIA", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token"}
    words = ("run", "--no-hook", "--", "sh", "-c", "echo $AWS_ACCESS_KEY_ID $AWS_SESSION_TOKEN $AWS_ENDPOINT_URL_S3")

    elsewhere = seaproof(server.root, *words, SEAPROOF_S3="http://127.0.0.1:9", **own)
    here = seaproof(server.root, *words, **own)

    assert elsewhere.stdout.split() == ["ASIA", "token", "http://127.0.0.1:9"]
    assert here.stdout.split() == ["seaproof"]


@pytest.mark.parametrize("shape", ["fish", "powershell", "dotenv", "sh"])
def test_every_shell_gets_the_same_variables(server, shape):
    said = seaproof(server.root, "env", "--format", shape).stdout
    values = json.loads(seaproof(server.root, "env", "--json").stdout)

    assert values["AWS_ENDPOINT_URL"] == server.url
    for name, value in values.items():
        assert any(name in line and value in line for line in said.splitlines())


def test_a_proxy_is_told_to_leave_the_local_server_alone(server):
    said = seaproof(server.root, "env", "--json", HTTP_PROXY="http://proxy:1", NO_PROXY="intranet").stdout

    assert json.loads(said)["NO_PROXY"] == "intranet,127.0.0.1,localhost"


def test_without_a_server_it_says_how_to_start_one(tmp_path):
    done = seaproof(tmp_path, "env")

    assert (done.returncode, done.stdout) == (1, "")
    assert "`seaproof up` starts one" in done.stderr


def test_an_address_of_aws_that_a_program_builds_leads_here(server):
    hooked = seaproof(server.root, "run", "--", sys.executable, "-c", ASK_STS)
    no_call = ASK_STS.replace('sts.get_caller_identity()["Account"]', "0")
    unhooked = seaproof(server.root, "run", "--no-hook", "--", sys.executable, "-c", no_call)

    assert hooked.stdout.split() == ["000000000000", server.url]
    assert unhooked.stdout.split() == ["0", "https://sts.us-east-1.amazonaws.com"]


def test_the_environments_own_sitecustomize_still_runs(server, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import os\nif 'AWS_ENDPOINT_URL' in os.environ: print('mine')\n")
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))

    done = seaproof(server.root, "run", "--", sys.executable, "-c", "print('program')", PYTHONPATH=path)

    assert done.stdout.split() == ["mine", "program"]


def test_run_gives_the_commands_exit_code_and_names_one_that_is_not_there(server):
    assert seaproof(server.root, "run", "--", "sh", "-c", "exit 7").returncode == 7
    assert seaproof(server.root, "run", "--", "sh", "-c", "kill -9 $$").returncode == 137

    absent = seaproof(server.root, "run", "--", "no-such-command")

    assert absent.returncode == 1
    assert "the command cannot be started" in absent.stderr


def test_run_brings_its_own_server_where_none_runs(tmp_path):
    listing = "import boto3; print([b['Name'] for b in boto3.client('s3').list_buckets()['Buckets']])"

    done = seaproof(tmp_path, "run", "--driver", "process", "--", sys.executable, "-c", listing)

    assert done.stdout.strip() == "['sagemaker-us-east-1-000000000000']", done.stderr
    shutil.rmtree(tmp_path / ".seaproof", ignore_errors=True)


def test_up_says_how_to_point_clients_at_it(server):
    done = seaproof(server.root, "up")

    assert 'eval "$(seaproof env)"' in done.stdout
    assert "seaproof run -- python script.py" in done.stdout
