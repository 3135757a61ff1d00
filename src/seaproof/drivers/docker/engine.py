"""Finding a container engine: DOCKER_HOST, the chosen docker context, then the usual sockets of Docker and Podman."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seaproof import settings
from seaproof.errors import DriverError, DriverUnavailable

TIMEOUT = 120
"""Seconds that the engine may take for one answer."""


@dataclass(frozen=True)
class Engine:
    """An engine that answered."""

    address: str
    source: str
    """Where the address comes from, for people."""
    name: str
    version: str
    api_version: str
    options: tuple[str, ...]
    """SecurityOptions, such as `name=rootless`."""
    system: str
    """The engine's operating system; Docker Desktop says so here."""

    @property
    def reaches_containers(self) -> bool:
        """Whether this machine has a route to the addresses of its containers."""
        remote = any("rootless" in option for option in self.options) or "Desktop" in self.system
        return not remote and self.address.startswith(("unix:///var/run", "unix:///run"))

    def client(self, timeout: int = TIMEOUT) -> Any:
        """A new docker.APIClient on this engine; the caller closes it."""
        import docker

        return docker.APIClient(base_url=self.address, version=self.api_version, timeout=timeout, **_tls())


def find_engine() -> Engine:
    """The first engine that answers; DriverUnavailable says what was tried, and what to do."""
    try:
        import docker  # noqa: F401
    except ImportError as error:
        raise DriverUnavailable(
            "the Python package `docker` is not installed", next_step="pip install 'seaproof[local]'"
        ) from error
    refused: list[tuple[str, str, str]] = []
    for address, source in candidates():
        path = Path(address.removeprefix("unix://"))
        if address.startswith("unix://") and not path.exists():
            refused.append((address, "there is no such socket", ""))
            continue
        try:
            _knock(address)
            return _ask(address, source)
        except Exception as error:  # whatever docker, requests or the socket raise: the next one is tried
            refused.append((address, *_reason(error)))
    raise _unavailable(refused)


def candidates() -> list[tuple[str, str]]:
    """Addresses to try, in order, each with where it comes from. DOCKER_HOST, where set, is the only one."""
    host = settings.variable("DOCKER_HOST")
    if host:
        return [(host, "DOCKER_HOST")]
    home = Path(settings.variable("HOME", "/root"))
    runtime = Path(settings.variable("XDG_RUNTIME_DIR", "/run/user/none"))
    found = []
    context = _context(home)
    if context:
        found.append(context)
    sockets = [
        (Path("/var/run/docker.sock"), "the usual socket"),
        (runtime / "docker.sock", "rootless Docker"),
        (home / ".docker/run/docker.sock", "Docker Desktop"),
        (home / ".docker/desktop/docker.sock", "Docker Desktop"),
        (home / ".colima/default/docker.sock", "Colima"),
        (runtime / "podman/podman.sock", "rootless Podman"),
        (Path("/run/podman/podman.sock"), "Podman"),
    ]
    return [*found, *((f"unix://{path}", source) for path, source in sockets)]


@contextmanager
def speaking(what: str, where: str = "") -> Iterator[None]:
    """Turn errors of the docker package, and of requests below it, into DriverError: `what` failed."""
    import docker.errors
    import requests.exceptions
    import urllib3.exceptions

    try:
        yield
    except docker.errors.APIError as error:
        raise DriverError(f"{what}: {error.explanation or error}", where=where) from error
    except (
        docker.errors.DockerException,
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        ConnectionError,
    ) as error:
        raise DriverError(
            f"{what}: the engine does not answer ({error})", where=where, next_step="`seaproof doctor` says more."
        ) from error


def _knock(address: str) -> None:
    """Connect to a socket file and hang up: the docker package leaves a socket open where that fails."""
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(address.removeprefix("unix://"))


def _ask(address: str, source: str) -> Engine:
    import docker

    client = docker.APIClient(base_url=address, version="auto", timeout=5, **_tls())
    try:
        version, info = client.version(), client.info()
    finally:
        client.close()
    components = version.get("Components") or [{"Name": "Engine"}]
    name = "Podman" if "podman" in json.dumps(components).lower() else "Docker"
    return Engine(
        address=address,
        source=source,
        name=name,
        version=str(version.get("Version", "")),
        api_version=client.api_version,
        options=tuple(info.get("SecurityOptions") or ()),
        system=str(info.get("OperatingSystem", "")),
    )


def _tls() -> dict[str, Any]:
    """TLS as the docker command takes it from the environment."""
    if not settings.variable("DOCKER_HOST") or not settings.variable("DOCKER_TLS_VERIFY"):
        return {}
    from docker.utils import kwargs_from_env

    given = kwargs_from_env(environment=settings.inherited_environ())
    return {"tls": given["tls"]} if "tls" in given else {}


def _context(home: Path) -> tuple[str, str] | None:
    """The endpoint of the chosen docker context, where it is not the default one."""
    folder = Path(settings.variable("DOCKER_CONFIG") or home / ".docker")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = {}
    name = settings.variable("DOCKER_CONTEXT") or config.get("currentContext", "")
    if not name or name == "default":
        return None
    meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
    try:
        host = json.loads(meta.read_text(encoding="utf-8"))["Endpoints"]["docker"]["Host"]
    except (OSError, ValueError, KeyError):
        return None
    return host, f"docker context {name}"


def _reason(error: BaseException) -> tuple[str, str]:
    """Why an address did not answer, and what to do about it; the cause lies deep below what docker raises."""
    causes = [error]
    while (following := causes[-1].__cause__ or causes[-1].__context__) and len(causes) < 12:
        causes.append(following)
    text = " ".join(str(cause) for cause in causes)
    if any(isinstance(cause, PermissionError) for cause in causes) or "Permission denied" in text:
        return (
            "permission denied",
            "Join the group that may use it: sudo usermod -aG docker $USER, then log in again; or use rootless Docker.",
        )
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes) or "Connection refused" in text:
        return "nobody listens: the engine is not running", "Start it: sudo systemctl start docker."
    if "timed out" in text.lower():
        return "no answer within 5 s", "See whether the engine is well: docker info."
    return str(error) or type(error).__name__, ""


def _unavailable(refused: list[tuple[str, str, str]]) -> DriverUnavailable:
    """One paragraph: an engine that is there but not usable comes before sockets that are not there."""
    telling = [entry for entry in refused if entry[2]] or [entry for entry in refused if "no such" not in entry[1]]
    if telling:
        address, reason, next_step = telling[0]
        return DriverUnavailable(
            f"no container engine can be used: {reason}",
            where=address,
            next_step=next_step or "See whether `docker info` works.",
        )
    return DriverUnavailable(
        "no container engine was found",
        where=", ".join(address for address, _, _ in refused),
        next_step="Install and start Docker or Podman, or set DOCKER_HOST; without one, use --driver process.",
    )
