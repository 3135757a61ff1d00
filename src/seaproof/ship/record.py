"""What a stage has created, kept beside the project: written before a call and again after it, whole or not at all.

So whoever was killed in between finds what may have been made, and `unship` removes what was created and nothing else.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seaproof.errors import SeaproofError
from seaproof.ship.plan import Call, Step, call_as_json, call_from_json


@dataclass
class Made:
    """One thing that was created, and the call that takes it back."""

    title: str
    undo: Call
    done: bool
    at: float
    """Seconds since the epoch."""


@dataclass
class Record:
    """What one stage created at one target, oldest first."""

    path: Path
    account: str
    region: str
    made: list[Made] = field(default_factory=list)
    endpoint_configs: list[str] = field(default_factory=list)
    """What the endpoint was given, oldest first: `rollback` goes back from the last to the one before."""
    others_configs: list[str] = field(default_factory=list)
    """Those among them that it had from others."""

    def will_make(self, steps: Sequence[Step]) -> list[Made]:
        """Note that these steps are about to be done; what they create."""
        endpoints = {_endpoint(made.undo) for made in self.made} - {""}
        undone = [(step, step.undo) for step in steps if step.undo and _endpoint(step.undo) not in endpoints]
        again = {str(call_as_json(undo)) for _, undo in undone}
        self.made = [made for made in self.made if str(call_as_json(made.undo)) not in again]
        made = [Made(step.title, undo, done=False, at=time.time()) for step, undo in undone]
        if made:
            self.made += made
            self.save()
        return made

    def has_made(self, made: Sequence[Made]) -> None:
        """Note that they were done."""
        for each in made:
            each.done = True
        if made:
            self.save()

    def forget(self, gone: Sequence[Made]) -> None:
        """Note that they are gone, or never came to be."""
        ids = {id(each) for each in gone}
        self.made = [other for other in self.made if id(other) not in ids]
        self.save()

    def endpoint_was_given(self, config: str) -> None:
        """Note the configuration that the endpoint has from now on."""
        self.others_configs = [other for other in self.others_configs if other != config]
        if self.endpoint_configs[-1:] != [config]:
            self.endpoint_configs.append(config)
        self.save()

    def endpoint_was_found(self, config: str) -> None:
        """Note the configuration that the endpoint has before it is given another."""
        if config not in self.endpoint_configs:
            self.endpoint_configs.append(config)
            self.others_configs.append(config)
            self.save()

    def save(self) -> None:
        """Write it, readable by the owner only."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self._as_json(), indent=1)
        part = self.path.with_suffix(".part")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        part.replace(self.path)

    def _as_json(self) -> Mapping[str, Any]:
        return {
            "account": self.account,
            "region": self.region,
            "endpoint_configs": self.endpoint_configs,
            "others_configs": self.others_configs,
            "made": [
                {"title": made.title, "undo": call_as_json(made.undo), "done": made.done, "at": made.at}
                for made in self.made
            ],
        }


def _endpoint(undo: Call) -> str:
    """The endpoint that this call takes back; the first note of one is kept, since it has what was there before."""
    return str(undo.request["EndpointName"]) if undo.operation in ("DeleteEndpoint", "UpdateEndpoint") else ""


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep others of this project from changing the same stage; SeaproofError where one does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("a+", encoding="ascii") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            held.seek(0)
            raise SeaproofError(
                f"process {held.read().strip() or 'of another command'} ships this stage just now",
                where=str(path),
                next_step="Wait until it is done, then say this again.",
            ) from error
        held.truncate(0)
        held.write(str(os.getpid()))
        held.flush()
        yield


def path_of(state: Path, target: str, account: str, region: str, stage: str) -> Path:
    """Where the record of a stage lies."""
    return state / "ship" / f"{target}-{account}-{region}-{stage}.json"


def others(record: Record) -> list[Record]:
    """The records of this project's other stages at the same place that still stand."""
    place = f"-{record.account}-{record.region}-"
    target = record.path.name.partition(place)[0]
    paths = sorted(record.path.parent.glob(f"{target}{place}*.json"))
    found = [load(path, record.account, record.region) for path in paths if path != record.path]
    return [other for other in found if other.made]


def load(path: Path, account: str, region: str) -> Record:
    """The record at `path`; an empty one where there is none yet."""
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        made = [Made(m["title"], call_from_json(m["undo"]), bool(m["done"]), float(m["at"])) for m in given["made"]]
        configs = [[str(name) for name in given.get(kind, [])] for kind in ("endpoint_configs", "others_configs")]
        return Record(path, account, region, made, *configs)
    except FileNotFoundError:
        return Record(path, account, region)
    except (ValueError, KeyError, TypeError) as error:
        raise SeaproofError(
            f"the record of what was shipped cannot be read: {error!r}",
            where=str(path),
            next_step="Nothing was changed. Mend it, or move it away; `unship` then removes nothing of what it names.",
        ) from error
