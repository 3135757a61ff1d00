"""The driver contract, run on every driver."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seaproof.drivers.docker import DockerDriver
from seaproof.drivers.driver import Driver, Workload
from seaproof.drivers.fake import FakeDriver
from seaproof.drivers.process import ProcessDriver
from seaproof.project import FolderImage
from seaproof.testing import probe
from seaproof.testing.driver_contract import ContainerContract, DriverContract

PROBE_IMAGE = "seaproof-test-workload"
_PROBE = Path(probe.__file__).parent


class TestFakeDriver(DriverContract):
    def open(self, state: Path) -> Driver:
        return FakeDriver(state)

    def workload(self, behaviour: str, opt_ml: Path, **fields: Any) -> Workload:
        return Workload(
            **{"name": "one", "image": f"fake:{behaviour}", "opt_ml": opt_ml, "arguments": ("x",), **fields}
        )

    def failing(self, opt_ml: Path) -> Workload:
        return self.workload("start_fails", opt_ml)


class TestProcessDriver(ContainerContract):
    def open(self, state: Path) -> Driver:
        return ProcessDriver(state, {"probe": FolderImage(folder=_PROBE)})

    def source(self, state: Path) -> str:
        return (
            "from pathlib import Path\n"
            "from seaproof.drivers.process import ProcessDriver\n"
            "from seaproof.project import FolderImage\n"
            f"driver = ProcessDriver(Path({str(state)!r}), {{'probe': FolderImage(folder=Path({str(_PROBE)!r}))}})"
        )

    def workload(self, behaviour: str, opt_ml: Path, **fields: Any) -> Workload:
        workload = Workload(name="one", image="probe", opt_ml=opt_ml, arguments=(behaviour,))
        return replace(workload, entrypoint=("python3", "probe.py"), **fields)


class TestProcessDriverWithoutNamespaces(DriverContract):
    def open(self, state: Path) -> Driver:
        images = {"probe": FolderImage(folder=_PROBE, accept_bind_to_port=True)}
        return ProcessDriver(state, images, namespaces=False)

    def workload(self, behaviour: str, opt_ml: Path, **fields: Any) -> Workload:
        workload = Workload(name="one", image="probe", opt_ml=opt_ml, arguments=(behaviour,))
        return replace(workload, entrypoint=("python3", "probe.py"), **fields)


@pytest.mark.docker
@pytest.mark.usefixtures("probe_image")
class TestDockerDriver(ContainerContract):
    def open(self, state: Path) -> Driver:
        return DockerDriver(state)

    def source(self, state: Path) -> str:
        return (
            "from pathlib import Path\n"
            "from seaproof.drivers.docker import DockerDriver\n"
            f"driver = DockerDriver(Path({str(state)!r}))"
        )

    def workload(self, behaviour: str, opt_ml: Path, **fields: Any) -> Workload:
        workload = Workload(name="one", image=PROBE_IMAGE, opt_ml=opt_ml, arguments=(behaviour,))
        return replace(workload, **fields)
