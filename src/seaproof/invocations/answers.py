"""The errors of InvokeEndpoint, in the platform's wording: codes, statuses, members.

Clients branch on these texts. What the platform does not document is chosen here and argued in
docs/decisions/invocation-errors.md.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from seaproof.contract.http import ENABLE_EXPLANATIONS, INFERENCE_COMPONENT, TARGET_CONTAINER, TARGET_MODEL
from seaproof.errors import HttpError, ServiceError
from seaproof.invocations.chain import StepFailed
from seaproof.invocations.routing import Container, Variant
from seaproof.invocations.terms import Terms
from seaproof.settings import Settings

CLIENT_ERROR = "CLIENT_ERROR_FROM_MODEL"
SERVER_ERROR = "INTERNAL_FAILURE_FROM_MODEL"
TIMEOUT = "MODEL_INVOCATION_TIMEOUT"

# An error page may be as large as a body; in an error message this many characters of it are enough.
_MESSAGE_LIMIT = 10_000

NOT_SUPPORTED = {
    TARGET_MODEL.lower().encode(): "is not a multi-model endpoint and does not support target model header",
    TARGET_CONTAINER.lower().encode(): "does not invoke its containers directly and does not support target"
    " container hostname header",
    INFERENCE_COMPONENT.lower().encode(): "has no inference components and does not support inference component header",
    ENABLE_EXPLANATIONS.lower().encode(): "has no explainer and does not support enable explanations header",
}
"""Headers of features that no local endpoint has yet (lower case) -> what is said of the endpoint."""


def model_error(settings: Settings, endpoint: str, container: str, status: int, body: bytes) -> ServiceError:
    """The container answered something else than 2xx: 424, with its status and body inside."""
    text = body[: 4 * _MESSAGE_LIMIT].decode("utf-8", "replace")[:_MESSAGE_LIMIT]
    side, code = ("client", CLIENT_ERROR) if 400 <= status < 500 else ("server", SERVER_ERROR)
    message = (
        f'Received {side} error ({status}) from {container} with message "{text}". '
        f'See "seaproof endpoints logs {endpoint}" in account {settings.account} for more information.'
    )
    return _model_error(settings, endpoint, message, code=code, status=status, original=text)


def step_failed(settings: Settings, terms: Terms, endpoint: str, failed: StepFailed) -> ServiceError:
    """A container took the request and did not answer it with 2xx: 424 that names the container."""
    if failed.reply is not None:
        return model_error(settings, endpoint, failed.step.name, failed.reply.status, failed.reply.body)
    assert failed.error is not None
    return no_answer(settings, terms, endpoint, failed.step.name, failed.error)


def no_answer(settings: Settings, terms: Terms, endpoint: str, container: str, error: HttpError) -> ServiceError:
    """The container took the request and no usable answer came back: none in time, broken off, too large, not HTTP."""
    if error.kind == "timeout" and terms.streamed:
        message = (
            f"Your model {container} did not complete sending the inference response in the allotted time, "
            f'{terms.timeout:g} s ({terms.timeout_from}). "seaproof endpoints logs {endpoint}" shows what it printed.'
        )
        return _model_error(settings, endpoint, message, code=TIMEOUT, status=0, original=message)
    if error.kind == "timeout":
        message = (
            f"Your invocation timed out while waiting for a response from container {container}. Review the latency "
            "metrics for each container in Amazon CloudWatch, resolve the issue, and try again. Here that is: seaproof "
            f"endpoints logs {endpoint}, and GET /metrics of the local server. The container had "
            f"{terms.timeout:g} s ({terms.timeout_from}); it may still be busy with this request."
        )
        return _model_error(settings, endpoint, message, code=TIMEOUT, status=0, original=message)
    return model_error(settings, endpoint, container, 500, error.what.encode())


def oversize(settings: Settings, endpoint: str) -> ServiceError:
    """The request's body is over the limit of the profile."""
    limit = settings.profile.request_body.value
    if settings.profile.name == "serverless":
        return oversize_serverless(endpoint, limit)
    # The platform's front door answers this one, before there is an error type: clients see the status as code.
    return ServiceError("413", f"HTTP content length exceeded {limit} bytes.", status=413)


def oversize_serverless(endpoint: str, limit: int) -> ServiceError:
    """The request's body is over what a serverless variant takes."""
    return ServiceError("ValidationError", f"Request for endpoint {endpoint} has oversize body, over {limit} bytes")


def throttled(endpoint: str, variant: Variant) -> ServiceError:
    """A serverless variant works on as many requests as its MaxConcurrency allows. The platform gives no text."""
    return ServiceError(
        "ThrottlingException",
        f"Rate exceeded: variant {variant.name} of endpoint {endpoint} is serverless and works on {variant.concurrency}"
        " requests at once, its MaxConcurrency.",
    )


def no_session(endpoint: str, session: str) -> ServiceError:
    """The request is of a session that no instance keeps."""
    return ServiceError(
        "ValidationError",
        f"Session {session[:256]} of endpoint {endpoint} not found: it was closed, has expired, or its"
        " instance is gone. A request with SessionId NEW_SESSION opens one.",
    )


def wrong_kind(endpoint: str, *, asynchronous: bool) -> ServiceError:
    """An asynchronous endpoint is invoked as another one is, or the other way round."""
    if asynchronous:
        message = f"Endpoint {endpoint} is an asynchronous endpoint. It is invoked by InvokeEndpointAsync only."
    else:
        message = f"Endpoint {endpoint} is not an asynchronous endpoint: its configuration has no AsyncInferenceConfig."
    return ServiceError("ValidationError", message)


def too_long(member: str, limit: int) -> ServiceError:
    """A header is longer than the API model allows."""
    return ServiceError(
        "ValidationError",
        f"1 validation error detected: Value at '{member}' failed to satisfy constraint: "
        f"Member must have length less than or equal to {limit}",
    )


def not_supported(endpoint: str, header: bytes) -> ServiceError:
    """The request asks for something that this endpoint does not have."""
    return ServiceError("ValidationError", f"Endpoint {endpoint} {NOT_SUPPORTED[header]}.")


def missing_target_container(endpoint: str, containers: Sequence[Container]) -> ServiceError:
    """The containers of the endpoint are invoked directly, and the request names none."""
    return ServiceError(
        "ValidationError",
        f"Endpoint {endpoint} invokes its containers directly, and the request is missing a target container hostname "
        f"header. Its containers: {_names(containers)}.",
    )


def no_such_container(endpoint: str, target: str, containers: Sequence[Container]) -> ServiceError:
    """The request names a container that the endpoint does not have."""
    return ServiceError(
        "ValidationError",
        f"Endpoint {endpoint} has no container with hostname {target[:64]}. Its containers: {_names(containers)}.",
    )


def missing_target_model() -> ServiceError:
    """A multi-model endpoint is asked without TargetModel."""
    return ServiceError("ValidationError", f"Request {uuid.uuid4()} is missing a target model header.")


def no_target_model(target: str) -> ServiceError:
    """TargetModel can be no key below the prefix."""
    return ServiceError(
        "ValidationError",
        f"TargetModel {target[:200]!r} names no object below the endpoint's ModelDataUrl: it is a relative path of at "
        "most 1024 printable characters without empty, '.' and '..' segments, such as model.tar.gz or eu/model.tar.gz.",
    )


def endpoint_not_found(settings: Settings, endpoint: str) -> ServiceError:
    """There is no endpoint of this name in service."""
    return ServiceError("ValidationError", f"Endpoint {endpoint} of account {settings.account} not found.")


def variant_not_found(settings: Settings, endpoint: str, variant: str) -> ServiceError:
    """TargetVariant names a variant that the endpoint does not have."""
    return ServiceError(
        "ValidationError",
        f"Variant {variant} of endpoint {endpoint} of account {settings.account} not found.",
    )


def unavailable(settings: Settings, endpoint: str, refused: StepFailed | None) -> ServiceError:
    """No instance can take the request. Nothing was sent anywhere, so that a client may repeat it."""
    why = f" The last one tried: {refused.error.what}." if refused and refused.error else ""
    return ServiceError(
        "ServiceUnavailable",
        f"No instance of endpoint {endpoint} of account {settings.account} is able to take requests.{why}"
        f' A container that died is being replaced; "seaproof endpoints describe {endpoint}" shows the history.',
        status=503,
    )


def _names(containers: Sequence[Container]) -> str:
    return ", ".join(container.name for container in containers)


def _model_error(
    settings: Settings, endpoint: str, message: str, *, code: str, status: int, original: str
) -> ServiceError:
    group = f"/aws/sagemaker/Endpoints/{endpoint}"
    return ServiceError(
        "ModelError",
        message,
        status=424,
        members={
            "ErrorCode": code,
            "LogStreamArn": f"arn:aws:logs:{settings.region}:{settings.account}:log-group:{group}",
            "OriginalMessage": original,
            "OriginalStatusCode": status,
        },
    )
