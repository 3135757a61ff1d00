"""What AWS would refuse of [ship], found when the file is read: ranges, words of a closed set, what goes with what.

The rest is found when the plan is drawn (`validity`). Sources: the API reference of SageMaker, its guides on deployment
guardrails and on the quotas of serverless endpoints, the S3 user guide on the names of buckets.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from seaproof.errors import ProjectError
from seaproof.project import Project

if TYPE_CHECKING:
    from seaproof.ship.shipment import EndpointShape, Shipment, TrainingShape, TransformShape

Problem = tuple[str, Any, str]
"""A key below [ship], its value, and what can stand there."""

STRATEGIES = ("all-at-once", "canary", "linear")
PLATFORMS = ("linux/amd64", "linux/arm64")
LONGEST_JOB = 28 * 24 * 3600
"""Seconds."""
MEMORIES = range(1024, 6145, 1024)
_PERCENTS = {"canary": (5, 50), "linear": (10, 50)}
_GRAVITON = re.compile(r"ml\.[a-z]+\d+g[a-z]*\.")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_RESERVED = re.compile(r"^(xn--|sthree-|amzn-s3-demo-)|(-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)$")
_ADDRESS = re.compile(r"\d+(\.\d+){3}")
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[\w-]{1,256}(\.fifo)?")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:[._/]|__|-+)[a-z0-9]+)*")
_ROLE = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/.+")


def check(shipment: Shipment, project: Project) -> None:
    """ProjectError names every key with a value that AWS would refuse, the value, and what can stand there."""
    found = [*_of_place(shipment), *_of_image(shipment, project), *_of_instances(shipment, project)]
    found += [*_of_training(shipment.training, project), *_of_transform(shipment.transform)]
    found += [*_of_endpoint(shipment.endpoint), *_without_instances(shipment)]
    if not found:
        return
    problems = [f"{_place(key, shipment.stage, project)} is {_shown(value)}: {wanted}" for key, value, wanted in found]
    raise ProjectError(
        "; ".join(problems),
        where=str(project.file or project.root),
        next_step="Change it there; nothing was made.",
    )


def topic_problem(topic: str) -> str:
    """What is wrong with the ARN of an SNS topic; empty where nothing is."""
    return "" if _TOPIC.fullmatch(topic) else "the ARN of an SNS topic, arn:aws:sns:REGION:ACCOUNT:NAME, is expected"


def near(word: str, words: Iterable[str], most: int = 3) -> str:
    """`; did you mean a, b?` for words like this one; empty where there are none."""
    close = difflib.get_close_matches(str(word).lower(), list(words), n=most, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def one_of(word: Any, words: Iterable[str]) -> str:
    """Why a word is not one of a closed set: all of a short one, of a long one those that are like it."""
    words = list(words)
    if len(words) <= 12:
        return f"one of {', '.join(words)} is expected{near(word, words, 1)}"
    return f"it is none of the {len(words)} that there are{near(word, words)}"


def _of_place(shipment: Shipment) -> Iterator[Problem]:
    if shipment.bucket and not _is_bucket(shipment.bucket):
        yield (
            "bucket",
            shipment.bucket,
            "a bucket has 3 to 63 of a-z, 0-9, hyphens and single dots, and is no IP address",
        )
    named = _ROLE_ARN if shipment.role.startswith("arn:") else _ROLE
    if not named.fullmatch(shipment.role):
        yield (
            "role",
            shipment.role,
            "the ARN of a role, or a name of at most 64 letters, digits and +=,.@_- is expected",
        )
    for name, value in shipment.tags.items():
        if name.lower().startswith("aws:") or not 1 <= len(name) <= 128 or len(value) > 256:
            yield f"tags.{name}", value, "a name of at most 128 characters, not aws:..., and at most 256 are expected"


def _of_image(shipment: Shipment, project: Project) -> Iterator[Problem]:
    shape = shipment.image
    name = shape.repository or project.name
    in_ecr = shipment.target == "aws" and not shape.uri and not shape.registry
    if in_ecr and not (_REPOSITORY.fullmatch(name) and 2 <= len(name) <= 256):
        yield "image.repository", name, "ECR wants 2 to 256 of a-z, 0-9, and single . _ - / between them"
    if shape.platform not in PLATFORMS:
        yield "image.platform", shape.platform, one_of(shape.platform, PLATFORMS)


def _of_instances(shipment: Shipment, project: Project) -> Iterator[Problem]:
    """Instance types, where they are named; the architecture of those that run the image that is built."""
    endpoint, image = shipment.endpoint, shipment.image
    named = {
        "training.instance_type": shipment.training.instance_type or project.training.instance_type,
        "transform.instance_type": shipment.transform.instance_type,
    }
    if not endpoint.serverless:
        named["endpoint.instance_type"] = endpoint.instance_type or project.endpoint.instance_type
    for number, variant in enumerate(endpoint.variants, 1):
        if "InstanceType" in variant:
            named[f"endpoint.variants {number}, InstanceType"] = str(variant["InstanceType"])
    for key, kind in named.items():
        if not kind.startswith("ml."):
            yield key, kind, f"instance types begin with ml., such as {'ml.' + kind if '.' in kind else 'ml.m5.large'}"
        elif key.startswith("endpoint") and not image.uri and image.platform in PLATFORMS:
            needed = PLATFORMS[bool(_GRAVITON.match(kind))]
            if image.platform != needed:
                yield key, kind, f"it runs images for {needed}, and [ship.image] platform is {image.platform}"


def _of_training(shape: TrainingShape, project: Project) -> Iterator[Problem]:
    if bool(shape.subnets) != bool(shape.security_groups):
        given, other = ("subnets", "security_groups") if shape.subnets else ("security_groups", "subnets")
        yield f"training.{given}", list(getattr(shape, given)), f"it goes with {other}, which is missing"
    runtime = shape.max_runtime or project.training.max_runtime
    if shape.max_wait and not shape.spot:
        yield "training.max_wait", shape.max_wait, "it goes with spot = true"
    elif shape.max_wait and shape.max_wait < runtime:
        yield "training.max_wait", shape.max_wait, f"it holds waiting and running, so at least max_runtime, {runtime}"
    yield from _within("training.max_runtime", runtime, 1, LONGEST_JOB)
    yield from _within("training.retries", shape.retries, 0, 30)


def _of_transform(shape: TransformShape) -> Iterator[Problem]:
    yield from _within("transform.max_payload", shape.max_payload, 0, 100)
    if shape.concurrency * shape.max_payload > 100 and shape.max_payload <= 100:
        most = f"times max_payload, {shape.max_payload} MB, it is at most 100"
        yield "transform.concurrency", shape.concurrency, most


def _of_endpoint(shape: EndpointShape) -> Iterator[Problem]:
    yield from _of_serverless(shape)
    yield from _of_scaling(shape)
    yield from _of_deployment(shape)
    given = shape.asynchronous
    if "output" in given and not _is_address(given["output"]):
        yield "endpoint.async.output", given["output"], "an s3:// address is expected"
    if "concurrency" in given:
        yield from _within("endpoint.async.concurrency", given["concurrency"], 1, 1000)
    for key in ("success_topic", "error_topic"):
        if key in given and topic_problem(str(given[key])):
            yield f"endpoint.async.{key}", given[key], topic_problem(str(given[key]))
    if "percentage" in shape.capture:
        yield from _within("endpoint.capture.percentage", shape.capture["percentage"], 0, 100)
    if "destination" in shape.capture and not _is_address(shape.capture["destination"]):
        yield "endpoint.capture.destination", shape.capture["destination"], "an s3:// address is expected"


def _of_serverless(shape: EndpointShape) -> Iterator[Problem]:
    given = shape.serverless
    if not given:
        return
    if "memory" in given and (isinstance(given["memory"], bool) or given["memory"] not in MEMORIES):
        yield "endpoint.serverless.memory", given["memory"], f"MB, one of {', '.join(map(str, MEMORIES))}, is expected"
    concurrency = given.get("concurrency", 5)
    wrong = list(_within("endpoint.serverless.concurrency", concurrency, 1, 200))
    yield from wrong
    if "provisioned" in given:
        most = 200 if wrong else concurrency
        yield from _within("endpoint.serverless.provisioned", given["provisioned"], 1, most, "of concurrency")
    for other in ("asynchronous", "autoscaling"):
        if getattr(shape, other):
            key = f"endpoint.{'async' if other == 'asynchronous' else other}"
            yield key, dict(getattr(shape, other)), "it does not go with [ship.endpoint.serverless]"


def _without_instances(shipment: Shipment) -> Iterator[Problem]:
    """What serverless endpoints exclude, by the guide on them."""
    endpoint, other = shipment.endpoint, "it does not go with [ship.endpoint.serverless]"
    if not endpoint.serverless:
        return
    if endpoint.capture:
        yield "endpoint.capture", dict(endpoint.capture), other
    if len(endpoint.variants) > 1:
        yield "endpoint.variants", len(endpoint.variants), f"of several, {other}"
    if shipment.model.mode != "single":
        yield "model.mode", shipment.model.mode, other
    if shipment.training.subnets:
        yield "training.subnets", list(shipment.training.subnets), f"the model has them too, and {other}"
    if shipment.image.registry:
        yield "image.registry", shipment.image.registry, other


def _of_scaling(shape: EndpointShape) -> Iterator[Problem]:
    given, key = shape.autoscaling, "endpoint.autoscaling"
    if not given:
        return
    least = 0 if shape.asynchronous else 1
    wrong = [*_within(f"{key}.min", given.get("min", 1), least), *_within(f"{key}.max", given.get("max", 2), 1)]
    yield from wrong
    if not wrong and given.get("min", 1) > given.get("max", 2):
        yield f"{key}.min", given.get("min", 1), f"it is at most max, {given.get('max', 2)}"
    if "invocations" in given and (not _is_number(given["invocations"]) or given["invocations"] <= 0):
        yield f"{key}.invocations", given["invocations"], "a number above 0 is expected: invocations a minute"
    for name in ("cooldown_in", "cooldown_out"):
        if name in given:
            yield from _within(f"{key}.{name}", given[name], 0)


def _of_deployment(shape: EndpointShape) -> Iterator[Problem]:
    given, key = shape.deployment, "endpoint.deployment"
    strategy = given.get("strategy", STRATEGIES[0])
    if strategy not in STRATEGIES:
        yield f"{key}.strategy", strategy, f"it is none of {', '.join(STRATEGIES)}{near(str(strategy), STRATEGIES, 1)}"
    elif "percent" in given and strategy not in _PERCENTS:
        yield f"{key}.percent", given["percent"], f"it goes with {' and '.join(_PERCENTS)}, not with {strategy}"
    elif "percent" in given:
        yield from _within(f"{key}.percent", given["percent"], *_PERCENTS[strategy])
    if "wait" in given:
        yield from _within(f"{key}.wait", given["wait"], 0, 3600)
    if "max_seconds" in given:
        yield from _within(f"{key}.max_seconds", given["max_seconds"], 600, 28800)
    alarms = given.get("alarms", [])
    if (
        not isinstance(alarms, list)
        or not all(isinstance(alarm, str) and alarm for alarm in alarms)
        or len(alarms) > 10
    ):
        yield f"{key}.alarms", alarms, "a list of at most 10 names of alarms is expected"


def _within(key: str, value: Any, least: int, most: int | None = None, of: str = "") -> Iterator[Problem]:
    if isinstance(value, int) and not isinstance(value, bool) and value >= least and (most is None or value <= most):
        return
    until = f"from {least} to {most}" if most is not None else f"from {least} on"
    yield key, value, f"a whole number {until}{' ' * bool(of)}{of} is expected"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"s3://[^/]+(/.*)?", value) is not None


def _is_bucket(name: str) -> bool:
    """By S3's rules for general purpose buckets."""
    return (
        bool(_BUCKET.fullmatch(name))
        and ".." not in name
        and not _ADDRESS.fullmatch(name)
        and not _RESERVED.search(name)
    )


def _place(key: str, stage: str, project: Project) -> str:
    """The key as it stands in the file: of the stage where that has it, of [training] or [endpoint], else of [ship]."""
    path = key.partition(" ")[0].rstrip(",").split(".")

    def has(table: Any) -> bool:
        for part in path:
            if not isinstance(table, dict) or part not in table:
                return False
            table = table[part]
        return True

    if stage and has(project.stages.get(stage, {})):
        return f"stage.{stage}.{key}"
    if key in ("training.instance_type", "endpoint.instance_type", "training.max_runtime") and not has(
        dict(project.ship)
    ):
        return key
    return f"ship.{key}"


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
