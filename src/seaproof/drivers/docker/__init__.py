"""The docker driver: containers through the Engine API of Docker, rootless Docker or Podman, without compose."""

from seaproof.drivers.docker.containers import DockerDriver

__all__ = ["DockerDriver"]
