"""The front's end of the line to the nursery: processes for models are ordered here, and their fate is heard."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Process:
    """One process that was ordered for a model."""

    number: int
    pid: int = 0
    """0 until it was started."""
    busy: dict[str, int] = field(default_factory=dict)
    """The Unix sockets that it answers on, one for each of its workers, and how many requests wait for an answer."""
    ready: bool = False
    code: int = 0
    """How it ended, once it has."""
    reason: dict[str, Any] | None = None
    """Why it could not be ready, in its own words: `status` and `what`."""
    last: str = ""
    """The end of what it wrote to standard error while it loaded."""
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """It is ready, or has ended."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Processes:
    """Orders processes from the nursery."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, when_gone: Callable[[], None]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)
        self._processes: dict[int, Process] = {}
        self._when_gone = when_gone
        self._task = asyncio.get_running_loop().create_task(self._read())

    @classmethod
    async def open(cls, channel: socket.socket, when_gone: Callable[[], None]) -> Processes:
        """Take over the front's end of the channel; `when_gone` is called when the nursery has ended."""
        reader, writer = await asyncio.open_unix_connection(sock=channel)
        return cls(reader, writer, when_gone)

    def start(self, folder: str, name: str, room: int) -> Process:
        """Order a process for the model of this name in this folder; it is settled later. `room` is how many bytes it
        may take at once."""
        process = Process(next(self._numbers))
        self._processes[process.number] = process
        self._send({"order": "start", "number": process.number, "folder": folder, "name": name, "room": room})
        return process

    def end(self, process: Process, number: int = signal.SIGTERM) -> None:
        """Send the process a signal, unless it has ended."""
        if not process.ended.is_set():
            self._send({"order": "end", "number": process.number, "signal": int(number)})

    def close(self) -> None:
        """Let go of the channel."""
        self._task.cancel()
        self._writer.close()

    def _send(self, order: dict[str, Any]) -> None:
        self._writer.write(json.dumps(order).encode() + b"\n")

    async def _read(self) -> None:
        while line := await self._reader.readline():
            self._hear(json.loads(line))
        self._when_gone()
        for process in self._processes.values():  # nobody is left who could tell of them; they end with the nursery
            process.reason = {"status": 503, "what": "the container is ending: its first process is gone"}
            process.settled.set()
            process.ended.set()

    def _hear(self, event: dict[str, Any]) -> None:
        process = self._processes[event["number"]]
        if event["event"] == "started":
            process.pid, process.busy = event["pid"], dict.fromkeys(event["sockets"], 0)
        elif event["event"] == "ready":
            process.ready = True
            process.settled.set()
        else:
            process.code, process.reason, process.last = event["code"], event["reason"], event["last"]
            del self._processes[process.number]
            process.settled.set()
            process.ended.set()
