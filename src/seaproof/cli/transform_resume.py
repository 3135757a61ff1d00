"""`seaproof transform --resume JOB`: the request of a job that goes on with another, and what of it may differ.

How the rest is sent may: a container that took no such size is given smaller requests, bad records are put aside. What
the output is may not, as part of it is written already.
"""

from __future__ import annotations

from typing import Any

import click

from seaproof.api.client import Client
from seaproof.cli.shipping import was_given
from seaproof.cli.transform_request import Asked, client_of, options_of
from seaproof.control.transform_options import tag_of
from seaproof.errors import SeaproofError

ANEW = ("max_payload", "concurrent", "single", "instances", "timeout", "retries", "pairs")
"""Options of the command that a job may have otherwise than the one that it goes on with: fields of the request."""
ANEW_TAGS = ("quarantine", "spread", "engine")
"""The same, of those that are tags."""
_OF_THE_COMMAND = ("resume", "folder", "as_json", "driver", "output", "name", "detach", "dry_run")
_KEPT = (
    "ModelName",
    "MaxConcurrentTransforms",
    "ModelClientConfig",
    "MaxPayloadInMB",
    "BatchStrategy",
    "Environment",
    "TransformInput",
    "TransformOutput",
    "TransformResources",
    "DataProcessing",
)


def check_options(output: str | None) -> None:
    """UsageError where an option was given that would make another output than the one that was begun."""
    for parameter in click.get_current_context().command.params:
        if was_given(str(parameter.name)) and parameter.name not in (*ANEW, *ANEW_TAGS, *_OF_THE_COMMAND):
            raise click.UsageError(
                f"{max(parameter.opts, key=len)} does not go with --resume: what is written already was made without"
                " it. Begin anew, with INPUT in place of --resume"
            )
    if output and output.startswith("s3://"):
        raise click.UsageError("--output s3://... does not go with --resume: the output goes where it was begun")


def resume(client: Client, old: str, job: str, asked: Asked) -> str:
    """Go on with a job: with one that still runs, or in a new one that takes over what the old one had done; its name.

    SeaproofError where nothing is left to do, or one that runs were to be changed.
    """
    found = client.call("DescribeTransformJob", {"TransformJobName": old})
    if found["TransformJobStatus"] == "Completed":
        raise SeaproofError(f"transform job {old} is Completed; there is nothing left to do")
    if found["TransformJobStatus"] in ("InProgress", "Stopping"):
        if any(map(was_given, (*ANEW, *ANEW_TAGS))):
            raise SeaproofError(
                f"transform job {old} is {found['TransformJobStatus']} and keeps the options that it began with",
                next_step=f"Stop it first with `seaproof jobs stop {old}`, then say this again.",
            )
        return old
    tags = client.call("ListTags", {"ResourceArn": found["TransformJobArn"]})["Tags"]
    client.call("CreateTransformJob", again(found, tags, job, asked))
    return job


def again(old: dict[str, Any], tags: list[dict[str, str]], job: str, asked: Asked) -> dict[str, Any]:
    """CreateTransformJob of a job that goes on with the work of `old`, which is described, with these tags."""
    request = {key: old[key] for key in _KEPT if key in old}
    changed = {
        "MaxPayloadInMB": asked.max_payload,
        "MaxConcurrentTransforms": asked.concurrent,
        "BatchStrategy": "SingleRecord" if asked.single else None,
        "Environment": {**old.get("Environment", {}), **asked.pairs} or None,
        "ModelClientConfig": {**old.get("ModelClientConfig", {}), **(client_of(asked) or {})} or None,
    }
    request |= {key: value for key, value in changed.items() if value is not None}
    if was_given("instances"):
        request["TransformResources"] = {**request["TransformResources"], "InstanceCount": asked.instances}
    anew = {tag_of(name) for name in ANEW_TAGS if was_given(name)}
    kept = [tag for tag in tags if tag["Key"] not in {*anew, tag_of("resume")}]
    given = [tag for tag in options_of(asked).tags() if tag["Key"] in anew]
    resumed = {"Key": tag_of("resume"), "Value": old["TransformJobName"]}
    return {"TransformJobName": job, **request, "Tags": [*kept, *given, resumed]}
