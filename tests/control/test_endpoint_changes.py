"""Endpoints that are changed while they serve, on the fake driver: updates, weights, capacities."""

from __future__ import annotations

import itertools
import threading
from typing import cast

from endpoint_lab import (
    a_config,
    describe,
    in_service,
    invoke,
    load,
    poll,
    refusal,
    settle,
    statuses,
)

from seaproof.control import endpoints
from seaproof.control.plane import Plane
from seaproof.drivers.fake import FakeDriver, Program
from seaproof.http.message import Response
from seaproof.invocations.routing import Instance


def test_an_update_replaces_the_instances_while_requests_flow_and_none_fails(plane: Plane):
    def config(name: str) -> str:
        return a_config(plane, {"InitialInstanceCount": 2}, Image="named", Environment={"NAME": name})

    in_service(plane, config("one"))
    old = {handle.name for handle in plane.driver.recover()}
    with load(plane) as seen:
        for name in ("two", "three"):
            poll(lambda: len(seen) > 20)
            endpoints.update_endpoint(plane, {"EndpointName": "e", "EndpointConfigName": config(name)})
            assert settle(plane)["EndpointStatus"] == "InService"
            poll(lambda name=name: name.encode() in seen)

    assert [name for name, _ in itertools.groupby(dict.fromkeys(seen))] == [b"one", b"two", b"three"]
    assert invoke(plane).body == b"three"
    assert len(plane.driver.recover()) == 2
    assert not old & {handle.name for handle in plane.driver.recover()}
    assert statuses(plane)[:4] == ["Creating", "InService", "Updating", "Updating"]


def test_a_request_under_way_on_an_old_instance_is_finished_before_it_is_stopped(plane: Plane):
    go, answers = threading.Event(), list[bytes]()
    held = Program(serve=lambda run, request: Response(200, [], request.body if go.wait(60) else b"late"))
    cast(FakeDriver, plane.driver).add("held", held)
    in_service(plane, a_config(plane, Image="held"))
    thread = threading.Thread(target=lambda: answers.append(invoke(plane, b"slow").body))
    thread.start()
    (old,) = serving(plane)
    poll(lambda: old.outstanding == 1)

    endpoints.update_endpoint(plane, {"EndpointName": "e", "EndpointConfigName": a_config(plane)})
    poll(lambda: serving(plane) and old not in serving(plane))
    still = describe(plane)["EndpointStatus"], len(plane.driver.recover()), list(answers)
    go.set()
    settle(plane)
    thread.join()

    assert still == ("Updating", 2, [])
    assert answers == [b"slow"]
    assert len(plane.driver.recover()) == 1


def serving(plane: Plane) -> tuple[Instance, ...]:
    """The instances that take requests."""
    routing = plane.fleets.routes.get("e")
    assert routing
    return routing.variants[0].instances


def test_an_update_that_fails_rolls_back_and_the_old_one_serves_on(plane: Plane):
    old_config = a_config(plane, Image="named", Environment={"NAME": "old"})
    in_service(plane, old_config)
    old = plane.driver.recover()

    endpoints.update_endpoint(
        plane, {"EndpointName": "e", "EndpointConfigName": a_config(plane, {}, {"Image": "fake:exit=1"})}
    )
    assert invoke(plane).body == b"old"
    found = settle(plane)

    assert found["EndpointStatus"] == "InService"
    assert "production variant v1" in found["FailureReason"]
    assert found["EndpointConfigName"] == old_config
    assert "PendingDeploymentSummary" not in found
    assert invoke(plane).body == b"old"
    assert plane.driver.recover() == old
    assert statuses(plane)[2:] == ["Updating", "RollingBack", "InService"]


def test_weights_hold_at_once_and_capacities_follow(plane: Plane):
    in_service(plane, a_config(plane, {}, {}))
    before = {handle.name for handle in plane.driver.recover()}

    endpoints.update_endpoint_weights_and_capacities(
        plane,
        {
            "EndpointName": "e",
            "DesiredWeightsAndCapacities": [
                {"VariantName": "v0", "DesiredWeight": 0.0},
                {"VariantName": "v1", "DesiredInstanceCount": 3},
            ],
        },
    )
    variants = {b"v1"} | {invoke(plane).headers[-1][1] for _ in range(10)}
    found = settle(plane)

    assert variants == {b"v1"}
    summary = [(v["CurrentWeight"], v["CurrentInstanceCount"]) for v in found["ProductionVariants"]]
    assert summary == [(0.0, 1), (1.0, 3)]
    assert before < {handle.name for handle in plane.driver.recover()}
    assert invoke(plane, x_amzn_sagemaker_target_variant="v0").headers[-1][1] == b"v0"

    change = {"EndpointName": "e", "DesiredWeightsAndCapacities": [{"VariantName": "v1", "DesiredInstanceCount": 1}]}
    endpoints.update_endpoint_weights_and_capacities(plane, change)
    assert settle(plane)["ProductionVariants"][1]["CurrentInstanceCount"] == 1
    assert len(plane.driver.recover()) == 2


def test_a_change_of_capacity_that_cannot_be_is_refused(plane: Plane):
    in_service(plane, a_config(plane))
    operation = endpoints.update_endpoint_weights_and_capacities

    unknown = refusal(operation, plane, EndpointName="e", DesiredWeightsAndCapacities=[{"VariantName": "x"}])
    zero = refusal(
        operation,
        plane,
        EndpointName="e",
        DesiredWeightsAndCapacities=[{"VariantName": "v0", "DesiredInstanceCount": 0}],
    )

    assert 'Variant "x" is not found' in unknown.message
    assert "at least 1" in zero.message
    assert describe(plane)["EndpointStatus"] == "InService"


def test_an_update_can_retain_weights_and_counts(plane: Plane):
    in_service(plane, a_config(plane, {"InitialInstanceCount": 2, "InitialVariantWeight": 0.5}))

    endpoints.update_endpoint(
        plane,
        {
            "EndpointName": "e",
            "EndpointConfigName": a_config(plane),
            "RetainAllVariantProperties": True,
            "ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredWeight"}],
        },
    )
    variant = settle(plane)["ProductionVariants"][0]

    assert (variant["CurrentWeight"], variant["CurrentInstanceCount"]) == (1.0, 2)
