"""A transform job on a Ray of one and of two nodes with a core each; whole jobs, started through the local server.

python batch_ray.py FOLDER ROWS ROUNDS MODEL    FOLDER has income-MODEL/model; of ROWS, a CSV file, 400 MB are used

A node has one core in earnest: its raylet is started under the affinity to it, which its actors and their containers
inherit. The head and the local server are on all cores, as a cluster's are on a machine of their own.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from environments import CACHE
from ray.cluster_utils import Cluster
from rival import HERE, SERVED

from seaproof.api.client import Client, find

MEGABYTES = 400
ROLE = "arn:aws:iam::000000000000:role/any"


def main(folder: Path, rows: Path, rounds: int, model: str) -> None:
    first, second, *_ = [*sorted(os.sched_getaffinity(0)), -1]
    if second < 0:
        raise SystemExit("two nodes of a core each need two cores")
    seconds: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        root = Path(work)
        prepare(root, folder / f"income-{model}" / "model", rows)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        try:
            add_node(cluster, first)
            for number in range(rounds):
                seconds[1].append(one_job(root, cluster.address, 1, f"job-1-{number}"))
                other = add_node(cluster, second)
                seconds[2].append(one_job(root, cluster.address, 2, f"job-2-{number}"))
                cluster.remove_node(other)
                print(
                    f"  round {number + 1}: {seconds[1][-1]:.3g} s on one node, {seconds[2][-1]:.3g} on two", flush=True
                )
        finally:
            cluster.shutdown()
    one, two = statistics.median(seconds[1]), statistics.median(seconds[2])
    print(f"ray, {model}: 1 node, s {one:.3g}, 2 nodes, s {two:.3g}, 1 / 2 {one / two:.3g}")


def add_node(cluster: Cluster, core: int) -> Any:
    """A node of this one core."""
    with on_core(core):
        return cluster.add_node(num_cpus=1)


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started in the block runs on this core alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def prepare(root: Path, model: Path, rows: Path) -> None:
    """A project whose image is the benchmark's own container with one worker, its model, and the input."""
    bucket = root / ".seaproof" / "s3" / "b"
    (bucket / "in").mkdir(parents=True)
    with rows.open("rb") as file:
        data = file.read(MEGABYTES * 10**6)
    (bucket / "in" / "rows.csv").write_bytes(data[: data.rfind(b"\n") + 1])
    with tarfile.open(bucket / "model.tar.gz", "w:gz") as tar:
        for path in model.iterdir():
            tar.add(path, path.name)
    program = root / "program"
    program.mkdir()
    for source in (SERVED / "served_model.py", HERE / "rivals" / "seaproof" / "model" / "inference.py"):
        (program / source.name).write_bytes(source.read_bytes())
    tool = CACHE / "env" / "seaproof" / "bin" / "seaproof-container"
    (root / "seaproof.toml").write_text(
        f'[images.model]\nfolder = "program"\nserve = ["{tool}", "serve"]\naccept_bind_to_port = true\n'
        '[images.model.environment]\nSAGEMAKER_MODEL_SERVER_WORKERS = "1"\nOMP_NUM_THREADS = "1"\n'
    )


def one_job(root: Path, address: str, instances: int, name: str) -> float:
    """Seconds from the moment that all containers answer their pings to the end of the job."""
    environ = {**os.environ, "SEAPROOF_RAY_ADDRESS": address}
    command = [sys.executable, "-m", "seaproof.cli", "up", "--foreground", "--driver", "process", "--port", "0"]
    with subprocess.Popen([*command, "--project", root], env=environ, stdout=subprocess.DEVNULL) as process:
        while (client := find(root / ".seaproof")) is None:
            time.sleep(0.05)
        try:
            return run_job(client, instances, name)
        finally:
            client.close()
            process.send_signal(signal.SIGTERM)


def run_job(client: Client, instances: int, name: str) -> float:
    container = {"Image": "model", "ModelDataUrl": "s3://b/model.tar.gz"}
    client.call("CreateModel", {"ModelName": name, "ExecutionRoleArn": ROLE, "PrimaryContainer": container})
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/in/"}}
    client.call(
        "CreateTransformJob",
        {
            "TransformJobName": name,
            "ModelName": name,
            "MaxConcurrentTransforms": 2,
            "TransformInput": {"DataSource": source, "ContentType": "text/csv", "SplitType": "Line"},
            "TransformOutput": {"S3OutputPath": f"s3://b/{name}", "Accept": "text/csv", "AssembleWith": "Line"},
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": instances},
            "Tags": [{"Key": "seaproof:engine", "Value": "ray"}],
        },
    )
    while True:
        found: dict[str, Any] = client.call("DescribeTransformJob", {"TransformJobName": name})
        if found["TransformJobStatus"] == "Completed":
            return float(found["TransformEndTime"]) - float(found["TransformStartTime"])
        if found["TransformJobStatus"] != "InProgress":
            raise SystemExit(f"the job ended {found['TransformJobStatus']}: {found.get('FailureReason')}")
        time.sleep(0.05)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
