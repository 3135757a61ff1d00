"""Requests that checks send: a payload that the container answers with 2xx, found once, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from seaproof.check.check import Unchecked
from seaproof.check.options import Payload
from seaproof.check.run import Run
from seaproof.check.startup import running
from seaproof.check.subject import Subject
from seaproof.errors import HttpError
from seaproof.http.reply import Reply

_GUESSES = (
    Payload(b'{"instances": [[1, 2, 3, 4]]}', "application/json", source="a guess"),
    Payload(b"1,2,3,4\n", "text/csv", source="a guess"),
    Payload(b"{}", "application/json", source="a guess"),
    Payload(b"hello", "text/plain", source="a guess"),
    Payload(b"hello", "application/octet-stream", source="a guess"),
)
_GUESS_SECONDS = 5.0
NEXT = "Give one that it answers: --payload FILE --content-type TYPE."


def payload(subject: Subject) -> Payload | None:
    """The payload given, or one of a few guesses that is answered with 2xx; None where none is."""
    if subject.options.payload is not None:
        return subject.options.payload
    return subject.lab.once("payload", lambda: _guess(running(subject)))


def known_payload(subject: Subject) -> Payload:
    """As `payload`; Unchecked where there is none."""
    found = payload(subject)
    if found is None:
        raise Unchecked("no payload was given, and the container answers none of our guesses with 2xx", next_step=NEXT)
    return found


def _guess(run: Run) -> Payload | None:
    for guess in _GUESSES:
        try:
            if 200 <= run.invoke(guess.body, guess.content_type, guess.accept, timeout=_GUESS_SECONDS).status < 300:
                return guess
        except HttpError:
            if run.exit() is not None:
                return None
    return None


def invoke_payload(subject: Subject) -> Reply:
    """The first invocation with the payload, sent once; HttpError and Unchecked are told to whoever asks."""
    known = known_payload(subject)
    run = running(subject)

    def send() -> Reply | HttpError:
        try:
            return run.invoke(known.body, known.content_type, known.accept, timeout=subject.options.invocation_seconds)
        except HttpError as error:
            return error

    found = subject.lab.once("first reply", send)
    if isinstance(found, HttpError):
        raise found
    return found


def answered(subject: Subject) -> Reply:
    """As `invoke_payload`, a 2xx; Unchecked where it is none, as SP014 and SP115 say then."""
    try:
        reply = invoke_payload(subject)
    except HttpError as error:
        raise Unchecked(f"the payload has no answer: {error.what}", blocks=False) from error
    if not 200 <= reply.status < 300:
        raise Unchecked(f"the payload is answered with {reply.status}", next_step=NEXT, blocks=False)
    return reply


def shown(reply: Reply) -> str:
    """Status, type and first bytes of a reply."""
    body = reply.body[:200].decode("utf-8", "replace")
    return f"{reply.status}  {reply.header(b'content-type') or '(no Content-Type)'}  {body}"


@contextmanager
def several(number: int) -> Iterator[ThreadPoolExecutor]:
    """Threads for so many requests at once; whoever is interrupted does not wait for their answers."""
    pool = ThreadPoolExecutor(number)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
