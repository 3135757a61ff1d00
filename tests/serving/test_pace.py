"""Predictions of small bodies go on the event loop once they have proven to be short, and leave it for long ones."""

from __future__ import annotations

import json

import pytest
from container_process import Container, soon

from seaproof.contract.environ import ServingEnviron
from seaproof.http.message import Request
from seaproof.serving.pace import LONG, PROVEN, SETBACK, SHORT, SMALL, Pace

ROW = Request("POST", "/invocations", headers=[], body=b"1,2,3")
LARGE = Request("POST", "/invocations", headers=[], body=b"1," * SMALL)

WHERE = """
import threading, time
batch = True

def predict_fn(data, model):
    if data[0][0] < 0:
        time.sleep(-data[0][0])
    until = time.thread_time() + (data[0][0] if 0 < data[0][0] < 1 else 0)
    while time.thread_time() < until:
        pass
    return [[threading.current_thread().name] for _ in data]
"""


def proven() -> Pace:
    pace = Pace(ServingEnviron())
    for _ in range(PROVEN):
        assert not pace.allows(ROW)
        pace.note(ROW, SHORT / 2, SHORT / 2)
    assert pace.allows(ROW)
    return pace


def test_a_large_body_never_goes_on_the_loop_and_proves_nothing() -> None:
    pace = Pace(ServingEnviron())
    for _ in range(2 * PROVEN):
        pace.note(LARGE, SHORT / 2, SHORT / 2)
    assert not pace.allows(ROW)

    assert not proven().allows(LARGE)


def test_a_busy_machine_is_no_fault_of_the_model() -> None:
    pace = proven()

    pace.note(ROW, (SHORT + LONG) / 2, SHORT / 2)

    assert pace.allows(ROW)


@pytest.mark.parametrize(("seconds", "cpu"), [((SHORT + LONG) / 2, (SHORT + LONG) / 2), (2 * LONG, SHORT / 2)])
def test_one_that_is_not_short_starts_the_count_again(seconds: float, cpu: float) -> None:
    pace = proven()

    pace.note(ROW, seconds, cpu)
    assert not pace.allows(ROW)

    for _ in range(PROVEN):
        pace.note(ROW, SHORT / 2, SHORT / 2)
    assert pace.allows(ROW)


@pytest.mark.parametrize("before", [0, 1, 2])
def test_one_that_is_long_costs_twice_as_much_each_time(before: int) -> None:
    pace = proven()
    for _ in range(before + 1):
        pace.note(ROW, 2 * LONG, 2 * LONG)

    for _ in range(SETBACK * 2**before + PROVEN):
        assert not pace.allows(ROW)
        pace.note(ROW, SHORT / 2, SHORT / 2)
    assert pace.allows(ROW)


def where(container: Container, body: str = "1") -> str:
    """The thread in which this is predicted."""
    reply = container.invoke(body, Accept="application/json")
    ((name,),) = json.loads(reply.body)
    return str(name)


def test_short_predictions_move_to_the_loop_and_a_long_one_moves_them_back(container: Container) -> None:
    container.serve(WHERE)
    assert where(container) == "predictions"
    soon(lambda: where(container) == "MainThread")

    while where(container, "0.05") != "MainThread":  # a hiccup of the machine may have brought them back already
        soon(lambda: where(container) == "MainThread")

    assert where(container) == "predictions"


def test_a_prediction_on_the_loop_that_never_ends_costs_its_worker_and_is_answered_503(container: Container) -> None:
    # On the loop from the first one on: of those that have to prove it, a busy machine may take the last one off again.
    container.serve("quick = True\n" + WHERE, SAGEMAKER_MODEL_SERVER_TIMEOUT="0.5")
    assert where(container) == "MainThread"
    (stuck,) = container.workers()

    reply = container.invoke("-30")

    assert reply.status == 503
    soon(lambda: container.workers() not in ([], [stuck]))
    assert where(container) == "MainThread"
    assert "a prediction has been running for over 2.5 s; this worker is replaced. It is at:" in container.log
    assert "time.sleep(-data[0][0])" in container.log
