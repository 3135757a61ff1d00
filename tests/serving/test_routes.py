"""Every route and every status of a serving container, over real HTTP."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from container_process import Container

from seaproof.drivers.ports import free_port

ECHO = """
import json, os
from seaproof.errors import RequestError

class Unsupported(Exception):
    status_code, phrase = 415, "Unsupported Media Type"

def transform_fn(model, data, content_type, accept):
    if data == "unfit":
        raise RequestError(422, "this row is unfit", where="row 1", next_step="Send another.")
    if data == "toolkit":
        raise Unsupported("not this type")
    if data == "broken":
        raise KeyError("colour")
    if data == "exit":
        raise SystemExit("no")
    return json.dumps([data if isinstance(data, str) else data.hex(), type(data).__name__, content_type, accept])
"""


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """One container that all of these share."""
    made = Container(tmp_path_factory.mktemp("echo"), free_port())
    made.serve(ECHO, SAGEMAKER_MAX_PAYLOAD_IN_MB="1")
    yield made
    assert made.stop() == 0


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_ping_is_200(echo: Container, method: str) -> None:
    assert echo.send(method, "/ping").status == 200


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/ping", "GET, POST"),
        ("GET", "/invocations", "POST"),
        ("PUT", "/invocations", "POST"),
        ("POST", "/execution-parameters", "GET"),
    ],
)
def test_a_wrong_method_is_405_and_allow_names_the_right_ones(
    echo: Container, method: str, path: str, allowed: str
) -> None:
    reply = echo.send(method, path)

    assert (reply.status, reply.headers["allow"]) == (405, allowed)
    assert reply.headers["content-type"] == "application/json"
    assert set(reply.json) == {"error", "where", "next_step"}


@pytest.mark.parametrize("path", ["/", "/invocation", "/models", "/invocations/", "/pings"])
def test_an_unknown_path_is_404_and_names_the_routes(echo: Container, path: str) -> None:
    reply = echo.send("POST", path, b"1")

    assert reply.status == 404
    assert path in reply.json["error"]
    assert "POST /invocations" in reply.json["next_step"]


def test_execution_parameters_come_from_the_environment(echo: Container) -> None:
    reply = echo.get("/execution-parameters")

    assert reply.status == 200
    assert reply.json == {"MaxConcurrentTransforms": 2, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 1}


def test_a_query_does_not_hide_a_route(echo: Container) -> None:
    assert echo.get("/ping?x=1").status == 200


@pytest.mark.parametrize(
    ("content_type", "body", "seen"),
    [
        ("text/csv", b"1,2", ["1,2", "str", "text/csv", "application/json"]),
        ("Text/CSV; charset=utf-8", b"\xc3\xa4", ["ä", "str", "text/csv", "application/json"]),
        ("text/csv; charset=latin-1", b"\xe4", ["ä", "str", "text/csv", "application/json"]),
        ("text/csv; header=present", b"a", ["a", "str", "text/csv; header=present", "application/json"]),
        ("application/json", b"{}", ["{}", "str", "application/json", "application/json"]),
        ("application/x-npy", b"\x93N", ["934e", "bytes", "application/x-npy", "application/json"]),
        ("application/octet-stream", b"", ["", "bytes", "application/octet-stream", "application/json"]),
    ],
)
def test_text_arrives_as_str_and_the_rest_as_bytes(
    echo: Container, content_type: str, body: bytes, seen: list[str]
) -> None:
    reply = echo.invoke(body, content_type)

    assert (reply.status, reply.json) == (200, seen)


@pytest.mark.parametrize(
    ("accept", "seen"),
    [
        ("*/*", "application/json"),
        ("text/csv", "text/csv"),
        ("text/csv;q=0.5, application/x-npy", "application/x-npy"),
        ("application/json;q=0.1, */*", "application/json"),
        ("application/json; verbose=true", "application/json; verbose=true"),
    ],
)
def test_accept_is_the_best_range_or_the_default(echo: Container, accept: str, seen: str) -> None:
    reply = echo.invoke("1", Accept=accept)

    assert reply.json[3] == seen
    assert reply.headers["content-type"] == seen


def test_a_request_without_content_type_is_bytes(echo: Container) -> None:
    reply = echo.send("POST", "/invocations", b"1", {})

    assert reply.json == ["31", "bytes", "", "application/json"]


@pytest.mark.parametrize(
    ("body", "content_type", "status", "error"),
    [
        (b"\xff", "text/csv", 400, "the body is not utf-8: byte 1 cannot be read"),
        (b"1", "text/csv; charset=klingon", 415, "there is no charset 'klingon'"),
        (b"\xe4", "text/csv; charset=idna", 400, "the body is not idna: byte 1 cannot be read"),
        (b"unfit", "text/csv", 422, "this row is unfit"),
        (b"toolkit", "text/csv", 415, "Unsupported: not this type"),
        (b"broken", "text/csv", 500, "KeyError: 'colour'"),
        (b"exit", "text/csv", 500, "SystemExit: no"),
    ],
)
def test_what_goes_wrong_is_json_with_its_status(
    echo: Container, body: bytes, content_type: str, status: int, error: str
) -> None:
    reply = echo.invoke(body, content_type)

    assert (reply.status, reply.json["error"]) == (status, error)
    assert reply.json["next_step"]
    assert b"Traceback" not in reply.body


def test_an_exception_names_the_function_and_its_traceback_is_in_the_log(echo: Container) -> None:
    reply = echo.invoke("broken")

    assert reply.json["where"] == "transform_fn"
    assert 'raise KeyError("colour")' in echo.log


def test_a_body_over_the_limit_is_413(echo: Container) -> None:
    assert echo.invoke(b"x" * (1024 * 1024)).status == 200
    reply = echo.invoke(b"x" * (1024 * 1024 + 1))

    assert reply.status == 413
    assert reply.json["error"]
    assert echo.get("/ping").status == 200


def test_the_default_limit_is_25_mib(container: Container) -> None:
    container.serve("def transform_fn(model, data, content_type, accept):\n    return str(len(data))\n")

    assert container.invoke(b"x" * (25 * 1024 * 1024), "application/octet-stream").body == b"26214400"
    assert container.invoke(b"x" * (25 * 1024 * 1024 + 1), "application/octet-stream").status == 413


def test_it_listens_on_all_interfaces_ipv4_and_ipv6(echo: Container) -> None:
    assert echo.get("/ping").status == 200
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    with socket.create_connection(("::1", echo.port), timeout=5) as connection:
        connection.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


def test_execution_parameters_can_be_the_authors_own(container: Container) -> None:
    container.serve(
        "def transform_fn(model, data, content_type, accept):\n    return data\n"
        "def execution_parameters_fn():\n    return {'MaxConcurrentTransforms': 3}\n",
    )

    assert container.get("/execution-parameters").json == {"MaxConcurrentTransforms": 3}


def test_execution_parameters_say_what_a_transform_job_was_given(container: Container) -> None:
    container.serve(
        "def transform_fn(model, data, content_type, accept):\n    return data\n",
        SAGEMAKER_MAX_CONCURRENT_TRANSFORMS="4",
        SAGEMAKER_BATCH_STRATEGY="SINGLE_RECORD",
    )

    reply = container.get("/execution-parameters")
    assert json.loads(reply.body) == {
        "MaxConcurrentTransforms": 4,
        "BatchStrategy": "SINGLE_RECORD",
        "MaxPayloadInMB": 6,
    }
