"""The containers of a running pipeline: where each answers, since which start, and what is wrong where it does not.

A seat is kept by one thread (see `adopted`, `started`) and read by the event loop; what it holds is swapped whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from seaproof.drivers.driver import Exit
from seaproof.inference_pipeline import PipelineContainer
from seaproof.invocations.chain import Step

if TYPE_CHECKING:
    import asyncio

    from seaproof.gateway.loading import Loaded

LOG_LINES = 20

Say = Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """Where a container answers, and which start of it."""

    host: str
    port: int
    start: str
    """Another start has lost what the one before had loaded."""
    how: str = ""
    models: str = "/opt/ml/models"
    """Where the container finds its models."""

    @property
    def peer(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self.port


class Keeper(Protocol):
    """What brings a container into its seat and keeps it there. Called from any thread but the event loop's."""

    def plan(self) -> str:
        """What `open` would do, in a sentence; SeaproofError where it could not be done."""
        ...

    def open(self) -> None:
        """Fill the seat, wait until /ping answers, keep it filled in the background. SeaproofError where it fails."""
        ...

    def look(self) -> None:
        """Look now whether the container is still where the seat says."""
        ...

    def last_lines(self, since: float) -> str:
        """The last lines of the container's log, or "": of the one that was there at `since` (time.monotonic)."""
        ...

    def ended(self, since: float) -> Exit | None:
        """How it ended; None while it runs, ended before `since`, or where nothing is known."""
        ...

    def close(self) -> None:
        """Stop what was started; leave what was adopted. Twice is fine."""
        ...


class Seat:
    """One container of the pipeline."""

    def __init__(self, container: PipelineContainer) -> None:
        self.container = container
        self.name = container.name
        self.place: Place | None = None
        """None while it cannot take requests; `problem` then says why."""
        self.step: Step | None = None
        """How a chain asks the container where it answers plainly, made once."""
        self.problem = "it has not been looked for yet"
        self.keeper: Keeper | None = None
        self.loaded: Loaded | None = None
        """The models of the start that was asked for some last. Of the event loop alone."""
        self.listing: tuple[str, asyncio.Task[Loaded]] | None = None
        """The start whose models are being listed, and who does so."""

    def filled(self, place: Place) -> None:
        """It answers here."""
        self.problem = ""
        self.step = Step(self.name, place.host, place.port)
        self.place = place

    def emptied(self, problem: str) -> None:
        """It takes no requests, and why."""
        self.place = None
        self.problem = problem
