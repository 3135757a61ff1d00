"""How much InvokeEndpoint on the local server adds to calling the container itself.

    python benchmarks/invoke.py            medians of 7 rounds
    python benchmarks/invoke.py --quick    one short round

Two endpoints of one instance each: `container`, which is `seaproof-container serve` with a function that gives the body
back, and `bare`, an echo on `seaproof.http`, about as fast as a container in Python can be. Each is asked directly and
through the local server, in turns, with one CSV row; all processes stand from first to last. `captured` is an endpoint
of `bare` all of whose requests and answers data capture keeps. Compare ratios within one run only; the CPU time of the
local server for one request says more than they do where the machine is busy.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

from load import LoadFailed, Measurement, measure
from processes import Server

from seaproof.api.client import Client, find
from seaproof.control.store import Store

ROW = b"0.123456," * 17
KIND = "text/csv"
CONNECTIONS = (1, 16, 64)
ECHO = """
import asyncio, os
from seaproof.http.message import Response
from seaproof.http.server import run, serve
def echo(request):
    return Response(200, [(b"Content-Type", b"text/csv")], request.body)
async def main():
    server = await serve(echo, host="0.0.0.0", port=int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
    await asyncio.Event().wait()
run(main())
"""
FUNCTION = "quick = True\ndef transform_fn(model, data, content_type, accept):\n    return data, 'text/csv'\n"
PROJECT = """
[images.bare]
folder = "bare"
serve = ["{python}", "echo.py"]
accept_bind_to_port = true

[images.container]
folder = "container"
serve = ["{python}", "-m", "seaproof.container", "serve"]
accept_bind_to_port = true

[images.container.environment]
SAGEMAKER_MODEL_SERVER_WORKERS = "1"
SEAPROOF_ACCESS_LOG = "off"
"""


def main() -> None:
    """Start everything, measure round after round, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=0)
    given = parser.parse_args()
    rounds, seconds = given.rounds or (1 if given.quick else 7), given.seconds or (1 if given.quick else 2)
    with tempfile.TemporaryDirectory() as name, _local_server(Path(name)) as (process, client):
        body = Path(name) / "row"
        body.write_bytes(ROW)
        targets = [target for image in ("container", "bare") for target in _targets(client, process, image)]
        targets += list(_targets(client, process, "bare", "captured"))[1:]
        results: dict[tuple[str, str, int], list[Measurement]] = {}
        for number in range(rounds):
            for connections in CONNECTIONS:
                for image, way, server, path in targets:
                    print(f"round {number + 1}: {image} {way} c={connections}", file=sys.stderr)
                    found = measure(server, path, body, KIND, "*/*", connections, seconds)
                    if found.failed:
                        raise LoadFailed(f"{found.failed} requests failed: {image}, {way}")
                    results.setdefault((image, way, connections), []).append(found)
    _show(results)


def _show(results: dict[tuple[str, str, int], list[Measurement]]) -> None:
    def middle(image: str, way: str, connections: int, figure: str) -> float:
        return median(getattr(each, figure) for each in results[image, way, connections])

    print("\n| container | connections | asked | requests/s | p50 ms | p99 ms |\n|---|--:|---|--:|--:|--:|")
    for image, way, connections in results:
        rate, p50, p99 = (middle(image, way, connections, figure) for figure in ("requests_per_second", "p50", "p99"))
        print(f"| {image} | {connections} | {way} | {rate:,.0f} | {p50:.3f} | {p99:.3f} |")
    print("\n| figure | goal | container | bare |\n|---|--:|--:|--:|")
    added = [
        median(
            through.p50 - direct.p50
            for through, direct in zip(results[image, "endpoint", 1], results[image, "direct", 1], strict=True)
        )
        for image in ("container", "bare")
    ]
    print(f"| added p50, c=1, ms | under 0.4 | {added[0]:.3f} | {added[1]:.3f} |")
    for connections in CONNECTIONS:
        parts = [
            _part(results, (image, "endpoint", connections), (image, "direct", connections))
            for image in ("container", "bare")
        ]
        goal = "0.4" if connections == 64 else ""
        print(f"| requests/s, c={connections}: part of direct | {goal} | {parts[0]:.2f} | {parts[1]:.2f} |")
    for connections in CONNECTIONS:
        part = _part(results, ("captured", "endpoint", connections), ("bare", "endpoint", connections))
        print(f"| requests/s with data capture, c={connections}: part of without | | | {part:.2f} |")
    for connections in CONNECTIONS:
        spent = [
            1e6 * median(each.server_cpu / each.requests_per_second for each in results[image, "endpoint", connections])
            for image in ("container", "bare")
        ]
        print(f"| CPU of the local server for a request, c={connections}, us | | {spent[0]:.0f} | {spent[1]:.0f} |")


def _part(results: dict[tuple[str, str, int], list[Measurement]], one: Any, other: Any) -> float:
    """Requests per second of one as a part of the other's: the median of the rounds, each with what stood beside it."""
    pairs = zip(results[one], results[other], strict=True)
    return median(first.requests_per_second / second.requests_per_second for first, second in pairs)


class _Alone(Server):
    """The local server without the containers, which are processes below it."""

    def family(self) -> list[int]:
        return [self.process.pid]


def _targets(client: Client, process: Any, image: str, name: str = "") -> Iterator[tuple[str, str, Any, str]]:
    """An endpoint of this image, and the container behind it, as what `measure` loads."""
    role, name = "arn:aws:iam::000000000000:role/bench", name or image
    variant = {"VariantName": "v", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    config: dict[str, Any] = {"EndpointConfigName": name, "ProductionVariants": [variant]}
    if name == "captured":
        both = [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}]
        keep = {"InitialSamplingPercentage": 100, "DestinationS3Uri": "s3://kept", "CaptureOptions": both}
        config["DataCaptureConfig"] = keep
    client.call("CreateModel", {"ModelName": name, "ExecutionRoleArn": role, "PrimaryContainer": {"Image": image}})
    client.call("CreateEndpointConfig", config)
    client.call("CreateEndpoint", {"EndpointName": name, "EndpointConfigName": name})
    while (status := client.call("DescribeEndpoint", {"EndpointName": name})["EndpointStatus"]) != "InService":
        if status == "Failed":
            sys.exit(f"the endpoint {name} does not come up")
        time.sleep(0.1)
    store = Store(Path(client.health()["state"]) / "seaproof.db")
    ((_, _, handle),) = store.handles("endpoint", name)
    store.close()
    server = _Alone(process, int(client.url.rsplit(":", 1)[1]), 0.0)
    # What the CPU time of the container is, is not asked here.
    yield name, "direct", SimpleNamespace(process=process, port=handle.port, cpu=float), "/invocations"
    yield name, "endpoint", server, f"/endpoints/{name}/invocations"


@contextmanager
def _local_server(folder: Path) -> Iterator[tuple[Any, Client]]:
    for image, name, text in (("bare", "echo.py", ECHO), ("container", "inference.py", FUNCTION)):
        (folder / image).mkdir()
        (folder / image / name).write_text(text)
    (folder / "seaproof.toml").write_text(PROJECT.format(python=sys.executable))
    command = [sys.executable, "-m", "seaproof.cli", "up", "--foreground", "--driver", "process", "--port", "0"]
    with subprocess.Popen([*command, "--project", str(folder)], stdout=subprocess.DEVNULL) as process:
        try:
            started = time.monotonic()
            while (client := find(folder / ".seaproof")) is None:
                if process.poll() is not None or time.monotonic() - started > 30:
                    sys.exit("the local server does not start")
                time.sleep(0.05)
            with client:
                yield process, client
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


if __name__ == "__main__":
    main()
