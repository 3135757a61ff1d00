"""Waiting until a container answers GET /ping with 200, and saying why it does not."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from seaproof.errors import StartFailed
from seaproof.gateway.seats import Place, Say
from seaproof.invocations.send import Ping, Sender
from seaproof.settings import Settings

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_FIRST_WORD = 5.0
"""Seconds after which it is said how things stand; after twice as many again, and so on."""

_HINTS = {
    "404": "Its program has no route /ping.",
    "405": "Its program does not answer GET on /ping.",
    "502": "A proxy answers, but the server behind it does not.",
    "503": "Its program says that it is not ready.",
    "refused": "Nothing listens there: its program must listen on all interfaces, not on 127.0.0.1 alone.",
    "closed": "Connections are closed without an answer: its program must listen on all interfaces, and speak HTTP.",
    "timeout": "It accepts the connection and does not answer.",
    "malformed": "What it answers is not HTTP.",
}


def await_ping(
    sender: Sender,
    settings: Settings,
    name: str,
    place: Callable[[], Place],
    go_on: Callable[[], None],
    say: Say,
    *,
    first_word: float = _FIRST_WORD,
) -> None:
    """Ping until the answer is 200, and `say` now and then what it is. StartFailed after the time of the settings.

    `place` and `go_on` are called before each ping; they raise where the container is gone or no longer wanted.
    """
    started, pause, word = time.monotonic(), _FIRST_PAUSE, first_word
    history: Counter[str] = Counter()
    while True:
        go_on()
        at = place()
        last: Ping = sender.ping(at.host, at.port, settings.profile.ping_timeout.value)
        if last.healthy:
            return
        history[str(last)] += 1
        took, hint = time.monotonic() - started, _HINTS.get(str(last), "")
        counted = ", ".join(f"{count} x {result}" for result, count in history.most_common())
        if took > settings.startup_timeout:
            raise StartFailed(
                f"container {name} did not answer GET /ping with 200 within {settings.startup_timeout:g} s: {counted}",
                where=f"{at.host}:{at.port}",
                next_step=hint,
            )
        if took > word:
            say(f"{name}: not ready after {took:.0f} of {settings.startup_timeout:g} s, GET /ping: {counted}. {hint}")
            word *= 2
        time.sleep(pause)
        pause = min(_LONGEST_PAUSE, pause * 1.5)
