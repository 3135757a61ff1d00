"""A worker keeps the memory that it has freed: a large body does not cost thousands of page faults each time."""

from __future__ import annotations

from pathlib import Path

import pytest
from container_process import Container

SCRIPT = "def model_fn(model_dir):\n    return None\ndef predict_fn(table, model):\n    return table[:, 0]\n"


def faults(pid: int) -> int:
    """Minor page faults of a process so far."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


@pytest.mark.parametrize(
    ("environment", "few"),
    [({}, True), ({"MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_MMAP_THRESHOLD_": "131072"}, False)],
)
def test_a_large_body_brings_few_page_faults_unless_the_environment_asks_for_less_memory(
    container: Container, environment: dict[str, str], few: bool
) -> None:
    container.serve(SCRIPT, **environment)
    body = ",".join(["1.2628", "-0.8508"] * 10) + "\n"
    body *= 5_000_000 // len(body)
    for _ in range(4):
        assert container.invoke(body).status == 200
    (pid,) = container.workers()

    before = faults(pid)
    for _ in range(5):
        container.invoke(body)
    each = (faults(pid) - before) / 5

    assert (each < 1000) is few, each
