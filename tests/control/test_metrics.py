"""Metrics: the last number wins, progress bars count, and no regular expression can hang a job."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seaproof.control.metrics import final_metrics, last_match


def log(folder: Path, text: str) -> Path:
    path = folder / f"{len(list(folder.iterdir()))}.log"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("loss: 0.5\nloss: 0.25\n", 0.25),
        ("10% loss: 3\r20% loss: 2\r30% loss: 1\r\n", 1.0),
        ("loss: 1e-05", 1e-05),
        ("loss: 0.5\nloss: n/a\nloss: nan\nloss: inf\n", 0.5),
        ("loss: 1 loss: 2\n", 2.0),
    ],
)
def test_the_last_number_in_the_log_is_the_final_value(text: str, value: float, tmp_path: Path) -> None:
    path = log(tmp_path, text)

    found = final_metrics([{"Name": "loss", "Regex": r"loss: (\S+)"}], [path])

    assert found.problems == []
    assert found.final == [{"MetricName": "loss", "Value": value, "Timestamp": path.stat().st_mtime}]


def test_the_logs_of_all_hosts_count(tmp_path: Path) -> None:
    logs = [log(tmp_path, "acc=0.1\n"), log(tmp_path, "acc=0.2\n"), log(tmp_path, "nothing\n"), tmp_path / "absent"]

    found = final_metrics([{"Name": "acc", "Regex": "acc=(.*)"}], logs)

    assert [m["Value"] for m in found.final] == [0.2]


def test_a_catastrophic_expression_is_given_up_and_the_others_still_count(tmp_path: Path) -> None:
    path = log(tmp_path, "a" * 60 + "!\nacc=0.5\n")
    definitions = [
        {"Name": "acc", "Regex": "acc=(.*)"},
        {"Name": "bad", "Regex": "((a+)+)$"},
        {"Name": "again", "Regex": "acc=(.*)"},
    ]

    # The time holds for the start of a process as well.
    found = final_metrics(definitions, [path], seconds=3.0)

    assert [m["MetricName"] for m in found.final] == ["acc", "again"]
    assert "'bad'" in found.problems[0]
    assert "given up" in found.problems[0]


@pytest.mark.parametrize(
    ("regex", "problem"),
    [("loss: [0-9]+", "has no group"), ("(", "no regular expression"), ("miss: (.*)", "matches a number nowhere")],
)
def test_a_definition_that_finds_nothing_says_why(regex: str, problem: str, tmp_path: Path) -> None:
    found = final_metrics([{"Name": "loss", "Regex": regex}], [log(tmp_path, "loss: 1\n")])

    assert found.final == []
    assert problem in found.problems[0]


@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_finite_number_is_read_back(values: list[float], tmp_path: Path) -> None:
    path = tmp_path / "one.log"
    path.write_text("".join(f"epoch x={value!r}\n" for value in values))

    assert last_match(r"x=(\S+)", [path])["Value"] == values[-1]
