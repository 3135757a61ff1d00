"""What a container on the platform cannot do: write its model, reach the internet, mount, be another user."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from seaproof.check.check import RUN, SERVING, STATIC, Evidence, Finding, Unchecked, check, fail, warn
from seaproof.check.startup import comes_up, ends, startup
from seaproof.check.subject import Subject

_RESERVED = (
    "/opt/ml/input",
    "/opt/ml/output",
    "/opt/ml/model",
    "/opt/ml/models",
    "/opt/ml/checkpoints",
    "/opt/ml/processing",
)
_SHOWN = 8
_NOT_PERMITTED = re.compile(
    r"[^\n]*(?:Operation not permitted|EPERM|must be superuser|/dev/fuse|docker\.sock"
    r"|Cannot connect to the Docker daemon)[^\n]*",
    re.IGNORECASE,
)
_PRIVILEGED = re.compile(r"mount|fuse|docker|iptables|sysctl|unshare|nice|modprobe|chroot|ulimit|setcap", re.IGNORECASE)
_STRANGER = 48271
"""A user id that no image knows."""


@check(
    "SP044",
    "Nothing that is needed lies where the platform mounts its own folders",
    row=44,
    symptom="code that is in the image is gone when it runs",
    platform="mounts its folders over /opt/ml/input, output, model and checkpoints: what the image has there is gone",
    fix="COPY . /opt/program/        # or /opt/ml/code, which stays",
    stage=STATIC,
    roles=(*SERVING, "training"),
    mark="D",
    sources="tt#82",
)
def nothing_is_hidden(subject: Subject) -> Iterator[Finding]:
    files, config = subject.files(), subject.config()
    found: list[str] = []
    for entry in files.walk("/opt/ml"):
        if entry.is_file and entry.path.startswith(tuple(f"{folder}/" for folder in _RESERVED)):
            found.append(entry.path)
            if len(found) > _SHOWN:
                break
    if not found:
        return
    told = Evidence("in the image", "\n".join(found[:_SHOWN] + (["..."] if len(found) > _SHOWN else [])))
    words = [*config.entrypoint, *config.command, *config.environment.values()]
    used = next((path for path in found if any(path in word for word in words)), "")
    if used or any(path.startswith(("/opt/ml/input/", "/opt/ml/output/")) for path in found):
        yield fail(f"{used or found[0]} is hidden by the platform's mount", told)
    else:
        yield warn(f"{found[0]} is hidden as soon as the model has data of its own", told)


@check(
    "SP034",
    "It runs as the platform's user, with a model folder that cannot be written to",
    row=34,
    symptom="PermissionError, or `Read-only file system`",
    platform="mounts /opt/ml/model read-only when serving, and expects images that run as root",
    fix='cache = "/tmp/cache"        # not a folder below /opt/ml/model',
    stage=RUN,
    roles=SERVING,
    mark="D",
    sources="it#72; mlflow#5544; MMS#949; sdk#4764",
)
def read_only_model_is_enough(subject: Subject) -> Iterator[Finding]:
    if not subject.lab.isolates and not subject.target.address:
        raise Unchecked(
            "namespaces are not allowed here, so no folder can be read-only", next_step="Use --driver docker."
        )
    started = startup(subject)
    if started.lifted == "model" and started.first:
        yield fail("it comes up only where it may write to /opt/ml/model", *started.first.evidence())
    elif found := re.search(r"[^\n]*(?:Read-only file system|EROFS)[^\n]*", started.log):
        yield warn("it tries to write to a folder that is read-only", Evidence("it said", found[0]))
    user = subject.target.config.user if subject.target.config else ""
    if user not in ("", "0", "root", "0:0", "root:root"):
        yield warn(
            f"the image runs as {user}; the documentation asks for root in images for inference",
            Evidence("USER", user),
            fix="Remove USER, or: USER root",
        )


@check(
    "SP134",
    "It runs as a user that the image does not know",
    symptom="PermissionError on a serverless endpoint only",
    platform="may run the image of a serverless endpoint under another, unprivileged user id",
    fix="RUN chmod -R o+rwX /opt/program",
    stage=RUN,
    roles=("serverless",),
    mark="D",
    sources="serverless-endpoints-troubleshooting",
)
def any_user_will_do(subject: Subject) -> Iterator[Finding]:
    yield from _with(subject, f"as user {_STRANGER}", "it does not come up as another user", user=_STRANGER)


@check(
    "SP035",
    "It runs without shared memory",
    row=35,
    symptom="`[Errno 38] Function not implemented`, or errors that name /dev/shm, on a serverless endpoint",
    platform="is likely to have no /dev/shm on serverless endpoints, as hosts of that kind do not",
    fix="Use threads, or one process: MODEL_SERVER_WORKERS=1",
    stage=RUN,
    roles=("serverless",),
    mark="I",
    sources="pandarallel#128, exchangelib PR#1001",
)
def shared_memory_is_not_needed(subject: Subject) -> Iterator[Finding]:
    for found in _with(subject, "without /dev/shm", "it does not come up without /dev/shm", shared_memory=False):
        yield warn(found.cause, *found.evidence)


def _with(subject: Subject, said: str, cause: str, **changes: Any) -> Iterator[Finding]:
    """A finding where it comes up as usual, and not with this change."""
    if not startup(subject).healthy:
        raise Unchecked("the container did not become healthy under the usual conditions either", blocks=False)
    if not subject.lab.isolates:
        raise Unchecked("this needs namespaces or Docker", next_step="Use --driver docker.")
    subject.lab.say(f"starting it {said}")
    again = comes_up(subject, **changes)
    if not again.healthy:
        yield fail(cause, *again.evidence())


@check(
    "SP038",
    "Its start needs nothing from the internet",
    row=38,
    symptom="a download by pip or HF hangs, then /ping fails",
    platform="gives no way out with EnableNetworkIsolation, in a VPC without NAT, or when it validates a model package",
    fix="Put it into the image: RUN pip install -r requirements.txt",
    stage=RUN,
    roles=SERVING,
    mark="D",
    sources="ex#2995; sdk#1142, #2199",
)
def internet_is_not_needed(subject: Subject) -> Iterator[Finding]:
    if not subject.lab.isolates and not subject.target.address:
        raise Unchecked("namespaces are not allowed here, so nothing can be isolated", next_step="Use --driver docker.")
    started = startup(subject)
    if started.lifted != "network" or started.first is None:
        return
    isolated = any(request.body.get("EnableNetworkIsolation") for request in subject.target.requests)
    cause = "it comes up only with a way to the internet"
    if isolated:
        yield fail(f"{cause}, and the request has EnableNetworkIsolation", *started.first.evidence())
    else:
        yield warn(f"{cause}: not isolated, and not in a VPC without NAT", *started.first.evidence())


@check(
    "SP040",
    "It needs no rights that a container does not have",
    row=40,
    symptom="`Operation not permitted` from mount, FUSE or docker",
    platform="starts no privileged container: no mount, no FUSE, no docker in it",
    fix="Read from S3 with boto3 or from a channel, instead of mounting a bucket.",
    stage=RUN,
    roles=(*SERVING, "training"),
    mark="U",
    sources="sagemaker-containers#243",
)
def no_rights_are_needed(subject: Subject) -> Iterator[Finding]:
    if not subject.lab.isolates and not subject.target.address:
        raise Unchecked(
            "namespaces are not allowed here, so no rights are taken away", next_step="Use --driver docker."
        )
    trained = subject.lab.has("training")
    healthy = (not subject.serves() or startup(subject).healthy) and (trained is None or trained.completed)
    for _, _, log in ends(subject):
        lines = [line for line in _NOT_PERMITTED.findall(log) if _PRIVILEGED.search(line) or "EPERM" in line]
        if lines:
            told = Evidence("it said", "\n".join(line.strip() for line in lines[:5]))
            cause = "it asks for something that only a privileged container may do"
            yield warn(f"{cause}, and goes on without", told) if healthy else fail(cause, told)
