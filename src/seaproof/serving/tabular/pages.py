"""What a saved model answers beside predictions: /model/..., its OpenAPI document, and a page that explains it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from seaproof.contract.http import MediaType
from seaproof.errors import RequestError
from seaproof.formats.model import Model
from seaproof.formats.schema import Field
from seaproof.http.message import Request, Response
from seaproof.serving.codecs import Table
from seaproof.serving.replies import json_reply
from seaproof.serving.tabular import scorer
from seaproof.serving.tabular.explained import html, openapi
from seaproof.serving.tabular.plain import CSV, Reader

_HOST = re.compile(r"[\w.-]+(:\d+)?|\[[\da-fA-F:]+\](:\d+)?")
TYPES = {"float": "Float64", "int": "Int64", "str": "Str", "bool": "Bool"}
SAMPLES: dict[str, Any] = {"float": 0.0, "int": 0, "bool": False, "str": "text"}


class Pages:
    """The routes of one model."""

    def __init__(self, model: Model, reader: Reader, folders: Sequence[Path], score: Callable[[Any], Table]) -> None:
        self._model = model
        self._reader = reader
        self._folders = folders
        self._score = score

    def routes(self) -> dict[str, dict[str, Callable[[Request], Response]]]:
        """Path, method, and what answers it."""
        return {
            "/model/id": {"GET": self._id},
            "/model/schema": {"GET": self._schema},
            "/model/sample_request": {"GET": self._sample},
            "/model/capabilities": {"GET": self._capabilities},
            "/model/score": {"GET": self._score_file, "POST": self._score_rows},
            "/model/contribution": {"POST": self._contribution},
            "/openapi.json": {"GET": self._openapi},
            "/docs": {"GET": self._docs},
        }

    def _id(self, request: Request) -> Response:
        return Response(200, [(b"content-type", b"text/plain; charset=utf-8")], self._model.schema.id.encode())

    def _schema(self, request: Request) -> Response:
        schema = self._model.schema
        return json_reply(
            200,
            {
                "id": schema.id,
                "schema": {
                    "inputFields": list(map(_shown, schema.input)),
                    "outputFields": list(map(_shown, schema.output)),
                },
            },
        )

    def sample(self) -> dict[str, Any]:
        """A request that the model scores as it is."""
        fields = self._model.schema.input
        row = [str(field.categories[0] if field.categories else SAMPLES[field.type]) for field in fields]
        return {
            "fields": [field.name for field in fields],
            "rows": [row],
            "includeFieldsInOutput": [],
            "noFieldNamesInOutput": False,
            "idField": "",
        }

    def _sample(self, request: Request) -> Response:
        return json_reply(200, self.sample())

    def capabilities(self) -> list[str]:
        """What the model can be asked for."""
        return ["SCORE", *(["CONTRIBUTION_ORIGINAL"] if self._model.explain else [])]

    def _capabilities(self, request: Request) -> Response:
        return Response(200, [(b"content-type", b"application/json")], json.dumps(self.capabilities()).encode())

    def _score_rows(self, request: Request) -> Response:
        rows, asked = scorer.read(self._object(request), self._reader)
        return scorer.answer(self._model, self._score(rows), asked)

    def _score_file(self, request: Request) -> Response:
        names = parse_qs(request.query).get("file", [])
        if not names:
            raise scorer.refusal("no file was named; it is asked for as /model/score?file=<name>")
        path = self._path(names[0])
        try:
            rows = self._reader.read(path.read_bytes(), MediaType(CSV, (("header", "present"),)))
        except OSError as error:
            raise scorer.refusal(f"{names[0]} cannot be read: {error.strerror}") from None
        except RequestError as error:
            raise scorer.refusal(f"{names[0]}, {error.where}: {error.what}") from None
        return scorer.answer(self._model, self._score(rows), scorer.Asked())

    def _path(self, name: str) -> Path:
        """A file below one of the folders; links that lead out of them count as out."""
        for folder in self._folders:
            try:
                path = (folder / name).resolve()
                if path.is_relative_to(folder.resolve()) and path.is_file():
                    return path
            except (OSError, ValueError):  # a NUL in it, or too long
                continue
        where = " or ".join(map(str, self._folders))
        raise scorer.refusal(f"there is no file {name[:200]} below {where}", 404)

    def _contribution(self, request: Request) -> Response:
        if self._model.explain is None:
            raise scorer.refusal("this model has no contributions", 501)
        asked = self._object(request)
        if scorer.shapley(asked, scorer.ORIGINAL) == scorer.NONE:
            raise scorer.refusal(f"{scorer.SHAPLEY} is {scorer.NONE}, and contributions are asked for")
        rows, _ = scorer.read(asked, self._reader)
        told = scorer.explained(self._model, self._reader.rows(rows))
        return json_reply(200, {"id": self._model.schema.id, **told})

    def _object(self, request: Request) -> dict[str, Any]:
        given = scorer.object_of(request.body)
        if given is None:
            raise scorer.refusal("the body is no JSON object with fields and rows")
        return given

    def _openapi(self, request: Request) -> Response:
        return json_reply(200, openapi(self._model.schema, self.sample(), bool(self._model.explain)))

    def _said_of_sample(self) -> str:
        """The answer to the sample as one flat row; empty where the model fails on it, which is no reason for no
        page."""
        sample = self.sample()
        try:
            rows, asked = scorer.read(dict(zip(sample["fields"], sample["rows"][0], strict=True)), self._reader)
            return bytes(scorer.answer(self._model, self._score(rows), asked).body).decode()  # type: ignore[arg-type]
        except RequestError:
            return ""

    def _docs(self, request: Request) -> Response:
        host = request.header(b"host")
        address = f"http://{host if _HOST.fullmatch(host) else 'localhost:8080'}"
        page = html(self._model.schema, self.sample(), bool(self._model.explain), address, self._said_of_sample())
        return Response(200, [(b"content-type", b"text/html; charset=utf-8")], page.encode())


def _shown(field: Field) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": field.name, "dataType": TYPES[field.type]}
    return {**shown, "categories": list(field.categories)} if field.categories else shown
