"""The routes of a serving container: /ping, /invocations, /execution-parameters, /metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from seaproof.contract import http
from seaproof.contract.environ import ServingEnviron
from seaproof.errors import RequestError
from seaproof.http.message import Request, Response
from seaproof.serving import metrics
from seaproof.serving.functions import Function, Functions
from seaproof.serving.overload import Bound
from seaproof.serving.predictions import AsyncThread, PlainThread
from seaproof.serving.predictor import Parts, Predictor
from seaproof.serving.replies import error_reply, failure_reply, json_reply, log
from seaproof.serving.streams import stream
from seaproof.serving.tracing import is_installed, traced, traced_async
from seaproof.serving.transforms import authors_parameters, execution_parameters

if TYPE_CHECKING:
    from seaproof.serving.queue import BatchQueue

_SETTINGS = (
    "SAGEMAKER_MODEL_SERVER_TIMEOUT sets how many seconds a prediction may take, "
    "SAGEMAKER_MODEL_SERVER_WORKERS how many run side by side."
)

Answer = Response | Awaitable[Response]


class Routes:
    """Answers requests; the handler that the HTTP server calls on its event loop."""

    def __init__(
        self,
        predictor: Predictor,
        thread: PlainThread | AsyncThread,
        environ: ServingEnviron,
        answer_metrics: Callable[[Request], Answer],
    ) -> None:
        self._predictor = predictor
        self._functions = predictor.functions
        self._run = traced(predictor.predict)
        self._run_async = traced_async(predictor.predict_async)
        self._thread = thread
        self._loop_of_streams: AsyncThread | None = None
        """For asynchronous iterators that a plain function returned; there is none before it is needed."""
        self._environ = environ
        self._script = predictor.functions.where
        self._bound = Bound(thread.waiting, environ.queue, environ.queue_bytes)
        self._ping = Response(200)
        self._table: dict[str, dict[str, Callable[[Request], Answer]]] = {
            http.INVOCATIONS: {"POST": self._invocation(predictor.functions)},
            http.PING: {"GET": self._answer_ping, "POST": self._answer_ping},
            http.EXECUTION_PARAMETERS: {"GET": self._execution_parameters},
            http.METRICS: {"GET": answer_metrics},
        }
        for path, methods in predictor.routes().items():
            self._table[path] = {method: self._in_thread(answer) for method, answer in methods.items()}

    def __call__(self, request: Request) -> Answer:
        """Answer one request: at once, or with something to wait for."""
        methods = self._table.get(request.path)
        route = methods.get(request.method) if methods else None
        return route(request) if route else self._refuse(request, methods)

    def expire(self) -> None:
        """Answer 504 to each request that has waited longer than the time-out; called now and then."""
        metrics.set_queue_depth(len(self._thread.waiting))
        limit, busy = self._environ.timeout, self._thread.busy_for()
        if busy > limit:
            self._bound.shut(self._still_stuck)
        # 504, because the server lives and it is the author's function behind it that gave no answer.
        error = RequestError(
            504,
            f"there was no prediction within {limit:g} s"
            + (f"; one has been running for {busy:.1f} s in this worker" if busy else ""),
            where=http.INVOCATIONS,
            next_step=f"Send less at once. {_SETTINGS}",
        )
        self._end_those_since(time.monotonic() - limit, error)

    def give_up(self) -> None:
        """Answer 503 to all that wait: a prediction before them does not end, and this worker is to be replaced."""
        busy = self._thread.busy_for()
        log.error(
            "a prediction has been running for %.1f s, over the limit of %g s; this worker is replaced. %s "
            "It is at:\n%s",
            busy,
            self._environ.timeout,
            _SETTINGS,
            self._thread.stack(self._script),
        )
        error = self._stuck(busy)
        self._bound.shut(lambda: error)
        self._end_those_since(time.monotonic(), error)

    def _still_stuck(self) -> RequestError | None:
        busy = self._thread.busy_for()
        return self._stuck(busy) if busy > self._environ.timeout else None

    def _stuck(self, busy: float) -> RequestError:
        return RequestError(
            503,
            f"a prediction has been running for {busy:.1f} s in this worker, over the limit of "
            f"{self._environ.timeout:g} s, and the worker is being replaced",
            where=http.INVOCATIONS,
            next_step=f"Send the request again. {_SETTINGS}",
            headers={"Retry-After": "1"},
        )

    def _end_those_since(self, latest: float, error: RequestError) -> None:
        waiting = [future for future, came in self._thread.waiting.items() if came <= latest]
        for future in waiting:
            if not future.done():
                future.set_result(error_reply(error))

    def _invocation(self, functions: Functions) -> Callable[[Request], Answer]:
        if isinstance(self._thread, AsyncThread):
            return self._bound.around(self._invoke_async)
        if self._predictor.row_wise:
            return self._bound.around(self._batches(self._thread).submit)
        return self._predict if functions.quick else self._bound.around(self._invoke)

    def _batches(self, thread: PlainThread) -> BatchQueue:
        # Imported where it is needed: it brings the formats, without which a transform_fn starts sooner.
        from seaproof.serving.batch_spans import BatchSpans
        from seaproof.serving.batching import Batcher
        from seaproof.serving.queue import BatchQueue

        spans = BatchSpans() if is_installed() else None
        batcher = Batcher(self._predictor, self._environ.max_batch_rows, self._run, self._failure, spans)
        on_loop = self._functions.quick
        return BatchQueue(batcher, thread, self._environ, self._stream, on_loop=on_loop)

    def _in_thread(self, answer: Callable[[Request], Response]) -> Callable[[Request], Answer]:
        """What a model answers beside predictions, in the thread of these and bounded as they are."""

        def run(request: Request) -> Response:
            try:
                return answer(request)
            except BaseException as error:
                return failure_reply(error, self._script)

        thread = self._thread
        if isinstance(thread, AsyncThread):
            return run
        return self._bound.around(lambda request: thread.submit(run, request))

    def _invoke(self, request: Request) -> asyncio.Future[Response]:
        return self._thread.submit(self._predict, request)

    def _failure(self, error: BaseException) -> Response:
        return failure_reply(error, self._script)

    def _predict(self, request: Request) -> Any:
        """In the thread of predictions; on the event loop for functions that are quick."""
        request.taken = time.monotonic()
        try:
            answer = self._run(request)
        except BaseException as error:
            return failure_reply(error, self._script)
        return self._stream(answer) if type(answer) is Parts else answer

    def _invoke_async(self, request: Request) -> Awaitable[Response]:
        return self._streamed(self._thread.submit(self._predict_async, request))

    async def _streamed(self, future: asyncio.Future[Any]) -> Response:
        answer = await future
        return await self._stream(answer) if type(answer) is Parts else answer

    async def _predict_async(self, request: Request) -> Any:
        request.taken = time.monotonic()
        try:
            return await self._run_async(request)
        except Exception as error:
            return failure_reply(error, self._script)

    async def _stream(self, parts: Parts) -> Response:
        thread = self._thread
        if hasattr(parts.pieces, "__anext__") and not isinstance(thread, AsyncThread):
            thread = self._loop_of_streams = self._loop_of_streams or AsyncThread(thread.waiting)
        try:
            return await stream(parts, thread)
        except Exception as error:
            return failure_reply(error, self._script)

    def _answer_ping(self, request: Request) -> Response:
        return self._ping

    def _execution_parameters(self, request: Request) -> Answer:
        own = self._functions.get("execution_parameters_fn")
        if own is None:
            return json_reply(200, execution_parameters(self._environ))
        # In the thread, as everything of the author's: it may well ask the model.
        if isinstance(self._thread, AsyncThread):
            return self._thread.submit(self._ask_async, own)
        return self._thread.submit(self._ask, own)

    def _ask(self, function: Function) -> Response:
        try:
            return authors_parameters(function.call(None))
        except Exception as error:
            return failure_reply(error, self._script)

    async def _ask_async(self, function: Function) -> Response:
        try:
            value = function.call(None)
            return authors_parameters(await value if function.is_async else value)
        except Exception as error:
            return failure_reply(error, self._script)

    def _refuse(self, request: Request, methods: dict[str, Any] | None) -> Response:
        """404 and 405, each naming what there is."""
        if methods is None:
            routes = ", ".join(f"{'/'.join(given)} {path}" for path, given in self._table.items())
            error = RequestError(404, f"there is no {request.path}", where="path", next_step=f"There are: {routes}.")
        else:
            allowed = ", ".join(methods)
            error = RequestError(
                405,
                f"{request.path} takes no {request.method}",
                where="method",
                next_step=f"Send it with {allowed}.",
                headers={"Allow": allowed},
            )
        return error_reply(error)
