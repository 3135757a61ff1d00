"""What the local server says to whoever asks for something that is not there: nobody is left without a hint."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from botocore.model import ServiceModel
from botocore.parsers import create_parser

from seaproof.api import next_steps, spec
from seaproof.api.app import Application
from seaproof.api.in_process import InProcess
from seaproof.control.plane import Plane
from seaproof.errors import ServiceError
from seaproof.http.message import Request, Response


def answer(plane: Plane, method: str, path: str, *headers: tuple[bytes, bytes], body: bytes = b"") -> Response:
    """What the application answers to one request."""

    async def main() -> Response:
        app = Application(plane, "http://test", lambda: None)
        try:
            given = app.handle(Request(method, path, "", [(b"host", b"127.0.0.1:1"), *headers], body))
            return given if isinstance(given, Response) else await given
        finally:
            await app.close()

    return asyncio.run(main())


def parsed(operation: str, service: str, given: Response) -> dict[str, Any]:
    """An error as botocore reads it."""
    model: ServiceModel = spec.service(service)
    headers = {name.decode().lower(): value.decode() for name, value in given.headers}
    parser = create_parser(model.metadata["protocol"])
    shape = model.operation_model(operation).output_shape
    found: dict[str, Any] = parser.parse(
        {"headers": headers, "body": given.body, "status_code": given.status, "context": {}}, shape
    )
    return found


def test_the_root_says_what_this_is_and_what_it_answers(plane: Plane) -> None:
    given = answer(plane, "GET", "/")
    assert isinstance(given.body, bytes)
    body = json.loads(given.body)

    assert given.status == 200
    assert "SageMaker API" in body["what"]
    assert "POST /endpoints/NAME/invocations" in body["routes"]
    assert "one door" not in given.body.decode()


def test_a_runtime_operation_that_is_not_there_is_named_to_boto3(plane: Plane) -> None:
    given = answer(plane, "POST", "/endpoints/e/invocations-bidirectional-stream", body=b"1")
    error = parsed("InvokeEndpointAsync", spec.RUNTIME, given)["Error"]

    assert given.status == 501
    assert error["Code"] == "UnknownOperationException"
    assert (
        "has no operation of the runtime at invocations-bidirectional-stream. It has: InvokeEndpoint"
        in error["Message"]
    )


@pytest.mark.parametrize(("method", "path"), [("GET", "/endpoints/e/invocations"), ("DELETE", "/")])
def test_a_method_that_is_not_allowed_is_answered_with_json(plane: Plane, method: str, path: str) -> None:
    given = answer(plane, method, path)
    assert isinstance(given.body, bytes)

    assert given.status == 405
    assert f"not {method}" in json.loads(given.body)["error"]
    assert b"POST" in dict(given.headers)[b"Allow"]


@pytest.mark.parametrize(
    ("operation", "request_", "message", "hint"),
    [
        ("DescribeTrainingJob", {"TrainingJobName": "nope"}, "Requested resource not found.", "`seaproof jobs list`"),
        ("DescribeEndpoint", {"EndpointName": "e"}, "Could not find endpoint", "`seaproof endpoints list`"),
        ("DescribeModel", {"ModelName": "m"}, "Could not find model", "(CreateModel)"),
        ("DescribeEndpointConfig", {"EndpointConfigName": "c"}, "Could not find endpoint conf", "CreateEndpointConfig"),
        (
            "CreateEndpoint",
            {"EndpointName": "e", "EndpointConfigName": "c"},
            "Could not find endpoint configuration",
            "CreateEndpointConfig",
        ),
    ],
)
def test_an_error_has_a_next_step_beside_the_words_of_the_service(
    plane: Plane, operation: str, request_: dict[str, str], message: str, hint: str
) -> None:
    with pytest.raises(ServiceError) as caught:
        InProcess(plane).call(operation, request_)
    target = (b"x-amz-target", f"SageMaker.{operation}".encode())
    sent = answer(plane, "POST", "/", target, body=json.dumps(request_).encode())
    error = parsed(operation, spec.CONTROL, sent)["Error"]

    assert hint in caught.value.next_step
    assert caught.value.message.startswith(message)
    assert error == {"Code": "ValidationException", "Message": caught.value.message}
    assert isinstance(sent.body, bytes)
    assert json.loads(sent.body)["seaproofNextStep"] == caught.value.next_step


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        ("Failed", "It is there, and Failed: `seaproof endpoints describe e`"),
        ("Creating", "Creating: wait"),
        ("", "list"),
    ],
)
def test_an_invocation_says_what_an_endpoint_is_that_does_not_answer(plane: Plane, status: str, hint: str) -> None:
    if status:
        plane.store.insert("endpoint", "e", plane.arn("endpoint", "e"), status, {})
    with pytest.raises(ServiceError) as caught:
        InProcess(plane).invoke("e", b"1")
    sent = answer(plane, "POST", "/endpoints/e/invocations", body=b"1")

    assert caught.value.message == "Endpoint e of account 000000000000 not found."
    assert hint in caught.value.next_step
    assert isinstance(sent.body, bytes)
    assert json.loads(sent.body)["seaproofNextStep"] == caught.value.next_step


def test_a_next_step_that_is_there_already_stays() -> None:
    error = ServiceError("ValidationException", "Requested resource not found.", next_step="Its own.")

    assert next_steps.add(error).next_step == "Its own."
