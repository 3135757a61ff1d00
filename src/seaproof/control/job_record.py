"""One job of any kind as its steps see it: the record and its history, written to also where the disk is full."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from seaproof.control.plane import Plane
from seaproof.control.store import Body, Record
from seaproof.errors import SeaproofError, StoreError

STOPPING = "Stopping"
_RETRY = 1.0


@dataclass(frozen=True)
class JobRecord:
    """One job under way."""

    kind: ClassVar[str]
    noun: ClassVar[str]
    """`Training`, `Processing` or `Transform`, as the API's members have it: TrainingJobName."""
    absent: ClassVar[str] = "Requested resource not found."
    """What is answered where there is no such job; `{}` is its name."""
    plane: Plane
    name: str

    def record(self) -> Record:
        """The record as it is now."""
        found = self.plane.store.get(self.kind, self.name)
        if found is None:
            raise SeaproofError(f"the {self.kind.replace('-', ' ')} {self.name} is gone from the store")
        return found

    def body(self) -> Body:
        """The body of the record as it is now."""
        return self.record().body

    def update(self, change: Callable[[Body], None]) -> None:
        """Change the record's body, at last also where the disk of the store is full."""
        self.insist(partial(self.plane.store.update, self.kind, self.name, change))

    def set(self, key: str, value: object) -> None:
        """Set one key of the record's body."""
        self.update(lambda body: body.update({key: value}))

    def tell(self, type: str, message: str) -> None:
        """Add to the job's history."""
        self.insist(partial(self.plane.store.add_event, self.kind, self.name, type, message))

    def is_stopping(self) -> bool:
        """Whether the job was told to stop, or the coordinator shuts down."""
        return self.plane.closing.is_set() or self.record().status == STOPPING

    def insist(self, write: Callable[[], object]) -> None:
        """Write to the store, again and again while its disk is full: the end of a job must not get lost."""
        while True:
            try:
                write()
                return
            except StoreError:
                self.make_room()
                if self.plane.closing.wait(_RETRY):
                    return

    def make_room(self) -> None:
        """Give back disk that can be given back."""


def explain(error: Exception) -> str:
    """An exception as part of a FailureReason."""
    if isinstance(error, OSError):
        return f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
    return str(error) or type(error).__name__
