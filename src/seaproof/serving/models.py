"""The models of a multi-model container: loaded, listed, invoked, unloaded, and brought back where one dies."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seaproof.contract import http
from seaproof.contract.environ import ServingEnviron
from seaproof.errors import HttpError, RequestError
from seaproof.http.client import Client
from seaproof.http.message import Request, Response
from seaproof.serving import metrics
from seaproof.serving.admission import Admission
from seaproof.serving.children import how
from seaproof.serving.memory import MIB, Memory, family, private, proportional, size_on_disk
from seaproof.serving.orders import Process, Processes
from seaproof.serving.pace import STUCK
from seaproof.serving.relay import relay
from seaproof.serving.replies import log, speaks_of_memory
from seaproof.serving.worker import DRAIN

STEADY = 10.0
"""Seconds after which a model's process counts as healthy, and its earlier deaths no more."""
HOPELESS = 3
"""So many deaths in a row unload the model."""
_FATE = 1.0
"""Seconds until it is known how a process ended whose connections have broken off."""
GRACE = 5.0
"""Seconds that a model's own time-out has to be answered, before the front answers for it."""


@dataclass
class Model:
    """One model: loading, loaded, or being loaded again after its process died."""

    name: str
    url: str
    """Its folder, as given."""
    size: int
    """Bytes on disk."""
    process: Process
    up: asyncio.Task[None] | None = None
    """Done when it can be invoked; has failed where it cannot be loaded."""
    loaded: bool = False
    """It was loaded once, and is listed."""
    memory: int = 0
    """Bytes that its processes had when last measured."""
    began: float = field(default_factory=time.time)
    """When its process was started (seconds since 1970)."""
    deaths: int = 0
    """In a row."""
    kills: int = 0
    """How many processes the kernel had killed in this container for want of memory when this one was loaded."""


class Models:
    """All models of this container, on the event loop of the front."""

    def __init__(
        self, environ: ServingEnviron, processes: Processes, memory: Memory, own: tuple[int, ...] = ()
    ) -> None:
        self._environ = environ
        self._processes = processes
        self._admission = Admission(memory, own, self._models_memory)
        self._client = Client(pool=256, idle_seconds=30.0)
        self._models: dict[str, Model] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.workers = environ.workers
        """Worker processes of each model."""
        self.closing = False
        """The container ends: models that end now are not brought back."""

    def loaded(self) -> list[Model]:
        """Those that are loaded, by name."""
        return sorted((model for model in self._models.values() if model.loaded), key=lambda model: model.name)

    def find(self, name: str) -> Model:
        """A model that is loaded. RequestError 404 where it is not."""
        if not self.has(name):
            raise _not_loaded(name)
        return self._models[name]

    def has(self, name: str) -> bool:
        """Whether a model of this name is loaded."""
        return name in self._models and self._models[name].loaded

    def measure(self) -> dict[str, int]:
        """Bytes of memory by model, as of now: what its processes have, with what they share divided (PSS)."""
        for model in self.loaded():
            model.memory = proportional(family(model.process.pid))
        return {model.name: model.memory for model in self.loaded()}

    async def load(self, name: str, url: str) -> None:
        """Load a model from its folder. RequestError: 404 no such folder, 409 loaded already, 507 no memory, 500 its
        code failed.

        It goes on when the caller has left. Who asks for a model that is being loaded waits for that, and gets 409.
        """
        model = self._models.get(name)
        if model is not None:
            if model.up is not None:
                await asyncio.shield(model.up)
            raise RequestError(
                409,
                f"the model {shown(name)} is loaded already",
                where="model_name",
                next_step=f"Invoke it, or unload it first with DELETE {http.MODELS}/<name>.",
            )
        if not _is_folder(url):
            raise RequestError(
                404, f"there is no folder {url}", where="url", next_step="Give the local path of the model's folder."
            )
        model = self._models[name] = Model(name, url, size_on_disk(url), Process(0))
        model.up = self._task(self._bring_up(model))
        await asyncio.shield(model.up)

    async def unload(self, name: str) -> None:
        """Unload a model, or give up loading it: requests in flight end, then its memory is free. RequestError 404
        where there is none."""
        model = self._models.pop(name, None)
        if model is None:
            raise _not_loaded(name)
        await asyncio.shield(self._task(self._end(model)))

    async def invoke(self, name: str, request: Request) -> Response:
        """What the model answers. RequestError: 404 not loaded, 503 its process died, 504 no answer in time, 507 the
        kernel took its memory away."""
        model = self._models.get(name)
        if model is None:
            raise _not_loaded(name)
        if model.up is not None:
            await self._until_up(model, model.up)
        process = model.process
        try:
            return await relay(self._client, process, request, self._environ.timeout + GRACE)
        except HttpError as error:
            raise await self._no_answer(model, process, error) from error

    async def close(self) -> None:
        """Let go of everything; the nursery ends the processes."""
        self.closing = True
        for task in self._tasks:
            task.cancel()
        await self._client.close()
        self._processes.close()

    def _models_memory(self) -> int:
        return sum(model.memory for model in self._models.values() if model.loaded)

    def _count(self) -> None:
        metrics.set_models(len(self.loaded()), self._models_memory())

    async def _no_answer(self, model: Model, process: Process, error: HttpError) -> RequestError:
        """Why there is none."""
        if error.kind == "timeout":
            return RequestError(
                504, f"the model gave no answer in time: {error.what}", where=model.url, next_step="Send less at once."
            )
        with suppress(TimeoutError, asyncio.TimeoutError):  # where one of several workers died, it has not ended
            await asyncio.wait_for(process.ended.wait(), _FATE)
        fate = f": it {how(process.code)}" if process.ended.is_set() else ""
        out_of_memory = process.code == -signal.SIGKILL and self._admission.kills() > model.kills
        return RequestError(
            507 if out_of_memory else 503,
            f"the process of the model {shown(model.name)} ended before it answered{fate}",
            where=model.url,
            next_step="Send less at once, or give it more memory; the model is being loaded anew."
            if out_of_memory
            else "Send the request again: the model is being loaded anew. Why it ended is in the log.",
        )

    async def _until_up(self, model: Model, up: asyncio.Task[None]) -> None:
        await asyncio.wait([up], timeout=self._environ.timeout)
        if not up.done():
            raise RequestError(
                503,
                f"the model {shown(model.name)} is still being loaded",
                where=model.url,
                next_step="Send the request again later.",
                headers={"Retry-After": "1"},
            )
        up.result()

    async def _bring_up(self, model: Model) -> None:
        """Start a process and wait until it is ready; RequestError, with nothing left behind, where it cannot be."""
        began = time.monotonic()
        try:
            model.process = await self._ready_process(model)
        except BaseException as error:
            if self._models.get(model.name) is model:
                del self._models[model.name]
            self._count()
            if isinstance(error, RequestError):
                log.error("the model %s is not loaded: %s", shown(model.name), error)
            raise
        pids = family(model.process.pid)
        model.memory = proportional(pids)
        self._admission.learn(private(pids), model.size)
        model.loaded, model.up, model.began = True, None, time.time()
        model.kills = self._admission.kills()
        metrics.own().set(metrics.LOAD_SECONDS, time.monotonic() - began)
        self._count()
        self._task(self._follow(model, model.process))
        log.info(
            "the model %s is loaded from %s after %.2f s and takes %d MiB; loaded: %d, with %d MiB",
            shown(model.name),
            model.url,
            time.monotonic() - began,
            model.memory // MIB,
            len(self.loaded()),
            self._models_memory() // MIB,
        )

    async def _ready_process(self, model: Model) -> Process:
        kills = self._admission.kills()
        model.memory = 0
        self._count()
        with self._admission.admit(model.size) as admitted:
            process = model.process = self._processes.start(model.url, model.name, self._admission.room())
            refused = await admitted.watch(process, lambda: self._processes.end(process, signal.SIGKILL))
        if process.ready and refused is None:
            return process
        if self._models.get(model.name) is not model:
            raise RequestError(503, "the model was unloaded while it was being loaded", where=model.url)
        if refused is not None:
            raise refused
        if process.code == -signal.SIGKILL and self._admission.kills() > kills:
            raise self._admission.refusal("the kernel took its memory away", None)
        reason = process.reason or _last_words(process)
        if reason["status"] == 507:
            what = reason["what"].removesuffix(": ")
            raise self._admission.refusal(f"it asked for more than there is while it was loading ({what})", None)
        raise RequestError(
            reason["status"], reason["what"], where=model.url, next_step="The traceback is in the log of the container."
        )

    async def _follow(self, model: Model, process: Process) -> None:
        """Bring a model back whose process dies, unless it keeps dying."""
        began = time.monotonic()
        await process.ended.wait()
        if self.closing or self._models.get(model.name) is not model:
            return
        metrics.own().add(metrics.DEATHS)
        steady = time.monotonic() - began > STEADY or process.code == STUCK
        model.deaths = 1 if steady else model.deaths + 1
        hopeless = model.deaths >= HOPELESS
        next_step = f"it is unloaded, after {HOPELESS} times in a row" if hopeless else "it is loaded again"
        log.error("the process of the model %s %s; %s", shown(model.name), how(process.code), next_step)
        if hopeless:
            del self._models[model.name]
            self._count()
            return
        model.up = asyncio.current_task()
        await self._bring_up(model)

    async def _end(self, model: Model) -> None:
        process = model.process
        self._processes.end(process, signal.SIGTERM if process.ready else signal.SIGKILL)
        try:
            await asyncio.wait_for(process.ended.wait(), DRAIN + 1.0)
        except (TimeoutError, asyncio.TimeoutError):
            self._processes.end(process, signal.SIGKILL)
            await process.ended.wait()
        self._count()
        log.info("the model %s is unloaded; loaded: %d", shown(model.name), len(self.loaded()))

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        # Those who wait for it get the error; where nobody does any more, it is in the log already.
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, RequestError):
            log.error("a model could not be kept: %s: %s", type(error).__name__, error)


def shown(name: str) -> str:
    """A model's name for a message or the log: quoted, and no longer than a line."""
    return repr(name if len(name) <= 80 else f"{name[:77]}...")


def _not_loaded(name: str) -> RequestError:
    return RequestError(
        404,
        f"the model {shown(name)} is not loaded",
        where="model_name",
        next_step=f'Load it with POST {http.MODELS} {{"model_name": ..., "url": ...}}.',
    )


def _is_folder(url: str) -> bool:
    try:
        return Path(url).is_dir()
    except (ValueError, OSError):  # a NUL in it, or too long
        return False


def _last_words(process: Process) -> dict[str, Any]:
    """Why a process ended that could not say it itself: compiled code that gets no memory ends it then and there."""
    said = f": {process.last.splitlines()[-1].strip()}" if process.last else ""
    status = 507 if speaks_of_memory(process.last) else 500
    return {"status": status, "what": f"the model's process {how(process.code)} while it loaded{said}"}
