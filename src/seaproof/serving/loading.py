"""From the environment to a loaded model: the script is imported, its model_fn called, all before any request."""

from __future__ import annotations

import gc
import inspect
import time
from collections.abc import Callable, Coroutine
from typing import Any

from seaproof.contract.environ import ServingEnviron
from seaproof.serving import metrics
from seaproof.serving.context import Context
from seaproof.serving.functions import Functions, read_functions
from seaproof.serving.predictor import Predictor
from seaproof.serving.saved_model import predictor_of, saved_model
from seaproof.serving.script import find_script, import_script, missing_script

RunAsync = Callable[[Coroutine[Any, Any, Any]], Any]


def load_functions(environ: ServingEnviron) -> Functions:
    """Import the author's script and collect its functions, or find a saved model that needs none; what the script
    raises passes through."""
    script = find_script(environ)
    if script is None:
        functions = saved_model(environ)
        if functions is None:
            raise missing_script(environ)
        return functions
    return read_functions(import_script(script), str(script))


def settle() -> None:
    """Take all that is loaded by now out of the garbage collector's sight, once and for good.

    With the libraries of a model loaded, a full collection stops a process for up to 100 ms in the midst of requests;
    and it writes into every page that the workers would else share.
    """
    gc.collect()
    gc.freeze()


def load_predictor(functions: Functions, environ: ServingEnviron, run_async: RunAsync | None = None) -> Predictor:
    """Load the model and put the functions around it; what model_fn raises passes through.

    `run_async` runs to its end what an `async def` model_fn returns.
    """
    model_dir = environ.model_folder
    context = Context(environ, model_dir, [])

    def call(name: str, *arguments: Any) -> Any:
        function = functions.get(name)
        result = function.call(*arguments, context) if function else None
        return run_async(result) if run_async and inspect.iscoroutine(result) else result

    began, before = time.monotonic(), metrics.resident()
    call("pre_model_fn", model_dir)
    model = call("model_fn", model_dir)
    call("model_warmup_fn", model_dir, model)
    metrics.observe_load(time.monotonic() - began, max(0, metrics.resident() - before))
    return predictor_of(functions, model, environ, model_dir)
