"""What a stage has created, kept beside the project: written before a call and again after it, whole or not at all.

So whoever was killed in between finds what may have been made, and `unship` removes what was created and nothing else.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
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

    def will_make(self, step: Step) -> Made | None:
        """Note that this step is about to be done; what it creates, if it creates something."""
        if step.undo is None:
            return None
        self.made = [made for made in self.made if made.undo != step.undo]
        made = Made(step.title, step.undo, done=False, at=time.time())
        self.made.append(made)
        self.save()
        return made

    def has_made(self, made: Made) -> None:
        """Note that it was done."""
        made.done = True
        self.save()

    def forget(self, made: Made) -> None:
        """Note that it is gone, or never came to be."""
        self.made = [other for other in self.made if other is not made]
        self.save()

    def endpoint_was_given(self, config: str) -> None:
        """Note the configuration that the endpoint has from now on."""
        if self.endpoint_configs[-1:] != [config]:
            self.endpoint_configs.append(config)
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
            "made": [
                {"title": made.title, "undo": call_as_json(made.undo), "done": made.done, "at": made.at}
                for made in self.made
            ],
        }


def path_of(state: Path, target: str, account: str, region: str, stage: str) -> Path:
    """Where the record of a stage lies."""
    return state / "ship" / f"{target}-{account}-{region}-{stage}.json"


def load(path: Path, account: str, region: str) -> Record:
    """The record at `path`; an empty one where there is none yet."""
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        made = [Made(m["title"], call_from_json(m["undo"]), bool(m["done"]), float(m["at"])) for m in given["made"]]
        return Record(path, account, region, made, [str(name) for name in given["endpoint_configs"]])
    except FileNotFoundError:
        return Record(path, account, region)
    except (ValueError, KeyError, TypeError) as error:
        raise SeaproofError(
            f"the record of what was shipped cannot be read: {error!r}",
            where=str(path),
            next_step="Nothing was changed. Mend it, or move it away; `unship` then removes nothing of what it names.",
        ) from error
