"""Every route with requests made from botocore's shapes, right ones and wrong ones: input alone never is a 500."""

import http.client
import json
from urllib.parse import quote, urlencode, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_lab import local_server

from seaproof.api import coverage, spec

OPERATIONS = [
    (one.service, one.name) for name in coverage.SERVICES for one in coverage.of_service(name) if one.state != "absent"
]
TARGETS = {"sagemaker": "SageMaker.", "logs": "Logs_20140328."}
few = settings(max_examples=6, deadline=None)
junk = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just([]), st.just({}), st.just([{}])
)
names = st.sampled_from(["a", "b-1", "bucket", "key/x", "..", "a//b", "\N{GRINNING FACE}", "%2e%2e%2f", "x" * 300, ""])


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with local_server(tmp_path_factory.mktemp("fuzz"), "--instant") as client:
        yield client


def values(shape, depth=0):
    """A strategy of values of a shape: mostly right ones."""
    kind = shape.type_name
    if kind == "structure":
        required = {
            name: values(member, depth + 1) for name, member in shape.members.items() if name in shape.required_members
        }
        others = {name: values(member, depth + 1) for name, member in shape.members.items() if name not in required}
        if depth > 3:
            others = {}
        return st.fixed_dictionaries(required, optional=dict(list(others.items())[:12]))
    if kind == "list":
        return st.lists(values(shape.member, depth + 1), min_size=min(shape.metadata.get("min", 0), 2), max_size=2)
    if kind == "map":
        return st.dictionaries(values(shape.key, depth + 1), values(shape.value, depth + 1), max_size=2)
    if kind == "string":
        known = shape.metadata.get("enum")
        return (
            st.sampled_from(known)
            if known
            else st.one_of(names, st.just("s3://bucket/a"), st.just("arn:aws:iam::000000000000:role/any"))
        )
    if kind in ("integer", "long"):
        return st.integers(shape.metadata.get("min", -1), min(shape.metadata.get("max", 100), 2**31))
    return {"boolean": st.booleans(), "timestamp": st.integers(0, 2**31), "blob": st.just("aGk=")}.get(
        kind, st.floats(0, 1)
    )


def send(server, method, target, body, headers):
    """The status, and the name of the error with the body: REST APIs name it in a header, the others in the body."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    try:
        connection.request(method, target, body=body, headers=headers)
        reply = connection.getresponse()
        return reply.status, reply.getheader("x-amzn-ErrorType", "").encode() + b" " + reply.read()
    finally:
        connection.close()


def scope(service):
    credential = f"Credential=a/20260101/us-east-1/{service}/aws4_request"
    return {"Authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0"}


@pytest.mark.parametrize(("service", "operation"), [pair for pair in OPERATIONS if pair[0] in TARGETS])
def test_json_operations(server, service, operation):
    shape = spec.input_shape(operation, service)

    @few
    @given(st.one_of(values(shape), st.dictionaries(st.sampled_from([*shape.members, "Other"]), junk), junk))
    def fuzz(request):
        headers = {
            "X-Amz-Target": TARGETS[service] + operation,
            "Content-Type": "application/x-amz-json-1.1",
            **scope(service),
        }
        status, body = send(server, "POST", "/", json.dumps(request), headers)

        assert status < 500 or b"UnknownOperation" in body, body

    fuzz()


@pytest.mark.parametrize("operation", [name for service, name in OPERATIONS if service == "s3"])
def test_s3_operations(server, operation):
    model = spec.service("s3").operation_model(operation)
    path, _, query = model.http["requestUri"].partition("?")
    shape = model.input_shape
    places = {name: member.serialization for name, member in shape.members.items()} if shape else {}
    asked = [place["name"] for place in places.values() if place.get("location") == "querystring"]
    told = [
        place["name"]
        for place in places.values()
        if place.get("location") == "header" and place["name"] != "Content-Length"
    ]
    text = st.one_of(
        names,
        st.integers(-2, 10**12).map(str),
        st.just("bytes=0-1"),
        st.just("bucket/key"),
        st.just("Wed, 21 Oct 2026 07:28:00 GMT"),
    )

    @few
    @given(
        names,
        names,
        st.dictionaries(st.sampled_from(asked or ["x"]), text, max_size=3),
        st.dictionaries(st.sampled_from(told or ["x"]), text, max_size=3),
        st.sampled_from(
            [
                b"",
                b"<a/>",
                b"<Delete><Object><Key>k</Key></Object></Delete>",
                b"\x00\xff",
                b"<Tagging><TagSet/></Tagging>",
            ]
        ),
    )
    def fuzz(bucket, key, more, headers, body):
        target = path.replace("{Bucket}", quote(bucket, safe="")).replace("{Key+}", quote(key))
        target += "?" + "&".join(filter(None, (query, urlencode(more))))
        sent = {name: quote(value, safe=" =,/:;*") for name, value in headers.items()} | scope("s3")
        status, answer = send(server, model.http["method"], target, body, sent)

        assert status < 500 or b"NotImplemented" in answer, answer

    fuzz()


@few
@given(
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH"]),
    names,
    names,
    junk,
    st.sampled_from(["sts", "iam", "ecr", "sagemaker", "nothing", ""]),
)
def test_any_route(server, method, first, second, body, service):
    status, answer = send(
        server,
        method,
        f"/{quote(first)}/{quote(second)}?{urlencode({'q': second})}",
        json.dumps(body),
        scope(service) if service else {},
    )

    assert status < 500 or b"UnknownOperation" in answer, answer
