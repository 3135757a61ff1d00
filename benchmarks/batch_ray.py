"""A transform job on a Ray of one and of two nodes with a core each; whole jobs, started through the local server.

python batch_ray.py FOLDER ROWS ROUNDS    FOLDER has income-logreg/model; ROWS is a CSV file, of which 300 MB are used
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
from pathlib import Path
from typing import Any

from environments import CACHE
from ray.cluster_utils import Cluster
from rival import HERE, SERVED

from seaproof.api.client import Client, find

MEGABYTES = 300
ROLE = "arn:aws:iam::000000000000:role/any"


def main(folder: Path, rows: Path, rounds: int) -> None:
    seconds: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        root = Path(work)
        prepare(root, folder, rows)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        try:
            cluster.add_node(num_cpus=1)
            for number in range(rounds):
                seconds[1].append(one_job(root, cluster.address, 1, f"job-1-{number}"))
                second = cluster.add_node(num_cpus=1)
                seconds[2].append(one_job(root, cluster.address, 2, f"job-2-{number}"))
                cluster.remove_node(second)
        finally:
            cluster.shutdown()
    one, two = statistics.median(seconds[1]), statistics.median(seconds[2])
    print(f"ray: 1 node, s {one:.3g}, 2 nodes, s {two:.3g}, 1 / 2 {one / two:.3g}")


def prepare(root: Path, folder: Path, rows: Path) -> None:
    """A project whose image is the benchmark's own container with one worker, its model, and the input."""
    bucket = root / ".seaproof" / "s3" / "b"
    (bucket / "in").mkdir(parents=True)
    with rows.open("rb") as file:
        data = file.read(MEGABYTES * 10**6)
    (bucket / "in" / "rows.csv").write_bytes(data[: data.rfind(b"\n") + 1])
    with tarfile.open(bucket / "model.tar.gz", "w:gz") as tar:
        tar.add(folder / "income-logreg" / "model" / "model.joblib", "model.joblib")
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
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
