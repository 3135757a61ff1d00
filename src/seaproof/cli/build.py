"""`seaproof build` and what it shares with `seaproof push`: the image, by the name that the platform will know."""

from __future__ import annotations

from pathlib import Path

import click

from seaproof.cli import requests
from seaproof.cli.screen import Screen, facts
from seaproof.cli.session import open_session, project_options, show_json
from seaproof.cli.shipping import OnScreen
from seaproof.errors import SeaproofError
from seaproof.project import Project
from seaproof.ship import builder, image, shipment, target
from seaproof.ship.plan import Call
from seaproof.ship.shipment import Shipment


@click.command("build")
@project_options
@click.option("--stage", default="", help="A [stage.NAME] of seaproof.toml, laid over [ship].")
@click.option("--profile", help="Profile of ~/.aws/config, for the account in the tag.")
@click.option("--region", help="Region in the tag.")
@click.option("--tag", "tags", multiple=True, metavar="NAME", help="A further name for the image.")
@click.option("--network", help="Network of the build, as for `docker build --network`.")
@click.option("--build-arg", "pairs", multiple=True, metavar="NAME=VALUE", help="As for `docker build`.")
def command(
    folder: Path,
    as_json: bool,
    stage: str,
    profile: str | None,
    region: str | None,
    tags: tuple[str, ...],
    network: str | None,
    pairs: tuple[str, ...],
) -> None:
    """Build the image from the project's Dockerfile, under the name it will have in ECR.

    The tag is the revision that is checked out and a hash of what goes in. Without credentials for AWS the name has
    account 1111 and region us-west-2, and the image works on this machine all the same. A build that fails fails the
    command.
    """
    session = open_session(folder, as_json)
    project = session.project
    requests.check_project(project)
    wanted = shipment.read(project, stage, profile=profile, region=region)
    name, account = address(project, wanted)
    arguments = {**wanted.image.arguments, **requests.parse_pairs(pairs, "--build-arg NAME=VALUE")}
    call = image.build_call(project, wanted, name)
    request = {**call.request, "arguments": arguments, "network": network or wanted.image.network}
    with Screen(quiet=as_json) as screen:
        screen.step(f"build image {name}")
        builder.build(Call(call.service, call.operation, request).request, None, OnScreen(screen))
        for tag in (project.image, *tags):
            builder.also_call(name, tag)
    found = {"image": name, "also": [project.image, *tags], "account": account or "none: no credentials for AWS"}
    if as_json:
        show_json(found)
    else:
        facts({**found, "also": ", ".join([project.image, *tags])})


def address(project: Project, wanted: Shipment) -> tuple[str, str]:
    """The image's name, and the account in it; without credentials, account 1111 in us-west-2, and no account."""
    if wanted.target == "local" or wanted.image.registry or wanted.image.uri:
        return image.uri(project, wanted, wanted.image.registry or image.NOBODYS), ""
    try:
        found = target.aws(wanted.profile, wanted.region)
        return image.uri(project, wanted, image.registry(wanted, found)), found.account
    except SeaproofError:
        return image.uri(project, wanted, image.NOBODYS), ""
