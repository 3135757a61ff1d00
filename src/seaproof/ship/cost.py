"""What a plan costs: instances by the hour, jobs at most, storage by the month, and what is left out.

It is drawn from a plan for an empty account, so that it counts what will stand, not what is missing. USD.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from seaproof.ship.plan import Plan
from seaproof.ship.prices import HOSTING, TRAINING, Prices

HOURS = 730.0
"""Of a month, as AWS counts it."""
HOUR, JOB, MONTH, MILLION = "hour", "job", "month", "million requests"
SERVERLESS_SECONDS = 0.1
"""How long a request to a serverless endpoint is taken to run, where nothing is known."""

LEFT_OUT = (
    "data transfer, S3 requests, CloudWatch logs and alarms, images in ECR, KMS and VPC endpoints",
    "taxes, free tier, savings plans and other discounts",
    "models and results that jobs leave in S3; storage there is that of what is uploaded",
)


@dataclass(frozen=True)
class Item:
    """One thing that costs. `low` and `high` are USD for each `per`; None where the table has no price."""

    what: str
    per: str
    low: float | None
    high: float | None
    note: str = ""


@dataclass(frozen=True)
class Cost:
    """All of a stage."""

    prices: Prices
    region: str
    items: tuple[Item, ...]
    left_out: tuple[str, ...]

    @property
    def monthly(self) -> tuple[float, float]:
        """The least and the most of what stands, for a month; without jobs and requests."""
        standing = [item for item in self.items if item.per in (HOUR, MONTH)]
        hours = {HOUR: HOURS, MONTH: 1.0}
        low = sum((item.low or 0.0) * hours[item.per] for item in standing)
        return low, sum((item.high or 0.0) * hours[item.per] for item in standing)

    @property
    def unknown(self) -> tuple[str, ...]:
        """What the table has no price of."""
        return tuple(item.what for item in self.items if item.low is None)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        low, high = self.monthly
        return {
            "currency": "USD",
            "prices": {"date": self.prices.date, "region": self.prices.region, "source": self.prices.source},
            "region": self.region,
            "items": [asdict(item) for item in self.items],
            "monthly": {"low": round(low, 2), "high": round(high, 2)},
            "unknown": list(self.unknown),
            "left_out": list(self.left_out),
        }


def estimate(plan: Plan, prices: Prices) -> Cost:
    """The cost of a plan that was drawn for an empty account (`blank.whole`)."""
    requests: dict[str, list[Mapping[str, Any]]] = {}
    for step in plan.steps:
        requests.setdefault(step.call.operation, []).append(step.call.request)
    bounds = {
        str(request["ResourceId"]).rpartition("/")[2]: (int(request["MinCapacity"]), int(request["MaxCapacity"]))
        for request in requests.get("RegisterScalableTarget", [])
    }
    items: list[Item] = []
    for config in requests.get("CreateEndpointConfig", []):
        variants = [*config["ProductionVariants"], *config.get("ShadowProductionVariants", [])]
        for variant in variants:
            items += _variant(variant, bounds.get(variant["VariantName"]), prices)
    for request in requests.get("CreateTrainingJob", []):
        items += _training(request, prices)
    size = sum(step.size for step in plan.steps)
    if size:
        monthly = size / 1e9 * prices.rates["s3_gb_month"]
        items.append(Item(f"{size / 1e6:,.1f} MB of uploads in S3", MONTH, monthly, monthly))
    return Cost(prices, plan.region, tuple(items), LEFT_OUT)


def _variant(variant: Mapping[str, Any], bounds: tuple[int, int] | None, prices: Prices) -> Iterator[Item]:
    name = variant["VariantName"]
    if "ServerlessConfig" in variant:
        yield from _serverless(name, variant["ServerlessConfig"], prices)
        return
    kind, count = variant["InstanceType"], int(variant["InitialInstanceCount"])
    price = prices.of(HOSTING, kind)
    least, most = bounds or (count, count)
    shown = f"{least} to {most}" if least != most else str(least)
    what = f"endpoint, variant {name}: {shown} x {kind}"
    if price is None:
        yield Item(what, HOUR, None, None, f"the table has no price of {kind}")
        return
    yield Item(what, HOUR, least * price, most * price, f"{price:g} each; from its creation until it is deleted")
    volume = variant.get("VolumeSizeInGB")
    if volume:
        rate = volume * prices.rates["volume_gb_month"]
        yield Item(f"volumes of variant {name}: {shown} x {volume} GB", MONTH, least * rate, most * rate)


def _serverless(name: str, config: Mapping[str, Any], prices: Prices) -> Iterator[Item]:
    memory = config["MemorySizeInMB"] / 1024
    price = memory * prices.rates["serverless_gb_second"] * SERVERLESS_SECONDS * 1e6
    note = f"at {SERVERLESS_SECONDS:g} s each; nothing while nobody asks"
    yield Item(f"endpoint, variant {name}: serverless, {memory:g} GB", MILLION, price, price, note)
    if config.get("ProvisionedConcurrency"):
        what = f"provisioned concurrency of variant {name}: {config['ProvisionedConcurrency']}"
        yield Item(what, HOUR, None, None, "the table has no price of provisioned concurrency")


def _training(request: Mapping[str, Any], prices: Prices) -> Iterator[Item]:
    resources, stopping = request["ResourceConfig"], request["StoppingCondition"]
    kind, count = resources["InstanceType"], int(resources["InstanceCount"])
    hours = stopping["MaxRuntimeInSeconds"] / 3600
    price = prices.of(TRAINING, kind)
    what = f"training job: {count} x {kind}"
    if price is None:
        yield Item(what, JOB, None, None, f"the table has no price of {kind}")
        return
    spot = (
        "; as a spot job it costs less, by how much is known when it ends"
        if "EnableManagedSpotTraining" in request
        else ""
    )
    volume = count * resources["VolumeSizeInGB"] * prices.rates["volume_gb_month"] / HOURS
    each = count * price + volume
    note = f"{each:.3g} an hour with its volume; the most is its time limit, {hours:g} h{spot}"
    yield Item(what, JOB, 0.0, each * hours, note)
