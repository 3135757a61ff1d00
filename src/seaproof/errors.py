"""Every exception that seaproof raises on purpose.

Each says three things: *what* went wrong, *where*, and the *next step*. The command line prints them as one
paragraph; a traceback in front of a user is always a bug of ours.

    SeaproofError
    ├── ContractError          something below /opt/ml, or a variable, breaks the container contract
    ├── ProjectError           seaproof.toml, or a setting, cannot be used
    ├── StorageError           an s3:// object cannot be read or written
    │   └── NoSuchObject       there is nothing at this address
    ├── StoreError             the project's records cannot be read or written: a full disk
    ├── DriverError            a workload could not be run
    │   ├── DriverUnavailable  this driver does not work on this machine
    │   ├── ImageNotFound      no such image, or no folder mapped to it
    │   └── StartFailed        the workload never came to life
    ├── ArchiveError           a model.tar.gz that hosting would refuse
    ├── HttpError              the network said no: refused, timed out, not HTTP
    ├── ServiceError           what the SageMaker API answers: a code, a message, a status
    └── RequestError           an HTTP status that serving code answers to one request
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PACKAGE = str(Path(__file__).parent)


class SeaproofError(Exception):
    """Base of all; `str()` is the whole paragraph: what, where, next step."""

    def __init__(self, what: str, *, where: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.next_step = next_step

    def __str__(self) -> str:
        what = f"{self.what} ({self.where})" if self.where else self.what
        if not self.next_step:
            return what
        return f"{what.rstrip('.')}. {self.next_step}"


class ContractError(SeaproofError):
    """The container contract is broken: a file below /opt/ml or an environment variable."""


class ProjectError(SeaproofError):
    """seaproof.toml, or a setting, cannot be used; `where` names the file and key."""


class StorageError(SeaproofError):
    """An `s3://` object cannot be read or written."""


class NoSuchObject(StorageError):
    """Nothing is stored at this address."""


class StoreError(SeaproofError):
    """The project's records cannot be read or written, most often because the disk is full."""


class DriverError(SeaproofError):
    """A workload could not be run, stopped or read."""


class DriverUnavailable(DriverError):
    """The driver does not work on this machine; `next_step` says what to install or start."""


class ImageNotFound(DriverError):
    """The engine has no such image, or `seaproof.toml` maps no folder to it."""


class StartFailed(DriverError):
    """The workload could not be brought to life."""


class ArchiveError(SeaproofError):
    """A model archive that SageMaker hosting would refuse to extract."""


class HttpError(SeaproofError):
    """No usable HTTP answer: `kind` is `refused`, `timeout`, `closed`, `malformed` or `oversize`."""

    def __init__(self, kind: str, what: str, *, where: str = "", next_step: str = "") -> None:
        super().__init__(what, where=where, next_step=next_step)
        self.kind = kind


class ServiceError(SeaproofError):
    """An error of the SageMaker API, as a client sees it.

    `code` is the error code (`ValidationException`, `ResourceInUse`, `ModelError`), `status` the HTTP status,
    `members` the further members of the error's shape (`OriginalStatusCode` and the like). `message` stays as the
    service words it, since clients branch on it; `next_step` is ours, and shown by our own command line only.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 400,
        members: Mapping[str, Any] | None = None,
        next_step: str = "",
    ) -> None:
        super().__init__(message, next_step=next_step)
        self.code = code
        self.message = message
        self.status = status
        self.members: dict[str, Any] = dict(members or {})


class RequestError(SeaproofError):
    """One request cannot be served; the container answers `status` with what and next step as JSON."""

    def __init__(
        self,
        status: int,
        what: str,
        *,
        where: str = "",
        next_step: str = "",
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(what, where=where, next_step=next_step)
        self.status = status
        self.headers = dict(headers or {})
        self.body = body
        """What is answered instead, where the caller's protocol has errors of its own."""


def authors_traceback(error: BaseException) -> str:
    """The traceback of an exception from the author's first line on, without our frames that lead there.

    A traceback of ours alone is given whole, except for a SyntaxError, which names file and line itself.
    """
    own = error.__traceback__
    while own is not None and own.tb_frame.f_code.co_filename.startswith((_PACKAGE, "<frozen ")):
        own = own.tb_next
    if own is None and not isinstance(error, SyntaxError):
        own = error.__traceback__
    return "".join(traceback.format_exception(type(error), error, own))
