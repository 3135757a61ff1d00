"""The local server as clients meet it: its start, its control plane with 50 endpoints, and S3 beside it.

python benchmarks/wire.py [--calls 2000]

Start-up is from the start of `seaproof up --foreground` to its first answer. Control-plane calls are a mix of what
programs send (describe, list, create, delete) from 8 threads. Each figure is the median of five.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from seaproof.api.client import Client, find

ENDPOINTS = 50
THREADS = 8
ROUNDS = 5
ROLE = "arn:aws:iam::000000000000:role/any"
COMMAND = [sys.executable, "-m", "seaproof.cli", "up", "--foreground", "--port", "0", "--instant"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=2000)
    calls = parser.parse_args().calls
    starts = [measured_start() for _ in range(ROUNDS)]
    print(f"start to first answer   {statistics.median(starts) * 1000:.0f} ms  (goal: under 600 ms)")
    with tempfile.TemporaryDirectory() as folder:
        process, client, _ = started(Path(folder))
        try:
            define(client)
            rates = [control_calls(client, calls, number) for number in range(ROUNDS)]
        finally:
            client.close()
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    rate = f"{statistics.median(rates) * 60:,.0f} per minute with {ENDPOINTS} endpoints"
    print(f"control-plane calls     {rate}  (goal: 10,000)")


def started(folder: Path) -> tuple[subprocess.Popen[bytes], Client, float]:
    """A server, a client of it, and the seconds until it answered."""
    begun = time.monotonic()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*COMMAND, "--project", folder], stdout=log, stderr=log, env=dict(os.environ))
    while (client := find(folder / ".seaproof")) is None:
        if process.poll() is not None:
            sys.exit((folder / "log").read_text())
        time.sleep(0.005)
    client.call("ListModels", {})
    return process, client, time.monotonic() - begun


def measured_start() -> float:
    """The seconds of one start in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        process, client, seconds = started(Path(folder))
        client.close()
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    return seconds


def define(client: Client) -> None:
    """One model and 50 endpoints that serve."""
    client.call("CreateModel", {"ModelName": "m", "ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": "any"}})
    variant = {"VariantName": "all", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    client.call("CreateEndpointConfig", {"EndpointConfigName": "c", "ProductionVariants": [variant]})
    for number in range(ENDPOINTS):
        client.call("CreateEndpoint", {"EndpointName": f"e-{number}", "EndpointConfigName": "c"})
    for number in range(ENDPOINTS):
        while client.call("DescribeEndpoint", {"EndpointName": f"e-{number}"})["EndpointStatus"] == "Creating":
            time.sleep(0.05)


def control_calls(client: Client, calls: int, salt: int) -> float:
    """Calls per second of a mix, from 8 threads; each fifth call creates a model, and another deletes it."""

    def one(number: int) -> None:
        name = f"x-{salt}-{number}"
        kind = number % 5
        if kind == 0:
            request = {"ModelName": name, "ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": "any"}}
            client.call("CreateModel", request)
            client.call("DeleteModel", {"ModelName": name})
        elif kind == 1:
            client.call("ListEndpoints", {"MaxResults": 10})
        else:
            client.call("DescribeEndpoint", {"EndpointName": f"e-{number % ENDPOINTS}"})

    begun = time.monotonic()
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(one, range(calls)))
    return calls * 1.2 / (time.monotonic() - begun)


if __name__ == "__main__":
    main()
