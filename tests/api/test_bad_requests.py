"""Two hundred bad requests, at a container and at the local server in front of it; both still answer afterwards."""

import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest

from seaproof.api.client import Client, find

INFERENCE = """
import json
def model_fn(model_dir): return 2
def input_fn(data, content_type):
    if content_type != "text/csv":
        from seaproof.errors import RequestError
        raise RequestError(415, f"{content_type} is not supported", next_step="Send text/csv.")
    return float(data)
def predict_fn(number, model): return number * model
def output_fn(number, accept): return str(number), "text/csv"
"""
PROJECT = """
[images.double]
folder = "double"
serve = ["seaproof-container", "serve"]
accept_bind_to_port = true
[images.double.environment]
SAGEMAKER_MODEL_SERVER_WORKERS = "1"
"""
ROLE = "arn:aws:iam::000000000000:role/any"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A local server with the endpoint `double`."""
    root = tmp_path_factory.mktemp("bad")
    (root / "double").mkdir()
    (root / "double" / "inference.py").write_text(INFERENCE)
    (root / "seaproof.toml").write_text(PROJECT)
    command = [sys.executable, "-m", "seaproof.cli", "up", "--foreground", "--driver", "process", "--port", "0"]
    with subprocess.Popen([*command, "--project", root], stdout=subprocess.DEVNULL) as process:
        until(lambda: find(root / ".seaproof"))
        with find(root / ".seaproof") as client:
            client.call(
                "CreateModel", {"ModelName": "m", "ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": "double"}}
            )
            variant = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
            client.call("CreateEndpointConfig", {"EndpointConfigName": "c", "ProductionVariants": [variant]})
            client.call("CreateEndpoint", {"EndpointName": "double", "EndpointConfigName": "c"})
            until(lambda: client.call("DescribeEndpoint", {"EndpointName": "double"})["EndpointStatus"] == "InService")
            yield client
        process.terminate()


def until(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def bad_requests(path, body_limit):
    """(what it is, the bytes, the statuses that may come back; empty where the request never became whole)."""
    start = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/csv\r\n".encode()
    whole = start + b"Content-Length: 40\r\n\r\n" + b"1" * 40
    for cut in range(1, len(whole), max(1, len(whole) // 50)):
        yield f"cut after {cut} bytes", whole[:cut], set()
    for number in range(20):
        yield "oversized", start + f"Content-Length: {body_limit + 10**number}\r\n\r\n1".encode(), {413, 400}
    for kind in (
        b"text/plain",
        b"image/png",
        b"",
        b";",
        b"/",
        b"text/csv2",
        b"*/*",
        b"a" * 2000,
        b'text/"csv"',
        b"\xff",
    ):
        request = start.replace(b"text/csv", kind) + b"Content-Length: 1\r\n\r\n4"
        yield f"type {kind[:20]!r}", request, {400, 415, 424}
    for number in range(30):
        body = b"\x00\xff,;" * (number + 1)
        yield "no number", start + f"Content-Length: {len(body)}\r\n\r\n".encode() + body, {400, 424, 500}
    hidden = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
    for value in (
        b"chunked",
        b"Chunked",
        b" chunked",
        b"chunked, identity",
        b"identity, chunked",
        b"xchunked",
        b"\x0bchunked",
    ):
        for length in (b"0", b"4", b"+4", b"4, 4", b"-1"):
            request = (
                start
                + b"Content-Length: "
                + length
                + b"\r\nTransfer-Encoding: "
                + value
                + b"\r\n\r\n0\r\n\r\n"
                + hidden
            )
            yield f"smuggling {value!r} {length!r}", request, {400, 501}
    for size in (
        b"G",
        b"-1",
        b"0x1",
        b" 1",
        b"1 ",
        b"1;\n",
        b"",
        b"1" * 40,
        b"FFFFFFFFFFFFFFFF",
        b"\x00",
        b"1\r",
        b"1\n",
    ):
        for data in (b"a\r\n0\r\n\r\n", b"a0\r\n\r\n", b"aa\r\n"):
            request = start + b"Transfer-Encoding: chunked\r\n\r\n" + size + b"\r\n" + data
            # A chunk that is announced as huge is cut off once it grows over the limit; here it never comes.
            waits = size == b"FFFFFFFFFFFFFFFF"
            yield f"chunk size {size!r}", request, set() if waits else {400, 413}
    for line in (
        b"X y",
        b": y",
        b"X : y",
        b" X: y",
        b"X\x00: y",
        b"X: \x00",
        b"X: a\rb",
        b"Host: two",
        b"X: " + b"a" * 100_000,
    ):
        yield f"header {line[:12]!r}", start + line + b"\r\nContent-Length: 1\r\n\r\n4", {400, 431}
    for first in (
        b"POST",
        b"POST  / HTTP/1.1",
        b"G\xc3\xa9T / HTTP/1.1",
        b"POST / HTTP/9.9",
        b"\x16\x03\x01",
        b"\x00" * 9,
    ):
        yield f"request line {first!r}", first + b"\r\nHost: 127.0.0.1\r\n\r\n", {400, 404, 405, 501, 505}
    for method in (b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"GET"):
        yield f"method {method!r}", whole.replace(b"POST", method, 1), {404, 405}


@pytest.mark.parametrize("target", ["local server", "container"])
def test_after_two_hundred_bad_requests_it_still_answers(server, target):
    address, path = urlsplit(server.url), "/endpoints/double/invocations"
    port = address.port
    if target == "container":
        port, path = container_port(server), "/invocations"
    count = 0

    for what, request, allowed in bad_requests(path, 60 * 1024 * 1024):
        statuses = exchange(port, request, answered=bool(allowed))
        count += 1
        assert b"hidden" not in request or len(statuses) <= 1, f"{what}: {statuses}"
        assert set(statuses[:1]) <= allowed, f"{what}: {statuses}"
        assert statuses or not allowed, f"{what} got no answer"

    assert count >= 200
    good = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/csv\r\nContent-Length: 2\r\n\r\n21"
    assert exchange(port, good.encode()) == [200]
    assert server.invoke("double", b"21", content_type="text/csv").body == b"42.0"


def exchange(port, request, *, answered=True):
    """Send the bytes and read the status of every answer: for a while where one is due, then a moment for more."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        received = b""
        try:
            connection.sendall(request)
            connection.settimeout(10 if answered else 0.05)
            while piece := connection.recv(65536):
                received += piece
                connection.settimeout(0.05)
        except (ConnectionResetError, BrokenPipeError, TimeoutError):
            pass
    return [int(line.split()[1]) for line in received.split(b"\n") if line.startswith(b"HTTP/1.")]


def container_port(server: Client):
    """The port of the endpoint's container, from what its log says."""
    (stream,) = server.log_streams("Endpoints", "double")
    text = server.logs("Endpoints", stream, 0)[0].decode()
    return int(text.partition(" on port ")[2].split()[0])


def test_the_list_is_long_enough_and_has_every_kind():
    found = [what for what, _, _ in bad_requests("/invocations", 1)]

    assert len(found) >= 200
    kinds = {what.split()[0] for what in found}
    assert kinds >= {"cut", "oversized", "type", "smuggling", "chunk", "header", "method"}
