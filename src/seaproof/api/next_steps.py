"""What to do about an error of the service: a sentence of ours beside its message, which stays as clients know it.

Only what is certain is said; most errors say themselves what they want. The command line shows it, SDKs pass it over.
"""

from __future__ import annotations

import re

from seaproof.control.containers import KIND
from seaproof.control.plane import Plane
from seaproof.errors import ServiceError

_BY_MESSAGE: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), next_step)
    for pattern, next_step in (
        (r"^Requested resource not found\.$", "`seaproof jobs list` shows the jobs that there are."),
        (r"^Could not find endpoint \"", "`seaproof endpoints list` shows the endpoints that there are."),
        (
            r"^Could not find endpoint configuration \"",
            "Create it first (CreateEndpointConfig); `seaproof serve` makes model, configuration and endpoint in one.",
        ),
        (
            r"^Could not find model \"",
            "Create it first (CreateModel); `seaproof serve` makes model, configuration and endpoint in one.",
        ),
        (
            r"^Could not find model data at ",
            "A job that left nothing in /opt/ml/model has no model.tar.gz; see `seaproof jobs describe NAME`.",
        ),
        (r"^Could not find requested job with name", "`seaproof jobs list` shows the jobs that there are."),
        (r"^Job name must be unique", "Take another name; a job cannot be deleted or run again."),
        (r"^Processing job names must be unique", "Take another name; a job cannot be deleted or run again."),
        (r"^Training job names must be unique", "Take another name; a job cannot be deleted or run again."),
        (r"^Cannot create already existing endpoint \"", "Take another name, or `seaproof endpoints delete NAME`."),
    )
)

_BY_ENDING = {
    " is missing a target model header.": "Name a model by its key below the prefix: TargetModel, or "
    "`seaproof predict --target-model NAME.tar.gz`.",
    " It is invoked by InvokeEndpointAsync only.": "`seaproof predict --async` does so, and waits for the answer.",
}


def add(error: ServiceError) -> ServiceError:
    """The same error, with the next step that its message is known to call for."""
    if not error.next_step:
        found = (next_step for pattern, next_step in _BY_MESSAGE if pattern.search(error.message))
        error.next_step = next(found, "")
    return error


def add_to_invocation(plane: Plane, endpoint: str, error: ServiceError) -> ServiceError:
    """The same error of InvokeEndpoint, with what to do; an endpoint not found may be there, and not in service."""
    if error.next_step or error.code != "ValidationError":
        return error
    for ending, next_step in _BY_ENDING.items():
        if error.message.endswith(ending):
            error.next_step = next_step
    if not error.message.endswith(" not found."):
        return error
    record = plane.store.get(KIND, endpoint)
    if record is None:
        error.next_step = "`seaproof endpoints list` shows the endpoints that there are."
    elif error.message.startswith("Variant "):
        error.next_step = f"`seaproof endpoints describe {endpoint}` shows its variants."
    elif record.status == "Failed":
        error.next_step = (
            f"It is there, and Failed: `seaproof endpoints describe {endpoint}` says why,"
            f" `seaproof endpoints logs {endpoint}` shows what it printed."
        )
    else:
        error.next_step = f"It is there, and {record.status}: wait until it is InService."
    return error
