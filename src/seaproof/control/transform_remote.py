"""An instance of a transform job on another machine: what an actor needs to start it there and to ask it.

All of it can be pickled: the request, the plan of the variant, the driver for a folder of that machine, and the model's
data. Images are not sent: a node has them, as an image of its engine or as the same folder.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from seaproof.batch import work
from seaproof.batch.engine import Work
from seaproof.batch.payload import Outcome, Payload
from seaproof.batch.work import Job as WorkJob
from seaproof.control import transform_instances
from seaproof.control.job_endings import IN_PROGRESS
from seaproof.control.plane import Plane
from seaproof.control.store import Body, Store
from seaproof.control.transform_instances import Place
from seaproof.control.transform_options import Options
from seaproof.control.transform_record import KIND, Job
from seaproof.control.transform_stop import Stop
from seaproof.drivers.driver import Driver
from seaproof.invocations.send import Sender
from seaproof.settings import Settings
from seaproof.storage.local import LocalStorage
from seaproof.storage.storage import parse_address

PREFERENCES = "preferences"
"""The item that a worker answers with what its container wishes, instead of a payload."""
Item = tuple[WorkJob, Payload]


@dataclass(frozen=True)
class Elsewhere:
    """Opens the instance of a number, wherever this runs. The work takes an Item, or PREFERENCES."""

    job: str
    body: Body
    options: Options
    settings: Settings
    driver: Driver
    data: Mapping[str, bytes]
    """The model's objects, by address."""

    @contextmanager
    def __call__(self, number: int) -> Iterator[Work]:
        with self._plane(number) as plane:
            found = transform_instances.variant(self.body, number)
            # Whoever was here before was killed, and could not take its containers along.
            for handle in plane.driver.recover():
                plane.driver.stop(handle, 0.0)
            plane.store.insert(KIND, self.job, self.job, IN_PROGRESS, {})
            stopped = Stop(Job(plane, self.job))
            try:
                with transform_instances.instances(plane, self.job, [found], stopped) as places:
                    send = transform_instances.sender(places[0], self.body, self.options.target_model, stopped)
                    yield partial(_work, places[0], send, stopped)
            finally:
                stopped.close()
                plane.join(5.0)

    @contextmanager
    def _plane(self, number: int) -> Iterator[Plane]:
        # The same for the actor that replaces one on this machine.
        folder = Path(tempfile.gettempdir()) / f"seaproof-{self.job}-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "seaproof.db").unlink(missing_ok=True)
        store, sender, storage = Store(folder / "seaproof.db"), Sender(), LocalStorage(folder / "s3")
        for uri, content in self.data.items():
            storage.write(parse_address(uri), io.BytesIO(content))
        try:
            yield Plane(folder, self.settings, store, storage, self.driver.at(folder), sender)
        finally:
            sender.close()
            store.close()


def elsewhere(job: Job) -> Elsewhere:
    """For the instances of this job. StorageError where the model's data cannot be read."""
    plane, body, options = job.plane, job.body(), job.options
    data: dict[str, bytes] = {}
    for container in body["_plan"]["containers"]:
        uri = container["model_data"].get("uri", "")
        if container.get("multi_model"):
            uri = f"{container['multi_model']['uri'].rstrip('/')}/{options.target_model.lstrip('/')}"
        if uri:
            with plane.storage.open(parse_address(uri)) as stream:
                data[uri] = stream.read()
    return Elsewhere(job.name, body, options, plane.settings, plane.driver.at(job.folder), data)


def _work(place: Place, send: work.Send, stopped: Stop, item: Item | str) -> dict[str, Any] | Outcome:
    if isinstance(item, str):
        return place.preferences()
    shared, payload = item
    return work.run(shared, send, payload, stopped)
