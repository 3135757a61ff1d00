"""The status machine: transitions without gaps, one end, and reasons of at most 1,024 characters."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seaproof.control.job_endings import COMPLETE, OUT_OF_TIME, STOP, Ending, algorithm_error
from seaproof.control.training_status import (
    MESSAGES,
    enter,
    finish,
)
from seaproof.drivers.driver import Exit

WAYS = st.lists(st.sampled_from(["Starting", "Downloading", "Training", "Stopping", "Uploading"]), max_size=12)
ENDS = st.sampled_from([COMPLETE, STOP, OUT_OF_TIME, Ending.failed("AlgorithmError: x" * 500)])


@given(way=WAYS, ending=ENDS)
def test_transitions_follow_one_another_without_gaps(way: list[str], ending: Ending) -> None:
    body: dict[str, Any] = {}
    enter(body, "Starting")
    for secondary in way:
        enter(body, secondary)
        enter(body, secondary)
    finish(body, ending)

    transitions = body["SecondaryStatusTransitions"]
    assert all(a["Status"] != b["Status"] for a, b in pairwise(transitions))
    assert all(a["EndTime"] == b["StartTime"] for a, b in pairwise(transitions))
    assert all(t["StartTime"] <= t["EndTime"] and 0 < len(t["StatusMessage"]) <= 1024 for t in transitions)
    assert body["TrainingJobStatus"] == ending.status
    assert body["SecondaryStatus"] == transitions[-1]["Status"] == ending.secondary
    assert ("FailureReason" in body) == (ending.status == "Failed")
    assert ("TrainingTimeInSeconds" in body) == ("Downloading" in way)


@given(code=st.integers(1, 255), failure=st.text(max_size=3000), out_of_memory=st.booleans())
def test_a_reason_fits_and_always_ends_with_the_exit_code(code: int, failure: str, out_of_memory: bool) -> None:
    reason = algorithm_error(Exit(code, out_of_memory), failure)

    assert len(reason) <= 1024
    assert reason.startswith("AlgorithmError: ")
    assert reason.endswith(f", exit code: {code}")


@pytest.mark.parametrize("secondary", ["Starting", "Downloading", "Training", "Stopping", "Uploading", "Completed"])
def test_every_step_has_its_message(secondary: str) -> None:
    assert MESSAGES[secondary]
