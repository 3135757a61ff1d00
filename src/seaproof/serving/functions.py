"""The functions around a model: found in a module or an object, checked, and put together into one call.

`model_fn(model_dir)`, `input_fn(data, content_type)`, `predict_fn(data, model)`, `output_fn(prediction, accept)`, or
`transform_fn(model, data, content_type, accept)`, as the SageMaker inference toolkit defines them. Each may take
`context` as a further last argument, and each may be `async def`.

Whoever has them is called the handlers: an author's module, or for a built-in format any object with these names.
Beside them it may say, as attributes, `load_after_fork`, `quick` and `batch` (see `Functions`). A built-in format that
works row by row says `batch = True`, and is batched without a word of the user's. What only the loaded model knows (an
ONNX graph with a fixed number of rows), the model says itself: one whose attribute `row_wise` is False is never
given the rows of several requests.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from seaproof.errors import ContractError

_ARGUMENTS = {
    "pre_model_fn": ("model_dir",),
    "model_fn": ("model_dir",),
    "model_warmup_fn": ("model_dir", "model"),
    "input_fn": ("data", "content_type"),
    "predict_fn": ("data", "model"),
    "output_fn": ("prediction", "accept"),
    "transform_fn": ("model", "data", "content_type", "accept"),
    "execution_parameters_fn": (),
}
LOADING = ("pre_model_fn", "model_fn", "model_warmup_fn")
STEPS = ("input_fn", "predict_fn", "output_fn")


@dataclass(frozen=True)
class Function:
    """One function of the author's; `call` always takes a context last and hands it on where it is wanted."""

    name: str
    call: Callable[..., Any]
    wants_context: bool
    is_async: bool


@dataclass(frozen=True)
class Functions:
    """What the handlers define."""

    found: dict[str, Function]
    where: str
    """The script's path, or the model file of a built-in format; for messages."""
    load_after_fork: bool = False
    """The module says `load_after_fork = True`: its model cannot be shared between processes."""
    quick: bool = False
    """The module says `quick = True`: no call of its functions ever takes more than a few milliseconds, so that they
    may run on the event loop, where /ping and all other requests wait for them."""
    batch: bool = False
    """The module says `batch = True`: predict_fn works row by row. It may be given the decoded inputs of several
    requests as one, and returns one result for each row, in order."""
    built_in: bool = False
    """The handlers are those of a built-in format: messages ask nobody to change them."""

    def get(self, name: str) -> Function | None:
        """One of the functions, or None where the author left it out."""
        return self.found.get(name)

    @property
    def names(self) -> list[str]:
        """The functions that the author defined, in the order in which they run."""
        return [name for name in _ARGUMENTS if name in self.found]

    @property
    def loads_async(self) -> bool:
        """Whether loading needs an event loop, which cannot be shared between processes."""
        return any(self.found[name].is_async for name in LOADING if name in self.found)

    @property
    def predicts_async(self) -> bool:
        """Whether a request needs an event loop of the author's."""
        answering = (*STEPS, "transform_fn", "execution_parameters_fn")
        return any(self.found[name].is_async for name in answering if name in self.found)


def read_functions(handlers: object, where: str, *, built_in: bool = False) -> Functions:
    """Collect and check the functions of a module or another object; ContractError names what cannot work.

    `where` is the file that messages name, `built_in` whether the handlers are a built-in format's.
    """
    found = {}
    for name, arguments in _ARGUMENTS.items():
        value = getattr(handlers, name, None)
        if callable(value):
            found[name] = _function(name, value, arguments, where)
    _check(found, where)
    switches = {name: bool(getattr(handlers, name, False)) for name in ("load_after_fork", "quick", "batch")}
    if switches["batch"]:
        _check_batch(found, where)
    return Functions(found, where, built_in=built_in, **switches)


def _check(found: dict[str, Function], where: str) -> None:
    beside = [name for name in STEPS if name in found]
    if "transform_fn" in found and beside:
        raise ContractError(
            f"transform_fn stands beside {', '.join(beside)}, and does all of their work itself",
            where=where,
            next_step=f"Keep transform_fn, or {', '.join(beside)}, but not both.",
        )
    if "model_fn" not in found and "transform_fn" not in found and "predict_fn" not in found:
        raise ContractError(
            "there is no model_fn, and neither predict_fn nor transform_fn that could do without a model",
            where=where,
            next_step="Define model_fn(model_dir) and return the model that is loaded from that folder.",
        )


def _check_batch(found: dict[str, Function], where: str) -> None:
    """Say what stands against `batch = True`."""
    predict = found.get("predict_fn")
    waiting = [name for name in (*STEPS, "execution_parameters_fn") if name in found and found[name].is_async]
    if "transform_fn" in found:
        what, next_step = "transform_fn does all of the work for one request", "Define predict_fn in its place"
    elif predict and predict.wants_context:
        what, next_step = (
            "predict_fn takes a context, which belongs to one request",
            "Take context out of predict_fn (input_fn and output_fn may have it)",
        )
    elif waiting:
        what, next_step = f"{', '.join(waiting)} cannot be `async def` then", "Make it a plain function"
    else:
        return
    raise ContractError(
        f"batch = True joins requests into one call of predict_fn, but {what}",
        where=where,
        next_step=f"{next_step}, or take batch = True out.",
    )


def _function(name: str, value: Callable[..., Any], arguments: tuple[str, ...], where: str) -> Function:
    try:
        parameters = list(inspect.signature(value).parameters.values())
    except (TypeError, ValueError):  # built in, and without a signature: it is called as it should be
        return Function(name, _without_context(value, len(arguments)), False, False)
    given = len(arguments)
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    variable = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    required = [p for p in positional[given:] if p.default is p.empty]
    if (len(positional) < given and not variable) or len(required) > 1:
        signature = ", ".join(arguments)
        raise ContractError(
            f"{name} takes {', '.join(p.name for p in parameters) or 'nothing'}, and is called with {signature}",
            where=where,
            next_step=f"Define it as {name}({signature}), or as {name}({', '.join((*arguments, 'context'))}).",
        )
    is_async = _is_async(value) or _is_async(type(value).__call__)
    if any(p.name == "context" and p.kind is p.KEYWORD_ONLY for p in parameters):
        return Function(name, lambda *given: value(*given[:-1], context=given[-1]), True, is_async)
    # A further parameter with a default of its own is the author's, unless it is called context.
    if required or any(p.name == "context" for p in positional[given:]):
        return Function(name, value, True, is_async)
    return Function(name, _without_context(value, given), False, is_async)


def _without_context(value: Callable[..., Any], arguments: int) -> Callable[..., Any]:
    """Drop the last of the arguments; spelt out by number because this is on the path of every request."""
    if arguments == 4:
        return lambda a, b, c, d, _: value(a, b, c, d)
    if arguments == 2:
        return lambda a, b, _: value(a, b)
    return lambda *given: value(*given[:-1])


def _is_async(value: Any) -> bool:
    return inspect.iscoroutinefunction(value) or inspect.isasyncgenfunction(value)
