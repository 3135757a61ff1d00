"""The HTTP face of a serving container: paths, headers and what each status means to the platform.

Source: SageMaker developer guide, "Use your own inference code", and the API model of sagemaker-runtime.
"""

from __future__ import annotations

from dataclasses import dataclass

PING = "/ping"
INVOCATIONS = "/invocations"
EXECUTION_PARAMETERS = "/execution-parameters"
MODELS = "/models"
METRICS = "/metrics"

CONTENT_TYPE = "Content-Type"
ACCEPT = "Accept"
STREAM_CONTENT_TYPE = "X-Amzn-SageMaker-Content-Type"
"""The type of what is in an event stream, beside that of the stream itself; and Content-Type, where the answer comes
later."""
CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
INFERENCE_ID = "X-Amzn-SageMaker-Inference-Id"
TARGET_MODEL = "X-Amzn-SageMaker-Target-Model"
TARGET_VARIANT = "X-Amzn-SageMaker-Target-Variant"
TARGET_CONTAINER = "X-Amzn-SageMaker-Target-Container-Hostname"
INFERENCE_COMPONENT = "X-Amzn-SageMaker-Inference-Component"
ENABLE_EXPLANATIONS = "X-Amzn-SageMaker-Enable-Explanations"
SESSION_ID = "X-Amzn-SageMaker-Session-Id"
NEW_SESSION_ID = "X-Amzn-SageMaker-New-Session-Id"
CLOSED_SESSION_ID = "X-Amzn-SageMaker-Closed-Session-Id"
LATER_ACCEPT = "X-Amzn-SageMaker-Accept"
"""Accept, in requests whose answer is a stream or comes later."""
INPUT_LOCATION = "X-Amzn-SageMaker-InputLocation"
OUTPUT_LOCATION = "X-Amzn-SageMaker-OutputLocation"
FAILURE_LOCATION = "X-Amzn-SageMaker-FailureLocation"
INVOKED_VARIANT = "x-Amzn-Invoked-Production-Variant"
ERROR_TYPE = "x-amzn-ErrorType"
REQUEST_ID = "x-amzn-RequestId"

# Every other header of the caller is stripped before the container sees the request.
FORWARDED_TO_CONTAINER = (CONTENT_TYPE, ACCEPT, CUSTOM_ATTRIBUTES, INFERENCE_ID, SESSION_ID, TARGET_MODEL)
RETURNED_TO_CALLER = (CONTENT_TYPE, CUSTOM_ATTRIBUTES, NEW_SESSION_ID, CLOSED_SESSION_ID)

LABEL_BIND_TO_PORT = "com.amazonaws.sagemaker.capabilities.accept-bind-to-port"
LABEL_MULTI_MODELS = "com.amazonaws.sagemaker.capabilities.multi-models"


def is_healthy(status: int) -> bool:
    """Whether this answer to GET /ping counts as healthy: 200 and nothing else."""
    return status == 200


def is_success(status: int) -> bool:
    """Whether the caller of InvokeEndpoint gets this reply as it is (2xx) or as a ModelError."""
    return 200 <= status < 300


@dataclass(frozen=True)
class MediaType:
    """A parsed media type: `text/csv; charset=utf-8` is `MediaType("text/csv", {"charset": "utf-8"})`.

    `essence` is lower case and without white space; parameter names are lower case, values as given.
    """

    essence: str
    parameters: tuple[tuple[str, str], ...] = ()

    def parameter(self, name: str, default: str = "") -> str:
        """The value of one parameter, or `default`."""
        return dict(self.parameters).get(name, default)

    @property
    def quality(self) -> float:
        """The `q` of an Accept range, 0.0 to 1.0; 1.0 where it is absent or unreadable."""
        try:
            return min(1.0, max(0.0, float(self.parameter("q", "1"))))
        except ValueError:
            return 1.0

    def matches(self, essence: str) -> bool:
        """Whether this range (`*/*`, `text/*`, `text/csv`) covers the essence given."""
        if self.essence in ("*/*", "*"):
            return True
        if self.essence.endswith("/*"):
            return essence.startswith(self.essence[:-1])
        return self.essence == essence


def parse_media_type(text: str) -> MediaType:
    """Parse one media type leniently; text that is none gives the essence as it stands, lower case."""
    essence, *rest = _split_quoted(text, ";")
    parameters = []
    for part in rest:
        name, _, value = part.partition("=")
        if name.strip():
            parameters.append((name.strip().lower(), value.strip().strip('"')))
    return MediaType(essence.strip().lower(), tuple(parameters))


def parse_accept(text: str) -> list[MediaType]:
    """Parse an Accept header into ranges, best first: by quality, then by the order given; q=0 is left out."""
    ranges = [parse_media_type(part) for part in _split_quoted(text, ",") if part.strip()]
    return sorted((r for r in ranges if r.quality > 0), key=lambda r: -r.quality)


def _split_quoted(text: str, separator: str) -> list[str]:
    """Split at the separator where it stands outside double quotes."""
    if '"' not in text:
        return text.split(separator)
    parts, current, quoted = [], "", False
    for char in text:
        if char == '"':
            quoted = not quoted
        if char == separator and not quoted:
            parts.append(current)
            current = ""
        else:
            current += char
    return [*parts, current]
