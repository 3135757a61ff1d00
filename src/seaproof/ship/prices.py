"""Prices of SageMaker instances by the hour: a table that ships with its date, and a fresh one read from AWS.

USD, on demand. A table is of one region; what was read lies in the project's state, beside the record of what was
shipped. Source: AWS Price List Query API, service code AmazonSageMaker, usage types such as `USE1-Host:ml.m5.large`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from seaproof.errors import SeaproofError
from seaproof.ship.target import Target

HOSTING, TRAINING, TRANSFORM = "Hosting", "Training", "BatchTransform"
API_REGION = "us-east-1"
"""The price list answers there, for all regions."""

_USAGE = re.compile(r"(?:^|-)(Host|Train|Tsform):(ml\.[\w.-]+)$")
_KINDS = {"Host": HOSTING, "Train": TRAINING, "Tsform": TRANSFORM}


@dataclass(frozen=True)
class Prices:
    """One table."""

    date: str
    region: str
    source: str
    hourly: Mapping[str, Mapping[str, float]]
    """Hosting, Training or BatchTransform -> instance type -> USD an hour."""
    rates: Mapping[str, float]
    """serverless_gb_second, volume_gb_month, s3_gb_month: USD. Of us-east-1 in any table."""

    def of(self, kind: str, instance_type: str) -> float | None:
        """USD an hour; None where the table has no such instance."""
        return self.hourly.get(kind, {}).get(instance_type)

    def as_json(self) -> dict[str, Any]:
        """As `load` reads it."""
        return {
            "date": self.date,
            "region": self.region,
            "source": self.source,
            "hourly": {kind: dict(sorted(prices.items())) for kind, prices in self.hourly.items()},
            "rates": dict(self.rates),
        }


def shipped() -> Prices:
    """The table that came with this version."""
    return _read(resources.files("seaproof.ship").joinpath("prices.json").read_text(encoding="utf-8"))


def load(state: Path, region: str) -> Prices:
    """The table of this region that was read last; the shipped one where none was. SeaproofError where it is broken."""
    path = path_of(state, region)
    try:
        return _read(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return shipped()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SeaproofError(
            f"the table of prices cannot be read: {error!r}",
            where=str(path),
            next_step="Remove it, or write it anew: seaproof prices --refresh",
        ) from error


def path_of(state: Path, region: str) -> Path:
    """Where the table of a region lies."""
    return state / "ship" / f"prices-{region}.json"


def refresh(target: Target, state: Path, region: str) -> Prices:
    """Read the price list of a region and keep it. SeaproofError where it has none for that region."""
    asked = replace(target, region=API_REGION, clients={})
    filters = [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": region}]
    request = {"ServiceCode": "AmazonSageMaker", "Filters": filters}
    hourly: dict[str, dict[str, float]] = {HOSTING: {}, TRAINING: {}, TRANSFORM: {}}
    dates = set()
    texts: list[Any] = asked.pages("pricing", "GetProducts", request, "PriceList")
    for text in texts:
        product = json.loads(text)
        found = _USAGE.search(product["product"]["attributes"].get("usagetype", ""))
        price = _on_demand(product)
        if found and price:
            hourly[_KINDS[found[1]]][found[2]] = price
            dates.add(str(product.get("publicationDate", ""))[:10])
    if not any(hourly.values()):
        raise SeaproofError(
            f"the price list has no instances of SageMaker in {region}",
            next_step="Name a region of AWS: seaproof prices --refresh --region us-east-1",
        )
    prices = Prices(max(dates), region, "AWS Price List Query API", hourly, shipped().rates)
    path = path_of(state, region)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(prices.as_json(), indent=1) + "\n", encoding="utf-8")
    return prices


def _on_demand(product: Mapping[str, Any]) -> float:
    """USD for an hour on demand; 0 where the product is sold otherwise."""
    for term in product.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term["priceDimensions"].values():
            return float(dimension["pricePerUnit"].get("USD", 0))
    return 0.0


def _read(text: str) -> Prices:
    given = json.loads(text)
    hourly = {kind: {name: float(price) for name, price in of.items()} for kind, of in given["hourly"].items()}
    rates = {name: float(rate) for name, rate in given["rates"].items()}
    return Prices(str(given["date"]), str(given["region"]), str(given["source"]), hourly, rates)
