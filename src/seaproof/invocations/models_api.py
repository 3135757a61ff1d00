"""The model routes of a multi-model container as calls: POST, GET and DELETE below /models.

Source: developer guide, "Custom containers contract for multi-model endpoints".
"""

from __future__ import annotations

import json
from typing import Any, Protocol
from urllib.parse import quote

from seaproof.contract.http import CONTENT_TYPE, MODELS
from seaproof.invocations.chain import Reply

LOADED, ALREADY_LOADED, NO_MEMORY = 200, 409, 507
_UNLOAD_SECONDS = 60.0
_LIST_SECONDS = 10.0
_PAGES = 1000
_JSON = [(CONTENT_TYPE.encode(), b"application/json")]


class Request(Protocol):
    """One request to the container and its whole answer, as `Sender.request`; HttpError where none comes."""

    def __call__(
        self, host: str, port: int, method: str, target: str, *, headers: Any = ..., body: bytes = ..., timeout: float
    ) -> Reply: ...


class ModelsApi:
    """The routes of one container. Each method raises HttpError where no answer comes."""

    def __init__(self, host: str, port: int, request: Request) -> None:
        self.where = f"{host}:{port}"
        self._host, self._port, self._request = host, port, request

    def load(self, name: str, url: str, timeout: float) -> Reply:
        """POST /models."""
        body = json.dumps({"model_name": name, "url": url}).encode()
        return self._request(self._host, self._port, "POST", MODELS, headers=_JSON, body=body, timeout=timeout)

    def unload(self, name: str) -> None:
        """DELETE /models/<name>; what it answers changes nothing."""
        self._request(self._host, self._port, "DELETE", f"{MODELS}/{quote(name, safe='')}", timeout=_UNLOAD_SECONDS)

    def describe(self, name: str) -> Any:
        """What GET /models/<name> says, as JSON; None where that is no JSON, or not 200."""
        return self._get(f"{MODELS}/{quote(name, safe='')}")

    def names(self) -> list[str]:
        """The models of GET /models, all pages; those whose name can stand in a path."""
        found: list[str] = []
        target = MODELS
        for _ in range(_PAGES):
            page = self._get(target)
            if not isinstance(page, dict):
                break
            entries = page.get("models")
            for entry in entries if isinstance(entries, list) else []:
                found.append(str(entry.get("modelName", "")) if isinstance(entry, dict) else "")
            token = page.get("nextPageToken")
            if not isinstance(token, str) or not _fits_a_path(token):
                break
            target = f"{MODELS}?next_page_token={token}"
        return [name for name in found if _fits_a_path(name)]

    def _get(self, target: str) -> Any:
        reply = self._request(self._host, self._port, "GET", target, timeout=_LIST_SECONDS)
        try:
            return json.loads(reply.body) if reply.status == LOADED else None
        except ValueError:
            return None


def memory_told(described: Any) -> list[int]:
    """What a description tells of memory, in bytes: `memoryUsage` of the model or of each of its workers.

    So multi-model-server and TorchServe tell it.
    """
    if isinstance(described, list):
        return [size for one in described for size in memory_told(one)]
    if not isinstance(described, dict):
        return []
    size = described.get("memoryUsage")
    if isinstance(size, (int, float)) and not isinstance(size, bool):
        return [int(size)]
    return memory_told(described.get("workers"))


def _fits_a_path(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable() and not set(" /?#%") & set(text)
