"""`seaproof endpoints`: the endpoints of the project."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from seaproof.api.client import Client
from seaproof.cli.jobs import StdoutLog, print_log
from seaproof.cli.screen import facts, moment, table
from seaproof.cli.session import coordinator, open_session, project_options, show_json
from seaproof.cli.train import POLL_SECONDS, show_new_log
from seaproof.errors import ServiceError


@click.group("endpoints")
def command() -> None:
    """Endpoints: list, describe, logs, delete."""


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


@command.command()
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
    count = variant.get("CurrentInstanceCount")
    return f"{variant['VariantName']}  weight {variant.get('CurrentWeight', 0):g}, instances {count}"
