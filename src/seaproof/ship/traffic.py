"""Traffic of an endpoint that is in service: shifted between its variants, or given back to what served before."""

from __future__ import annotations

import difflib
from typing import Any

from seaproof.errors import SeaproofError
from seaproof.ship import waiting
from seaproof.ship.endpoint import deployment
from seaproof.ship.plan import Call, Step
from seaproof.ship.record import Record
from seaproof.ship.shipment import EndpointShape
from seaproof.ship.target import Target
from seaproof.ship.waiting import Watcher


def shifted(target: Target, endpoint: str, variant: str, percent: float) -> Step:
    """The step that gives a variant this share of the traffic; the others keep their proportions in what is left."""
    weights = _weights(target, endpoint)
    if variant not in weights:
        raise SeaproofError(
            f"endpoint {endpoint} has no variant {variant!r}", next_step=f"It has: {', '.join(weights)}."
        )
    others = {name: weight for name, weight in weights.items() if name != variant}
    if not others:
        raise SeaproofError(
            f"endpoint {endpoint} has one variant, which has all the traffic",
            next_step="Add another under [[ship.endpoint.variants]], ship, and promote it.",
        )
    left, whole = 100.0 - percent, sum(others.values())
    new = {name: left * weight / whole if whole else left / len(others) for name, weight in others.items()}
    new[variant] = percent
    desired = [{"VariantName": name, "DesiredWeight": round(new[name], 3)} for name in weights]
    request = {"EndpointName": endpoint, "DesiredWeightsAndCapacities": desired}
    call = Call("sagemaker", "UpdateEndpointWeightsAndCapacities", request)
    return Step(f"give {variant} {percent:g} % of the traffic of {endpoint}", call, waits_for="endpoint")


def returned(target: Target, endpoint: str, record: Record, config: str, shape: EndpointShape) -> Step:
    """The step that gives the endpoint an earlier configuration: `config`, or the one before the one it has."""
    now = str(described(target, endpoint)["EndpointConfigName"])
    if not config:
        earlier = [name for name in record.endpoint_configs if name != now]
        if not earlier:
            raise SeaproofError(
                f"nothing is known that endpoint {endpoint} served before {now}",
                next_step="--to names a configuration; `aws sagemaker list-endpoint-configs` shows those there are.",
            )
        position = record.endpoint_configs.index(now) if now in record.endpoint_configs else 0
        before = [name for name in record.endpoint_configs[:position] if name != now]
        config = (before or earlier)[-1]
    if target.find("sagemaker", "DescribeEndpointConfig", {"EndpointConfigName": config}) is None:
        raise SeaproofError(f"endpoint config {config} is no longer there", next_step="--to names another.")
    request = {"EndpointName": endpoint, "EndpointConfigName": config, **deployment(shape)}
    return Step(f"give {endpoint} back to {config}", Call("sagemaker", "UpdateEndpoint", request), waits_for="endpoint")


def described(target: Target, endpoint: str) -> dict[str, Any]:
    """The endpoint as it is; SeaproofError names those that there are where it is not there."""
    found = target.find("sagemaker", "DescribeEndpoint", {"EndpointName": endpoint})
    if found is not None:
        return found
    names = [str(each["EndpointName"]) for each in target.pages("sagemaker", "ListEndpoints", {}, "Endpoints")]
    shown = difflib.get_close_matches(endpoint, names, n=5, cutoff=0.3) or names[:5]
    there = f"There {'is' if len(shown) == 1 else 'are'} {', '.join(shown)}." if shown else "There is none at all."
    raise SeaproofError(
        f"there is no endpoint {endpoint} in account {target.account}, region {target.region}",
        next_step=f"{there} `seaproof ship` brings up that of a stage; --region and --stage look elsewhere.",
    )


def do(step: Step, target: Target, watcher: Watcher) -> dict[str, Any]:
    """Do it, and wait until it is done; the endpoint as it is then."""
    watcher.step(1, 1, step)
    target.call(step.call.service, step.call.operation, step.call.request)
    return waiting.wait(step, target, watcher)


def _weights(target: Target, endpoint: str) -> dict[str, float]:
    return {
        str(variant["VariantName"]): float(variant.get("DesiredWeight", variant.get("CurrentWeight", 1.0)))
        for variant in described(target, endpoint).get("ProductionVariants", [])
    }
