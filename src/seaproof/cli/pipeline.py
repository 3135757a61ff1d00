"""`seaproof pipeline`: a chain of containers behind one port, in the foreground."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from seaproof.cli.screen import Screen
from seaproof.cli.session import Session, driver_option, open_session, project_options, show_json

if TYPE_CHECKING:
    from seaproof.gateway.app import Report
    from seaproof.inference_pipeline import InferencePipeline

T = TypeVar("T")


@click.command("pipeline")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@project_options
@driver_option
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one.  [default: 9001]")
@click.option(
    "--replies",
    type=click.Choice(["last", "all"]),
    help="What a request gets: the last container's reply as it is, or a JSON object with the replies of all.  "
    "[default: all with a .jdn file, else last]",
)
@click.option("--hazal-headers", is_flag=True, help="Send every container application/x-www-form-urlencoded, as hazal.")
@click.option("--invocation-timeout", type=float, help="Seconds for all containers of a request.  [default: 60]")
@click.option("--check", is_flag=True, help="Say what would be adopted or started, and end.")
@click.option("--quiet", is_flag=True, help="No line for each request; failures are shown all the same.")
def command(
    file: Path | None,
    folder: Path,
    as_json: bool,
    driver: str | None,
    host: str | None,
    port: int | None,
    replies: str | None,
    hazal_headers: bool,
    invocation_timeout: float | None,
    check: bool,
    quiet: bool,
) -> None:
    """Send each request through a chain of containers: the reply of one is the request of the next.

    FILE names the containers in order: containers.jdn (as hazal has it), containers.json, containers.toml, or
    [[pipeline.containers]] in seaproof.toml. Without FILE, the one that is there is taken.

    \b
      $ cat containers.jdn
      [{:type "single" :container "sagemaker-pre"}
       {:type "multi"  :container "sagemaker-inf"}]
      $ docker run -d --name sagemaker-pre -p 8080 my-preprocessing serve
      $ docker run -d --name sagemaker-inf -p 8080 my-models serve
      $ seaproof pipeline
      $ curl 'localhost:9001/pipeline?model=allseeingeye' -d '{"x": 1}'

    Containers that run in Docker under that exact name are adopted and never stopped. One with image = "..." or
    folder = "..." is started, restarted when it dies, and stopped in the end. Ctrl-C ends it.

    ?replies=last|all chooses the reply, ?trace=1 gives the trace of every step. A request that fails names the step,
    what was sent, what came back, the container's last log lines, and what to do.
    """
    from seaproof.inference_pipeline import find_pipeline

    session = open_session(folder, as_json, driver=driver, host=host, port=port, invocation_timeout=invocation_timeout)
    pipeline = find_pipeline(file, folder, session.project)
    with Screen(quiet=as_json) as screen:
        for note in pipeline.notes:
            screen.line(f"note: {note}")
        if check:
            _show_plan(session, pipeline, screen)
        else:
            _serve(session, pipeline, screen, replies, hazal_headers, quiet)


def _serve(
    session: Session,
    pipeline: InferencePipeline,
    screen: Screen,
    replies: str | None,
    hazal_headers: bool,
    quiet: bool,
) -> None:
    from seaproof.dashboard.gateway import gateway_page
    from seaproof.gateway.app import Manner
    from seaproof.gateway.run import run

    manner = Manner(
        about=str(pipeline.file),
        replies=replies or ("all" if pipeline.is_hazals else "last"),
        hazal=pipeline.is_hazals,
        hazal_headers=hazal_headers,
        quiet=quiet,
    )
    names = [container.name for container in pipeline.containers]
    run(
        pipeline,
        session.project,
        session.settings,
        manner,
        say=_to_whoever_looks(screen.step),
        ready=_to_whoever_looks(lambda url: _show_ready(url, names, session.json)),
        report=_to_whoever_looks(lambda report: _show_request(report, session.json)),
        page=gateway_page,
    )


def _to_whoever_looks(show: Callable[[T], None]) -> Callable[[T], None]:
    """The same, but a terminal that is gone, or a log that is full, fails no request and no container."""

    def shown(what: T) -> None:
        try:
            show(what)
        except BrokenPipeError:
            _look_away()
        except OSError:
            pass  # the next line may find room again

    return shown


def _look_away() -> None:
    """What led to a reader that is gone leads nowhere from now on, so that Python ends well, too."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _show_plan(session: Session, pipeline: InferencePipeline, screen: Screen) -> None:
    from seaproof.gateway.containers import Containers

    plan = Containers(pipeline, session.project, session.settings, screen.line).plan()
    if session.json:
        show_json({"configuration": str(pipeline.file), "plan": plan})
        return
    print(pipeline.file)
    for number, line in enumerate(plan, 1):
        print(f"  {number}. {line}")


def _show_ready(url: str, names: list[str], as_json: bool) -> None:
    if as_json:
        print(json.dumps({"ready": f"{url}/pipeline", "containers": names}), flush=True)
        return
    print(f"{' -> '.join(names)} at {url}/pipeline; {url} says in a browser how to call it", flush=True)
    print("Ctrl-C ends it.", flush=True)


def _show_request(report: Report, as_json: bool) -> None:
    """One line for a request; all that is known of one that failed."""
    if as_json:
        print(json.dumps(asdict(report)), flush=True)
        return
    query = f"?{report.query}" if report.query else ""
    parts = [f"POST /pipeline{query}  {report.status}  {_ms(report.seconds)}"]
    parts += [f"loaded {load.model} into {load.container} {_ms(load.seconds)}" for load in report.loads]
    parts += [f"{name} {status or 'no answer'} {_ms(seconds)}" for name, status, seconds in report.steps]
    lines = "   ".join(parts) + (f"\n{report.problem}" if report.problem else "")
    print(lines, file=sys.stderr, flush=True)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
