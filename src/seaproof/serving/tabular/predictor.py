"""From one request to its answer, for a saved model that is served without a line of code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from seaproof.contract.environ import ALL, ModelEnviron, ServingEnviron
from seaproof.errors import RequestError, authors_traceback
from seaproof.formats.model import Model
from seaproof.http.message import Request, Response
from seaproof.serving.codecs import DECODERS, Table, decode
from seaproof.serving.functions import Functions
from seaproof.serving.predictor import Parts, Predictor, Unencoded, read_content
from seaproof.serving.replies import log
from seaproof.serving.tabular import scorer
from seaproof.serving.tabular.pages import Pages
from seaproof.serving.tabular.plain import Reader

LINES = ("application/jsonlines", "application/x-jsonlines")
"""Types of which each line is an object, and the first may be the only one."""
OCTETS = "application/octet-stream"

Route = Callable[[Request], Response]


class TabularPredictor(Predictor):
    """A saved model between plain tables, and the scorer's requests, and their answers.

    Values of plain requests and of the scorer's are of different kinds (a matrix or a table without names, and a table
    with names), so that a batch never joins the two: what the model is asked for differs.
    """

    def __init__(self, functions: Functions, model: Model, environ: ServingEnviron, model_dir: str) -> None:
        super().__init__(functions, model, environ, model_dir)
        settings = ModelEnviron.read()
        self._saved = model
        self._reader = Reader(model.schema)
        self._all = settings.output == ALL
        # Bodies are decoded together only where they become a matrix.
        self.decodes = self._reader.numeric and bool(self._reader.fields)
        folders = [Path(model_dir), *([Path(settings.score_folder)] if settings.score_folder else [])]
        self._pages = Pages(model, self._reader, folders, self._scores_for_scorer)

    def routes(self) -> dict[str, dict[str, Route]]:
        """What is answered beside /ping and /invocations: path, method, and what answers in the thread."""
        return self._pages.routes()

    def predict(self, request: Request) -> Response | Parts:
        """Answer one request."""
        value, asked = self.read(request)
        return self.answer(self.predict_rows(value), request, asked)

    def read(self, request: Request) -> tuple[Any, Any]:
        """What the model is given, and how the scorer's request wants its answer; None for a plain one."""
        content = read_content(request.header(b"content-type"))
        essence = content.media.essence
        given = None if essence in LINES else scorer.object_of(request.body)
        if given is not None:
            if not scorer.is_plain(given, self._reader.names):
                return scorer.read(given, self._reader)
            return self._reader.value(given), None
        if (essence not in DECODERS or essence == OCTETS) and request.body.lstrip()[:1] == b"{":
            # Nothing that a codec would say helps who meant to send a row.
            raise scorer.refusal("the body begins as a JSON object does, and is none")
        if not self._reader.fields:
            return decode(request.body, content.media), None
        return self._reader.read(request.body, content.media), None

    def predict_rows(self, value: Any) -> Any:
        """What the model says of these rows: a table of all its outputs for the scorer, its prediction for others."""
        if isinstance(value, Table):
            if value.names is not None:
                return self._scores_for_scorer(value)
            rows = self._reader.rows(value)
            return self._scores(rows) if self._all else self._said(rows)
        if self._reader.fields:
            value = self._reader.checked(value)
        return self._scores(value) if self._all else self._said(value)

    def _said(self, rows: Any) -> Any:
        """The plain answer: what the library's own predict says; of a model that was trained by a config the label,
        whatever its library has."""
        schema = self._saved.schema
        return self._saved.score(rows)[0] if schema.classes and schema.columns else self._saved.predict(rows)

    def answer(self, prediction: Any, request: Request, context: Any) -> Response | Parts:
        """The answer to one request."""
        if context is not None:
            return scorer.answer(self._saved, prediction, context)
        return self._answer(Unencoded(prediction), self._accept(request.header(b"accept")), request, None)

    def _scores_for_scorer(self, table: Table) -> Table:
        """The same, with failures as the scorer words them."""
        try:
            return self._scores(table)
        except (RequestError, MemoryError):
            raise
        except Exception as error:
            log.error("scoring failed\n%s", authors_traceback(error).rstrip())
            raise scorer.refusal(f"{type(error).__name__}: {error}", 500) from error

    def _scores(self, rows: Any) -> Table:
        schema = self._saved.schema
        columns = self._saved.score(self._reader.rows(rows) if isinstance(rows, Table) else rows)
        if len(columns) != len(schema.output):
            raise RequestError(
                500, f"the model gave {len(columns)} outputs, and its schema has {len(schema.output)}", where="schema"
            )
        return Table(columns, [field.name for field in schema.output])
