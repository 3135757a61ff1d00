"""What the container answers when there is no prediction to answer with: JSON that says what, where, next step."""

from __future__ import annotations

import errno
import json
import logging
import traceback
from collections.abc import Mapping
from typing import Any

from seaproof.errors import RequestError, authors_traceback
from seaproof.http.message import Response

log = logging.getLogger("seaproof")

_NO_MEMORY = ("bad_alloc", "bad allocation", "DefaultCPUAllocator: can't allocate memory", "Cannot allocate memory")
_JSON = (b"content-type", b"application/json")


def json_reply(status: int, value: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """One JSON object as an answer."""
    more = [(name.lower().encode("latin-1"), text.encode("latin-1")) for name, text in (headers or {}).items()]
    return Response(status, [_JSON, *more], json.dumps(value).encode())


def error_reply(error: RequestError) -> Response:
    """The answer that a RequestError asks for."""
    body = error.body or {"error": error.what, "where": error.where, "next_step": error.next_step}
    return json_reply(error.status, body, error.headers)


def failure_reply(error: BaseException, script: str) -> Response:
    """The answer to a request whose functions raised `error`; the traceback goes to the log and nowhere else."""
    if isinstance(error, RequestError):
        return error_reply(error)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == script]
    name = own[0].name if own else frames[-1].name if frames else ""
    if out_of_memory(error):
        log.error("%s ran out of memory\n%s", name, authors_traceback(error).rstrip())
        what = f"{type(error).__name__}: {error}"
        return error_reply(RequestError(507, what, where=name, next_step="Send less at once, or give it more memory."))
    # The toolkit's own errors carry status_code and phrase; a script that raises its like gets what it asks for.
    status = getattr(error, "status_code", None)
    asked = isinstance(status, int) and 400 <= status < 600 and hasattr(error, "phrase")
    log.error("%s failed\n%s", name, authors_traceback(error).rstrip())
    return error_reply(
        RequestError(
            status if asked and isinstance(status, int) else 500,
            f"{type(error).__name__}: {error}",
            where=name,
            next_step="The traceback is in the log of the container.",
        )
    )


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: the host's, or a GPU's as the frameworks say it (`torch.cuda.OutOfMemoryError`)."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    # Compiled libraries have no MemoryError of their own: their allocators speak C++, or as the system does.
    return (isinstance(error, OSError) and error.errno == errno.ENOMEM) or speaks_of_memory(str(error))


def speaks_of_memory(text: str) -> bool:
    """Whether a compiled library says in this text that it got no memory."""
    return any(words in text for words in _NO_MEMORY)
