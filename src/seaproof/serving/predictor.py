"""From one request to its answer: the author's functions around a loaded model, with the defaults filled in.

What the functions are given, and what they may return, is as the SageMaker inference toolkit has it, with media
types parsed: text arrives as str whatever its charset parameter says, and an Accept of several ranges as the best.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from seaproof.contract import http
from seaproof.contract.environ import ServingEnviron
from seaproof.contract.http import MediaType, parse_accept, parse_media_type
from seaproof.errors import ContractError, RequestError
from seaproof.http.message import Headers, Request, Response
from seaproof.serving.context import Context
from seaproof.serving.functions import Function, Functions

JSON = "application/json"


@dataclass(frozen=True)
class Content:
    """A Content-Type, worked out once: what the author sees, and how the body becomes what the author gets."""

    media: MediaType
    shown: str
    """As the author's functions get it: without charset where the text is decoded already."""
    charset: str
    """Of a text type; "" where the body stays bytes."""


@dataclass(frozen=True)
class Parts:
    """An answer whose body comes piece by piece, from an iterator that the author returned: of bytes or str."""

    status: int
    headers: Headers
    pieces: Iterator[Any] | AsyncIterator[Any]


class Predictor:
    """A loaded model and the functions around it. `predict` is for functions that are plain, `predict_async` for
    those of which at least one is `async def`."""

    def __init__(self, functions: Functions, model: Any, environ: ServingEnviron, model_dir: str) -> None:
        self.functions = functions
        self._model = model
        self._environ = environ
        self._model_dir = model_dir
        self._wants_context = any(f.wants_context for f in functions.found.values())
        self._default_accept = environ.default_accept or JSON
        self._transform = functions.get("transform_fn")
        self._input = functions.get("input_fn")
        self._output = functions.get("output_fn")
        self._predict = self._prediction(functions.get("predict_fn"))
        self.row_wise = functions.batch and getattr(model, "row_wise", True) is not False
        """Whether the rows of several requests may be predicted in one call."""
        self.decodes = not self._input
        """Whether bodies are decoded here, and not by the author."""
        self.encodes = not self._output and not self._wants_context
        """Whether answers are encoded here, with nothing in them of the author's but the prediction."""
        if not self._transform and not (self._input and self._output):
            _preload()

    def routes(self) -> Mapping[str, Mapping[str, Callable[[Request], Response]]]:
        """What the model answers beside /ping and /invocations: by path and method."""
        return {}

    def predict(self, request: Request) -> Response | Parts:
        """Answer one request; whatever the functions raise passes through."""
        if not self._transform:
            value, context = self.read(request)
            return self.answer(self._predict(value, self._model, context), request, context)
        content = read_content(request.header(b"content-type"))
        accept = self._accept(request.header(b"accept"))
        context = self.context(request)
        result = self._transform.call(self._model, _data(request.body, content), content.shown, accept, context)
        return self._answer(result, accept, request, context)

    def read(self, request: Request) -> tuple[Any, Context | None]:
        """The first third of `predict`: what predict_fn is given, and the context of the request."""
        content = read_content(request.header(b"content-type"))
        context = self.context(request)
        if self._input:
            return self._input.call(_data(request.body, content), content.shown, context), context
        return _decode(request.body, content), context

    def predict_rows(self, value: Any) -> Any:
        """The second third, of functions that are `row_wise`: the prediction for the rows of one request or more."""
        return self._predict(value, self._model, None)

    def answer(self, prediction: Any, request: Request, context: Context | None) -> Response | Parts:
        """The last third: the answer to one request, of the prediction for its own rows."""
        accept = self._accept(request.header(b"accept"))
        result = self._output.call(prediction, accept, context) if self._output else Unencoded(prediction)
        return self._answer(result, accept, request, context)

    async def predict_async(self, request: Request) -> Response | Parts:
        """The same, waiting for the functions that are `async def`."""
        content = read_content(request.header(b"content-type"))
        accept = self._accept(request.header(b"accept"))
        context = self.context(request)
        model = self._model
        if self._transform:
            result = await _result(
                self._transform.call(model, _data(request.body, content), content.shown, accept, context)
            )
        else:
            if self._input:
                value = await _result(self._input.call(_data(request.body, content), content.shown, context))
            else:
                value = _decode(request.body, content)
            prediction = await _result(self._predict(value, model, context))
            if self._output:
                result = await _result(self._output.call(prediction, accept, context))
            else:
                result = Unencoded(prediction)
        return self._answer(result, accept, request, context)

    def context(self, request: Request) -> Context | None:
        """The context of one request, where a function wants one."""
        return Context(self._environ, self._model_dir, request.headers) if self._wants_context else None

    @property
    def default_accept(self) -> str:
        """The type of an answer where the caller leaves the choice."""
        return self._default_accept

    def _accept(self, header: str) -> str:
        """What the author's functions get as `accept`: the best range asked for, or the default."""
        return read_accept(header) or self._default_accept

    def _prediction(self, function: Function | None) -> Callable[[Any, Any, Any], Any]:
        if function:
            return function.call
        method = getattr(self._model, "predict", None)
        if callable(method):
            return lambda data, _model, _context: method(data)
        if self._transform:
            return _no_prediction
        raise ContractError(
            f"the model is of type {type(self._model).__name__}, which has no predict, and there is no predict_fn",
            where=self.functions.where,
            next_step="Define predict_fn(data, model).",
        )

    def _answer(self, result: Any, accept: str, request: Request, context: Context | None) -> Response | Parts:
        """Turn what the functions returned into an answer; nothing is added to a content type of the author's."""
        if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], str):
            result, content_type = result
        else:
            content_type = "" if "*" in accept else accept
        if type(result) is Unencoded and _is_iterator(result.value):
            result = result.value
        if type(result) is Unencoded:
            body, kind = self._encode(result.value, request.header(b"accept"))
        elif type(result) is str:
            body, kind = result.encode(), content_type or "text/plain; charset=utf-8"
        elif isinstance(result, (bytes, bytearray, memoryview)):
            body, kind = bytes(result), content_type or "application/octet-stream"
        elif _is_iterator(result):
            headers, status = _head(content_type or "application/octet-stream", context)
            return Parts(status, headers, result)
        else:
            body, kind = self._encode(result, request.header(b"accept"))
        if context is None:
            return Response(200, [(b"content-type", kind.encode("latin-1"))], body)
        headers, status = _head(kind, context)
        return Response(status, headers, body)

    def _encode(self, value: Any, accept: str) -> tuple[bytes, str]:
        from seaproof.serving.codecs import encode

        if hasattr(value, "__await__"):
            raise TypeError("a function returned something to await; make it an `async def`")
        return encode(value, list(accept_ranges(accept)), self._default_accept)


@dataclass(frozen=True, slots=True)
class Unencoded:
    """A prediction that no output_fn has seen; a text among these is a value, not a finished body."""

    value: Any


@lru_cache(maxsize=256)
def read_content(header: str) -> Content:
    """Work out a Content-Type. RequestError 415 for a charset that there is not."""
    media = parse_media_type(header)
    is_text = media.essence.startswith("text/") or media.essence in (JSON, "application/jsonlines")
    if not is_text:
        return Content(media, header, "")
    charset = media.parameter("charset", "utf-8")
    try:
        "".encode(charset)
    except (LookupError, ValueError):
        raise RequestError(
            415,
            f"there is no charset {charset!r}",
            where="Content-Type",
            next_step="Send the text as UTF-8, and leave charset out.",
        ) from None
    kept = [f"{name}={value}" for name, value in media.parameters if name != "charset"]
    return Content(media, "; ".join([media.essence, *kept]), charset)


@lru_cache(maxsize=256)
def accept_ranges(header: str) -> tuple[MediaType, ...]:
    """The ranges of an Accept header, best first."""
    return tuple(parse_accept(header))


@lru_cache(maxsize=256)
def read_accept(header: str) -> str:
    """The one type that an Accept header asks for; "" where it is missing or leaves the choice to us."""
    ranges = accept_ranges(header)
    if not ranges or ranges[0].matches("*/*"):
        return ""
    kept = [f"{name}={value}" for name, value in ranges[0].parameters if name != "q"]
    return "; ".join([ranges[0].essence, *kept])


def _data(body: bytes, content: Content) -> str | bytes:
    if not content.charset:
        return body
    try:
        return body.decode(content.charset)
    except UnicodeError as error:
        at = f": byte {error.start + 1} cannot be read" if isinstance(error, UnicodeDecodeError) else ""
        raise RequestError(
            400,
            f"the body is not {content.charset}{at}",
            where="body",
            next_step=f"Send {content.media.essence} as UTF-8, or name its charset in Content-Type.",
        ) from None


# The formats are imported where they are needed: a transform_fn mostly does without, and starts sooner.


def _preload() -> None:
    from seaproof.serving.codecs import preload

    preload()


def _decode(body: bytes, content: Content) -> Any:
    from seaproof.serving.codecs import decode

    return decode(body, content.media)


def _no_prediction(_data: Any, _model: Any, _context: Any) -> Any:
    raise AssertionError("transform_fn does all of the work")


def _head(kind: str, context: Context | None) -> tuple[Headers, int]:
    """Headers and status; what the author set through the context wins."""
    if context is None:
        return [(b"content-type", kind.encode("latin-1"))], 200
    given = {name.lower(): value for name, value in context.response_headers.items()}
    given.setdefault(http.CONTENT_TYPE.lower(), kind)
    for name, value in given.items():
        if not value.isprintable() or not value.isascii():
            raise ValueError(f"the header {name} of the answer may hold printable ASCII only, not {value!r}")
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in given.items()], context.status


def _is_iterator(value: Any) -> bool:
    # What isinstance says of Iterator and AsyncIterator, in a tenth of its time.
    return hasattr(value, "__next__") or hasattr(value, "__anext__")


async def _result(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
