"""`seaproof serve FILE`: a saved model behind the container contract, in the foreground, without a project."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from seaproof.cli.app import WorkloadFailed
from seaproof.cli.interruption import sigterm_interrupts
from seaproof.cli.model_files import facts, put
from seaproof.cli.screen import Screen
from seaproof.cli.session import show_json
from seaproof.contract import environ
from seaproof.contract.http import PING, is_healthy
from seaproof.drivers.ports import free_port
from seaproof.errors import SeaproofError
from seaproof.settings import inherited_environ

POLL_SECONDS = 0.05
GRACE = 30.0


def serve_files(files: Sequence[Path], *, port: int | None, python: str | None, no_pickle: bool, as_json: bool) -> None:
    """Serve until Ctrl-C. SeaproofError where there is no model; WorkloadFailed where the container ends."""
    interpreter = python or sys.executable
    chosen = _bindable(environ.DEFAULT_PORT if port is None else port)
    with Screen(quiet=as_json) as screen, tempfile.TemporaryDirectory(prefix="seaproof-") as folder:
        model = Path(folder) / "ml" / "model"
        put(files, model)
        has_script = (model / "code" / "inference.py").is_file()
        name = "code/inference.py" if has_script else _named(facts(model, interpreter))
        screen.step(f"starting the container for {name}")
        with _container(interpreter, Path(folder), chosen, no_pickle) as process:
            _until_ready(process, chosen)
            url = f"http://127.0.0.1:{chosen}"
            if as_json:
                show_json({"model": name, "url": f"{url}/invocations", "docs": f"{url}/docs"})
                sys.stdout.flush()
            else:
                print(f"{name} is served at {url}/invocations, and explained at {url}/docs", flush=True)
                print(f"Try: curl -s {url}/model/sample_request | curl -s -d @- {url}/invocations", flush=True)
                screen.line("Ctrl-C ends it.")
            code = process.wait()
            raise WorkloadFailed(f"the container ended with code {code}", next_step="What it said last is above.")


def _named(found: dict[str, str]) -> str:
    return f"{found['file']} ({found['format']})"


@contextmanager
def _container(python: str, folder: Path, port: int, no_pickle: bool) -> Iterator[subprocess.Popen[bytes]]:
    """The container's program; ended with the block, also by Ctrl-C and SIGTERM, which leave the block quietly."""
    own = inherited_environ()
    workers = {environ.WORKERS[0]: "1"} if not any(own.get(name) for name in environ.WORKERS) else {}
    given = {
        **own,
        **workers,
        environ.BASE_DIR: str(folder / "ml"),
        environ.BIND_TO_PORT: str(port),
        **({environ.NO_PICKLE: "true"} if no_pickle else {}),
    }
    # A session of its own: Ctrl-C is for this command, which then ends the container as the platform would.
    process = subprocess.Popen(
        [python, "-m", "seaproof.container", "serve"],
        cwd=folder,
        env=given,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        start_new_session=True,
    )

    try:
        with sigterm_interrupts():
            yield process
    except KeyboardInterrupt:
        pass
    finally:
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    """Ask for /ping until it answers 200, as long as the container lives."""
    while process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{PING}", timeout=2) as answer:
                if is_healthy(answer.status):
                    return
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(POLL_SECONDS)
    raise WorkloadFailed(
        f"the container ended with code {process.returncode} before it was ready", next_step="The reason is above."
    )


def _bindable(port: int) -> int:
    """This port, or a free one for 0. SeaproofError where it is taken: what listens there would answer our pings."""
    if port == 0:
        return free_port()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except (OSError, OverflowError) as error:
            raise SeaproofError(
                f"port {port} cannot be listened on: {getattr(error, 'strerror', '') or error}",
                next_step="Say --port for another one; 0 takes a free one.",
            ) from error
    return port
