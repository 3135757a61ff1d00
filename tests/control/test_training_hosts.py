"""Training jobs on several hosts."""

from __future__ import annotations

import time
from typing import Any

from job_lab import Opener, channel, events, get, members, put, request, train

from seaproof.contract.opt_ml import read_training
from seaproof.drivers.fake import Run


def test_all_hosts_get_their_own_tree_and_their_models_are_merged(opened: Opener) -> None:
    seen: dict[str, Any] = {}

    def program(run: Run) -> int:
        cluster = read_training(run.opt_ml).cluster
        seen[cluster.current_host] = (cluster.hosts, run.workload.hostname, run.workload.network)
        (run.opt_ml / "model" / cluster.current_host).write_text("mine")
        (run.opt_ml / "model" / "same").write_text(cluster.current_host)
        files = (run.opt_ml / "input/data/all").iterdir()
        seen[f"files {cluster.current_host}"] = sorted(f.name for f in files)
        (run.opt_ml / "input/data/all/a").write_text("changed by one host")
        return 0

    plane = opened({"program": program})
    put(plane, "s3://bucket/in/a", b"original")
    put(plane, "s3://bucket/in/b", b"original")
    given = request(
        image="program",
        ResourceConfig={"InstanceCount": 2},
        InputDataConfig=[channel("all", "s3://bucket/in/")],
    )
    job = train(plane, given)

    hosts = ("algo-1", "algo-2")
    assert job["TrainingJobStatus"] == "Completed"
    assert seen["algo-1"] == (hosts, "algo-1", "job")
    assert seen["algo-2"] == (hosts, "algo-2", "job")
    assert seen["files algo-1"] == seen["files algo-2"] == ["a", "b"]
    assert members(plane, job["ModelArtifacts"]["S3ModelArtifacts"]) == {
        "algo-1": b"mine",
        "algo-2": b"mine",
        "same": b"algo-1",
    }
    assert any("'same' is there on several hosts" in message for message in events(plane))
    assert get(plane, "s3://bucket/in/a") == b"original"


def test_the_first_host_that_fails_ends_the_job_and_stops_the_others(opened: Opener) -> None:
    def program(run: Run) -> int:
        if run.workload.hostname == "algo-2":
            (run.opt_ml / "output" / "failure").write_text("algo-2 broke")
            return 3
        run.trap().wait(20)
        return 0

    plane = opened({"program": program}, stop_job_grace=20.0)
    began = time.monotonic()
    job = train(plane, request(image="program", ResourceConfig={"InstanceCount": 3}))

    assert job["FailureReason"] == "AlgorithmError: algo-2 broke, exit code: 3"
    assert time.monotonic() - began < 18  # the others would go on for 20 s
    assert plane.driver.recover() == []
