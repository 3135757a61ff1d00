"""Any sequence of operations keeps endpoints within the platform's state machine and leaves nothing running."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from endpoint_lab import QUICK, a_config, close_plane, nothing_is_left, open_plane, poll, settle, statuses
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seaproof.control import endpoints
from seaproof.control.plane import Plane
from seaproof.control.recovery import recover
from seaproof.errors import ServiceError

LEGAL = {
    "": {"Creating"},
    "Creating": {"InService", "Failed", "Creating"},
    "InService": {"Updating", "Deleting", "Failed"},
    # The last of these where a restart finds none of the instances that served.
    "Updating": {"Updating", "InService", "RollingBack", "SystemUpdating", "Failed"},
    "RollingBack": {"InService", "SystemUpdating"},
    "SystemUpdating": {"InService", "Updating", "Failed", "SystemUpdating"},
    "Failed": {"Deleting"},
    "Deleting": {"Deleted"},
    "Deleted": {"Creating"},
}
IMAGES = ["fake:serve", "fake:serve,ready_after=0.2", "fake:exit=3", "fake:missing", "fake:serve,dies_after_ready=0.05"]
NAMES = st.sampled_from(["a", "b"])
STEPS = st.one_of(
    st.tuples(st.sampled_from(["create", "update"]), NAMES, st.sampled_from(IMAGES), st.integers(1, 2)),
    st.tuples(st.just("scale"), NAMES, st.sampled_from([0.0, 2.0]), st.integers(1, 3)),
    st.tuples(st.sampled_from(["delete", "settle", "restart"]), NAMES),
    st.tuples(st.just("wait"), st.floats(0, 0.3)),
)


def apply(plane: Plane, step: tuple[Any, ...]) -> None:
    """One step; a refusal is fine where the state machine says so, and any other error is not."""
    verb, *given = step
    if verb == "wait":
        time.sleep(given[0])
        return
    name = given[0]
    try:
        if verb in ("create", "update"):
            config = a_config(plane, {"InitialInstanceCount": given[2]}, Image=given[1])
            operation = endpoints.create_endpoint if verb == "create" else endpoints.update_endpoint
            operation(plane, {"EndpointName": name, "EndpointConfigName": config})
        elif verb == "scale":
            change = {"VariantName": "v0", "DesiredWeight": given[1], "DesiredInstanceCount": given[2]}
            endpoints.update_endpoint_weights_and_capacities(
                plane, {"EndpointName": name, "DesiredWeightsAndCapacities": [change]}
            )
        elif verb == "delete":
            endpoints.delete_endpoint(plane, {"EndpointName": name})
        elif plane.store.get("endpoint", name):
            settle(plane, name)
    except ServiceError as error:
        if error.code != "ValidationException":
            raise


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=3, max_size=9))
def test_operations_in_any_order_keep_to_the_states_and_leave_nothing_behind(steps: list[tuple[Any, ...]]):
    with tempfile.TemporaryDirectory() as folder:
        plane = open_plane(Path(folder), replace(QUICK, stop_endpoint_grace=0.5))
        try:
            for step in steps:
                if step[0] == "restart":
                    plane = started_again(plane)
                else:
                    apply(plane, step)
            for record in plane.store.records("endpoint"):
                settle_or_gone(plane, record.name)
            for record in plane.store.records("endpoint"):
                endpoints.delete_endpoint(plane, {"EndpointName": record.name})
            poll(lambda: not plane.store.records("endpoint"))
            poll(lambda: not plane.threads)

            assert nothing_is_left(plane)
            assert not list(plane.fleets.routes)
            for name in ("a", "b"):
                before = ""
                for status in statuses(plane, name):
                    assert status in LEGAL[before], statuses(plane, name)
                    before = status
        finally:
            close_plane(plane)


def settle_or_gone(plane: Plane, name: str) -> None:
    def settled() -> bool:
        record = plane.store.get("endpoint", name)
        return record is None or record.status not in endpoints.IN_PROGRESS

    poll(settled)


def started_again(plane: Plane) -> Plane:
    """The next coordinator, after the threads of this one ended without a word."""
    plane.join(10)
    plane.sender.close()
    plane.store.close()
    again = open_plane(plane.folder, plane.settings)
    recover(again)
    return again
