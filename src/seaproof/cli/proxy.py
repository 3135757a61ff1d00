"""`seaproof proxy`: curl for an endpoint that wants signed requests."""

from __future__ import annotations

import asyncio
import secrets
import signal
from pathlib import Path

import click

from seaproof.cli.shipping import target_options, way
from seaproof.errors import SeaproofError, ServiceError
from seaproof.http.server import run, serve
from seaproof.ship import refusals, traffic
from seaproof.ship.proxy import INVOKE, LOCAL_NAMES, Proxy
from seaproof.ship.target import Target


@click.command("proxy")
@click.argument("endpoint")
@target_options
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; another needs a token.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--token", help="What callers must send as `Authorization: Bearer`.  [default: one is made for --host]")
def command(
    endpoint: str,
    folder: Path,
    as_json: bool,
    stage: str,
    target_name: str | None,
    profile: str | None,
    region: str | None,
    host: str,
    port: int,
    token: str | None,
) -> None:
    """Serve an endpoint of AWS as plain HTTP on this machine: each request is signed and sent on. Ctrl-C ends it.

    No project is needed: the endpoint may be anybody's that the credentials may invoke.

    \b
      seaproof proxy flowers &
      curl localhost:8080/invocations -H 'Content-Type: text/csv' -d '5.1,3.5'
    """
    is_open = host not in LOCAL_NAMES and host != "::1"
    token = token or (secrets.token_urlsafe(24) if is_open else "")
    with way(folder, as_json, stage, target_name, profile, region, anywhere=True) as found:
        _look(found.target, endpoint)
        proxy = Proxy(found.target, endpoint, token, told=lambda line: click.echo(line, err=True))
        run(_serve(proxy, host, port, token if is_open else ""))


def _look(account: Target, endpoint: str) -> None:
    """SeaproofError where there is no such endpoint; whoever may only invoke it is not asked to prove that."""
    try:
        traffic.described(account, endpoint)
    except ServiceError as error:
        if not refusals.is_denied(error):
            raise


async def _serve(proxy: Proxy, host: str, port: int, shown_token: str) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    try:
        server = await serve(proxy.handle, host=host, port=port)
    except OSError as error:
        raise SeaproofError(
            f"port {port} cannot be listened on: {error.strerror or error}", where=host, next_step="Say --port."
        ) from error
    print(f"http://{host}:{server.port}{INVOKE}", flush=True)
    if shown_token:
        print(f"Authorization: Bearer {shown_token}", flush=True)
    await ended.wait()
    await server.close(5.0)
