"""Spans around predictions where the image has OpenTelemetry; where it has not, nothing of this costs anything.

Only the API package is used. Which exporter the spans go to is set up by the author's script, or by variables that
OpenTelemetry reads itself; without either, the API drops them. The caller's `traceparent` is their parent.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from seaproof.contract import http
from seaproof.errors import RequestError
from seaproof.http.message import Request, Response
from seaproof.serving.predictor import Parts

SPAN = "seaproof.predict"
BATCH_SPAN = "seaproof.batch"
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_INFERENCE_ID = http.INFERENCE_ID.lower().encode()

Answer = Response | Parts
_OF_THE_PROCESS: dict[str, str] = {}
"""Attributes that every span of this process has."""


def name_model(name: str) -> None:
    """What the model of this process is called: its spans say so. The first name holds, as it is that of requests."""
    _OF_THE_PROCESS.setdefault("seaproof.model", name)


def trace_id(traceparent: str) -> str:
    """The trace id of a W3C traceparent header; "" where it is none."""
    found = _TRACEPARENT.fullmatch(traceparent)
    return found[1] if found and found[1].strip("0") else ""


def is_installed() -> bool:
    """Whether the image has the OpenTelemetry API; looks for it without importing it."""
    try:
        return importlib.util.find_spec("opentelemetry.trace") is not None
    except ImportError:
        return False


def traced(predict: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
    """`predict` in a span; `predict` itself where there is no OpenTelemetry."""
    if not is_installed():
        return predict
    tracer = Tracer()

    def predict_in_span(request: Request) -> Answer:
        if tracer.is_idle():
            return predict(request)
        span = tracer.begin(request)
        try:
            with tracer.use(span):
                answer = predict(request)
        except BaseException as error:
            tracer.fail(span, error)
            raise
        return tracer.finish(span, answer)

    return predict_in_span


def traced_async(predict: Callable[[Request], Awaitable[Answer]]) -> Callable[[Request], Awaitable[Answer]]:
    """The same for `async def` functions."""
    if not is_installed():
        return predict
    tracer = Tracer()

    async def predict_in_span(request: Request) -> Answer:
        if tracer.is_idle():
            return await predict(request)
        span = tracer.begin(request)
        try:
            with tracer.use(span):
                answer = await predict(request)
        except BaseException as error:
            tracer.fail(span, error)
            raise
        return tracer.finish(span, answer)

    return predict_in_span


class Tracer:
    """What is used of OpenTelemetry's API."""

    def __init__(self) -> None:
        self._trace = importlib.import_module("opentelemetry.trace")
        self._propagate = importlib.import_module("opentelemetry.propagate")
        self._root = importlib.import_module("opentelemetry.context").Context()
        self._tracer = self._trace.get_tracer("seaproof")
        self._provider: Callable[[], Any] = self._trace.get_tracer_provider
        self._no_provider = getattr(self._trace, "ProxyTracerProvider", None)
        self._globals = vars(self._trace)
        self._said_no = False

    def is_idle(self) -> bool:
        """Whether nobody has said yet where spans go; the API's spans of nothing would cost all the same."""
        # Asked for every request. The API looks into the environment each time, which costs more than all else here;
        # once it has said no, its answer is the same for as long as nobody has set a provider.
        if self._said_no and self._globals.get("_TRACER_PROVIDER", self) is None:
            return True
        self._said_no = type(self._provider()) is self._no_provider
        return self._said_no

    def begin(self, request: Request) -> Any:
        """A span, child of what the caller's headers name."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers}
        attributes: dict[str, Any] = {
            **_OF_THE_PROCESS,
            "url.path": request.path,
            "http.request.method": request.method,
            "http.request.body.size": len(request.body),
        }
        if content_type := headers.get("content-type"):
            attributes["http.request.header.content-type"] = content_type
        if inference_id := headers.get(_INFERENCE_ID.decode()):
            attributes["seaproof.inference_id"] = inference_id
        parent = self._propagate.extract(headers)
        return self._tracer.start_span(SPAN, context=parent, kind=self._trace.SpanKind.SERVER, attributes=attributes)

    def joined(self, spans: Sequence[Any], rows: int) -> Any:
        """A context manager: the span of one call for the requests of these spans, linked to each."""
        return self._tracer.start_as_current_span(
            BATCH_SPAN,
            context=self._root,
            links=[self._trace.Link(span.get_span_context()) for span in spans],
            attributes={**_OF_THE_PROCESS, "seaproof.batch.requests": len(spans), "seaproof.batch.rows": rows},
        )

    def use(self, span: Any) -> Any:
        """A context manager in which spans of the author's are children of this one."""
        return self._trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False)

    def fail(self, span: Any, error: BaseException) -> None:
        """End it with an exception; what is the caller's own fault is no error of the server's."""
        status = error.status if isinstance(error, RequestError) else 500
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.record_exception(error)
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, f"{type(error).__name__}: {error}"))
        span.end()

    def finish(self, span: Any, answer: Answer) -> Answer:
        """End it; for an answer in pieces, when the last of them was made."""
        span.set_attribute("http.response.status_code", answer.status)
        if isinstance(answer, Parts):
            is_async = hasattr(answer.pieces, "__anext__")
            return replace(answer, pieces=(self._later if is_async else self._pieces)(span, answer.pieces))
        span.set_attribute("http.response.body.size", len(answer.body))  # type: ignore[arg-type]
        span.end()
        return answer

    # The span is current only while a piece is made: between two, the thread belongs to other requests.

    def _pieces(self, span: Any, pieces: Any) -> Iterator[Any]:
        end = object()
        try:
            while True:
                with self.use(span):
                    piece = next(pieces, end)
                if piece is end:
                    break
                yield piece
        except Exception as error:
            self.fail(span, error)
            raise
        finally:
            if hasattr(pieces, "close"):
                pieces.close()
            _end(span)

    async def _later(self, span: Any, pieces: Any) -> AsyncGenerator[Any, None]:
        end = object()
        try:
            while True:
                with self.use(span):
                    piece = await anext(pieces, end)
                if piece is end:
                    break
                yield piece
        except Exception as error:
            self.fail(span, error)
            raise
        finally:
            if hasattr(pieces, "aclose"):
                await pieces.aclose()
            _end(span)


def _end(span: Any) -> None:
    if span.is_recording():  # and has not ended as a failure
        span.end()
