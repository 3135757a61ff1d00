"""Which driver: the one that the settings name, or, for `auto`, docker where an engine answers and else process.

One exception makes a new project run at once: where the engine does not have the project's image and
seaproof.toml maps a folder to it, `auto` takes the folder. Once the image is built, it takes docker.
"""

from __future__ import annotations

from pathlib import Path

from seaproof.drivers.driver import Driver, Health
from seaproof.errors import DriverError, DriverUnavailable
from seaproof.project import BUILT_IN, Project, built_in_image
from seaproof.settings import Settings


def open_driver(settings: Settings, project: Project, state: Path) -> Driver:
    """The driver of `settings.driver`; DriverUnavailable where it was asked for by name and does not work here.

    `state` is the absolute folder of the project's state.
    """
    if settings.instant:
        from seaproof.drivers.fake import FakeDriver

        return FakeDriver(state, any_image=True)
    if settings.driver == "auto":
        return _automatic(project, state)
    driver = _driver(settings.driver, project, state)
    health = driver.check()
    if not health.works:
        raise DriverUnavailable(
            f"the {driver.name} driver does not work here: {health.reason}",
            next_step=health.next_step or "`seaproof doctor` says more.",
        )
    return driver


def _automatic(project: Project, state: Path) -> Driver:
    from seaproof.drivers.docker import DockerDriver

    docker = DockerDriver(state)
    if not docker.check().works:
        return _driver("process", project, state)
    if project.image_folder is None or docker.has_image(project.image):
        return docker
    return _driver("process", project, state)


def check_all(project: Project, state: Path) -> list[Health]:
    """What `seaproof doctor` shows: the health of each driver that runs real programs; never raises."""
    healths = []
    for name in ("docker", "process"):
        try:
            healths.append(_driver(name, project, state).check())
        except DriverError as error:
            healths.append(Health(name, False, error.what, error.next_step))
    return healths


def _driver(name: str, project: Project, state: Path) -> Driver:
    # Imported where they are used: the docker package alone takes longer to load than the rest of the tool.
    if name == "docker":
        from seaproof.drivers.docker import DockerDriver

        return DockerDriver(state)
    if name == "process":
        from seaproof.drivers.process import ProcessDriver

        return ProcessDriver(state, {BUILT_IN: built_in_image(), **project.images})
    from seaproof.drivers.fake import FakeDriver

    return FakeDriver(state)
