"""`seaproof predict`: send a payload to an endpoint, print what it answers."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from seaproof.cli import queued
from seaproof.cli.answer import Answer
from seaproof.cli.session import living, open_session, project_options
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
@click.option("--variant", "target_variant", help="Production variant that is to answer.  [default: by weight]")
@click.option("--target-model", help="Model that is to answer, of a multi-model endpoint: its key below the prefix.")
@click.option("--container", "target_container", help="Container that is to answer, of a model whose Mode is Direct.")
@click.option("--session", "session_id", help="Stateful session; NEW_SESSION opens one, and its id is shown.")
@click.option("--inference-id", help="Your own id for this request; data capture keeps it.")
@click.option("--attributes", "custom_attributes", help="Custom attributes for the container.")
@click.option("--stream", is_flag=True, help="Print the answer while the container writes it.")
@click.option("--async", "asynchronous", is_flag=True, help="For an asynchronous endpoint: queue it, wait, print.")
@click.option("--no-wait", is_flag=True, help="With --async: print where the answer will be, and leave.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the answer to a file.")
def command(
    payload: Path,
    folder: Path,
    as_json: bool,
    endpoint: str | None,
    content_type: str | None,
    stream: bool,
    asynchronous: bool,
    no_wait: bool,
    output: Path | None,
    **members: str | None,
) -> None:
    """Send PAYLOAD (a file, or - for standard input) to an endpoint and print the answer.

    \b
      seaproof predict rows.csv
      echo '{"age": 41}' | seaproof predict - --content-type application/json
      seaproof predict prompt.json --stream
      seaproof predict rows.csv --async
      seaproof predict turn.json --session NEW_SESSION
    """
    if (stream and asynchronous) or (no_wait and not asynchronous):
        raise click.UsageError("--stream and --async exclude each other, and --no-wait goes with --async")
    session = open_session(folder, as_json)
    client = living(session)
    name = endpoint or _only_endpoint(client.pages("ListEndpoints", {}, "Endpoints"))
    if output and not output.absolute().parent.is_dir():
        raise SeaproofError("there is no such folder for the answer", where=str(output.absolute().parent))
    body = sys.stdin.buffer.read() if str(payload) == "-" else payload.read_bytes()
    members["content_type"] = content_type or CONTENT_TYPES.get(payload.suffix.lower(), "text/csv")
    to = Answer(name, output, as_json)
    if stream:
        to.parts(client.stream(name, body, **members))
    elif asynchronous:
        queued.send(session, client, to, body, members, wait=not no_wait)
    else:
        answer = client.invoke(name, body, **members)
        said = {"variant": answer.variant, "content_type": answer.content_type}
        sessions = {"new_session": answer.new_session, "closed_session": answer.closed_session}
        to.whole(answer.body, {**said, **{key: value for key, value in sessions.items() if value}})


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
