"""Credentials are hidden by the name of a variable, by how a value looks, and by being those in use."""

from __future__ import annotations

import json
from pathlib import Path

import boto3
import pytest
from botocore.stub import Stubber
from ship_lab import ACCOUNT, FILE, REGION, Account, planned, project_in, record_of, seaproof, shipped

from seaproof.errors import ServiceError
from seaproof.ship import secrecy
from seaproof.ship.target import Target

LOOKING_SECRET = {
    "the id of a key": "AKIA" + "Q" * 16,
    "a temporary id": "ASIA" + "7" * 16,
    "GitHub": "ghp_" + "a1B2" * 9,
    "GitHub, fine-grained": "github_pat_" + "11ABCDE_" * 5,
    "Hugging Face": "hf_" + "aBcDeFgH" * 4,
    "OpenAI": "sk-" + "abcd1234" * 5,
    "OpenAI, of a project": "sk-proj-" + "abcd1234" * 5,
    "Anthropic": "sk-ant-api03-" + "abcd1234" * 5,
    "Slack": "xoxb-" + "1234567890-abcdef",
    "a password in an address": "postgres://user:hunter22@db.internal/flowers",
    "a private key": "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
}
HARMLESS = (
    "fast",
    "s3://bucket/prefix/sk-learn-models-2024/model.tar.gz",
    "https://host:8080/path@1",
    "123456789012.dkr.ecr.eu-west-1.amazonaws.com/sk-learn:1",
    "hf_model",
    "arn:aws:iam::123456789012:role/AKIA",
)


@pytest.mark.parametrize("kind", LOOKING_SECRET)
def test_a_value_that_looks_like_a_credential_is_hidden_whatever_its_name(kind: str):
    value = LOOKING_SECRET[kind]
    shown = json.dumps(secrecy.without_secrets({"Environment": {"MODE": value}, "Regex": f"before {value} after"}))

    assert value not in shown
    assert "hunter22" not in shown
    assert "before " in shown
    assert secrecy.is_secret("MODE", value)


@pytest.mark.parametrize("value", HARMLESS)
def test_an_ordinary_value_is_shown(value: str):
    assert secrecy.without_secrets({"Environment": {"MODE": value}}) == {"Environment": {"MODE": value}}


def test_the_keys_of_a_session_are_hidden_from_its_first_call_on():
    secret = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY00"
    session = boto3.Session(aws_access_key_id="AKIAnot-a-usual-form", aws_secret_access_key=secret, region_name=REGION)
    target = Target(session, REGION, account=ACCOUNT)
    stubber = Stubber(target.client("sagemaker"))
    stubber.activate()
    stubber.add_client_error("list_models", "ValidationException", f"Value '{secret}' at 'environment' is too long")
    with pytest.raises(ServiceError) as caught:
        target.call("sagemaker", "ListModels", {})

    assert secret not in str(caught.value)
    assert "is too long" in str(caught.value)


def test_no_plan_record_or_export_has_a_credential_under_a_harmless_name(tmp_path: Path, account: Account):
    planted = {"MODE": LOOKING_SECRET["GitHub"], "DATABASE": LOOKING_SECRET["a password in an address"]}
    secret = "of/the/session/and/in/a/variable/0000000"
    variables = "".join(f'{name} = "{value}"\n' for name, value in {**planted, "PLAIN": secret}.items())
    text = FILE.replace("[ship]\n", f"[endpoint.environment]\n{variables}[ship]\n", 1)
    text = text.replace("depth = 3", f'depth = 3\nnote = "{LOOKING_SECRET["Hugging Face"]}"')
    project = project_in(tmp_path / "p", text)
    keys = {"AWS_SECRET_ACCESS_KEY": secret}
    said = [seaproof(project.root, account.url, "plan", "--json", **keys)]
    for form in ("cloudformation", "terraform", "step-functions"):
        said.append(seaproof(project.root, account.url, "export", form, "--account", ACCOUNT, **keys))
    shipped(project, account)
    record = record_of(project, account).path.read_text()
    shown = "".join(done.stdout + done.stderr for done in said) + record

    assert [done.returncode for done in said] == [0] * 4
    assert not [value for value in (*planted.values(), secret, LOOKING_SECRET["Hugging Face"]) if value in shown]
    assert "$.secrets.DATABASE" in said[-1].stdout
    assert said[1].stdout.count("NoEcho: true") == 3
    assert planned(project, account).steps == ()
