"""The routes of a multi-model container: /ping, /models, /models/{name}, /models/{name}/invoke, /metrics.

Paths, statuses and JSON members are those of the multi-model contract and of multi-model-server; an error has the
members of both, ours (error, where, next_step) and that server's (code, type, message). A model's name is whatever the
platform makes of it, and may hold any character, slashes included.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qs

from seaproof.contract import http
from seaproof.errors import RequestError
from seaproof.http.message import Request, Response
from seaproof.serving.models import Model, Models
from seaproof.serving.replies import json_reply

INVOKE = "/invoke"
PAGE = 100
"""Models on one page, where no less is asked for."""
_BELOW = f"{http.MODELS}/"
_TYPES = {
    400: "BadRequestException",
    404: "ModelNotFoundException",
    405: "MethodNotAllowedException",
    409: "ConflictStatusException",
    503: "ServiceUnavailableException",
    507: "InternalServerException",
}
_ROUTES = "GET /ping, GET/POST /models, GET/DELETE /models/{name}, POST /models/{name}/invoke, GET /metrics"

Answer = Response | Awaitable[Response]


class ModelRoutes:
    """Answers requests; the handler that the HTTP server calls on its event loop."""

    def __init__(self, models: Models, answer_metrics: Callable[[Request], Answer]) -> None:
        self._models = models
        self._answer_metrics = answer_metrics

    def __call__(self, request: Request) -> Answer:
        """Answer one request: at once, or with something to wait for."""
        try:
            return self._route(request)
        except RequestError as error:
            return refusal(error)

    def _route(self, request: Request) -> Answer:
        path, method = request.path, request.method
        if path.startswith(_BELOW) and len(path) > len(_BELOW):
            if method == "POST" and path.endswith(INVOKE) and len(path) > len(_BELOW + INVOKE):
                return self._invoke(path[len(_BELOW) : -len(INVOKE)], request)
            return self._one(path[len(_BELOW) :], request)
        if path in (http.MODELS, _BELOW):
            if method == "GET":
                return self._list(request)
            if method == "POST":
                return self._load(request)
            raise _not_allowed(request, "GET", "POST")
        if path == http.PING:
            if method not in ("GET", "POST"):
                raise _not_allowed(request, "GET", "POST")
            return json_reply(200, {"status": "Healthy"})
        if path == http.METRICS:
            if method != "GET":
                raise _not_allowed(request, "GET")
            return self._answer_metrics(request)
        if path == http.INVOCATIONS:
            raise RequestError(
                404,
                "this container serves many models, and /invocations names none",
                where="path",
                next_step="Send it to /models/{name}/invoke; InvokeEndpoint does, when it is given a TargetModel.",
            )
        raise RequestError(404, f"there is no {path}", where="path", next_step=f"There are: {_ROUTES}.")

    def _list(self, request: Request) -> Response:
        limit = _number(request.query, "limit", PAGE)
        first = max(0, _number(request.query, "next_page_token", 0))
        limit = limit if 0 <= limit <= PAGE else PAGE
        loaded = self._models.loaded()
        page = [{"modelName": model.name, "modelUrl": model.url} for model in loaded[first : first + limit]]
        answer: dict[str, Any] = {"models": page}
        if first + limit < len(loaded):
            answer["nextPageToken"] = str(first + limit)
        return json_reply(200, answer)

    async def _load(self, request: Request) -> Response:
        try:
            name, url = _read_load(request)
            await self._models.load(name, url)
        except RequestError as error:
            return refusal(error)
        return json_reply(200, {"status": f'Model "{name}" loaded'})

    async def _invoke(self, name: str, request: Request) -> Response:
        try:
            return await self._models.invoke(name, request)
        except RequestError as error:
            return refusal(error)

    def _one(self, name: str, request: Request) -> Answer:
        if request.method == "GET":
            if name.endswith(INVOKE) and not self._models.has(name):
                raise _not_allowed(request, "POST")
            return json_reply(200, _described(self._models.find(name), self._models.workers))
        if request.method == "DELETE":
            return self._unload(name)
        raise _not_allowed(request, "GET", "DELETE")

    async def _unload(self, name: str) -> Response:
        try:
            await self._models.unload(name)
        except RequestError as error:
            return refusal(error)
        return json_reply(200, {"status": f'Model "{name}" unregistered'})


def refusal(error: RequestError) -> Response:
    """An error in the members of both dialects."""
    members = {"error": error.what, "where": error.where, "next_step": error.next_step}
    kind = _TYPES.get(error.status, "InternalServerException")
    if error.status == 404 and error.where == "path":
        kind = "ResourceNotFoundException"
    return json_reply(
        error.status, {**members, "code": error.status, "type": kind, "message": error.what}, error.headers
    )


def _read_load(request: Request) -> tuple[str, str]:
    """Name and folder from the body of a POST /models; RequestError 400 for one that cannot be read."""
    content_type = request.header(b"content-type")
    form = '{"model_name": "...", "url": "/opt/ml/models/.../model"}'
    if http.parse_media_type(content_type).essence != "application/json":
        given = f"is {content_type}" if content_type else "is missing"
        raise RequestError(
            400, f"the content type {given}", where="Content-Type", next_step=f"Send {form} as application/json."
        )
    try:
        value = json.loads(request.body)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise RequestError(400, f"the body is no JSON: {error}", where="body", next_step=f"Send {form}.") from None
    if not isinstance(value, dict):
        raise RequestError(400, "the body is no JSON object", where="body", next_step=f"Send {form}.")
    for member in ("model_name", "url"):
        if not isinstance(value.get(member), str) or not value[member]:
            raise RequestError(400, f"{member} is missing, or no text", where="body", next_step=f"Send {form}.")
    return value["model_name"], value["url"]


def _described(model: Model, workers: int) -> dict[str, Any]:
    """As multi-model-server describes a model; memoryUsage is in bytes, with what is shared divided (PSS)."""
    worker = {
        "id": str(model.process.pid),
        "startTime": datetime.fromtimestamp(model.began, timezone.utc).isoformat(timespec="milliseconds"),
        "status": "READY" if model.up is None else "LOADING",
        "gpu": False,
        "memoryUsage": model.memory,
    }
    return {
        "modelName": model.name,
        "modelUrl": model.url,
        "runtime": "python",
        "minWorkers": workers,
        "maxWorkers": workers,
        "batchSize": 1,
        "maxBatchDelay": 0,
        "loadedAtStartup": False,
        "workers": [worker],
    }


def _number(query: str, name: str, default: int) -> int:
    """One whole number of the query; the default where it is missing or none."""
    try:
        return int(parse_qs(query)[name][0])
    except (KeyError, ValueError):
        return default


def _not_allowed(request: Request, *methods: str) -> RequestError:
    allowed = ", ".join(methods)
    return RequestError(
        405,
        f"{request.path} takes no {request.method}",
        where="method",
        next_step=f"Send it with {allowed}.",
        headers={"Allow": allowed},
    )
