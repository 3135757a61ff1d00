"""Multi-model containers of endpoints: their loader for each instance, and the list of what they did."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seaproof.control.fleet import Fleet, Plan
from seaproof.control.model_folders import ModelFolders
from seaproof.control.model_trace import recorder
from seaproof.control.plane import Plane
from seaproof.drivers.driver import Handle
from seaproof.invocations.counters import Counts, as_json
from seaproof.invocations.loading import Loader, Options
from seaproof.invocations.models_api import ModelsApi, memory_told
from seaproof.storage.storage import parse_address

_MIB = 1024 * 1024


def loader(plane: Plane, fleet: Fleet, container: Plan, handle: Handle, opt_ml: Path) -> Loader:
    """The loader of one instance's multi-model container, for as long as the instance lives."""
    settings = plane.settings
    assert handle.host is not None
    assert handle.port is not None
    prefix = parse_address(container["multi_model"]["uri"])
    base = str(handle.detail.get("opt_ml", "/opt/ml"))
    shelf = ModelFolders(plane.storage, prefix, opt_ml / "models", f"{base}/models")
    options = Options(
        patience=settings.model_patience,
        load_timeout=settings.model_load_timeout,
        disk_bytes=settings.models_disk * _MIB,
        stay=container["multi_model"]["stay"],
    )
    record = recorder(trace_file(plane, fleet.endpoint)) if settings.model_trace else None
    api = ModelsApi(handle.host, handle.port, plane.sender.request)
    return Loader(api, shelf, fleet.tally, options, record)


def trace_file(plane: Plane, endpoint: str) -> Path:
    """Where the trace of an endpoint is recorded."""
    return plane.folder / "traces" / f"{endpoint}.csv"


def listing(plane: Plane) -> list[dict[str, Any]]:
    """The models of all multi-model endpoints that run, most used first: counts, where they are loaded, memory.

    `memory` is what the containers tell, in bytes, over all instances; None where they do not. Asks each container.
    """
    rows: list[dict[str, Any]] = []
    for fleet in plane.fleets.all():
        loaders = list(_loaders(fleet))
        counts = fleet.tally.snapshot()
        if not loaders and not counts:
            continue
        loaded: dict[str, list[str]] = {}
        memory: dict[str, int] = {}
        for instance, one in loaders:
            for target in one.loaded():
                loaded.setdefault(target, []).append(instance)
            for target, size in _told(one).items():
                memory[target] = memory.get(target, 0) + size
        for target, count in sorted(counts.items(), key=lambda item: (-item[1].invocations, item[0])):
            rows.append(_row(fleet.endpoint, target, count, loaded.get(target, []), memory.get(target)))
    return rows


def _row(endpoint: str, target: str, counts: Counts, loaded: list[str], memory: int | None) -> dict[str, Any]:
    return {"endpoint": endpoint, "model": target, "loaded": loaded, "memory": memory, **as_json(counts)}


def _loaders(fleet: Fleet) -> Iterator[tuple[str, Loader]]:
    for seat in fleet.seats:
        instance = seat.instance
        for container in instance.containers if instance else ():
            if instance is not None and isinstance(container.models, Loader):
                yield instance.id, container.models


def _told(one: Loader) -> dict[str, int]:
    """Bytes of memory by TargetModel, of the models whose description (GET /models/<name>) tells them."""
    told = {}
    for target in one.loaded():
        sizes = memory_told(one.describe(target))
        if sizes:
            told[target] = sum(sizes)
    return told
