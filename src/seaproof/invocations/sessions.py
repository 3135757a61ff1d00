"""Stateful sessions: which instance keeps which, so that a session's requests go where its state is.

The container opens and closes them; this only reads what it says:

    X-Amzn-SageMaker-Session-Id: NEW_SESSION                          of a request: any instance
    X-Amzn-SageMaker-New-Session-Id: <id>; Expires=<time>             of its reply: the instance keeps this session
    X-Amzn-SageMaker-Session-Id: <id>                                 of a request: to that instance and no other
    X-Amzn-SageMaker-Closed-Session-Id: <id>                          of a reply: nobody keeps it any more

Source: developer guide, "Stateful sessions with Amazon SageMaker AI models".
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone

from seaproof.contract.http import CLOSED_SESSION_ID, NEW_SESSION_ID
from seaproof.http.message import Headers

NEW = "NEW_SESSION"
_OPENED = NEW_SESSION_ID.lower().encode()
_CLOSED = CLOSED_SESSION_ID.lower().encode()

Kept = dict[str, tuple[str, float]]
"""Session id -> instance id, and when it expires (seconds since the epoch; 0.0 for never)."""


class Sessions:
    """The sessions of one endpoint. Usable from any thread. `changed` is called after every change."""

    def __init__(self) -> None:
        self.changed: Callable[[], object] = lambda: None
        self._lock = threading.Lock()
        self._kept: Kept = {}

    def load(self, kept: Kept) -> None:
        """Go on with sessions that an earlier coordinator knew."""
        with self._lock:
            self._kept = {id: (instance, expires) for id, (instance, expires) in kept.items()}

    def all(self) -> Kept:
        """Those that there are now."""
        with self._lock:
            return dict(self._kept)

    def instance_of(self, id: str) -> str | None:
        """The id of the instance that keeps a session; None where none does, or its time is over."""
        with self._lock:
            instance, expires = self._kept.get(id, (None, 0.0))
            if instance is not None and 0 < expires <= time.time():
                del self._kept[id]
                return None
            return instance

    def heard(self, headers: Headers, instance: str) -> None:
        """Take note of what a reply of this instance says of sessions; header names in lower case."""
        for name, value in headers:
            if name not in (_OPENED, _CLOSED):
                continue
            id, expires = _read(value.decode("latin-1"))
            with self._lock:
                if name == _OPENED:
                    self._kept[id] = (instance, expires)
                else:
                    self._kept.pop(id, None)
                now = time.time()
                self._kept = {id: kept for id, kept in self._kept.items() if not 0 < kept[1] <= now}
            self.changed()


def _read(text: str) -> tuple[str, float]:
    """`<id>; Expires=YYYY-MM-DDTHH:MM:SSZ`: the id, and when that is; a time that cannot be read counts as none."""
    id, _, rest = text.partition(";")
    name, _, moment = rest.strip().partition("=")
    if name.lower() != "expires":
        return id.strip(), 0.0
    try:
        parsed = datetime.fromisoformat(moment.strip().replace("Z", "+00:00"))
    except ValueError:
        return id.strip(), 0.0
    return id.strip(), (parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)).timestamp()
