"""What the fixture `sagemaker` gives: models deployed in a line, boto3 clients, and the buckets behind them."""

from __future__ import annotations

import io
import itertools
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from seaproof.api import operations
from seaproof.control import archives
from seaproof.errors import SeaproofError, ServiceError
from seaproof.storage.storage import parse_address
from seaproof.testing.in_process import IMAGE_PREFIX, program_of
from seaproof.testing.server import CONTAINER, LocalServer

READY_SECONDS = 120.0
GONE_SECONDS = 10.0
"""How long the next test waits at most for the containers of this one to end."""
_NUMBERS = itertools.count(1)
_FUNCTIONS = (
    "pre_model_fn",
    "model_fn",
    "model_warmup_fn",
    "input_fn",
    "predict_fn",
    "output_fn",
    "transform_fn",
)


class LocalSageMaker:
    """The server as one test sees it; a context manager that deletes, at its end, what was deployed with it."""

    def __init__(self, server: LocalServer, name: str) -> None:
        self._server = server
        self._name = re.sub("[^A-Za-z0-9]+", "-", name).strip("-")[:40].rstrip("-") or "test"
        self._deployed: list[str] = []

    def __enter__(self) -> LocalSageMaker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for operation in ("DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel"):
            for name in self._deployed:
                with suppress(ServiceError):  # the test has deleted it, or it is being updated: it goes with the server
                    self._run(operation, **{f"{operation.removeprefix('Delete')}Name": name})
        until = time.monotonic() + GONE_SECONDS
        while any(map(self._is_going, self._deployed)) and time.monotonic() < until:
            time.sleep(0.005)

    @property
    def url(self) -> str:
        """What `endpoint_url` is for clients of your own, and AWS_ENDPOINT_URL for other programs."""
        return self._server.url

    @property
    def sagemaker(self) -> Any:
        """The boto3 client of the control plane."""
        return self.client("sagemaker")

    @property
    def runtime(self) -> Any:
        """The boto3 client that invokes endpoints."""
        return self.client("sagemaker-runtime")

    def client(self, service: str) -> Any:
        """The boto3 client of any service that the local server has; see `LocalServer.client`."""
        return self._server.client(service)

    def deploy(
        self,
        model: str | Path | None = None,
        *,
        image: str | None = None,
        environment: dict[str, str] | None = None,
        instances: int = 1,
        config: dict[str, Any] | None = None,
        **functions: Callable[..., Any],
    ) -> str:
        """Bring up an endpoint and wait until it answers; its name.

        `model` is a folder (an inference.py in it or in its `code/`, a saved model, or both) or a model.tar.gz.
        Without more it is served by `seaproof-container` as a process; with `image`, by that image of the project's
        seaproof.toml; with functions (`model_fn=`, `predict_fn=`, `input_fn=`, `output_fn=`, `transform_fn=`), in this
        process. `config` has further members of CreateEndpointConfig, such as DataCaptureConfig. SeaproofError where
        the endpoint does not come up, with the end of its log.
        """
        name = f"{self._name}-{next(_NUMBERS)}"
        container: dict[str, Any] = {"Image": self._image(name, image, functions, model)}
        if environment:
            container["Environment"] = environment
        if model is not None:
            container["ModelDataUrl"] = self._put_model(name, Path(model))
        role = f"arn:aws:iam::{self._server.plane.settings.account}:role/testing"
        self._deployed.append(name)
        self._run("CreateModel", ModelName=name, ExecutionRoleArn=role, PrimaryContainer=container)
        variant = {
            "VariantName": "AllTraffic",
            "ModelName": name,
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": instances,
        }
        self._run("CreateEndpointConfig", EndpointConfigName=name, ProductionVariants=[variant], **(config or {}))
        self._run("CreateEndpoint", EndpointName=name, EndpointConfigName=name)
        self._wait(name)
        return name

    def invoke(self, endpoint: str, body: bytes | str, content_type: str = "text/csv", **members: Any) -> bytes:
        """InvokeEndpoint: the body of the answer. botocore's ClientError as it comes; `members` as boto3 has them."""
        data = body.encode() if isinstance(body, str) else body
        given = {"EndpointName": endpoint, "Body": data, "ContentType": content_type, **members}
        answer: bytes = self.runtime.invoke_endpoint(**given)["Body"].read()
        return answer

    def put(self, uri: str, content: bytes | str | Path) -> str:
        """Store an object at an s3:// address: bytes, text, or the content of a file; the address."""
        if isinstance(content, Path):
            self._server.plane.storage.upload(content, parse_address(uri))
        else:
            data = content.encode() if isinstance(content, str) else content
            self._server.plane.storage.write(parse_address(uri), io.BytesIO(data))
        return uri

    def get(self, uri: str, timeout: float = 30.0) -> bytes:
        """The object at an s3:// address, waited for; SeaproofError where it is not there in time."""
        until = time.monotonic() + timeout
        while True:
            try:
                with self._server.plane.storage.open(parse_address(uri)) as file:
                    return file.read()
            except SeaproofError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)

    def log(self, endpoint: str) -> str:
        """What the containers of an endpoint printed."""
        folder = self._server.plane.folder / "logs" / "Endpoints" / endpoint
        return "".join(path.read_text("utf-8", "replace") for path in sorted(folder.rglob("*.log")))

    def _image(
        self, name: str, image: str | None, functions: dict[str, Callable[..., Any]], model: str | Path | None
    ) -> str:
        unknown = set(functions) - set(_FUNCTIONS)
        if unknown:
            raise TypeError(f"deploy() has no {', '.join(sorted(unknown))}; functions are {', '.join(_FUNCTIONS)}")
        if functions:
            self._server.driver.functions.add(IMAGE_PREFIX + name, program_of(functions, "sagemaker.deploy()"))
            return IMAGE_PREFIX + name
        if image is None and model is None:
            raise TypeError("deploy() takes a model, an image, or functions such as predict_fn=")
        return image or CONTAINER

    def _put_model(self, name: str, model: Path) -> str:
        if not model.exists():
            raise SeaproofError("there is no such model", where=str(model.absolute()))
        uri = f"s3://testing/{name}/model.tar.gz"
        if model.is_dir():
            archive = self._server.plane.folder / "models" / f"{name}.tar.gz"
            archive.parent.mkdir(exist_ok=True)
            archives.pack(_entries(model), archive)
            model = archive
        self.put(uri, model)
        return uri

    def _wait(self, name: str) -> None:
        until = time.monotonic() + READY_SECONDS
        while (found := self._run("DescribeEndpoint", EndpointName=name))["EndpointStatus"] == "Creating":
            if time.monotonic() > until:
                raise SeaproofError(f"the endpoint did not come up within {READY_SECONDS:g} s", where=self.log(name))
            time.sleep(0.01)
        if found["EndpointStatus"] != "InService":
            raise SeaproofError(f"the endpoint is {found['EndpointStatus']}: {found.get('FailureReason', '')}")

    def _is_going(self, endpoint: str) -> bool:
        try:
            return bool(self._run("DescribeEndpoint", EndpointName=endpoint)["EndpointStatus"] == "Deleting")
        except ServiceError:
            return False

    def _run(self, operation: str, **request: Any) -> dict[str, Any]:
        return operations.run(self._server.plane, operation, request)


def _entries(folder: Path) -> list[tuple[Path, str]]:
    """What goes into the archive; programs of a folder without `code/` go into one, where they are looked for."""
    found = list(archives.walk(folder))
    if (folder / "code").exists() or not (folder / "inference.py").is_file():
        return found
    return [(path, f"code/{name}" if name.endswith(".py") else name) for path, name in found]
