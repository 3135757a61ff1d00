"""What a stage costs: by the shipped table, by one read from a price list, and what is not known."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from ship_lab import ACCOUNT, FILE, REGION, Account, project_in, seaproof, shipped

from seaproof.errors import SeaproofError
from seaproof.project import Project
from seaproof.settings import Settings
from seaproof.ship import blank, cost, drawing, prices, shipment

TABLE = prices.Prices(
    "2026-01-01",
    REGION,
    "a test",
    {"Hosting": {"ml.m5.large": 0.5}, "Training": {"ml.m5.large": 2.0}},
    {"serverless_gb_second": 0.00002, "volume_gb_month": 0.14, "s3_gb_month": 0.023},
)


def costs(folder: Path, more: str = "", table: prices.Prices = TABLE) -> cost.Cost:
    project = project_in(folder, FILE + more)
    draft = blank.whole(project, Settings(), shipment.read(project), ACCOUNT, REGION)
    return cost.estimate(drawing.everything(draft), table)


def test_an_endpoint_costs_by_the_hour_and_a_job_until_its_time_limit(tmp_path: Path):
    found = costs(
        tmp_path, "[ship.endpoint]\ninstance_count = 2\n[ship.training]\nmax_runtime = 7200\ninstance_count = 3\n"
    )
    endpoint, job, uploads = found.items

    assert (endpoint.per, endpoint.low, endpoint.high) == ("hour", 1.0, 1.0)
    assert (job.per, job.low) == ("job", 0.0)
    assert job.high == pytest.approx(2 * 3 * (2.0 + 30 * 0.14 / 730))
    assert uploads.per == "month"
    assert found.monthly == pytest.approx((730.0, 730.0), abs=0.01)


def test_autoscaling_gives_the_least_and_the_most(tmp_path: Path):
    found = costs(tmp_path, "[ship.endpoint.autoscaling]\nmin = 1\nmax = 4\n")

    assert (found.items[0].low, found.items[0].high) == (0.5, 2.0)
    assert found.monthly == pytest.approx((365.0, 1460.0), abs=0.01)


def test_a_serverless_endpoint_costs_by_its_requests(tmp_path: Path):
    found = costs(tmp_path, "[ship.endpoint.serverless]\nmemory = 2048\n")

    assert (found.items[0].per, found.items[0].high) == ("million requests", pytest.approx(4.0))
    assert found.monthly == pytest.approx((0.0, 0.0), abs=0.01)


def test_what_the_table_does_not_have_is_unknown_and_not_nothing(tmp_path: Path):
    found = costs(tmp_path, '[ship.endpoint]\ninstance_type = "ml.m4.xlarge"\n')

    assert found.items[0].low is None
    assert found.unknown == ("endpoint, variant AllTraffic: 1 x ml.m4.xlarge",)
    assert found.as_json()["unknown"] == list(found.unknown)


def test_the_table_that_ships_says_its_date_and_has_the_usual_instances():
    table = prices.shipped()

    assert table.date.startswith("20")
    assert table.of("Hosting", "ml.m5.large") == 0.115
    assert table.of("Training", "ml.g5.xlarge") == 1.408
    assert table.of("Hosting", "ml.m4.xlarge") is None


def product(usage: str, price: str, term: str = "OnDemand") -> str:
    """One product as the price list gives it: JSON in a string."""
    dimension = {"unit": "Hrs", "pricePerUnit": {"USD": price}}
    return json.dumps(
        {
            "product": {"sku": usage, "attributes": {"usagetype": usage, "regionCode": REGION}},
            "serviceCode": "AmazonSageMaker",
            "terms": {term: {f"{usage}.T": {"priceDimensions": {f"{usage}.T.D": dimension}}}},
            "publicationDate": "2026-11-02T10:00:00Z",
        }
    )


PAGES = {
    "": [product("EU-Host:ml.m5.large", "0.128"), product("EU-Train:ml.m5.large", "0.129")],
    "two": [
        product("EU-Tsform:ml.m5.large", "0.127"),
        product("EU-Notebk:ml.m5.large", "9"),
        product("EU-Host:ml.c5.large", "9", "Reserved"),
    ],
}


@contextmanager
def a_price_list() -> Iterator[tuple[str, list[dict[str, object]]]]:
    """A price list behind an address, in two pages, and what it was asked."""
    asked: list[dict[str, object]] = []

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({"operation": self.headers["X-Amz-Target"], **request})
            page = str(request.get("NextToken", ""))
            answer = {"FormatVersion": "aws_v1", "PriceList": PAGES[page], **({"NextToken": "two"} if not page else {})}
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_table_is_read_from_the_price_list_and_used_from_then_on(moto_url: str, tmp_path: Path):
    project_in(tmp_path)
    with a_price_list() as (url, asked):
        before = seaproof(tmp_path, moto_url, "plan", "--cost")
        done = seaproof(tmp_path, moto_url, "prices", "--refresh", AWS_ENDPOINT_URL_PRICING=url)
        after = seaproof(tmp_path, moto_url, "plan", "--cost", "--json")

    assert before.returncode == done.returncode == after.returncode == 0, before.stderr + done.stderr + after.stderr
    assert "prices of us-east-1" in before.stdout
    assert f"note: these are no prices of {REGION}; `seaproof prices --refresh --region {REGION}`" in before.stdout
    assert "0.12 each hour  endpoint, variant AllTraffic: 1 x ml.m5.large" in before.stdout
    assert "left out: data transfer" in before.stdout
    assert [each["operation"] for each in asked] == ["AWSPriceListService.GetProducts"] * 2
    assert asked[0]["Filters"] == [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": REGION}]
    found = json.loads(after.stdout)["cost"]
    assert found["prices"] == {"date": "2026-11-02", "region": REGION, "source": "AWS Price List Query API"}
    assert found["items"][0]["low"] == 0.128


def test_a_broken_table_is_said_with_the_way_out(tmp_path: Path):
    path = prices.path_of(tmp_path, REGION)
    path.parent.mkdir(parents=True)
    path.write_text("{}")

    with pytest.raises(SeaproofError, match="seaproof prices --refresh"):
        prices.load(tmp_path, REGION)


def test_what_stands_already_is_counted_too(account: Account, project: Project):
    shipped(project, account)
    done = seaproof(project.root, account.url, "plan", "--cost", "--json")

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["steps"] == []
    assert [item["per"] for item in found["cost"]["items"]] == ["hour", "job", "month"]


def test_a_plan_of_an_empty_account_makes_no_calls(tmp_path: Path):
    project = project_in(tmp_path)
    draft = blank.whole(project, Settings(), shipment.read(project), ACCOUNT, REGION)

    assert drawing.everything(draft).names["endpoint"] == "flowers"
    with pytest.raises(SeaproofError, match="makes no call s3:ListBuckets"):
        draft.target.call("s3", "ListBuckets", {})
