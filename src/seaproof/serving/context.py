"""What an author's function learns about the request beside its body: the optional last argument `context`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seaproof.contract import http
from seaproof.contract.environ import ServingEnviron
from seaproof.http.message import Headers


class Context:
    """One request, and what is to be said in the headers of its answer.

    `model_fn` gets one too, with no request in it. The methods and `system_properties` are those that scripts
    written for the SageMaker inference toolkit find on its context.
    """

    __slots__ = ("_sent", "environment", "model_dir", "response_headers", "status")

    def __init__(self, environment: ServingEnviron, model_dir: str, sent: Headers) -> None:
        self.environment = environment
        self.model_dir = model_dir
        self._sent = sent
        self.response_headers: dict[str, str] = {}
        """Headers to add to the answer; the platform hands on Content-Type and the custom attributes only."""
        self.status = 200
        """Status of the answer."""

    def header(self, name: str, default: str = "") -> str:
        """One header of the request, its name in any case."""
        wanted = name.lower().encode("latin-1")
        for key, value in self._sent:
            if key == wanted:
                return value.decode("latin-1")
        return default

    @property
    def headers(self) -> Mapping[str, str]:
        """All headers of the request, names in lower case."""
        return {key.decode("latin-1"): value.decode("latin-1") for key, value in self._sent}

    @property
    def content_type(self) -> str:
        """Content-Type as the caller sent it."""
        return self.header(http.CONTENT_TYPE)

    @property
    def accept(self) -> str:
        """Accept as the caller sent it; the functions get it with the default filled in."""
        return self.header(http.ACCEPT)

    @property
    def inference_id(self) -> str:
        """X-Amzn-SageMaker-Inference-Id of the request."""
        return self.header(http.INFERENCE_ID)

    @property
    def traceparent(self) -> str:
        """The W3C trace context of the request."""
        return self.header("traceparent")

    @property
    def custom_attributes(self) -> str:
        """X-Amzn-SageMaker-Custom-Attributes: of the request when read, of the answer when set."""
        return self.header(http.CUSTOM_ATTRIBUTES)

    @custom_attributes.setter
    def custom_attributes(self, value: str) -> None:
        self.response_headers[http.CUSTOM_ATTRIBUTES] = value

    @property
    def system_properties(self) -> dict[str, Any]:
        """As the toolkit has it: the model's folder and the GPU that was assigned, which is none."""
        return {"model_dir": self.model_dir, "gpu_id": None, "batch_size": 1, "server_name": "seaproof"}

    def get_request_header(self, idx: int, key: str) -> str | None:
        """As the toolkit has it; `idx` counts requests of a batch and is 0 here."""
        return self.header(key) or None

    def set_response_content_type(self, idx: int, value: str) -> None:
        """Content-Type of the answer."""
        self.response_headers[http.CONTENT_TYPE] = value

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        """One header of the answer."""
        self.response_headers[key] = value

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        """Status of the answer; the phrase is not sent."""
        self.status = code
