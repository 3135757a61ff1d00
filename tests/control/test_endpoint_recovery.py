"""Endpoints across restarts of the coordinator, on the fake driver; real processes are in test_endpoint_processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from endpoint_lab import (
    QUICK,
    a_config,
    close_plane,
    create,
    delete,
    describe,
    events,
    gate,
    in_service,
    invoke,
    nothing_is_left,
    open_plane,
    poll,
    settle,
    statuses,
)

from seaproof.control import endpoints
from seaproof.control.plane import Plane
from seaproof.control.recovery import park, recover
from seaproof.drivers.driver import Workload

SLOW = "fake:serve,ready_after=30"


class Lives:
    """A coordinator and its successors on one state folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plane = open_plane(folder)

    def killed_and_started_again(self) -> Plane:
        """The next coordinator. Threads of the last one end without touching records or workloads, as if killed."""
        self.plane.join(10)
        self.plane.sender.close()
        self.plane.store.close()
        self.plane = open_plane(self.folder)
        recover(self.plane)
        return self.plane


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    lives = Lives(tmp_path / "state")
    yield lives
    close_plane(lives.plane)


def test_an_endpoint_in_service_is_adopted_and_serves_before_anyone_can_ask(lives: Lives):
    in_service(lives.plane, a_config(lives.plane, {"InitialInstanceCount": 2}, {}))
    before = lives.plane.driver.recover()

    plane = lives.killed_and_started_again()

    assert invoke(plane, b"still there").body == b"still there"
    assert plane.driver.recover() == before
    assert [v["CurrentInstanceCount"] for v in describe(plane)["ProductionVariants"]] == [2, 1]
    assert statuses(plane) == ["Creating", "InService"]
    delete(plane)
    assert nothing_is_left(plane)


def test_an_endpoint_of_which_nothing_lives_is_failed_with_the_reason(lives: Lives):
    in_service(lives.plane, a_config(lives.plane))
    lives.plane.closing.set()
    lives.plane.driver.stop(lives.plane.driver.recover()[0], 0)

    plane = lives.killed_and_started_again()

    found = describe(plane)
    assert found["EndpointStatus"] == "Failed"
    assert found["FailureReason"] == (
        "The local server was restarted and no instance of the endpoint was left: its container was gone."
    )
    assert nothing_is_left(plane)


def test_an_instance_that_was_lost_is_replaced_where_others_live(lives: Lives):
    in_service(lives.plane, a_config(lives.plane, {"InitialInstanceCount": 2}))
    lives.plane.closing.set()
    lives.plane.driver.stop(lives.plane.driver.recover()[0], 0)

    plane = lives.killed_and_started_again()

    assert invoke(plane).status == 200
    poll(lambda: describe(plane)["ProductionVariants"][0]["CurrentInstanceCount"] == 2)
    assert len(events(plane, "lost")) == 1


def test_an_endpoint_that_was_creating_is_created_again_from_scratch(lives: Lives):
    config = a_config(lives.plane, Image="gated")
    create(lives.plane, config)
    first = poll(lives.plane.driver.recover)[0]

    plane = lives.killed_and_started_again()
    gate(lives.folder).touch()

    assert settle(plane)["EndpointStatus"] == "InService"
    assert [handle.name for handle in plane.driver.recover()] != [first.name]
    assert len(plane.driver.recover()) == len(plane.store.handles()) == 1
    assert invoke(plane).status == 200


def test_an_update_is_done_again_while_the_old_instances_serve(lives: Lives):
    in_service(lives.plane, a_config(lives.plane, Image="named", Environment={"NAME": "old"}))
    endpoints.update_endpoint(
        lives.plane, {"EndpointName": "e", "EndpointConfigName": a_config(lives.plane, Image=SLOW)}
    )
    poll(lambda: len(lives.plane.driver.recover()) == 2)

    plane = lives.killed_and_started_again()

    assert invoke(plane).body == b"old"
    assert describe(plane)["EndpointStatus"] == "Updating"
    assert len(poll(lambda: len(plane.driver.recover()) == 2 and plane.driver.recover())) == 2
    assert describe(plane)["PendingDeploymentSummary"]["ProductionVariants"][0]["CurrentInstanceCount"] == 0


def test_an_update_that_had_switched_over_only_stops_the_old_instances(lives: Lives):
    in_service(lives.plane, a_config(lives.plane, Image="named", Environment={"NAME": "old"}))
    leftover = Workload("endpoint-e-v0-i-0old", "fake:serve", lives.folder / "workloads" / "x", port=8080)
    lives.plane.store.put_handle("endpoint", "e", lives.plane.driver.start(leftover))
    lives.plane.store.update("endpoint", "e", status="Updating")

    plane = lives.killed_and_started_again()

    assert settle(plane)["EndpointStatus"] == "InService"
    assert len(plane.driver.recover()) == len(plane.store.handles()) == 1
    assert invoke(plane).body == b"old"


def test_a_deletion_is_finished(lives: Lives):
    in_service(lives.plane, a_config(lives.plane))
    lives.plane.store.update("endpoint", "e", status="Deleting")

    plane = lives.killed_and_started_again()

    poll(lambda: plane.store.get("endpoint", "e") is None)
    poll(lambda: nothing_is_left(plane))


def test_a_rolling_back_is_finished_and_the_reason_stays(lives: Lives):
    in_service(lives.plane, a_config(lives.plane))
    plan = lives.plane.store.get("endpoint", "e").body["_plan"]

    def rolling(body: dict) -> None:
        body.update(FailureReason="because", _next={**plan, "version": "other"})

    lives.plane.store.update("endpoint", "e", rolling, status="RollingBack")

    plane = lives.killed_and_started_again()
    found = settle(plane)

    assert (found["EndpointStatus"], found["FailureReason"]) == ("InService", "because")
    assert invoke(plane).status == 200


def test_a_change_of_capacity_is_done_again(lives: Lives):
    in_service(lives.plane, a_config(lives.plane))
    plan = lives.plane.store.get("endpoint", "e").body["_plan"]
    following = {**plan, "variants": [{**plan["variants"][0], "count": 3}]}
    lives.plane.store.update("endpoint", "e", lambda body: body.update(_next=following), status="Updating")

    plane = lives.killed_and_started_again()

    assert settle(plane)["ProductionVariants"][0]["CurrentInstanceCount"] == 3
    assert len(plane.driver.recover()) == 3


def test_a_workload_that_belongs_to_nothing_is_stopped(lives: Lives):
    opt_ml = lives.plane.opt_ml("endpoint-x-v-i-0")
    opt_ml.mkdir(parents=True)
    lives.plane.driver.start(Workload("endpoint-x-v-i-0", "fake:serve", opt_ml, port=8080))

    plane = lives.killed_and_started_again()

    assert nothing_is_left(plane)


def test_a_parked_endpoint_is_started_again_by_the_next_coordinator(lives: Lives):
    in_service(lives.plane, a_config(lives.plane, {"InitialInstanceCount": 2}))

    park(lives.plane)

    assert nothing_is_left(lives.plane)
    plane = lives.killed_and_started_again()
    assert describe(plane)["EndpointStatus"] == "SystemUpdating"
    assert settle(plane)["EndpointStatus"] == "InService"
    assert invoke(plane).status == 200
    assert statuses(plane) == ["Creating", "InService", "SystemUpdating", "InService"]
    assert len(plane.driver.recover()) == 2


def test_what_had_begun_when_it_was_parked_goes_on(lives: Lives):
    in_service(lives.plane, a_config(lives.plane, Image="named", Environment={"NAME": "old"}))
    config = a_config(lives.plane, Image="gated")
    endpoints.update_endpoint(lives.plane, {"EndpointName": "e", "EndpointConfigName": config})
    create(lives.plane, a_config(lives.plane, Image="gated"), "other")
    poll(lambda: len(lives.plane.driver.recover()) == 3)

    park(lives.plane)

    assert nothing_is_left(lives.plane)
    gate(lives.folder).touch()
    plane = lives.killed_and_started_again()
    assert settle(plane)["EndpointConfigName"] == config
    assert settle(plane, "other")["EndpointStatus"] == "InService"
    assert invoke(plane, b"new").body == b"new"


def test_an_update_of_which_the_old_instances_were_stopping_when_it_was_parked_rests(lives: Lives):
    in_service(lives.plane, a_config(lives.plane, Image="fake:serve,delay=1"))
    request = threading.Thread(target=invoke, args=(lives.plane,))
    request.start()
    poll(lambda: lives.plane.fleets.of("e").seats[0].instance.outstanding)
    config = a_config(lives.plane)
    endpoints.update_endpoint(lives.plane, {"EndpointName": "e", "EndpointConfigName": config})
    poll(lambda: describe(lives.plane)["EndpointConfigName"] == config)
    assert describe(lives.plane)["EndpointStatus"] == "Updating"

    park(lives.plane)
    request.join()
    lives.plane.join(10)

    assert describe(lives.plane)["EndpointStatus"] == "OutOfService"
    plane = lives.killed_and_started_again()
    assert settle(plane)["EndpointStatus"] == "InService"
    assert invoke(plane, b"new").body == b"new"


def test_parking_waits_for_no_container_longer_than_its_grace(lives: Lives):
    lives.plane = replace(lives.plane, settings=replace(QUICK, stop_endpoint_grace=0.2))
    in_service(lives.plane, a_config(lives.plane, Image="fake:serve,ignore_sigterm"))

    started = time.monotonic()
    park(lives.plane)

    assert time.monotonic() - started < 30  # seconds; this one would live for ever
    assert nothing_is_left(lives.plane)
