"""The page of one endpoint, and what endpoints were asked since the server began."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote

from seaproof.api.client import Client
from seaproof.contract.http import TARGET_MODEL
from seaproof.dashboard.layout import document, facts, is_busy, moment, pre, state, table, why
from seaproof.dashboard.logs import logs
from seaproof.errors import ServiceError

_SAMPLE = re.compile(r"(\w+)\{(.*)\} (\S+)")
_ENDPOINT = re.compile(r'endpoint="((?:[^"\\]|\\.)*)"')


@dataclass
class Traffic:
    """What one endpoint was asked, all variants together."""

    requests: int = 0
    failed: int = 0
    seconds: float = 0.0
    """Of the containers, all requests together."""

    def told(self) -> str:
        """How many, and how many of them failed."""
        if not self.requests:
            return "none yet"
        return f"{self.requests:,}, {f'{self.failed:,}' if self.failed else 'none'} of them failed"

    def mean(self) -> str:
        """The mean time of a request."""
        return f"{self.seconds / self.requests * 1000:,.1f} ms" if self.requests else ""


def traffic(client: Client) -> dict[str, Traffic]:
    """By endpoint, as /metrics has it: counted since the local server began."""
    found: dict[str, Traffic] = {}
    for line in client.metrics().splitlines():
        sample = _SAMPLE.fullmatch(line)
        labelled = _ENDPOINT.search(sample[2]) if sample else None
        if not sample or not labelled:
            continue
        counts = found.setdefault(labelled[1], Traffic())
        if sample[1] == "Invocations_total":
            counts.requests += int(float(sample[3]))
        elif sample[1] == "InvocationModelErrors_total":
            counts.failed += int(float(sample[3]))
        elif sample[1] == "ModelLatency_seconds_sum":
            counts.seconds += float(sample[3])
    return found


def endpoint_page(client: Client, name: str) -> str:
    """What is known of the endpoint; ServiceError where there is none of this name."""
    found = client.call("DescribeEndpoint", {"EndpointName": name})
    status = found["EndpointStatus"]
    served = traffic(client).get(name, Traffic())
    variants = [*found.get("ProductionVariants", []), *found.get("ShadowProductionVariants", [])]
    parts = [
        "<p><a href='/'>All that is here</a></p>",
        f"<h1>{escape(name)}</h1>",
        f"<p>{state(status)} <span class='soft'>endpoint</span></p>",
        why(found.get("FailureReason")),
        facts(
            {
                "requests": served.told(),
                "mean time": served.mean(),
                "config": found.get("EndpointConfigName"),
                "created": moment(found["CreationTime"]),
                "changed": moment(found.get("LastModifiedTime")),
            }
        ),
    ]
    if variants:
        parts += ["<h2>Variants</h2>", table(map(_variant, variants), ("variant", "image", "#weight", "#instances"))]
    if status == "InService":
        parts += ["<h2>Ask it</h2>", pre(_how_to_ask(client, name, found))]
    rows = [
        (model["model"], len(model["loaded"]), model["invocations"], model["hits"])
        for model in client.models()
        if model["endpoint"] == name
    ]
    if rows:
        parts += ["<h2>Models</h2>", table(rows, ("model", "#loaded", "#calls", "#found loaded"))]
    if events := client.events("endpoint", name):
        told = [(moment(event["time"]), event["type"], event["message"]) for event in events]
        parts += ["<h2>What happened</h2>", table(told, ("@when", "what", ""))]
    parts += ["<h2>Log</h2>", logs(client, "Endpoints", name, f"seaproof endpoints logs {name}")]
    return document(name, *parts, busy=is_busy(status))


def _how_to_ask(client: Client, name: str, found: dict[str, Any]) -> str:
    """Commands that ask this endpoint."""
    address = f"{client.url}/endpoints/{quote(name)}/invocations"
    ask = f"seaproof predict rows.csv --endpoint {name}"
    curl = "curl -H 'Content-Type: text/csv'"
    if "AsyncInferenceConfig" in found:
        return f"{ask} --async"
    if _has_many_models(client, found):
        ask, curl = f"{ask} --target-model NAME.tar.gz", f"{curl} -H '{TARGET_MODEL}: NAME.tar.gz'"
    return f"{ask}\n{curl} -d '1,2,3' {address}"


def _has_many_models(client: Client, found: dict[str, Any]) -> bool:
    try:
        config = client.call("DescribeEndpointConfig", {"EndpointConfigName": found["EndpointConfigName"]})
        model = client.call("DescribeModel", {"ModelName": config["ProductionVariants"][0]["ModelName"]})
    except (ServiceError, KeyError, IndexError):
        return False  # they were deleted since, which harms no endpoint
    return bool(model.get("PrimaryContainer", {}).get("Mode") == "MultiModel")


def _variant(variant: dict[str, Any]) -> tuple[object, ...]:
    images = ", ".join(image.get("SpecifiedImage", "") for image in variant.get("DeployedImages", []))
    serverless = variant.get("CurrentServerlessConfig")
    count = "serverless" if serverless else variant.get("CurrentInstanceCount", "")
    return variant["VariantName"], images, f"{variant.get('CurrentWeight', 0):g}", count
