"""An answer that comes later without a task: what a handler returns that hands a request on and is called back.

A task costs an event loop more than all that a proxy does with a request; this costs one call.
"""

from __future__ import annotations

from collections.abc import Callable

from seaproof.http.message import Response


class Later:
    """Promises one Response. `answer` or `fail` must be called once, even after `cancel`; later calls do nothing."""

    __slots__ = ("_on_cancel", "_outcome", "_then")

    def __init__(self) -> None:
        self._then: Callable[[Response | BaseException], None] | None = None
        self._outcome: Response | BaseException | None = None
        self._on_cancel: Callable[[], object] | None = None

    def on_cancel(self, give_up: Callable[[], object]) -> None:
        """`give_up` is called where the client goes away first, in place of what was said here before."""
        self._on_cancel = give_up

    def answer(self, response: Response) -> None:
        """This is the answer."""
        self._settle(response)

    def fail(self, error: BaseException) -> None:
        """There is no answer; the error becomes one as that of any handler."""
        self._settle(error)

    def _settle(self, outcome: Response | BaseException) -> None:
        if self._outcome is not None:
            return
        self._outcome = outcome
        self._on_cancel = None
        if self._then is not None:
            self._then(outcome)

    def then(self, settled: Callable[[Response | BaseException], None]) -> None:
        """`settled` is called with the outcome, at once if it is there."""
        self._then = settled
        if self._outcome is not None:
            settled(self._outcome)

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        if self._on_cancel is not None:
            self._on_cancel()
