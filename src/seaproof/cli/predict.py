"""`seaproof predict`: send a payload to an endpoint, print what it answers."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import click

from seaproof.cli.session import living, open_session, project_options, show_json
from seaproof.errors import SeaproofError

# What a file's ending says about its content, where --content-type says nothing.
CONTENT_TYPES = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".jsonl": "application/jsonlines",
    ".ndjson": "application/jsonlines",
    ".npy": "application/x-npy",
    ".npz": "application/x-npz",
    ".parquet": "application/x-parquet",
    ".arrow": "application/vnd.apache.arrow.stream",
    ".txt": "text/plain",
}


@click.command("predict")
@click.argument("payload", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path), default="-")
@project_options
@click.option("--endpoint", help="Name of the endpoint.  [default: the only one there is]")
@click.option("--content-type", help="Type of the payload.  [default: by the file's ending, else text/csv]")
@click.option("--accept", help="Type wanted in return.")
@click.option("--variant", help="Production variant that is to answer.  [default: by weight]")
@click.option("--target-model", help="Model that is to answer, of a multi-model endpoint: its key below the prefix.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the answer to a file.")
def command(
    payload: Path,
    folder: Path,
    as_json: bool,
    endpoint: str | None,
    content_type: str | None,
    accept: str | None,
    variant: str | None,
    target_model: str | None,
    output: Path | None,
) -> None:
    """Send PAYLOAD (a file, or - for standard input) to an endpoint and print the answer.

    \b
      seaproof predict rows.csv
      echo '{"age": 41, "job": "clerk"}' | seaproof predict - --content-type application/json
    """
    session = open_session(folder, as_json)
    client = living(session)
    name = endpoint or _only_endpoint(client.pages("ListEndpoints", {}, "Endpoints"))
    if output and not output.absolute().parent.is_dir():
        raise SeaproofError("there is no such folder for the answer", where=str(output.absolute().parent))
    body = sys.stdin.buffer.read() if str(payload) == "-" else payload.read_bytes()
    kind = content_type or CONTENT_TYPES.get(payload.suffix.lower(), "text/csv")
    answer = client.invoke(
        name, body, content_type=kind, accept=accept, target_variant=variant, target_model=target_model
    )
    if output:
        output.write_bytes(answer.body)
    if as_json:
        shown = {"endpoint": name, "variant": answer.variant, "content_type": answer.content_type}
        show_json({**shown, **_body(answer.body)})
    elif not output:
        sys.stdout.buffer.write(answer.body)
        if answer.body and not answer.body.endswith(b"\n") and sys.stdout.isatty():
            print()


def _only_endpoint(endpoints: list[dict[str, str]]) -> str:
    serving = [endpoint["EndpointName"] for endpoint in endpoints if endpoint["EndpointStatus"] == "InService"]
    names = serving or [endpoint["EndpointName"] for endpoint in endpoints]
    if len(names) == 1:
        return names[0]
    if not names:
        raise SeaproofError("there is no endpoint", next_step="`seaproof serve` deploys one.")
    raise SeaproofError(
        f"there are {len(names)} endpoints", next_step=f"Name one with --endpoint: {', '.join(sorted(names))}."
    )


def _body(body: bytes) -> dict[str, str]:
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(body).decode()}
