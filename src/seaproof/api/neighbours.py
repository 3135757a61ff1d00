"""The neighbours on the same port: other services of AWS that programs for SageMaker call, told apart from it.

A request says whose it is by its signature (the credential scope, also in the query of a presigned address), by its
X-Amz-Target, or, unsigned, by a Host of the form `bucket.localhost` or a path whose first part is a bucket.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from urllib.parse import parse_qsl, unquote

from seaproof.api import runtime, wire
from seaproof.api.moto_services import MotoServices
from seaproof.api.s3 import rest_xml
from seaproof.api.s3.app import S3
from seaproof.api.s3.shelf import Shelf
from seaproof.control.plane import Plane
from seaproof.errors import ServiceError
from seaproof.http.message import Request, Response
from seaproof.storage.local import LocalStorage

BUCKET_HOST = ".localhost"
_SCOPE = re.compile(r"Credential=[^/,\s]*/[^/,\s]*/[^/,\s]*/([a-z0-9-]+)/aws4_request", re.IGNORECASE)
_TARGETS = {"Logs_20140328": "logs", "AmazonEC2ContainerRegistry_V20150921": "ecr"}
_UNSIGNED = {"2011-06-15": "sts", "2010-05-08": "iam", "2010-03-31": "sns"}
"""Services of unsigned forms (AssumeRoleWithWebIdentity and its like), by the version that they name."""
_FORM = "application/x-www-form-urlencoded"
_THREADS = 4

Handler = Callable[[Request], Awaitable[Response]]


class Neighbours:
    """All of them; lives on the coordinator's event loop."""

    def __init__(self, plane: Plane) -> None:
        settings = plane.settings
        self._plane = plane
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="neighbours")
        self._moto = MotoServices(settings, plane.folder)
        self._s3: S3 | None = None
        if isinstance(plane.storage, LocalStorage):
            shelf = Shelf(plane.storage, plane.folder / "s3.db", settings.region, settings.account)
            self._s3 = S3(shelf)

    def publish(self, topic: str, message: str) -> str:
        """Publish to a topic of SNS, from any thread but an event loop's: "", or why that was not possible."""
        return self._moto.publish(topic, message)

    async def close(self) -> None:
        """Wait for requests under way."""
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)
        if self._s3 is not None:
            await self._s3.close()

    def handler(self, request: Request) -> Handler | None:
        """Who answers this request; None where it is none of the neighbours'."""
        service = service_of(request)
        if service == "s3" or (not service and self._is_for_bucket(request)):
            return partial(self._s3.handle, bucket_in_host=_bucket_in_host(request)) if self._s3 else self._elsewhere
        if service == "logs":
            return partial(self._in_thread, self._logs)
        if service and service != "sagemaker":
            return partial(self._in_thread, partial(self._moto.answer, service))
        return None

    async def _elsewhere(self, request: Request) -> Response:
        """S3 is another server: a client that comes here has not been told."""
        what = f"The objects of this project lie in the S3 at {self._plane.settings.s3} (setting s3)."
        return rest_xml.error(ServiceError("InvalidRequest", f"{what} Send this there: AWS_ENDPOINT_URL_S3."), request)

    def refusal(self, request: Request, error: ServiceError) -> Response:
        """An error before any service has looked at a request, in the form that the caller's service has."""
        if service_of(request) == "s3" or self._is_for_bucket(request):
            return rest_xml.error(error, request)
        if request.path.startswith(runtime.PREFIX):
            return wire.runtime_error(error)
        return wire.json_error(error)

    async def _in_thread(self, answer: Callable[[Request], Response], request: Request) -> Response:
        return await asyncio.get_running_loop().run_in_executor(self._threads, answer, request)

    def _logs(self, request: Request) -> Response:
        # Imported with the first such request, as is the model of the service.
        from seaproof.api import cloudwatch_logs
        from seaproof.api.json_service import JsonService

        return JsonService("logs", cloudwatch_logs, self._plane).answer(request)

    def takes_stream(self, request: Request) -> bool:
        """Whether the body of this request goes to its handler as a stream: what is stored may be large."""
        if self._s3 is None or request.path == "/" or request.path.startswith(runtime.PREFIX):
            return False
        return service_of(request) == "s3" or (request.method == "PUT" and self._is_for_bucket(request))

    def _is_for_bucket(self, request: Request) -> bool:
        if self._s3 is None or request.path.startswith("/_"):
            return False
        name = request.path[1:].partition("/")[0]
        return bool(_bucket_in_host(request)) or (name != "" and self._s3.has_bucket(name))


def service_of(request: Request) -> str:
    """The service that a request is signed for or names: `s3`, `sts`, `sagemaker` ...; "" where it says nothing."""
    signed = request.header(b"authorization")
    if signed:
        scope = _SCOPE.search(signed)
        return scope[1].lower() if scope else "s3" if signed.startswith("AWS ") else ""
    query = request.query
    if query and "X-Amz-Credential=" in query:
        scope = _SCOPE.search(unquote(query).replace("X-Amz-Credential=", "Credential="))
        return scope[1].lower() if scope else ""
    if query and "AWSAccessKeyId=" in query and "Signature=" in query:
        return "s3"
    target = request.header(b"x-amz-target")
    if not target and request.path == "/" and request.header(b"content-type").startswith(_FORM):
        return _UNSIGNED.get(dict(parse_qsl(request.body.decode("latin-1"))).get("Version", ""), "")
    return _TARGETS.get(target.partition(".")[0], "")


def _bucket_in_host(request: Request) -> str:
    """The bucket of a Host such as `bucket.localhost:9001` or `bucket.s3.localhost`; "" for other hosts."""
    name = request.header(b"host").partition(":")[0]
    if not name.endswith(BUCKET_HOST):
        return ""
    bucket = name[: -len(BUCKET_HOST)]
    return "" if bucket in ("s3", "sagemaker") else bucket.removesuffix(".s3")
