"""`seaproof endpoints`: the endpoints of the project."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from seaproof.api.client import Client
from seaproof.cli.jobs import StdoutLog, print_log
from seaproof.cli.screen import facts, moment, table
from seaproof.cli.session import coordinator, open_session, project_options, show_json
from seaproof.cli.train import POLL_SECONDS, show_new_log
from seaproof.errors import SeaproofError, ServiceError


@click.group("endpoints")
def command() -> None:
    """Endpoints: list, describe, logs, shadow, delete."""


@command.command("list")
@project_options
def list_all(folder: Path, as_json: bool) -> None:
    """All endpoints, newest first."""
    with coordinator(open_session(folder, as_json)) as client:
        found = client.pages("ListEndpoints", {}, "Endpoints")
    if as_json:
        show_json(found)
        return
    rows = [(e["EndpointName"], e["EndpointStatus"], moment(e["CreationTime"])) for e in found]
    table(rows, ("ENDPOINT", "STATUS", "CREATED"))
    if not rows:
        print(
            "no endpoint is there: `seaproof serve --detach` makes one of the last training job's model",
            file=sys.stderr,
        )


@command.command()
@click.argument("endpoint")
@project_options
def describe(endpoint: str, folder: Path, as_json: bool) -> None:
    """Status, variants and history of ENDPOINT."""
    with coordinator(open_session(folder, as_json)) as client:
        found = client.call("DescribeEndpoint", {"EndpointName": endpoint})
        events = client.events("endpoint", endpoint)
    if as_json:
        show_json({**found, "Events": events})
        return
    facts(
        {
            "endpoint": found["EndpointName"],
            "arn": found["EndpointArn"],
            "status": found["EndpointStatus"],
            "reason": found.get("FailureReason"),
            "config": found.get("EndpointConfigName"),
            "created": moment(found["CreationTime"]),
            "variants": "\n".join(_variant(variant) for variant in found.get("ProductionVariants", [])),
            "shadow": "\n".join(_variant(variant) for variant in found.get("ShadowProductionVariants", [])) or None,
            "asynchronous": _asynchronous(found.get("AsyncInferenceConfig")),
            "data capture": _capture(found.get("DataCaptureConfig")),
            "events": "\n".join(f"{moment(e['time'])}  {e['type']}: {e['message']}" for e in events),
        }
    )


@command.command()
@click.argument("endpoint")
@project_options
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C.")
def logs(endpoint: str, folder: Path, as_json: bool, follow: bool) -> None:
    """What the containers of ENDPOINT printed."""
    with coordinator(open_session(folder, as_json)) as client:
        client.call("DescribeEndpoint", {"EndpointName": endpoint})
        screen = StdoutLog(as_json)
        print_log(lambda offsets: show_new_log(client, "Endpoints", endpoint, offsets, screen), lambda: follow)


@command.command(short_help="How ENDPOINT's shadow variant answered.")
@click.argument("endpoint")
@project_options
def shadow(endpoint: str, folder: Path, as_json: bool) -> None:
    """How ENDPOINT's shadow variant answered, compared with its production variant."""
    with coordinator(open_session(folder, as_json)) as client:
        described = client.call("DescribeEndpoint", {"EndpointName": endpoint})
        found = client.shadows(endpoint)
    if as_json:
        show_json(found)
        return
    if not found["compared"]:
        if "ShadowProductionVariants" in described:
            raise SeaproofError(f"the shadow variant of endpoint {endpoint} has not been asked yet")
        raise SeaproofError(
            f"endpoint {endpoint} has no shadow variant",
            next_step="CreateEndpointConfig takes ShadowProductionVariants; see docs/invocations.md.",
        )
    times = found["seconds"]
    largest = found["largest"]
    facts(
        {
            "compared": f"{found['compared']:,} {'request' if found['compared'] == 1 else 'requests'}",
            "same": f"{found['same']:,}",
            "different": f"{found['different']:,}",
            "failed": f"{found['failed']:,}",
            "missed": f"{found['missed']:,}, as the shadow had too many under way" if found["missed"] else None,
            "largest": None if largest is None else f"difference of a number: {largest:g}",
            "median time": f"production {times['production'] * 1000:.2f} ms, shadow {times['shadow'] * 1000:.2f} ms",
        }
    )
    for entry in found["latest"]:
        print(f"\n{moment(entry['time'])}  {entry['verdict']}{': ' + entry['what'] if 'what' in entry else ''}")
        for side in ("production", "shadow"):
            one = entry[side]
            print(f"  {side:<10}  {one['status']} {one['type']}  {one['body']}")


@command.command(short_help="Stop ENDPOINT's containers and forget it.")
@click.argument("endpoint")
@project_options
def delete(endpoint: str, folder: Path, as_json: bool) -> None:
    """Stop ENDPOINT's containers and forget it; its config and models stay."""
    with coordinator(open_session(folder, as_json)) as client:
        client.call("DeleteEndpoint", {"EndpointName": endpoint})
        wait_until_gone(client, endpoint)
    if as_json:
        show_json({"deleted": endpoint})
    else:
        print(f"{endpoint} is deleted")


def wait_until_gone(client: Client, endpoint: str) -> None:
    """Wait until a deleted endpoint's containers have ended, too."""
    while True:
        try:
            client.call("DescribeEndpoint", {"EndpointName": endpoint})
        except ServiceError:
            return
        time.sleep(POLL_SECONDS)


def _variant(variant: dict[str, Any]) -> str:
    weight = f"{variant['VariantName']}  weight {variant.get('CurrentWeight', 0):g}"
    serverless = variant.get("CurrentServerlessConfig")
    if serverless:
        return f"{weight}, serverless: {serverless['MemorySizeInMB']} MB, {serverless['MaxConcurrency']} at once"
    return f"{weight}, instances {variant.get('CurrentInstanceCount')}"


def _asynchronous(config: dict[str, Any] | None) -> str | None:
    if not config:
        return None
    output = config["OutputConfig"]
    failures = f", failures to {output['S3FailurePath']}" if "S3FailurePath" in output else ""
    return f"output to {output.get('S3OutputPath', 's3://seaproof/async/')}{failures}"


def _capture(config: dict[str, Any] | None) -> str | None:
    if not config:
        return None
    return f"{config['CurrentSamplingPercentage']} % to {config['DestinationS3Uri']}, {config['CaptureStatus']}"
