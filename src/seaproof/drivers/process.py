"""The process driver: container images as plain folders, run where no engine is needed (see project.FolderImage).

On Linux each workload gets a file system and a process table of its own, in which it finds its own /opt/ml, its
program folder with a writable layer above it, an empty /tmp, /run and /var/log; and a network of its own where its
port is fixed or isolation is asked for. Where the system does not allow that, the workload is an ordinary process
that finds its folder through SAGEMAKER_BASE_DIR; `check` says so.

<state>/process/<name>/   spec.json  handle.json  log  exit.json  hosts

Peers of a `network` share the machine's network (or, when isolated, the first one's); `algo-3` is 127.0.1.3 to all
of them, so programs that listen on their own host's address do not collide, while those that listen on 0.0.0.0 do.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from seaproof.contract import environ
from seaproof.drivers.driver import Exit, Handle, Health, Usage, Workload
from seaproof.drivers.logfile import read_log
from seaproof.drivers.ports import free_port
from seaproof.drivers.sandbox import processes, supervisor
from seaproof.drivers.sandbox.namespaces import visible_paths, written_by
from seaproof.drivers.sandbox.spec import EXIT, HANDLE, LOG, Spec
from seaproof.errors import DriverError, ImageNotFound, StartFailed
from seaproof.project import FolderImage

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PATHS = frozenset(("PATH", "PYTHONPATH", "LD_LIBRARY_PATH"))
_log = logging.getLogger(__name__)


class ProcessDriver:
    """See the module. `namespaces` False does without them; None finds out whether they are allowed."""

    name = "process"

    def __init__(self, state: Path, images: Mapping[str, FolderImage], *, namespaces: bool | None = None) -> None:
        self._folder = state.absolute() / "process"
        self._images = dict(images)
        self._refused: str | None = None if namespaces is None else "" if namespaces else "switched off"
        self._ended: dict[str, Exit] = {}

    def at(self, state: Path) -> ProcessDriver:
        """See Driver.at."""
        return ProcessDriver(state, self._images)

    def check(self) -> Health:
        """See Driver.check; `facts` say whether namespaces are allowed here, and what follows."""
        facts = {"images": ", ".join(sorted(self._images)) or "none mapped in seaproof.toml"}
        if self._allowed():
            facts["namespaces"] = "allowed: each workload sees its own /opt/ml"
        else:
            facts["namespaces"] = (
                f"not allowed ({self._refused}): workloads find their folder through {environ.BASE_DIR}; "
                "read-only folders, isolation and a fixed port for several workloads are not available"
            )
        return Health(self.name, True, facts=facts)

    def start(self, workload: Workload) -> Handle:
        """See Driver.start."""
        image = self._image(workload.image, "train" if workload.port is None else "serve")
        folder = self._folder / workload.name
        with suppress(FileNotFoundError):
            self.stop(self._handle(folder), 0)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
        try:
            spec, listener = self._prepare(workload, image, folder)
            spec.write(folder)
            try:
                problem = supervisor.launch(folder, listener)
            finally:
                if listener:
                    listener.close()
            if problem:
                raise _failed(problem, workload, image, spec.note)
            self._announce(workload)
            return self._handle(folder)
        except BaseException as error:
            with suppress(OSError, ValueError):
                self.stop(self._handle(folder), 0)
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, OSError):
                raise StartFailed(f"{workload.name} could not be started: {error}", where=workload.image) from error
            raise

    def wait(self, handle: Handle, timeout: float | None = None) -> Exit | None:
        """See Driver.wait."""
        known = self._known(handle)
        if known and not processes.wait(processes.parse(handle.id), timeout):
            return None
        exit = self._exit(handle) if known else None
        # Whoever stops it in this moment has noted the end before he began to remove what is read here.
        exit = self._ended.get(handle.id) or exit
        if exit is None:
            raise DriverError(
                f"nothing is known of the workload {handle.name}", next_step="It was stopped and cleared away."
            )
        return exit

    def stop(self, handle: Handle, grace: float) -> None:
        """See Driver.stop."""
        process = processes.parse(handle.id)
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGUSR1, 10.0), (signal.SIGKILL, 10.0)):
            if processes.send(process, number):
                processes.wait(process, patience)
        exit = self._exit(handle)
        if exit is not None:
            self._ended.setdefault(handle.id, exit)
            shutil.rmtree(self._folder / handle.name, ignore_errors=True)

    def logs(self, handle: Handle, *, follow: bool = False, offset: int = 0) -> Iterator[bytes]:
        """See Driver.logs."""
        if not self._known(handle):
            raise DriverError(f"there is no log of {handle.name} any more")
        process = processes.parse(handle.id)
        return read_log(
            self._folder / handle.name / LOG,
            offset=offset,
            follow=follow,
            ended=lambda: not processes.is_alive(process),
        )

    def usage(self, handle: Handle) -> Usage:
        """See Driver.usage."""
        supervising = processes.parse(handle.id)
        if not processes.is_alive(supervising):
            return Usage()
        members = processes.descendants(supervising.pid)
        return Usage(tuple(members), written_by(members) if self._allowed() else 0)

    def recover(self) -> list[Handle]:
        """See Driver.recover."""
        handles = []
        for path in sorted(self._folder.glob(f"*/{HANDLE}")):
            with suppress(FileNotFoundError):  # stopped in between
                handles.append(self._handle(path.parent))
        return handles

    def _prepare(self, workload: Workload, image: FolderImage, folder: Path) -> tuple[Spec, socket.socket | None]:
        """What the supervisor is told, and the listener of the relay where there is one."""
        spaces = self._allowed()
        if not spaces:
            self._refuse_what_needs_namespaces(workload)
        own = spaces and (workload.isolated or (workload.port is not None and _wants_own_network(image)))
        command = _command(workload, image)
        if not spaces:
            command = [_real(_below(word, workload.opt_ml), image) for word in command]
        variables = _environment(workload, image, folder, spaces)
        host_port, listener = _host_port(workload, image, own)
        if host_port is not None and not own and image.accept_bind_to_port:
            variables[environ.BIND_TO_PORT] = str(host_port)
        workload.opt_ml.mkdir(parents=True, exist_ok=True)
        hosts = _write_hosts(folder, workload) if workload.hostname and spaces else ""
        python = {"prefix": sys.prefix, "base": sys.base_prefix, "binary": sys.executable}
        spec = Spec(
            name=workload.name,
            command=command,
            environment=variables,
            opt_ml=str(workload.opt_ml.absolute()),
            folder=str(image.folder),
            program=image.program,
            namespaces=spaces,
            own_network=own,
            join_network=self._peer(workload),
            port=workload.port,
            host_port=host_port,
            read_only=tuple(workload.read_only),
            hostname=workload.hostname,
            network=workload.network,
            unresolved=tuple(workload.unresolved),
            isolated=workload.isolated,
            hosts=hosts,
            visible=tuple(sorted(visible_paths([*command, str(image.folder)], {**variables, **python}))),
            memory=workload.memory,
            processes=workload.processes,
            user=workload.user,
            shared_memory=workload.shared_memory,
            scratch=workload.scratch,
            note="" if spaces else self._without_namespaces(),
        )
        return spec, listener

    def _refuse_what_needs_namespaces(self, workload: Workload) -> None:
        """StartFailed where an ordinary process would be less than what was asked for."""
        if workload.isolated:
            what, instead = "network isolation", "Leave EnableNetworkIsolation out, or use --driver docker."
        elif workload.user is not None or not workload.shared_memory:
            what, instead = "a user or a file system of its own", "Use --driver docker."
        else:
            return
        raise StartFailed(
            f"{workload.name} asks for {what}, and namespaces are not allowed here ({self._refused})",
            where=f"image {workload.image}",
            next_step=instead,
        )

    def _announce(self, workload: Workload) -> None:
        """Let the name of a workload resolve for those of its network that were started while it did not."""
        number = (workload.hostname or "").rpartition("-")[2]
        for handle in self.recover() if workload.network and number.isdigit() else ():
            with suppress(FileNotFoundError):
                spec = Spec.read(self._folder / handle.name)
                if spec.network == workload.network and workload.hostname in spec.unresolved:
                    with Path(spec.hosts).open("a", encoding="utf-8") as hosts:
                        hosts.write(f"127.0.1.{number} {workload.hostname}\n")

    def _peer(self, workload: Workload) -> str:
        """The process whose network an isolated workload shares, or ""."""
        if not (workload.isolated and workload.network):
            return ""
        for handle in self.recover():
            try:
                spec = Spec.read(self._folder / handle.name)
            except FileNotFoundError:
                continue
            same = spec.isolated and spec.network == workload.network
            if same and processes.is_alive(processes.parse(handle.id)):
                return handle.id
        return ""

    def _allowed(self) -> bool:
        if self._refused is None:
            self._refused = supervisor.probe() if sys.platform == "linux" else f"{sys.platform} has none"
            if self._refused:
                _log.warning(
                    "namespaces are not allowed here (%s): workloads find their /opt/ml through %s",
                    self._refused,
                    environ.BASE_DIR,
                )
        return not self._refused

    def _without_namespaces(self) -> str:
        return (
            f"Namespaces are not allowed here ({self._refused}): the program runs as an ordinary process, without an"
            f" /opt/ml of its own. It finds its folder through {environ.BASE_DIR}."
        )

    def _image(self, reference: str, verb: str) -> FolderImage:
        for key in _spellings(reference):
            if key in self._images:
                return self._images[key]
        mapped = ", ".join(sorted(self._images)) or "none"
        raise ImageNotFound(
            f"no folder is mapped to the image {reference!r}; mapped are: {mapped}",
            where="seaproof.toml, [images]",
            next_step=f'Add a table [images."{_without_registry(reference)}"] to seaproof.toml with folder = "." and,'
            f' unless the folder has a program `{verb}`, {verb} = ["python", "{verb}.py"];'
            " or run the image with --driver docker.",
        )

    def _handle(self, folder: Path) -> Handle:
        return Handle.from_json((folder / HANDLE).read_text(encoding="utf-8"))

    def _known(self, handle: Handle) -> bool:
        try:
            return self._handle(self._folder / handle.name).id == handle.id
        except FileNotFoundError:
            return False

    def _exit(self, handle: Handle) -> Exit | None:
        """How it ended; None where it is not known. A supervisor that was killed took its workload along."""
        if not self._known(handle):
            return None
        try:
            return Exit(**json.loads((self._folder / handle.name / EXIT).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return Exit(137)


def _without_registry(reference: str) -> str:
    first, _, rest = reference.partition("/")
    return rest if rest and (re.search(r"[.:]", first) or first == "localhost") else reference


def _spellings(reference: str) -> list[str]:
    """The keys that an image reference is looked up by: as given, without the registry, without tag or digest."""
    plain = _without_registry(reference)
    untagged = plain.partition("@")[0]
    if ":" in untagged.rpartition("/")[2]:
        untagged = untagged.rpartition(":")[0]
    return list(dict.fromkeys((reference, plain, untagged)))


def _wants_own_network(image: FolderImage) -> bool:
    return image.network == "own" or (image.network == "auto" and not image.accept_bind_to_port)


def _command(workload: Workload, image: FolderImage) -> list[str]:
    """Entrypoint and arguments as contract and FolderImage give them."""
    arguments = list(workload.arguments)
    if workload.entrypoint is not None:
        return [*workload.entrypoint, *arguments]
    given = {"train": image.train, "serve": image.serve}.get(arguments[0] if arguments else "", ())
    command = [*given, *arguments[1:]] if given else arguments or list(image.process)
    if not command:
        raise StartFailed(
            f"{workload.name} has no command: neither entrypoint nor arguments were given",
            where=f"image {workload.image}",
            next_step="Give ContainerEntrypoint or ContainerArguments; or say in seaproof.toml what the image runs by"
            f' itself: process = ["python", "process.py"] in [images."{_without_registry(workload.image)}"].',
        )
    return command


def _environment(workload: Workload, image: FolderImage, folder: Path, spaces: bool) -> dict[str, str]:
    """A clean environment as a container has it; the caller's own is not passed on."""
    program = image.program if spaces else str(image.folder)
    # An image has its packages with it; a folder may have them in a virtual environment.
    own = f"{program}/.venv/bin:" if (image.folder / ".venv" / "bin").is_dir() else ""
    variables = {
        "PATH": f"{program}:{own}{Path(sys.executable).parent}:{_SYSTEM_PATH}",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
    }
    if not spaces:
        home = folder / "home"
        home.mkdir(exist_ok=True)
        variables |= {
            "HOME": str(home),
            "TMPDIR": str(home),
            "PYTHONDONTWRITEBYTECODE": "1",
            environ.BASE_DIR: str(workload.opt_ml.absolute()),
        }
    if workload.hostname:
        variables["HOSTNAME"] = workload.hostname
    variables |= {**image.environment, **workload.environment}
    if not spaces:
        for name in _PATHS & variables.keys():
            variables[name] = ":".join(_real(entry, image) for entry in variables[name].split(":"))
    return variables


def _real(entry: str, image: FolderImage) -> str:
    """A path of the program's folder as it is on this machine: an image's own variables name it as in a container."""
    inside = entry == image.program or entry.startswith(f"{image.program}/")
    return str(image.folder) + entry[len(image.program) :] if inside else entry


def _below(word: str, opt_ml: Path) -> str:
    """A path below /opt/ml as it is on this machine, such as that of a processing job's script."""
    return str(opt_ml.absolute()) + word[len("/opt/ml") :] if word.startswith("/opt/ml/") else word


def _host_port(workload: Workload, image: FolderImage, own_network: bool) -> tuple[int | None, socket.socket | None]:
    """The port of this machine where the program answers, and who listens there if it is the relay to its network."""
    if workload.port is None:
        return None, None
    if own_network:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1], listener
    return free_port() if image.accept_bind_to_port else _fixed_port(workload), None


def _fixed_port(workload: Workload) -> int:
    """The program's own port on the host's network, which has to be free."""
    port = workload.port or 0
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise StartFailed(
                f"port {port} of this machine is taken ({error.strerror}), and the image always listens on it",
                where=f"image {workload.image}",
                next_step="Let the program listen on $SAGEMAKER_BIND_TO_PORT and say accept_bind_to_port = true, "
                "or stop what uses the port.",
            ) from error
    return port


def _write_hosts(folder: Path, workload: Workload) -> str:
    """A file for /etc/hosts in which `algo-k` is 127.0.1.k, for every k that may resolve; gives its path."""
    hostname = workload.hostname or ""
    stem, _, number = hostname.rpartition("-")
    lines = [f"127.0.1.{k} {stem}-{k}" for k in range(1, 255) if f"{stem}-{k}" not in workload.unresolved]
    lines = lines if number.isdigit() else [f"127.0.1.1 {hostname}"]
    with suppress(OSError):
        lines.insert(0, Path("/etc/hosts").read_text(encoding="utf-8").rstrip("\n"))
    target = folder / "hosts"
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(target)


def _failed(problem: str, workload: Workload, image: FolderImage, note: str) -> StartFailed:
    try:
        said = json.loads(problem)
    except ValueError:
        said = {"what": problem, "next_step": ""}
    return StartFailed(
        said["what"],
        where=f"{workload.name}, image {workload.image} = {image.folder}",
        next_step=f"{said['next_step']} {note}".strip(),
    )
