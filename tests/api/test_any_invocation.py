"""Whatever an invocation holds, it is answered or refused in the API's words: never a mistake of ours."""

import http.client
import json
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seaproof.api import spec

PATHS = {
    "InvokeEndpoint": "invocations",
    "InvokeEndpointWithResponseStream": "invocations-response-stream",
    "InvokeEndpointAsync": "async-invocations",
}
VALUES = st.sampled_from(
    ["", "a", "NEW_SESSION", "0", "-1", "60", "99999999999", "s3://b/k", "s3://b/../k", "s3://", "https://x/y", "../..",
     "x" * 2000, "ü", "\t", "text/csv", "a b", ";", "true"]
)  # fmt: skip
NAMES = st.sampled_from(["PLAIN", "LATER", "nobody", "..", "a%2Fb", "", "é"])


def headers(operation):
    members = spec.input_shape(operation, spec.RUNTIME).members.values()
    named = [member.serialization["name"] for member in members if member.serialization.get("location") == "header"]
    return st.dictionaries(st.sampled_from(named), VALUES, max_size=4)


def echo(model, data, content_type, accept):
    return data


@pytest.mark.parametrize("operation", PATHS)
def test_any_invocation_is_answered_or_refused(sagemaker, operation):
    output = {"OutputConfig": {"S3OutputPath": "s3://bucket/out", "S3FailurePath": "s3://bucket/failed"}}
    endpoints = {
        "PLAIN": sagemaker.deploy(transform_fn=echo),
        "LATER": sagemaker.deploy(transform_fn=echo, config={"AsyncInferenceConfig": output}),
    }
    host, port = sagemaker.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)

    @settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow])
    @given(NAMES, headers(operation), st.binary(max_size=20))
    def ask(name, given, body):
        encoded = {key: value.encode("latin-1") for key, value in given.items()}
        path = f"/endpoints/{endpoints.get(name, quote(name, safe='%.'))}/{PATHS[operation]}"
        connection.request("POST", path, body, encoded)
        reply = connection.getresponse()
        text = reply.read()

        assert reply.status in (200, 202, 400, 404, 424, 501), (reply.status, text)
        if reply.status >= 400:
            assert json.loads(text)
        if reply.status == 424:
            assert json.loads(text)["OriginalStatusCode"] != 500, text

    ask()
    connection.close()
