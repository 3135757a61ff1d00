"""The docker driver: one container per workload, found again by its labels.

Arguments replace CMD and the image's ENTRYPOINT is kept, as the platform does; tini is injected as it does. Ports
are published on 127.0.0.1, each on a free one. An isolated server sits in an internal network, which publishes
nothing: it is reached at the container's own address.
"""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from seaproof.drivers.docker import networks, output
from seaproof.drivers.docker.engine import Engine, find_engine, speaking
from seaproof.drivers.docker.images import local, resolve
from seaproof.drivers.docker.networks import HOST_PORT, NETWORK, PORT, PROJECT, WORKLOAD
from seaproof.drivers.docker.ownership import give_back
from seaproof.drivers.driver import Exit, Handle, Health, Usage, Workload
from seaproof.drivers.ports import free_port
from seaproof.errors import DriverError, DriverUnavailable, StartFailed

_PORT_TRIES = 5
_CODE = "/opt/ml/code"
"""A volume without a name begins with what the image has at its place; a folder of this machine would hide it."""
_PATIENCE = 10.0
"""Seconds that an engine may be away (a restart) before a wait is given up."""


class DockerDriver:
    """See the module. `state` is the folder of the project's state; it keeps projects apart."""

    name = "docker"

    def __init__(self, state: Path) -> None:
        self._project = str(state.absolute())
        self._prefix = f"seaproof-{hashlib.sha256(self._project.encode()).hexdigest()[:8]}"
        self._found: tuple[Engine, Any] | None = None
        self._ended: dict[str, Exit] = {}

    def at(self, state: Path) -> DockerDriver:
        """See Driver.at."""
        return DockerDriver(state)

    def check(self) -> Health:
        """See Driver.check; `facts` name the engine that answered."""
        try:
            engine = find_engine()
        except DriverUnavailable as error:
            where = f" ({error.where})" if error.where else ""
            return Health(self.name, False, f"{error.what}{where}", error.next_step)
        facts = {"engine": f"{engine.name} {engine.version}", "address": f"{engine.address} ({engine.source})"}
        if not engine.reaches_containers:
            facts["isolation"] = "not for endpoints: addresses of containers are not reached from here"
        return Health(self.name, True, facts=facts)

    def has_image(self, reference: str) -> bool:
        """Whether the engine has this image; nothing is pulled."""
        _, client = self._engine()
        with speaking("the engine's images could not be read", reference):
            return local(client, reference) is not None

    def start(self, workload: Workload) -> Handle:
        """See Driver.start."""
        engine, client = self._engine()
        with speaking(f"{workload.name} could not be started", workload.image):
            image = resolve(client, workload.image)
        for leftover in self._labelled(f"{WORKLOAD}={workload.name}"):
            self.stop(leftover, 0)
        chosen = networks.plan(workload, self._prefix)
        if chosen.internal and workload.port is not None and not engine.reaches_containers:
            raise StartFailed(
                f"{workload.name} asks for network isolation, and its port could not be reached then: this machine has "
                f"no route to the containers of {engine.name} at {engine.address}",
                next_step="Leave EnableNetworkIsolation out here, or use Docker Engine on Linux.",
            )
        workload.opt_ml.mkdir(parents=True, exist_ok=True)
        for name in workload.read_only:
            (workload.opt_ml / name).mkdir(parents=True, exist_ok=True)
        container = ""
        try:
            with speaking(f"{workload.name} could not be started", workload.image):
                networks.ensure(client, chosen, self._project)
                container = self._run(client, workload, image, chosen, engine)
                return self._handle(client.inspect_container(container))
        except DriverError as error:
            with suppress(DriverError):
                networks.remove_if_empty(client, chosen.mode if chosen.ours else "")
            raise StartFailed(error.what, where=error.where, next_step=error.next_step or _advice(error)) from error

    def wait(self, handle: Handle, timeout: float | None = None) -> Exit | None:
        """See Driver.wait."""
        engine, _ = self._engine()
        client = engine.client()
        end = math.inf if timeout is None else time.monotonic() + timeout
        away = 0.0
        try:
            while True:
                try:
                    exit = self._exit(client, handle)
                    if exit is not None:
                        return exit
                    left = end - time.monotonic()
                    if left <= 0:
                        return None
                    _wait_until_stopped(client, handle.id, min(left, 60.0))
                    away = 0.0
                except DriverError as error:
                    away = away or time.monotonic()
                    if "does not answer" not in error.what or time.monotonic() - away > _PATIENCE:
                        raise
                    time.sleep(0.5)
        finally:
            client.close()

    def stop(self, handle: Handle, grace: float) -> None:
        """See Driver.stop."""
        import docker.errors

        _, client = self._engine()
        with speaking(f"{handle.name} could not be stopped"):
            try:
                found = client.inspect_container(handle.id)
            except docker.errors.NotFound:
                networks.remove_if_empty(client, handle.detail.get("network", ""))
                return
            for number, patience in (("SIGTERM", grace), ("SIGKILL", 30.0)):
                with suppress(docker.errors.APIError):  # it has ended already
                    client.kill(handle.id, number)
                with suppress(DriverError):
                    if self.wait(handle, patience) is not None:
                        break
            self._give_back(client, found)
            _remove(client, handle.id)
            networks.remove_if_empty(client, handle.detail.get("network", ""))

    def logs(self, handle: Handle, *, follow: bool = False, offset: int = 0) -> Iterator[bytes]:
        """See Driver.logs."""
        engine, client = self._engine()
        with speaking(f"there is no log of {handle.name} any more"):
            client.inspect_container(handle.id)
        return output.read_output(engine, handle.id, follow=follow, offset=offset)

    def usage(self, handle: Handle) -> Usage:
        """See Driver.usage."""
        import docker.errors

        engine, client = self._engine()
        with speaking(f"{handle.name} could not be looked at"):
            try:
                shown = client.top(handle.id, "-eo pid") if engine.reaches_containers else {}
                sized = client.containers(all=True, size=True, filters={"id": handle.id})
            except docker.errors.APIError:
                return Usage()  # it has ended
        pids = tuple(int(row[0]) for row in shown.get("Processes") or [])
        return Usage(pids, int(sized[0].get("SizeRw") or 0) if sized else 0)

    def recover(self) -> list[Handle]:
        """See Driver.recover."""
        return sorted(self._labelled(WORKLOAD), key=lambda handle: handle.name)

    def _engine(self) -> tuple[Engine, Any]:
        if self._found is None:
            engine = find_engine()
            self._found = engine, engine.client()
        return self._found

    def _labelled(self, label: str) -> list[Handle]:
        """The containers of this project that bear the label, running or not."""
        import docker.errors

        _, client = self._engine()
        handles = []
        with speaking("the containers of the project could not be listed"):
            for entry in client.containers(all=True, filters={"label": [f"{PROJECT}={self._project}", label]}):
                with suppress(docker.errors.NotFound):  # removed in between
                    handles.append(self._handle(client.inspect_container(entry["Id"])))
        return handles

    def _run(self, client: Any, workload: Workload, image: str, chosen: networks.Plan, engine: Engine) -> str:
        """Create and start the container; another host port is taken where the first one was snatched away."""
        import docker.errors

        for attempt in range(_PORT_TRIES):
            host_port = free_port() if chosen.publish else None
            container: str = self._create(client, workload, image, chosen, engine, host_port)
            try:
                client.start(container)
                return container
            except docker.errors.APIError as error:
                client.remove_container(container, force=True, v=True)
                taken = "already allocated" in str(error) or "already in use" in str(error)
                if not taken or attempt == _PORT_TRIES - 1:
                    raise
        raise AssertionError("unreachable")

    def _create(
        self, client: Any, workload: Workload, image: str, chosen: networks.Plan, engine: Engine, host_port: int | None
    ) -> str:
        opt_ml = str(workload.opt_ml.absolute())
        binds = [f"{opt_ml}:/opt/ml:rw", *(f"{opt_ml}/{name}:/opt/ml/{name}:ro" for name in workload.read_only)]
        labels = {PROJECT: self._project, WORKLOAD: workload.name}
        if chosen.ours:
            labels[NETWORK] = chosen.mode
        if workload.port is not None:
            labels |= {PORT: str(workload.port), HOST_PORT: str(host_port or "")}
        host_config = client.create_host_config(
            binds=binds,
            init=True,
            network_mode=chosen.mode,
            port_bindings={f"{workload.port}/tcp": ("127.0.0.1", host_port)} if host_port else None,
            mem_limit=workload.memory,
            memswap_limit=workload.memory,
            pids_limit=workload.processes,
            tmpfs={"/tmp": f"size={workload.scratch},mode=1777"} if workload.scratch is not None else None,
            ipc_mode=None if workload.shared_memory else "none",
            log_config={"type": "json-file"},
            security_opt=["label=disable"] if "name=selinux" in engine.options else None,
        )
        aliases = [workload.hostname] if workload.hostname and chosen.ours else None
        endpoint = client.create_endpoint_config(aliases=aliases)
        created = client.create_container(
            image,
            name=f"{self._prefix}-{workload.name}",
            command=list(workload.arguments) or None,
            entrypoint=list(workload.entrypoint) if workload.entrypoint is not None else None,
            environment=dict(workload.environment),
            ports=[workload.port] if host_port else None,
            hostname=workload.hostname,
            user=None if workload.user is None else f"{workload.user}:{workload.user}",
            labels=labels,
            host_config=host_config,
            volumes=[_CODE] if _shows_its_code(client, image, workload.opt_ml) else None,
            networking_config=client.create_networking_config({chosen.mode: endpoint}) if chosen.ours else None,
        )
        id: str = created["Id"]
        return id

    def _handle(self, found: dict[str, Any]) -> Handle:
        """The same handle from the container's labels, whoever asks and whenever."""
        labels = found["Config"]["Labels"]
        network = labels.get(NETWORK, "")
        host, port = None, None
        if labels.get(HOST_PORT):
            host, port = "127.0.0.1", int(labels[HOST_PORT])
        elif labels.get(PORT):
            host, port = networks.address(found, network), int(labels[PORT])
        return Handle(
            driver=self.name,
            name=labels[WORKLOAD],
            id=found["Id"],
            host=host,
            port=port,
            detail={"network": network} if network else {},
        )

    def _exit(self, client: Any, handle: Handle) -> Exit | None:
        """How it ended, or None while it runs; DriverError where nothing is known of it."""
        import docker.errors

        with speaking(f"{handle.name} could not be looked at"):
            try:
                found = client.inspect_container(handle.id)
            except docker.errors.NotFound:
                if handle.id in self._ended:
                    return self._ended[handle.id]
                raise
        state = found["State"]
        if state["Status"] in ("running", "paused", "restarting", "removing"):
            return None
        code = 128 if state["Status"] == "created" else int(state["ExitCode"])
        if handle.id not in self._ended:
            self._give_back(client, found)
        exit = self._ended[handle.id] = Exit(code, bool(state.get("OOMKilled")))
        return exit

    def _give_back(self, client: Any, found: dict[str, Any]) -> None:
        for mount in found.get("Mounts") or []:
            if mount.get("Destination") == "/opt/ml":
                give_back(client, Path(mount["Source"]), found["Image"], self._project)


def _shows_its_code(client: Any, image: str, opt_ml: Path) -> bool:
    """Whether the image was made with something in /opt/ml/code, as its history tells, and nothing was put there."""
    folder = opt_ml / Path(_CODE).name
    if folder.is_dir() and any(folder.iterdir()):
        return False
    steps = [str(step.get("CreatedBy") or "") for step in client.history(image)]
    if not any(_CODE in step or re.search(r"WORKDIR /opt/ml/?$", step) for step in steps):
        return False
    folder.mkdir(exist_ok=True)
    return True


def _wait_until_stopped(client: Any, container: str, timeout: float) -> None:
    """Return when it has stopped, or about `timeout` seconds later."""
    import docker.errors
    import requests.exceptions

    with speaking("the wait for it failed", container):
        try:
            client.wait(container, timeout=timeout)
        except docker.errors.NotFound:
            return
        except requests.exceptions.ReadTimeout:
            return
        except requests.exceptions.ConnectionError as error:
            if "timed out" not in str(error).lower():
                raise


def _remove(client: Any, container: str) -> None:
    """Remove it; where somebody else does so just now, wait until it is gone."""
    import docker.errors

    end = time.monotonic() + _PATIENCE
    while True:
        try:
            client.remove_container(container, force=True, v=True)
            return
        except docker.errors.NotFound:
            return
        except docker.errors.APIError as error:
            if "already in progress" not in str(error) or time.monotonic() > end:
                raise
        time.sleep(0.05)


def _advice(error: DriverError) -> str:
    text = str(error)
    if "address pool" in text:
        return "Remove networks that nobody uses: docker network prune."
    if "mounts denied" in text or "not shared" in text:
        return "Share the project's folder with the engine's virtual machine."
    return "`seaproof doctor` shows the engine; `docker run` with the same image shows more."
