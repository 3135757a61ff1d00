"""What the user says about one check run, with its defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MIB = 1024 * 1024
INPUT_MODES = ("File", "FastFile", "Pipe")

INSTANCE_MEMORY = {
    # GiB, from the public list of instance types; what a container gets is a little less.
    "ml.t2.medium": 4,
    "ml.t3.medium": 4,
    "ml.m5.large": 8,
    "ml.m5.xlarge": 16,
    "ml.m5.2xlarge": 32,
    "ml.m5.4xlarge": 64,
    "ml.c5.large": 4,
    "ml.c5.xlarge": 8,
    "ml.c5.2xlarge": 16,
    "ml.c5.4xlarge": 32,
    "ml.r5.large": 16,
    "ml.r5.xlarge": 32,
    "ml.g4dn.xlarge": 16,
    "ml.g4dn.2xlarge": 32,
    "ml.g5.xlarge": 16,
    "ml.g5.2xlarge": 32,
    "ml.g6.xlarge": 16,
    "ml.p3.2xlarge": 61,
}
GPU_FAMILIES = ("ml.g", "ml.p", "ml.inf", "ml.trn")
ARM_FAMILIES = ("ml.c6g", "ml.c7g", "ml.m6g", "ml.m7g", "ml.r6g", "ml.r7g", "ml.t4g", "ml.g5g", "ml.c8g", "ml.m8g")


@dataclass(frozen=True)
class Payload:
    """One request body that the container is expected to answer with 2xx."""

    body: bytes
    content_type: str
    accept: str = ""
    source: str = ""


@dataclass(frozen=True)
class Options:
    """See the options of `seaproof check`."""

    roles: tuple[str, ...] = ()
    """Empty: what the target can be, found out by looking."""
    only: tuple[str, ...] = ()
    """Ids and families."""
    skip: tuple[str, ...] = ()
    fast: bool = False
    """Static checks only."""
    payload: Payload | None = None
    model: Path | None = None
    """A model.tar.gz or a folder that the container finds as /opt/ml/model."""
    channels: Mapping[str, str] = field(default_factory=dict)
    """Training channels: name -> local folder or file."""
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    instance_type: str = "ml.m5.large"
    region: str = ""
    """To which requests will be sent; empty: what they name themselves."""
    patience: float = 60.0
    """Seconds that a container may take to become healthy, or a training job to end, before we give up."""
    startup_seconds: float = 480.0
    """What the platform allows until /ping answers 200."""
    invocation_seconds: float = 60.0
    stream_seconds: float = 480.0
    """What the platform allows for the whole of a streamed answer."""
    stop_seconds: float = 30.0
    """From SIGTERM to SIGKILL when hosting."""
    stop_job_seconds: float = 120.0
    image_limit: int = 10 * 1024 * MIB
    """Bytes of an image that a serverless endpoint takes."""
    memory: int = 2048 * MIB
    """Bytes that each container may take here: the instance type's, but no more than half of this machine."""
    serverless_memory: int = 0
    """Bytes of memory of the serverless variant; 0 where none is known."""
    disk: int = 5 * 1024 * MIB
    """Bytes that a container may write before it is stopped: what serverless endpoints have."""
    invocations: int = 1000
    """Of the memory growth check."""
    async_body: int = 1024 * MIB
    """Bytes of the largest object that an asynchronous invocation is to pass on."""
    hold: float = 0.0
    """Seconds for which an invocation is held to see what in front of the model gives up; 0 does not wait."""
    input_mode: str = "File"
    """File, FastFile or Pipe: how training data arrives."""
    hosts: int = 1
    """Hosts of the training job that is meant."""
    sharded: tuple[str, ...] = ()
    """Channels that are dealt out to the hosts (ShardedByS3Key); `*` is all of them."""
    driver: str = "auto"
    drafted: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    """Requests beside those that the target names, as operation and body: what `seaproof ship` would send."""
    undrafted: str = ""
    """Why `seaproof ship` could not send anything; empty where it could, or where nothing is to be shipped."""

    def shards(self, channel: str) -> bool:
        """Whether this channel is dealt out to the hosts."""
        return channel in self.sharded or "*" in self.sharded

    def chooses(self, id: str, family: str) -> bool:
        """Whether --only and --skip leave this check in."""
        names = {id.lower(), family}
        if self.only and not names & {name.lower() for name in self.only}:
            return False
        return not names & {name.lower() for name in self.skip}


def instance_memory(instance_type: str) -> int | None:
    """Bytes of memory of an instance type, or None where it is not in our list."""
    gib = INSTANCE_MEMORY.get(instance_type)
    return gib * 1024 * MIB if gib else None
