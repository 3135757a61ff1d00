"""Outcomes of invocations on the fake driver: an event says why, a failure that repeats itself says so once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from endpoint_lab import a_config, close_plane, create, delete, events, in_service, open_plane, poll, settle

from seaproof.control.outcomes import EVENT, Outcomes
from seaproof.control.plane import Plane
from seaproof.drivers.fake import FakeDriver, Program, Run
from seaproof.errors import ServiceError
from seaproof.http.message import Request, Response
from seaproof.invocations.flow import invocation


def fails_as_told(run: Run, request: Request) -> Response:
    run.log(f"working on {request.body.decode()}")
    if request.body == b"memory":
        run.end(137, out_of_memory=True)
        threading.Event().wait(1.0)  # the fake engine closes the connection meanwhile
    return Response(int(request.body), [], b"told so")


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    folder = tmp_path / "state"
    plane = open_plane(folder, driver=FakeDriver(folder, {"told": Program(serve=fails_as_told)}))
    yield plane
    close_plane(plane)


def ask(plane: Plane, outcomes: Outcomes, body: bytes) -> None:
    request = Request("POST", "/", headers=[(b"content-type", b"text/csv")], body=body)
    plane.sender.invoke(invocation(plane.fleets.routes, "e", request, plane.settings, report=outcomes.take))


def test_a_failure_is_an_event_with_what_was_sent_what_came_back_and_the_log(plane: Plane):
    outcomes = Outcomes(plane)
    in_service(plane, a_config(plane, Image="told"))

    ask(plane, outcomes, b"200")
    with pytest.raises(ServiceError, match="Received client error"):
        ask(plane, outcomes, b"422")
    (event,) = poll(lambda: events(plane, EVENT))

    assert (event["variant"], event["container"]) == ("v0", "primary")
    assert event["instance"].startswith("i-0")
    assert 'sent       text/csv, 3 bytes: "422"' in event["message"]
    assert 'came back  422, no Content-Type, 7 bytes: "told so"' in event["message"]
    assert event["problem"]["log"] == ["working on 200", "working on 422"]
    assert 'InvocationModelErrors_total{endpoint="e",variant="v0",container="primary"} 1' in outcomes.metrics.text()
    assert 'Invocations_total{endpoint="e",variant="v0"} 2' in outcomes.metrics.text()


def test_a_failure_that_repeats_itself_is_explained_once_and_counted(plane: Plane):
    outcomes = Outcomes(plane)
    in_service(plane, a_config(plane, Image="told"))

    for status in (b"400", b"400", b"400", b"500", b"500"):
        with pytest.raises(ServiceError):
            ask(plane, outcomes, status)
    poll(lambda: len(events(plane, EVENT)) == 2)
    again = Outcomes(plane, again_after=0.0)
    for _ in range(2):
        with pytest.raises(ServiceError):
            ask(plane, again, b"400")
    poll(lambda: len(events(plane, EVENT)) == 4)

    assert {event["problem"]["received"]["status"] for event in events(plane, EVENT)} == {400, 500}
    assert 'InvocationModelErrors_total{endpoint="e",variant="v0",container="primary"} 5' in outcomes.metrics.text()


def test_what_came_between_two_explanations_is_counted_in_the_second(plane: Plane):
    outcomes = Outcomes(plane, again_after=1.0)
    in_service(plane, a_config(plane, Image="told"))

    def later() -> list[str]:
        with pytest.raises(ServiceError):
            ask(plane, outcomes, b"400")
        return [event["message"] for event in events(plane, EVENT)][1:]

    # Where a second passes between two requests, nothing came between two explanations.
    assert poll(lambda: [text for text in later() if "more that failed in the same way" in text])


def test_a_container_that_runs_out_of_memory_with_a_request_is_explained(plane: Plane):
    outcomes = Outcomes(plane)
    in_service(plane, a_config(plane, Image="told"))

    with pytest.raises(ServiceError, match="closed before the reply was complete"):
        ask(plane, outcomes, b"memory")
    (event,) = poll(lambda: events(plane, EVENT))

    assert event["problem"]["cause"] == "out-of-memory"
    assert event["problem"]["log"][-1] == "working on memory"


def test_a_deleted_endpoint_gets_no_more_events(plane: Plane):
    outcomes = Outcomes(plane)
    in_service(plane, a_config(plane, Image="told"))
    with pytest.raises(ServiceError):
        ask(plane, outcomes, b"400")
    poll(lambda: events(plane, EVENT))
    with pytest.raises(ServiceError):
        ask(plane, outcomes, b"500")
    delete(plane)
    poll(lambda: not any(thread.name == "explain e" for thread in threading.enumerate()))

    assert plane.store.get("endpoint", "e") is None


def test_a_program_on_another_port_is_named_in_the_failure_reason(plane: Plane):
    soon = {"ContainerStartupHealthCheckTimeoutInSeconds": 1}
    create(plane, a_config(plane, Image="fake:say=Uvicorn running on http://0.0.0.0:8000,never_ready", **soon))

    reason = settle(plane)["FailureReason"]

    assert "Its log says that it listens on port 8000." in reason
