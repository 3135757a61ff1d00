"""Ray passes the contract of engines, and runs a transform job on two nodes; both survive the death of an actor."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server_lab import ROLE, asked, make_project, sagemaker, server
from test_transform_server import job, objects
from transform_lab import until

from seaproof.batch.engine import Engine
from seaproof.batch.ray_engine import RayEngine
from seaproof.errors import SeaproofError
from seaproof.testing.engine_contract import Dying, EngineContract, Recorded

# Of Ray's own code.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Ray of two nodes with a processor each."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()


@pytest.fixture
def address(cluster: Any) -> str:
    return str(cluster.address)


class TestRay(EngineContract):
    @pytest.fixture(scope="class")
    def engine(self, cluster: Any) -> Iterator[Engine]:
        import ray

        # A connection that is there stays, which saves the time of making one for each test.
        ray.init(address=cluster.address, log_to_driver=False)
        yield RayEngine(cluster.address, patience=1.0)
        ray.shutdown()

    def test_a_killed_actor_is_replaced_and_its_items_are_done_again(self, engine: Engine, tmp_path: Path) -> None:
        with engine.open(Dying(tmp_path / "died"), 2) as map:
            found = list(map(range(20), 2))

        assert found == list(range(20))
        assert (tmp_path / "died").exists()

    def test_the_work_of_a_lost_node_is_done_by_the_others_where_no_room_is_left(
        self, engine: Engine, cluster: Any, tmp_path: Path
    ) -> None:
        third = cluster.add_node(num_cpus=1)
        found = []
        with engine.open(Recorded(tmp_path / "record", delay=0.3), 3) as map:
            for result in map(range(30), 1):
                if not found:
                    cluster.remove_node(third, allow_graceful=False)
                found.append(result)

        assert found == [number * number for number in range(30)]

    def test_more_workers_than_this_machine_has_cpus_are_refused_and_not_waited_for(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        """`engine` has made the connection that is used here as that of a Ray of this machine."""
        opener = Recorded(tmp_path / "record")

        said = r"40 instances need a CPU each, and the Ray of this machine has [23]"
        with pytest.raises(SeaproofError, match=said), RayEngine().open(opener, 40):
            pass

        assert not (tmp_path / "record").exists()


def test_a_large_object_is_spread_over_the_nodes_in_order_though_an_actor_is_killed(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_project(tmp_path)
    expected = objects(tmp_path, 8)
    (tmp_path / "hold").write_bytes(b"row 004000 ")
    monkeypatch.setenv("SEAPROOF_RAY_ADDRESS", address)
    with server(tmp_path) as (client, _):
        api = sagemaker(client.url)
        api.create_model(ModelName="capitals", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "capitals"})
        two = {"InstanceType": "ml.m5.large", "InstanceCount": 2}
        ray = [{"Key": "seaproof:engine", "Value": "ray"}]
        api.create_transform_job(**job(TransformResources=two, Tags=ray))
        until(lambda: len(asked(tmp_path)) >= 5, "one actor is held, the other goes on")
        os.kill(actors()[0], signal.SIGKILL)
        (tmp_path / "hold").unlink()
        until(lambda: not api.list_transform_jobs(StatusEquals="InProgress")["TransformJobSummaries"], "its end")
        found = api.describe_transform_job(TransformJobName="job")

        assert found["TransformJobStatus"] == "Completed", found
        assert (tmp_path / ".seaproof/s3/b/out/rows.csv.out").read_bytes() == expected
        until(lambda: not actors(), "nothing is left")


def test_a_job_on_ray_is_stopped_though_a_request_hangs(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_project(tmp_path)
    objects(tmp_path, 3)
    (tmp_path / "hold").write_bytes(b"row")
    monkeypatch.setenv("SEAPROOF_RAY_ADDRESS", address)
    monkeypatch.setenv("SEAPROOF_STOP_ENDPOINT_GRACE", "1")
    with server(tmp_path) as (client, _):
        api = sagemaker(client.url)
        api.create_model(ModelName="capitals", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "capitals"})
        api.create_transform_job(**job(Tags=[{"Key": "seaproof:engine", "Value": "ray"}]))
        until(lambda: asked(tmp_path), "a request hangs")
        api.stop_transform_job(TransformJobName="job")
        until(lambda: api.list_transform_jobs(StatusEquals="Stopped")["TransformJobSummaries"], "its end")

        until(lambda: not actors(), "nothing is left")
        assert not (tmp_path / ".seaproof/s3/b/out").exists()


def actors() -> list[int]:
    """The processes of actors of this cluster, whose nodes are children of this process; Ray names them so."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    lines = [line.split(None, 2) for line in listed.splitlines()[1:]]
    parents = {int(pid): int(parent) for pid, parent, _ in lines}
    found = []
    for pid in (int(pid) for pid, _, name in lines if "ray::_Worker" in name):
        above = pid
        while above in parents and above != os.getpid():
            above = parents[above]
        if above == os.getpid():
            found.append(pid)
    return found
