"""The models behind a gateway that runs: its counts, and the memory that the containers tell."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from seaproof.errors import HttpError, SeaproofError
from seaproof.invocations.models_api import ModelsApi, memory_told
from seaproof.invocations.send import Sender

_SECONDS = 10.0
_START = "Give the address that `seaproof pipeline` printed, as 127.0.0.1:9001."


def listing(address: str, sender: Sender) -> list[dict[str, Any]]:
    """The models of all multi-model containers of the gateway at `address` (host:port, or http://host:port), most used
    first.

    The rows are those of endpoints (`control.multi_model.listing`), with the name of the container in the place of the
    endpoint's. `memory` is in bytes, None where the container does not tell. SeaproofError where no gateway answers.
    """
    host, port = _split(address)
    return [
        _row(container, model, counts, sender)
        for container in _containers(host, port, sender)
        for model, counts in sorted(container["models"].items(), key=lambda item: (-item[1]["invocations"], item[0]))
    ]


def _split(address: str) -> tuple[str, int]:
    try:
        split = urlsplit(address if "//" in address else f"//{address}")
        host, port = split.hostname, split.port
    except ValueError:
        host = port = None
    if not host or not port:
        raise SeaproofError(f"{address!r} is no address of a gateway", next_step=_START)
    return host, port


def _containers(host: str, port: int, sender: Sender) -> list[dict[str, Any]]:
    """Those of GET / that hold models."""
    where = f"{host}:{port}"
    try:
        page = json.loads(sender.request(host, port, "GET", "/", timeout=_SECONDS).body)
        return [container for container in page["containers"] if container["type"] == "multi"]
    except HttpError as error:
        raise SeaproofError(f"no gateway answers at {where}: {error.what}", next_step=_START) from error
    except (ValueError, KeyError, TypeError) as error:
        raise SeaproofError(f"what answers at {where} is no gateway", next_step=_START) from error


def _row(container: dict[str, Any], model: str, counts: dict[str, Any], sender: Sender) -> dict[str, Any]:
    loaded, memory = [], None
    if model in container["loaded"]:
        loaded = [container["address"]]
        host, port = _split(container["address"])
        try:
            memory = sum(memory_told(ModelsApi(host, port, sender.request).describe(model))) or None
        except HttpError:  # it has just ended, or does not tell
            memory = None
    return {"endpoint": container["name"], "model": model, "loaded": loaded, "memory": memory, **counts}
