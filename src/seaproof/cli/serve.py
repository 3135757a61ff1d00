"""`seaproof serve`: a trained model on an endpoint, in the foreground or left running."""

from __future__ import annotations

import tarfile
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from seaproof.api.client import Client
from seaproof.cli import requests
from seaproof.cli.app import WorkloadFailed
from seaproof.cli.by_config import served_session
from seaproof.cli.endpoints import wait_until_gone
from seaproof.cli.interruption import ctrl_c_waits
from seaproof.cli.screen import Screen
from seaproof.cli.session import Session, coordinator, driver_option, open_session, project_options, show_json
from seaproof.cli.train import POLL_SECONDS, show_new_log
from seaproof.errors import SeaproofError, ServiceError
from seaproof.ship.requests import endpoint_config, model, new_name, this_machine

CHANGING = ("Creating", "Updating", "RollingBack", "SystemUpdating", "Deleting")


@click.command("serve")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@project_options
@driver_option
@click.option("--model", "source", help="A job's name, a model.tar.gz, a folder, or s3://.  [default: the last job]")
@click.option("--no-model", is_flag=True, help="The container needs no model archive.")
@click.option("--endpoint", help="Name of the endpoint; one that is there is updated.  [default: the project's]")
@click.option("--detach", is_flag=True, help="Leave it running and return.")
@click.option("--port", type=int, help="With FILES: the port; 0 takes a free one.  [default: 8080]")
@click.option("--python", help="With FILES: the Python that has the model's libraries.  [default: this one]")
@click.option("--no-pickle", is_flag=True, help="With FILES: refuse models that are pickles.")
def command(
    files: tuple[Path, ...],
    folder: Path,
    as_json: bool,
    driver: str | None,
    source: str | None,
    no_model: bool,
    endpoint: str | None,
    detach: bool,
    port: int | None,
    python: str | None,
    no_pickle: bool,
) -> None:
    """Deploy a trained model: Model, EndpointConfig and Endpoint, until it is InService.

    In the foreground it shows the container's log, and the endpoint goes with the command (Ctrl-C). With --detach it
    stays until `seaproof endpoints delete` or `seaproof down`. An endpoint of that name that is there already is
    updated without losing a request, and stays.

    With FILES, no project is needed: a saved model is served as it is, under the whole container contract. Formats:
    CatBoost, XGBoost, LightGBM, ONNX, scikit-learn, MOJO, PyTorch, model.py.

    \b
      seaproof serve --detach            the last training job's model
      seaproof serve model.cbm           a saved model
      seaproof serve model.tar.gz        what hosting would unpack
    """
    if files:
        others = {"--model": source, "--no-model": no_model, "--endpoint": endpoint, "--detach": detach}
        others["--driver"] = driver
        if given := [option for option, value in others.items() if value]:
            raise click.UsageError(f"{given[0]} is for a project's endpoint; FILES are served without one")
        from seaproof.cli.serve_file import serve_files

        serve_files(files, port=port, python=python, no_pickle=no_pickle, as_json=as_json)
        return
    if port is not None or python or no_pickle:
        raise click.UsageError("--port, --python and --no-pickle are for FILES, and none is given")
    if source is not None and no_model:
        raise click.UsageError("--model and --no-model exclude each other")
    session = served_session(open_session(folder, as_json, driver=driver))
    requests.check_project(session.project)
    name = requests.check_name(endpoint or session.project.endpoint.name or session.project.name, "--endpoint")
    with Screen(quiet=as_json) as screen, coordinator(session) as client:
        url = None if no_model else find_model(session, client, source)
        screen.step(f"{name}: {url or 'no model archive'}")
        settled(client, name, screen)
        operation, request, shown = prepare(session, client, name, url)
        with ExitStack() as held:
            with ctrl_c_waits() as came:
                client.call(operation, request)
                ours = operation == "CreateEndpoint"  # and not that of another command, which came first
                if ours and not detach:
                    # In the foreground, an endpoint that this command created is deleted when it ends, however.
                    held.enter_context(client.hold(name))
            if came():
                raise KeyboardInterrupt
            described = wait_until_settled(client, name, screen, shown)
            show(described, client.url, as_json)
            if not detach:
                _stay(client, name, screen, shown, described["CreationTime"] if ours else None)


def show(endpoint: dict[str, Any], url: str, as_json: bool) -> None:
    """What is in service now, and how to ask it."""
    if as_json:
        show_json(endpoint)
        return
    name = endpoint["EndpointName"]
    route, option = ("async-invocations", " --async") if "AsyncInferenceConfig" in endpoint else ("invocations", "")
    print(f"{name} is in service at {url}/endpoints/{name}/{route}")
    print(f"Try: seaproof predict FILE --endpoint {name}{option}", flush=True)


def settled(client: Client, name: str, screen: Screen) -> str:
    """The status of an endpoint once nothing is being done to it any more; "" where there is none."""
    while True:
        try:
            status = str(client.call("DescribeEndpoint", {"EndpointName": name})["EndpointStatus"])
        except ServiceError:
            return ""
        if status not in CHANGING:
            return status
        screen.step(f"{name}: {status}, waiting until that is done")
        time.sleep(POLL_SECONDS)


def find_model(session: Session, client: Client, source: str | None) -> str:
    """The s3:// address of the model archive that `source` means; SeaproofError where there is none."""
    if source is None:
        found = client.pages("ListTrainingJobs", {"StatusEquals": "Completed"}, "TrainingJobSummaries")
        if not found:
            raise SeaproofError(
                "no training job of this project has completed",
                next_step="Run `seaproof train`, or say --model PATH, or --no-model.",
            )
        source = str(found[0]["TrainingJobName"])
    if source.startswith("s3://"):
        return source
    path = Path(source)
    if path.is_dir():
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / "model.tar.gz"
            with tarfile.open(archive, "w:gz") as tar:
                for member in sorted(path.iterdir()):
                    tar.add(member, member.name)
            return requests.put_model(session.project, session.state, archive)
    if path.is_file():
        return requests.put_model(session.project, session.state, path)
    try:
        job = client.call("DescribeTrainingJob", {"TrainingJobName": source})
    except ServiceError as error:
        raise SeaproofError(
            f"{source!r} is no training job, no file and no folder",
            next_step="`seaproof jobs list` shows the jobs there are.",
        ) from error
    uri = job.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    if job["TrainingJobStatus"] != "Completed" or not uri:
        raise SeaproofError(
            f"training job {source} is {job['TrainingJobStatus']} and left no model to serve",
            next_step=f"`seaproof jobs describe {source}` says more.",
        )
    return str(uri)


def deploy(session: Session, client: Client, name: str, url: str | None) -> dict[str, int]:
    """Ask for a new model and config, and for an endpoint of this name, or its update.

    Returns how far its log streams had come before, for `wait_until_settled`.
    """
    operation, request, shown = prepare(session, client, name, url)
    client.call(operation, request)
    return shown


def prepare(session: Session, client: Client, name: str, url: str | None) -> tuple[str, dict[str, Any], dict[str, int]]:
    """Make all that `deploy` needs; the operation and the request that are left to be called, and what it returns."""
    project = session.project
    version = new_name(project)
    client.call("CreateModel", model(project, this_machine(project, session.settings), version, url))
    client.call("CreateEndpointConfig", endpoint_config(project, version, version))
    request = {"EndpointName": name, "EndpointConfigName": version}
    status = settled(client, name, Screen(quiet=True))
    shown: dict[str, int] = {}
    show_new_log(client, "Endpoints", name, shown, Screen(quiet=True))
    if status in ("Failed", "OutOfService"):
        client.call("DeleteEndpoint", {"EndpointName": name})
        wait_until_gone(client, name)
    return "UpdateEndpoint" if status == "InService" else "CreateEndpoint", request, shown


def wait_until_settled(
    client: Client, name: str, screen: Screen, offsets: dict[str, int] | None = None
) -> dict[str, Any]:
    """Show an endpoint's steps and log until it is in service; WorkloadFailed with the reason where it failed.

    `offsets` says how far each log stream was shown before, for an endpoint that is updated.
    """
    offsets = {} if offsets is None else offsets
    while True:
        found = client.call("DescribeEndpoint", {"EndpointName": name})
        show_new_log(client, "Endpoints", name, offsets, screen)
        if found["EndpointStatus"] not in CHANGING:
            break
        screen.step(f"{name}: {found['EndpointStatus']}")
        time.sleep(POLL_SECONDS)
    if found["EndpointStatus"] != "InService" or found.get("FailureReason"):
        kept = "; the version before it goes on serving" if found["EndpointStatus"] == "InService" else ""
        raise WorkloadFailed(
            f"endpoint {name} could not be brought into service{kept}: {found.get('FailureReason', 'no reason given')}",
            next_step=f"Its whole log: seaproof endpoints logs {name}",
        )
    return found


def _stay(client: Client, name: str, screen: Screen, offsets: dict[str, int], created: float | None) -> None:
    """Show the log until Ctrl-C; an endpoint that this command created, then, is deleted then."""
    try:
        screen.line("Ctrl-C deletes it." if created else "Ctrl-C leaves; the endpoint was there before and stays.")
        while True:
            show_new_log(client, "Endpoints", name, offsets, screen)
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        if not created:
            return
        screen.step(f"{name}: Deleting")
        try:
            if client.call("DescribeEndpoint", {"EndpointName": name})["CreationTime"] != created:
                return  # another one, which took its name when it was deleted
            client.call("DeleteEndpoint", {"EndpointName": name})
        except ServiceError:
            return  # it is gone; or it is being changed, and goes after that, as nobody holds it any more
        wait_until_gone(client, name)
