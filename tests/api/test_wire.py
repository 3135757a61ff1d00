"""The wire: shapes of answers, errors and headers; golden bytes."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seaproof.api import spec, wire
from seaproof.errors import ServiceError
from seaproof.http.message import Request


def test_an_answer_holds_what_its_shape_knows_and_nothing_empty() -> None:
    answer = wire.shaped(
        spec.output_shape("DescribeModel"),
        {
            "ModelName": "m",
            "ModelArn": "a",
            "CreationTime": datetime(2024, 1, 2, tzinfo=timezone.utc),
            "VpcConfig": {},
            "ExecutionRoleArn": None,
            "PrimaryContainer": {"Image": "i", "Environment": {}, "ImageConfig": {"Unknown": 1}, "Mode": None},
            "Tags": [{"Key": "k", "Value": "v"}],
            "_ignored": ["VpcConfig"],
        },
    )

    assert answer == {
        "ModelName": "m",
        "ModelArn": "a",
        "CreationTime": 1704153600.0,
        "PrimaryContainer": {"Image": "i", "Environment": {}},
    }


def test_an_empty_list_and_an_operation_without_answer() -> None:
    assert wire.shaped(spec.output_shape("ListModels"), {"Models": []}) == {"Models": []}
    assert wire.shaped(spec.output_shape("DeleteModel"), {}) == {}


def test_times_are_cut_to_milliseconds() -> None:
    answer = wire.shaped(spec.output_shape("DescribeModel"), {"CreationTime": 1700000000.1234567})

    assert answer["CreationTime"] == 1700000000.123


def without_id(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [header for header in headers if header[0] != b"x-amzn-RequestId"]


def test_golden_bytes_of_answers_and_errors() -> None:
    answer = wire.json_answer({"ModelArn": "arn:aws:sagemaker:us-east-1:000000000000:model/größe"})
    assert answer.status == 200
    assert without_id(answer.headers) == [(b"Content-Type", b"application/x-amz-json-1.1")]
    assert answer.body == b'{"ModelArn":"arn:aws:sagemaker:us-east-1:000000000000:model/gr\\u00f6\\u00dfe"}'

    error = wire.json_error(ServiceError("ValidationException", 'Could not find model "arn".'))
    assert (error.status, error.body) == (
        400,
        b'{"__type":"ValidationException","message":"Could not find model \\"arn\\"."}',
    )

    failed = wire.runtime_error(ServiceError("ModelError", "no", status=424, members={"OriginalStatusCode": 400}))
    assert failed.status == 424
    assert without_id(failed.headers) == [
        (b"Content-Type", b"application/json"),
        (b"x-amzn-ErrorType", b"ModelError"),
    ]
    assert failed.body == b'{"Message":"no","OriginalStatusCode":400}'


def test_every_answer_has_a_request_id_of_its_own() -> None:
    ids = {dict(wire.json_answer({}).headers)[b"x-amzn-RequestId"] for _ in range(3)}

    assert len(ids) == 3


@pytest.mark.parametrize(
    ("target", "operation"), [("SageMaker.CreateModel", "CreateModel"), ("Logs_20140328.X", None), ("", None)]
)
def test_the_target_names_the_operation(target: str, operation: str | None) -> None:
    assert wire.operation_of(Request("POST", "/", "", [(b"x-amz-target", target.encode())])) == operation


@pytest.mark.parametrize("body", [b"{", b"[]", b"3", b'"x"', b"\xff", b"[" * 100_000, b"1" * 10_000])
def test_a_body_that_is_no_object_is_a_serialization_error(body: bytes) -> None:
    with pytest.raises(ServiceError) as caught:
        wire.read_json(Request("POST", "/", "", [], body))

    assert caught.value.code == "SerializationException"


header_texts = st.text(alphabet=[chr(code) for code in range(0x20, 0x7F)], min_size=1, max_size=20)


HEADER_MEMBERS = ("ContentType", "Accept", "CustomAttributes", "TargetModel", "TargetVariant", "InferenceId")


@given(st.fixed_dictionaries({"Body": st.binary(max_size=50)}, optional=dict.fromkeys(HEADER_MEMBERS, header_texts)))
def test_runtime_members_come_back_from_headers_and_body(members: dict[str, Any]) -> None:
    headers = wire.runtime_headers(members)
    received = Request(
        "POST", "/endpoints/e/invocations", "", [(name.lower(), value) for name, value in headers], members["Body"]
    )

    assert wire.runtime_members(received) == members


def test_runtime_headers_are_named_as_the_model_has_them() -> None:
    assert wire.runtime_headers({"ContentType": "text/csv", "TargetVariant": "v", "EndpointName": "e"}) == [
        (b"Content-Type", b"text/csv"),
        (b"X-Amzn-SageMaker-Target-Variant", b"v"),
    ]


def described(shape: Any, depth: int = 3) -> st.SearchStrategy[Any]:
    """Values of an output shape, as an operation could answer them."""
    kind = shape.type_name
    if kind == "structure":
        if depth == 0:
            return st.just({})
        return st.fixed_dictionaries(
            {}, optional={name: described(member, depth - 1) for name, member in list(shape.members.items())[:8]}
        )
    if kind == "list":
        return st.lists(described(shape.member, depth - 1), max_size=2)
    if kind == "map":
        return st.dictionaries(st.sampled_from("ab"), described(shape.value, depth - 1), max_size=2)
    if kind == "timestamp":
        return st.integers(0, 2**40).map(lambda milliseconds: milliseconds / 1000)
    if kind == "boolean":
        return st.booleans()
    if kind in ("integer", "long"):
        return st.integers(-(2**31), 2**31 - 1)
    if kind in ("float", "double"):
        return st.floats(allow_nan=False, allow_infinity=False)
    return st.sampled_from(["", "x", "ü\n"])


@given(st.data())
def test_shaping_twice_is_shaping_once_and_survives_the_wire(data: st.DataObject) -> None:
    operation = data.draw(st.sampled_from(["DescribeModel", "DescribeEndpointConfig", "ListModels", "ListTags"]))
    shape = spec.output_shape(operation)
    once = wire.shaped(shape, data.draw(described(shape)))
    body = wire.json_answer(once).body
    assert isinstance(body, bytes)

    assert wire.shaped(shape, once) == once
    assert json.loads(body) == once
