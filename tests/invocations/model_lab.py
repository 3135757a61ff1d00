"""What the tests of multi-model containers share: a container, storage with models, and callers beside each other."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model_container import Container

from seaproof.control.model_folders import ModelFolders
from seaproof.errors import ServiceError
from seaproof.http.message import Request, Response
from seaproof.invocations import routing, send
from seaproof.invocations.counters import Tally
from seaproof.invocations.flow import invocation
from seaproof.invocations.loading import Loader, Options
from seaproof.invocations.models_api import ModelsApi
from seaproof.settings import Settings
from seaproof.storage.local import LocalStorage
from seaproof.storage.storage import Address

SETTINGS = Settings(invocation_timeout=20.0)


def an_archive(**files: str) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    buffer.seek(0)
    return buffer


def poll(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
    return found


class Lab:
    """One instance of an endpoint `e` with a multi-model container in a thread of this process."""

    def __init__(self, folder: Path, at_most: int = 1000, **options: Any) -> None:
        self.folder = folder
        self.storage = LocalStorage(folder / "s3")
        self.container = Container(at_most=at_most)
        threading.Thread(target=self.container.serve_forever, args=(0.02,), daemon=True).start()
        self.sender = send.Sender()
        self.tally = Tally()
        self.routes = routing.Routes()
        self.records: list[tuple[str, int]] = []
        self.loader = self.a_loader(**options)

    def a_loader(self, **options: Any) -> Loader:
        """A loader that knows nothing of one before it, and from now on takes the requests."""
        host, port = "127.0.0.1", self.container.server_address[1]
        root = self.folder / "ml" / "models"
        shelf = ModelFolders(self.storage, Address("bucket", "models/"), root, str(root))
        api = ModelsApi(host, port, self.sender.request)
        loader = Loader(api, shelf, self.tally, Options(**options), lambda *use: self.records.append(use))
        instance = routing.Instance("i-1", (routing.Container("primary", host, port, loader),))
        self.routes.publish(routing.Routing("e", (routing.Variant("v", 1.0, (instance,)),)))
        self.instance = instance
        return loader

    def close(self) -> None:
        self.loader.close()
        self.sender.close()
        self.container.shutdown()
        self.container.server_close()

    def put(self, target: str, text: str | None = None, **files: str) -> None:
        self.storage.write(Address("bucket", f"models/{target}"), an_archive(weights=text or target, **files))

    def steps(self, target: str, body: bytes = b"1") -> Any:
        headers = [(b"x-amzn-sagemaker-target-model", target.encode())] if target else []
        request = Request("POST", "/endpoints/e/invocations", headers=headers, body=body)
        return invocation(self.routes, "e", request, SETTINGS)

    def ask(self, target: str, body: bytes = b"1") -> str:
        """The text of the answer."""
        response: Response = self.sender.invoke(self.steps(target, body))
        assert isinstance(response.body, bytes)
        return response.body.decode()

    def refusal(self, target: str, body: bytes = b"1") -> ServiceError:
        try:
            answer = self.ask(target, body)
        except ServiceError as error:
            return error
        raise AssertionError(f"it was answered: {answer}")

    def all_at_once(self, targets: list[str], body: bytes = b"1") -> list[str | ServiceError]:
        """The answers, or errors, to requests that are begun together."""

        async def one(client: Any, target: str) -> str | ServiceError:
            try:
                return (await send.invoke(client, self.steps(target, body))).body.decode()
            except ServiceError as error:
                return error

        async def run(client: Any) -> list[str | ServiceError]:
            return await asyncio.gather(*(one(client, target) for target in targets))

        return self.sender.run(run)

    def statistics(self) -> dict[str, Any]:
        """What the container counted."""
        port = self.container.server_address[1]
        found: dict[str, Any] = json.loads(self.sender.request("127.0.0.1", port, "GET", "/statistics").body)
        return found
