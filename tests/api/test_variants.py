"""Production variants and shadow variants with boto3: who answers, who is asked besides, what is kept of it."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError
from runtime_lab import a_lab, order, until


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with a_lab(tmp_path_factory.mktemp("variants"), invocation_timeout=5.0) as lab:
        yield lab


def ask(lab, endpoint, body=b"{}", **more):
    """Who answered, and its answer."""
    answer = lab.aws("sagemaker-runtime").invoke_endpoint(EndpointName=endpoint, Body=body, **more)
    return answer["InvokedProductionVariant"], answer["Body"].read()


def test_weights_share_the_traffic_and_can_be_changed_while_it_runs(lab):
    endpoint = lab.deploy(
        {"VariantName": "a", "InitialVariantWeight": 3.0}, {"VariantName": "b", "InitialVariantWeight": 1.0}
    )
    sagemaker = lab.aws("sagemaker")
    before = Counter(ask(lab, endpoint)[0] for _ in range(200))
    named, body = ask(lab, endpoint, TargetVariant="b")

    changes = [
        {"VariantName": "a", "DesiredWeight": 0.0},
        {"VariantName": "b", "DesiredWeight": 1.0, "DesiredInstanceCount": 2},
    ]
    sagemaker.update_endpoint_weights_and_capacities(EndpointName=endpoint, DesiredWeightsAndCapacities=changes)
    during = {ask(lab, endpoint)[0] for _ in range(20)}
    found = lab.settle(endpoint)
    instances = {json.loads(ask(lab, endpoint)[1])["me"] for _ in range(40)}
    with pytest.raises(ClientError, match="Variant c of endpoint"):
        ask(lab, endpoint, TargetVariant="c")

    assert 110 < before["a"] < 185  # 150 of 200 on average, and five deviations to each side
    assert (named, json.loads(body)["name"]) == ("b", "b")
    assert during == {"b"}
    assert [(v["VariantName"], v["CurrentWeight"], v["CurrentInstanceCount"]) for v in found["ProductionVariants"]] == [
        ("a", 0.0, 1),
        ("b", 1.0, 2),
    ]
    assert len(instances) == 2
    assert ask(lab, endpoint, TargetVariant="a")[0] == "a"


def test_a_shadow_is_asked_the_same_and_what_it_answers_is_compared(lab):
    endpoint = lab.deploy({"VariantName": "live"}, shadow={"VariantName": "dark"})
    seen = lab.aws("sagemaker").describe_endpoint(EndpointName=endpoint)

    ask(lab, endpoint, b"1,2", ContentType="text/csv")
    until(lambda: lab.client.shadows(endpoint)["compared"] == 1)
    name, body = ask(lab, endpoint, order(), TargetVariant="live")
    found = until(lambda: (found := lab.client.shadows(endpoint))["compared"] == 2 and found)

    assert (name, json.loads(body)["name"]) == ("live", "live")
    assert [v["VariantName"] for v in seen["ProductionVariants"]] == ["live"]
    assert [v["VariantName"] for v in seen["ShadowProductionVariants"]] == ["dark"]
    assert (found["same"], found["different"], found["failed"]) == (1, 1, 0)
    (latest,) = found["latest"]
    assert (latest["production"]["variant"], latest["shadow"]["variant"]) == ("live", "dark")
    assert '"name": "dark"' in latest["shadow"]["body"]
    with pytest.raises(ClientError, match="Variant dark of endpoint"):
        ask(lab, endpoint, TargetVariant="dark")


def test_a_shadow_that_hangs_or_fails_is_nothing_to_the_caller(lab, tmp_path):
    endpoint = lab.deploy(
        {"VariantName": "live"},
        shadow={"VariantName": "dark", "Environment": {"DARK": "1"}},
    )
    go = tmp_path / "go"
    hangs, fails = {"sleep": 60}, {"until": str(go), "status": 500}
    answers = [ask(lab, endpoint, order(dark=dark))[0] for dark in [hangs] + [fails] * 20]
    meanwhile = lab.client.shadows(endpoint)["compared"]
    go.touch()
    found = until(lambda: (found := lab.client.shadows(endpoint))["failed"] == 21 and found)

    assert answers == ["live"] * 21
    assert meanwhile == 0
    assert {pair["shadow"]["status"] for pair in found["latest"]} == {424, 500}


def test_requests_that_a_busy_shadow_is_not_asked_are_counted(lab, tmp_path):
    endpoint = lab.deploy(
        {"VariantName": "live"},
        shadow={"VariantName": "dark", "Environment": {"DARK": "1"}},
    )
    go = tmp_path / "go"
    lab.aws("sagemaker-runtime")  # made before there are threads
    asked = 0
    with ThreadPoolExecutor(8) as pool:
        # More than once where the first of them have been given up before the last came.
        while not lab.client.shadows(endpoint)["missed"]:
            assert asked < 1000
            list(pool.map(lambda _: ask(lab, endpoint, order(dark={"until": str(go)})), range(100)))
            asked += 100
    go.touch()
    found = until(
        lambda: sum((found := lab.client.shadows(endpoint))[key] for key in ("compared", "missed")) == asked and found
    )

    assert 64 <= found["compared"] < asked


def test_a_shadow_beside_two_production_variants_is_refused(lab):
    with pytest.raises(ClientError, match="which shadows the one variant of ProductionVariants"):
        lab.config({"VariantName": "a"}, {"VariantName": "b"}, shadow={"VariantName": "c"})
    with pytest.raises(ClientError, match="must be unique"):
        lab.config({"VariantName": "a"}, shadow={"VariantName": "a"})
