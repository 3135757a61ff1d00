"""A local server in this process, for tests: its event loop in a thread, its state in a folder that is given."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any

import boto3
from botocore.config import Config

from seaproof.api.app import Application
from seaproof.api.coordinator import listen
from seaproof.control.plane import Plane
from seaproof.control.recovery import park
from seaproof.control.store import Store
from seaproof.drivers.process import ProcessDriver
from seaproof.invocations.send import Sender, new_loop
from seaproof.project import FolderImage, find_project
from seaproof.settings import Settings
from seaproof.storage.local import LocalStorage
from seaproof.testing.in_process import TestDriver

CONTAINER = "seaproof-container"
"""The image that serves a model with `seaproof-container serve`."""
QUICK = {"driver": "process", "port": 0, "ping_interval": 0.5, "stop_endpoint_grace": 2.0, "stop_job_grace": 2.0}
_SECONDS = 30.0


class LocalServer:
    """One server; a context manager. `root` is a folder in or below the project whose images may be deployed."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.project = find_project(root)
        settings = Settings.load(flags=QUICK, file=self.project.settings)
        program = folder / "program"
        program.mkdir()
        serving = FolderImage(
            program,
            serve=(sys.executable, "-m", "seaproof.container", "serve"),
            environment={"SAGEMAKER_MODEL_SERVER_WORKERS": "1"},
            accept_bind_to_port=True,
        )
        state = folder / "state"
        state.mkdir(mode=0o700)
        self.driver = TestDriver(state, ProcessDriver(state, {**self.project.images, CONTAINER: serving}))
        self.plane = Plane(
            folder=state,
            settings=settings,
            store=Store(state / "seaproof.db"),
            storage=LocalStorage(state / "s3"),
            driver=self.driver,
            sender=Sender(),
        )
        self.url = ""
        self._clients: dict[str, Any] = {}
        self._loop = new_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="local server", daemon=True)

    def __enter__(self) -> LocalServer:
        self._thread.start()
        self._run(self._open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for client in self._clients.values():
            client.close()
        try:
            self._run(self._close())
            park(self.plane)
        finally:
            self.plane.join(_SECONDS)
            self.plane.sender.close()
            self.plane.store.close()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_SECONDS)
            self._loop.close()

    def client(self, service: str) -> Any:
        """The boto3 client of a service, made for this server: no account, no region, no network."""
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                endpoint_url=self.url,
                region_name=self.plane.settings.region,
                aws_access_key_id="local",
                aws_secret_access_key="local",
                config=Config(retries={"mode": "standard", "max_attempts": 1}, s3={"addressing_style": "path"}),
            )
        return self._clients[service]

    async def _open(self) -> None:
        app = Application(self.plane, "", lambda: None)
        self._app, self._server = app, await listen(app, self.plane.settings)
        app.url = self.url = f"http://127.0.0.1:{self._server.port}"

    async def _close(self) -> None:
        await self._server.close(1.0)
        await self._app.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_SECONDS)
