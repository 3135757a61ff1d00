"""A saved model in place of an author's script: found in the model's folder, loaded by its format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seaproof.contract.environ import ModelEnviron, ServingEnviron
from seaproof.formats.schema import Schema
from seaproof.serving.functions import Function, Functions
from seaproof.serving.predictor import Predictor
from seaproof.serving.replies import log
from seaproof.serving.tracing import name_model


def saved_model(environ: ServingEnviron) -> Functions | None:
    """Functions that load and serve the model that lies in the model's folder; None where none does."""
    # Imported here: a container with a script starts without it.
    from seaproof.formats import choice
    from seaproof.formats.model import Options

    settings = ModelEnviron.read()
    found = choice.find(environ.model_folder, settings.model)
    # Where H2O's own scorer looked next.
    if found is None and not settings.model and Path("pipeline.mojo").is_file():
        found = choice.find(Path.cwd(), "pipeline.mojo")
    if found is None:
        return None
    name_model(found.path.name)
    options = Options(
        no_pickle=settings.no_pickle,
        trusted_types=settings.trusted_types,
        jar=settings.java_jar,
        license_key=settings.license_key,
        warn=lambda text: log.warning("%s", text),
    )
    model_fn = Function("model_fn", lambda *_: choice.load(found, options), False, False)
    return Functions({"model_fn": model_fn}, str(found.path), load_after_fork=found.format.load_after_fork, batch=True)


def predictor_of(functions: Functions, model: Any, environ: ServingEnviron, model_dir: str) -> Predictor:
    """What answers requests: for a model of a format, be it a script's own model_fn that loaded it, tables."""
    own = [name for name in functions.names if name not in ("pre_model_fn", "model_fn", "model_warmup_fn")]
    if not own and isinstance(getattr(model, "schema", None), Schema):
        from seaproof.serving.tabular.predictor import TabularPredictor

        return TabularPredictor(functions, model, environ, model_dir)
    return Predictor(functions, model, environ, model_dir)
