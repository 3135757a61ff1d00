"""A saved model explained: the OpenAPI document for programs, and one page, without a script, for people."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from seaproof import __version__
from seaproof.formats.schema import Field, Schema

_TEXT: dict[str, Any] = {"type": "string"}
_NULLABLE: dict[str, Any] = {"type": ["string", "null"]}
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b}"
    "table{border-collapse:collapse;margin:.5rem 0}td,th{border:1px solid #ccc;padding:.25rem .6rem;text-align:left}"
    "th{background:#f4f4f4}pre{background:#f4f4f4;padding:.8rem;white-space:pre-wrap;overflow-wrap:anywhere}"
    "pre+pre{background:#eef4ff;margin-top:-1rem}h2{margin-top:2rem}"
)
_WORDS = {"float": "number", "int": "whole number", "str": "text", "bool": "true or false"}


def openapi(schema: Schema, sample: dict[str, Any], explains: bool) -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    ok = _reply("The scores.", {"$ref": "#/components/schemas/ScoreResponse"})
    bad = _reply("The request does not fit the model.", {"$ref": "#/components/schemas/Error"})
    asked = {"required": True, "content": {"application/json": {"schema": _ref("ScoreRequest"), "example": sample}}}
    flat = {"required": True, "content": {"*/*": {"schema": {"oneOf": [_ref("Row"), _ref("ScoreRequest")]}}}}
    file = {"name": "file", "in": "query", "required": True, "schema": _TEXT}
    text = {"200": {"description": "The id.", "content": {"text/plain": {"schema": _TEXT}}}}
    anything = {"200": _reply("As described.", {"type": "object"})}
    score = {"200": ok, "400": bad}
    contributions = {"200": _reply("What each column did.", _ref("Contributions")), "400": bad}
    contribution = contributions if explains else {"501": bad}
    return {
        "openapi": "3.1.0",
        "info": {"title": schema.target or "A model", "version": schema.id, "description": f"seaproof {__version__}"},
        "paths": {
            "/ping": {
                "get": {
                    "summary": "Whether the model is loaded.",
                    "responses": {"200": {"description": "Yes."}, "504": {"description": "Not yet."}},
                }
            },
            "/invocations": {
                "post": {"summary": "A row, or rows.", "requestBody": flat, "responses": score},
            },
            "/model/id": {"get": {"summary": "The model's id.", "responses": text}},
            "/model/schema": {"get": {"summary": "Columns in and out.", "responses": anything}},
            "/model/sample_request": {"get": {"summary": "A request that works.", "responses": anything}},
            "/model/capabilities": {
                "get": {
                    "summary": "What can be asked.",
                    "responses": {"200": _reply("Names.", {"type": "array", "items": _TEXT})},
                }
            },
            "/model/score": {
                "get": {"summary": "Score a CSV file with a header.", "parameters": [file], "responses": score},
                "post": {"summary": "Score rows.", "requestBody": asked, "responses": score},
            },
            "/model/contribution": {
                "post": {"summary": "Shapley contributions.", "requestBody": asked, "responses": contribution}
            },
        },
        "components": {"schemas": _schemas(schema)},
    }


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _reply(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _schemas(schema: Schema) -> dict[str, Any]:
    texts = {"type": "array", "items": _TEXT}
    rows = {"type": "array", "items": {"type": "array", "items": _NULLABLE}}
    row = {field.name: _property(field) for field in schema.input}
    group = {"type": "object", "properties": {"outputGroup": _TEXT, "contributions": rows}}
    groups = {"type": "array", "items": group}
    return {
        "Row": {"type": "object", "properties": row, "required": list(row)},
        "ScoreRequest": {
            "type": "object",
            "required": ["fields", "rows"],
            "properties": {
                "fields": texts,
                "rows": {"type": "array", "items": {"type": "array"}},
                "includeFieldsInOutput": texts,
                "noFieldNamesInOutput": {"type": "boolean"},
                "idField": _TEXT,
                "requestShapleyValueType": {"enum": ["ORIGINAL", "NONE"]},
            },
        },
        "ScoreResponse": {
            "type": "object",
            "properties": {
                "id": _TEXT,
                "fields": texts,
                "score": rows,
                "featureShapleyContributions": _ref("Contributions"),
            },
        },
        "Contributions": {
            "type": "object",
            "properties": {"features": texts, "contributionGroups": groups, "contributionByOutputGroup": groups},
        },
        "Error": {"type": "object", "properties": {"detail": _TEXT}},
    }


def _property(field: Field) -> dict[str, Any]:
    if field.type == "str":
        return {"type": "string", **({"examples": list(field.categories)} if field.categories else {})}
    kind = {"float": "number", "int": "integer", "bool": "boolean"}[field.type]
    return {"type": [kind, "string"]}


def html(schema: Schema, sample: dict[str, Any], explains: bool, address: str, answer: str) -> str:
    """The page of a model that answers at `address` (http://host:port); `answer` is what it says of the sample as one
    flat row, or empty."""
    row = dict(zip(sample["fields"], sample["rows"][0], strict=True))
    line = ",".join(map(str, sample["rows"][0]))
    body = escape(_quoted(json.dumps(sample)))
    explain = (
        f"<p>How much each column moved each prediction:</p>\n<pre>curl -d {body} {address}/model/contribution</pre>"
        if explains
        else ""
    )
    said = f"<pre>{escape(answer)}</pre>" if answer else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{escape(schema.target or "Model")}</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<style>{_STYLE}</style></head><body>
<h1>{escape(schema.target or "This model")}</h1>
<p>Model <code>{escape(schema.id)}</code>. For programs: <a href="/openapi.json">OpenAPI</a>,
<a href="/model/schema">schema</a>, <a href="/model/sample_request">a request that works</a>.</p>
<h2>What it takes</h2>{_table(schema.input)}
<p>With names, in a header or as keys, columns may come in any order, and with others between them; without names, in
this order. A missing value is an empty cell or null.</p>
<h2>What it gives</h2>{_table(schema.output)}
<h2>Ask it</h2>
<p>One row as a JSON object, whatever the content type; every value of the answer is a text:</p>
<pre>curl -d {escape(_quoted(json.dumps(row)))} {address}/invocations</pre>
{said}
<p>Rows as CSV, with or without a header; one line for each comes back:</p>
<pre>curl -H "Content-Type: text/csv" -H "Accept: text/csv" -d {escape(_quoted(line))} {address}/invocations</pre>
<p>Fields and rows; <code>includeFieldsInOutput</code>, <code>idField</code> and <code>noFieldNamesInOutput</code> shape
the answer:</p>
<pre>curl -d {body} {address}/model/score</pre>
<p><code>GET /model/score?file=NAME</code> scores a CSV file with a header that lies beside the model.</p>
{explain}</body></html>
"""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _table(fields: tuple[Field, ...]) -> str:
    if not fields:
        return "<p>The model does not say.</p>"
    known = any(field.categories for field in fields)
    rows = "".join(
        f"<tr><td><code>{escape(field.name)}</code></td><td>{_WORDS[field.type]}</td>"
        f"{f'<td>{escape(_some(field))}</td>' if known else ''}</tr>"
        for field in fields
    )
    return f"<table><tr><th>column</th><th>type</th>{'<th>values</th>' if known else ''}</tr>{rows}</table>"


def _some(field: Field) -> str:
    more = f" and {len(field.categories) - 12} more" if len(field.categories) > 12 else ""
    return ", ".join(field.categories[:12]) + more
