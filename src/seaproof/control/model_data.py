"""Model data: from storage into a workload's /opt/ml/model, within the time that the variant allows."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from seaproof.control.archives import unpack
from seaproof.control.fleet import Plan
from seaproof.control.plane import Plane
from seaproof.errors import ArchiveError, NoSuchObject, SeaproofError, StorageError
from seaproof.storage.storage import Address, parse_address

_PIECE = 1024 * 1024


def place(plane: Plane, container: Plan, opt_ml: Path, timeout: float, go_on: Callable[[], None]) -> None:
    """Make `model` below `opt_ml` hold the container's model data; empty where it has none.

    `go_on` is called between pieces and raises where the work is no longer wanted. SeaproofError in the platform's
    wording, with the cause.
    """
    folder = opt_ml / "model"
    folder.mkdir(parents=True, exist_ok=True)
    data = container["model_data"]
    if not data:
        return
    deadline = time.monotonic() + timeout

    def check() -> None:
        go_on()
        if time.monotonic() > deadline:
            raise StorageError(f"the download takes longer than {timeout:g} seconds", where=data["uri"])

    archive = opt_ml.with_name(f"{opt_ml.name}.tar.gz")
    try:
        if data["compressed"]:
            _copy(plane, parse_address(data["uri"]), archive, check)
            unpack(archive, folder)
            check()
        else:
            _copy_all(plane, parse_address(data["uri"]), folder, check)
    except ArchiveError as error:
        raise _wording("Failed to extract model data archive for", container, "is a valid tar.gz archive", error) from (
            error
        )
    except StorageError as error:
        raise _wording("Failed to download model data for", container, "exists and can be read", error) from error
    except OSError as error:
        raise _wording("Failed to store model data for", container, "fits on the disk", error) from error
    finally:
        archive.unlink(missing_ok=True)


def _wording(verb: str, container: Plan, expected: str, cause: Exception) -> SeaproofError:
    uri = container["model_data"]["uri"]
    return SeaproofError(
        f'{verb} container "{container["name"]}" from URL: "{uri}". '
        f"Please ensure that the object located at the URL {expected}. Cause: {cause}"
    )


def _copy_all(plane: Plane, source: Address, folder: Path, check: Callable[[], None]) -> None:
    """All objects of a prefix that ends in `/`, or one object, uncompressed."""
    if not source.key.endswith("/"):
        _copy(plane, source, folder / PurePosixPath(source.key).name, check)
        return
    found = False
    for item in plane.storage.list(source):
        name = item.address.key[len(source.key) :]
        if not name or name.endswith("/") or ".." in PurePosixPath(name).parts or name.startswith("/"):
            raise StorageError(
                f"the key {item.address.key!r} is no file name that can be placed below the model folder",
                where=str(source),
                next_step="Remove it; hosting refuses it, too.",
            )
        _copy(plane, item.address, folder / name, check)
        found = True
    if not found:
        raise NoSuchObject("nothing is stored below this prefix", where=str(source))


def _copy(plane: Plane, source: Address, target: Path, check: Callable[[], None]) -> None:
    check()
    target.parent.mkdir(parents=True, exist_ok=True)
    with plane.storage.open(source) as reader, target.open("wb") as writer:
        while piece := reader.read(_PIECE):
            writer.write(piece)
            check()


def remove(opt_ml: Path) -> None:
    """Remove a workload's folder and all that may lie beside it."""
    opt_ml.with_name(f"{opt_ml.name}.tar.gz").unlink(missing_ok=True)
    shutil.rmtree(opt_ml, ignore_errors=True)
