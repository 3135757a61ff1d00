"""Multi-model endpoints: the labels, the calls of the container API, and 507 before memory runs out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from typing import Any

from seaproof.check.check import COMPARE, RUN, Evidence, Finding, NotApplicable, Unchecked, check, fail, warn
from seaproof.check.options import Payload
from seaproof.check.run import Run, describe_problem
from seaproof.check.startup import Startup, start_once
from seaproof.check.subject import Subject
from seaproof.contract import environ, http
from seaproof.errors import HttpError
from seaproof.http.reply import Reply

_FIRST, _SECOND = "5a4f0e0d8c", "77c1b2a3e9"
"""Names as the platform makes them up: opaque."""
_MOST_MODELS = 48


@check(
    "SP012",
    "The image has the labels that its use needs",
    row=12,
    symptom='CreateModel: "does not contain required ... Docker label(s)"',
    platform="reads the labels of the image at CreateModel: several containers need one, multi-model another",
    fix="LABEL com.amazonaws.sagemaker.capabilities.multi-models=true\n"
    "LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true",
    stage=COMPARE,
    roles=("multi-model", "pipeline", "realtime"),
    mark="U",
    sources="djl-serving#708; pytorch-training#140; tf-serving#156; ex#3925",
)
def labels_are_there(subject: Subject) -> Iterator[Finding]:
    requests = [request.body for request in subject.target.requests if request.operation == "CreateModel"]
    several = any(len(body.get("Containers") or []) > 1 for body in requests)
    multi = any(
        container.get("Mode") == "MultiModel"
        for body in requests
        for container in [*(body.get("Containers") or []), body.get("PrimaryContainer") or {}]
    )
    wanted = []
    if multi or "multi-model" in subject.roles:
        wanted.append(http.LABEL_MULTI_MODELS)
    if several or "pipeline" in subject.roles:
        wanted.append(http.LABEL_BIND_TO_PORT)
    if not wanted:
        raise NotApplicable("one container with one model needs no label")
    config = subject.image_config()
    labels = config.labels
    for label in wanted:
        if labels.get(label, "").lower() == "true":
            continue
        if not config.complete:
            raise Unchecked("the base image is not here, and may bring the label", blocks=False)
        told = Evidence("labels", "\n".join(f"{name}={value}" for name, value in labels.items()) or "(none)")
        yield fail(f"the image has no label {label}=true", told, fix=f"LABEL {label}=true")


def _multi(subject: Subject, **changes: Any) -> Startup:
    """A start as a multi-model container, with two folders of models to load."""
    lab = subject.lab
    root = lab.new_opt_ml()
    for name in (_FIRST, _SECOND):
        folder = root / "models" / name / "model"
        folder.mkdir(parents=True)
        if (model := lab.model()) is not None:
            shutil.copytree(model, folder, dirs_exist_ok=True)
    changes.setdefault("read_only", ("models",) if lab.isolates else ())
    return start_once(subject, root, environment={environ.MULTI_MODEL: "true"}, steady=False, **changes)


def _call(
    run: Run, method: str, target: str, body: bytes = b"", kind: str = "application/json", *, seconds: float
) -> Reply | str:
    """The reply, or why there is none."""
    try:
        return run.request(
            method, target, headers=[(b"content-type", kind.encode())] if body else [], body=body, timeout=seconds
        )
    except HttpError as error:
        return describe_problem(error)


def _load(run: Run, name: str, folder: str, seconds: float) -> Reply | str:
    body = json.dumps({"model_name": name, "url": f"/opt/ml/models/{folder}/model"}).encode()
    return _call(run, "POST", "/models", body, seconds=seconds)


def _shown(reply: Reply | str) -> str:
    return reply if isinstance(reply, str) else f"{reply.status}  {reply.body[:200].decode('utf-8', 'replace')}"


@check(
    "SP013",
    "It answers the calls of the multi-model API",
    row=13,
    symptom="/ping fails, or 404 for GET /models",
    platform="starts it without a model, then lists, loads, invokes and unloads models with these calls",
    fix="Use a server with this API: seaproof-container, multi-model-server, TorchServe 0.5 and later.",
    stage=RUN,
    roles=("multi-model",),
    mark="D",
    sources="pytorch/serve#397, #1028",
)
def multi_model_calls_are_answered(subject: Subject) -> Iterator[Finding]:
    if subject.target.address:
        raise Unchecked("a container that runs already is not started as a multi-model one", blocks=False)
    subject.lab.say("starting it as a multi-model container, without a model")
    started = _multi(subject)
    run = started.run
    if run is None or not started.healthy:
        yield fail("it is not healthy without a model", *started.evidence())
        return
    try:
        yield from _exchange(run, subject.options.payload, subject.options.invocation_seconds)
    finally:
        run.stop(0)


def _exchange(run: Run, payload: Payload | None, seconds: float) -> Iterator[Finding]:
    """The calls in the order in which the platform makes them; the first that goes wrong ends it."""
    for said, text, call, expected in _steps(run, payload, seconds):
        reply = call()
        if isinstance(reply, str) or reply.status not in expected:
            wanted = expected[0] if len(expected) == 1 else "2xx"
            yield fail(f"{said} is not answered with {wanted}", Evidence("reply", _shown(reply)))
            return
        if text and text.encode() not in reply.body:
            yield fail(f"the answer to {said} does not name {text!r}", Evidence("reply", _shown(reply)))
            return


Step = tuple[str, str, Callable[[], Reply | str], tuple[int, ...]]
"""What is asked, a text that the answer has, the call, and the states that are right."""


def _steps(run: Run, payload: Payload | None, seconds: float) -> Iterator[Step]:
    one = f"/models/{_FIRST}"

    def call(*words: Any) -> Callable[[], Reply | str]:
        return lambda: _call(run, *words, seconds=seconds)

    def load() -> Reply | str:
        return _load(run, _FIRST, _FIRST, seconds)

    yield "GET /models without a model", "models", call("GET", "/models"), (200,)
    yield "POST /models", "", load, (200,)
    yield "POST /models of a model that is loaded", "", load, (409,)
    yield "GET /models with a model", _FIRST, call("GET", "/models"), (200,)
    yield f"GET {one}", _FIRST, call("GET", one), (200,)
    yield "GET /models/unknown", "", call("GET", "/models/unknown"), (404,)
    if payload is not None:
        invoke = call("POST", f"{one}/invoke", payload.body, payload.content_type)
        yield f"POST {one}/invoke", "", invoke, tuple(range(200, 300))
    yield f"DELETE {one}", "", call("DELETE", one), (200,)
    yield f"GET {one} after it was deleted", "", call("GET", one), (404,)


@check(
    "SP014",
    "It answers 507 before its memory runs out",
    row=14,
    symptom="the instance of a multi-model endpoint is killed: 507 never came",
    platform="unloads models when a load or an invocation is answered with 507; who dies loses all of them",
    fix="Answer 507 to POST /models where the next model does not fit.",
    stage=RUN,
    roles=("multi-model",),
    mark="U",
    sources="triton PR#4392",
)
def insufficient_memory_is_told(subject: Subject) -> Iterator[Finding]:
    if subject.target.address:
        raise Unchecked("a container that runs already is not filled", blocks=False)
    limit = subject.options.memory
    started = _multi(subject)
    run = started.run
    if run is None or not started.healthy:
        raise Unchecked("it is not healthy without a model; see SP013", blocks=False)
    subject.lab.say(f"loading models until {limit / 1024**2:,.0f} MiB are full")
    try:
        loaded = 0
        for number in range(_MOST_MODELS):
            reply = _load(run, f"model{number}", _FIRST, subject.options.invocation_seconds)
            if isinstance(reply, str) or reply.status not in (200, 507):
                exit = run.exit(1.0)
                told = Evidence("reply", _shown(reply)), Evidence("log", run.log_tail())
                memory = exit is not None and (exit.out_of_memory or exit.code == 137)
                if exit is not None:
                    why = "its memory ran out" if memory else f"it ended with exit code {exit.code}"
                    yield fail(f"with {loaded} models loaded {why}, and 507 never came", *told)
                elif loaded:
                    yield warn(f"with {loaded} models loaded the next is not answered with 507", *told)
                else:
                    raise Unchecked("no model could be loaded; see SP013", blocks=False)
                return
            if reply.status == 507:
                return
            loaded += 1
    finally:
        run.stop(0)
    raise Unchecked(
        f"{loaded} models did not fill {limit / 1024**2:,.0f} MiB; SEAPROOF_MEMORY sets a smaller limit", blocks=False
    )
