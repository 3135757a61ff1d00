"""What runs in the process of one model: its code and the model are loaded, then it answers on a Unix socket."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from seaproof.contract.environ import LOG_OFF, ServingEnviron
from seaproof.errors import SeaproofError, authors_traceback
from seaproof.serving import metrics
from seaproof.serving.functions import Functions, read_functions
from seaproof.serving.loading import load_functions, load_predictor, settle
from seaproof.serving.master import FAILED, Master, said
from seaproof.serving.memory import limited
from seaproof.serving.replies import log, out_of_memory
from seaproof.serving.script import DEFAULT_SCRIPT, find_script, import_script
from seaproof.serving.tracing import name_model
from seaproof.serving.worker import READY, Author, Wires, run_worker

# Where memory runs out all the same, the kernel is to take a model that loads, then a model, then the front.
_LOADING, _LOADED = 1000, 300
_LONGEST = 2000


@dataclass(frozen=True)
class CommonCode:
    """The script of the container, for models that bring none: imported once, shared by all their processes."""

    functions: Functions
    modules: frozenset[str]
    """What was imported with it."""


@dataclass(frozen=True)
class Order:
    """What the process of one model is told."""

    folder: str
    """The model's folder."""
    name: str
    """What the model is called in requests."""
    room: int
    """Bytes that it may take while it loads."""
    sockets: list[str]
    """Names of the Unix sockets to answer on, one for each worker."""
    status: int
    """File descriptor for READY, or for a JSON object that says why it cannot be."""
    lifeline: int
    """File descriptor that ends when the parent does."""
    stderr: int
    """File descriptor that stands in for standard error while the model loads; the parent hands it on."""


def import_common(environ: ServingEnviron) -> CommonCode | None:
    """Import the script of the container, if it has one; what it raises passes through."""
    program = environ.program
    try:
        script = find_script(replace(environ, model_dir=f"{environ.base_dir}/models"))
    except SeaproofError:  # named by a variable, and in none of the places: each model may bring it
        script = None
    if script is None:
        log.info("the container has no script of its own; every model brings code/%s", program or DEFAULT_SCRIPT)
    if script is None or environ.load_after_fork:
        return None
    before = set(sys.modules)
    functions = read_functions(import_script(script), str(script))
    return CommonCode(functions, frozenset(set(sys.modules) - before))


def run_model(order: Order, environ: ServingEnviron, common: CommonCode | None) -> int:
    """Load the model and serve it until SIGTERM; the exit code. Where there are to be several workers, this is their
    master."""
    try:
        _end_with_parent()
        _rank(_LOADING)
        metrics.start(environ.workers)  # not those of the front, which it was forked with
        # The front, which every request comes through, has the access log.
        environ = replace(environ, model_dir=order.folder, access_log=LOG_OFF)
        listeners = [_bind(path) for path in order.sockets]
        name_model(order.name)
        with _heard(order.stderr), limited(order.room):
            author = _load(environ, common)
        _rank(_LOADED)
        if environ.workers == 1:
            metrics.become(1)
            if author.predictor:
                settle()
            # A copy, which the worker closes; what goes wrong up to then is said through the other.
            return run_worker(author, environ, Wires(listeners[0], os.dup(order.status), order.lifeline))
        return Master(author, environ, listeners).run(lambda _: _say(order.status, READY))
    except SeaproofError as error:
        log.error("%s", error)
        _fail(order, 500, str(error))
    except BaseException as error:
        sys.stderr.write(authors_traceback(error))
        _fail(order, 507 if out_of_memory(error) else 500, said(error))
    return FAILED


@contextmanager
def _heard(stderr: int) -> Iterator[None]:
    """What goes to standard error is heard by the parent: last words of compiled code that ends the process."""
    own = os.dup(2)
    os.dup2(stderr, 2)
    os.close(stderr)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(own, 2)
        os.close(own)


def _load(environ: ServingEnviron, common: CommonCode | None) -> Author:
    script = find_script(environ)
    if common and (script is None or str(script) == common.functions.where):
        functions = common.functions
    else:
        if common:
            _forget(common)
        functions = load_functions(environ)
    late = environ.workers > 1 and (functions.load_after_fork or environ.load_after_fork)
    if functions.loads_async or late:
        return Author(functions)
    return Author(functions, load_predictor(functions, environ))


def _forget(common: CommonCode) -> None:
    """Unload the container's own modules, lest they stand in for modules of the same names beside the model."""
    folder = f"{Path(common.functions.where).parent}{os.sep}"
    for name in common.modules:
        file = getattr(sys.modules.get(name), "__file__", None) or ""
        installed = "site-packages" in file or "dist-packages" in file or file.startswith(f"{sys.base_prefix}{os.sep}")
        if file.startswith(folder) and not installed:
            del sys.modules[name]


def _fail(order: Order, status: int, what: str) -> None:
    _say(order.status, json.dumps({"status": status, "what": what[:_LONGEST]}).encode())


def _say(status: int, what: bytes) -> None:
    os.write(status, what)


def _bind(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.setblocking(False)
    return listener


def _rank(score: int) -> None:
    try:
        Path("/proc/self/oom_score_adj").write_text(str(score))
    except OSError:
        return


def _end_with_parent() -> None:
    """SIGTERM when the parent is gone: while a model loads, and in a master of workers, nobody watches the lifeline."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
