"""A call to one model of a multi-model container, without I/O: the model is loaded first, and again if it got lost.

Source: developer guide, "Custom containers contract for multi-model endpoints". What is not written there is decided in
docs/multi-model-endpoints.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from urllib.parse import quote

from seaproof.contract.http import MODELS
from seaproof.errors import HttpError, ServiceError
from seaproof.invocations.chain import Call, Exchange, Reply, Wait
from seaproof.invocations.hop_body import HopBody
from seaproof.invocations.models import Model, Outcome, Phase, TargetModels

Failed = Callable[[Model, Outcome], Exception]


@lru_cache(4096)
def invoke_path(name: str) -> str:
    """Where a loaded model is invoked."""
    return f"{MODELS}/{quote(name, safe='')}/invoke"


def exchange(models: TargetModels, target: str, call: Call, failed: Failed | None = None) -> Exchange:
    """The call to the model `target`: the container's reply, or that to a load which it refused.

    The time that a load takes is not part of the call's own. A 404 means that the container does not know the model:
    it is loaded and asked once more, unless the container says that it had the model all the while. A body that is
    passed on while it comes can be sent only once: so the container is asked before whether it has the model (GET
    /models/<name>), and a 404 to the call itself is the answer.

    ServiceError (ModelNotReadyException after the loader's patience, ValidationError) and HttpError where a load
    fails; where `failed` is given, what it makes of the outcome is raised instead.
    """
    unknown: Reply | None = None
    once = unchecked = isinstance(call.body, HopBody)
    while True:
        model = models.enter(target)
        try:
            loaded = unknown is None and model.phase is Phase.LOADED
            hit = loaded or model.ready.done()
            if not loaded:
                if not hit:
                    yield Wait(model.ready, models.patience)
                    if not model.ready.done():
                        raise not_ready()
                outcome = model.ready.result()
                if failed is not None and (outcome.error or outcome.refusal):
                    raise failed(model, outcome)
                if outcome.error is not None:
                    raise _again(outcome.error)
                if outcome.refusal is not None:
                    return outcome.refusal
                if unknown is not None and outcome.was_loaded:
                    return unknown
            if hit and unchecked:
                unchecked = False
                there: Reply = yield _looking_for(model, call)
                if there.status == 404:
                    models.lost(model)
                    continue
            models.used(model, hit=hit)
            path = invoke_path(model.name)
            reply: Reply = yield call if call.target == path else replace(call, target=path)
            if reply.status != 404 or once or unknown is not None:
                return reply
            unknown = reply
            models.lost(model)
        finally:
            models.leave(model)


def _looking_for(model: Model, call: Call) -> Call:
    """Asks the container of the call whether it has the model."""
    path = invoke_path(model.name).removesuffix("/invoke")
    return Call(call.host, call.port, [], b"", call.timeout, call.max_body, method="GET", target=path)


def not_ready() -> ServiceError:
    """The load takes longer than a caller waits. It goes on, so that a later call finds the model."""
    return ServiceError(
        "ModelNotReadyException",
        "Either a serverless variant's resources are still being provisioned, or a multi-model endpoint is still "
        "downloading or loading the target model. Wait and try your request again.",
        status=429,
    )


def _again(error: ServiceError | HttpError) -> ServiceError | HttpError:
    """The same error anew: several callers raise it, and a traceback belongs to one."""
    if isinstance(error, HttpError):
        return HttpError(error.kind, error.what, where=error.where, next_step=error.next_step)
    return ServiceError(error.code, error.message, status=error.status, members=error.members)
