"""Spans: children of the caller's, with what there is to know; and nothing at all without OpenTelemetry."""

from __future__ import annotations

import json
import os
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from container_process import SOURCE, Container, reply_on, soon

from seaproof.formats.schema import Field, Schema, write_schema
from seaproof.serving.tracing import trace_id

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

AUTHOR = """
import json
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from seaproof.errors import RequestError

exporter = InMemorySpanExporter()

def model_fn(model_dir):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)

def transform_fn(model, data, content_type, accept, context):
    if data == "spans":
        return json.dumps([told(span) for span in exporter.get_finished_spans()])
    with trace.get_tracer("author").start_as_current_span("inner"):
        if data == "fail":
            raise ValueError("no")
        if data == "unfit":
            raise RequestError(422, "unfit")
        return parts() if data == "parts" else context.traceparent

def parts():
    for number in range(2):
        with trace.get_tracer("author").start_as_current_span(f"part {number}"):
            yield "p"

def told(span):
    return {"name": span.name, "trace": f"{span.context.trace_id:032x}", "id": f"{span.context.span_id:016x}",
            "parent": f"{span.parent.span_id:016x}" if span.parent else "", "status": span.status.status_code.name,
            "attributes": dict(span.attributes), "events": [event.name for event in span.events]}
"""
BATCHED = (
    AUTHOR.partition("def transform_fn")[0]
    .replace("InMemorySpanExporter()", "Written()")
    .replace(
        "exporter = ",
        """
import os, pathlib, time
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

here = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
batch = True

class Written(SpanExporter):
    def export(self, spans):
        with (here / "spans").open("a") as out:
            for span in spans:
                links = [f"{link.context.span_id:016x}" for link in span.links]
                out.write(json.dumps({**told(span), "links": links}) + "\\n")
        return SpanExportResult.SUCCESS

exporter = """,
    )
    + """
def input_fn(data, content_type):
    with trace.get_tracer("author").start_as_current_span("read " + data):
        if data == "unreadable":
            raise ValueError("no")
        return [[float(data)]]

def predict_fn(data, model):
    with trace.get_tracer("author").start_as_current_span("inner"):
        (here / "busy").touch()
        while not (here / "open").exists():
            time.sleep(0.005)
        if [13.0] in data:
            raise ValueError("thirteen")
        return [row[0] for row in data]

"""
    + "def told"
    + AUTHOR.partition("def told")[2]
)
ASYNC_AUTHOR = AUTHOR.replace("def transform_fn", "async def transform_fn").replace("def parts", "async def parts")


def spans(container: Container, *bodies: str) -> list[dict[str, Any]]:
    """What is exported after these requests, in the order in which it ended."""
    for body in bodies:
        container.invoke(body, X_Amzn_SageMaker_Inference_Id="i-1", traceparent=f"00-{TRACE}-{PARENT}-01")
    found: list[dict[str, Any]] = container.invoke("spans").json
    return found


@pytest.mark.parametrize("script", [AUTHOR, ASYNC_AUTHOR], ids=["plain", "async"])
def test_a_prediction_is_a_child_of_the_callers_span_and_parent_of_the_authors(
    container: Container, script: str
) -> None:
    container.serve(script)

    inner, outer = spans(container, "hello")

    assert (outer["name"], outer["trace"], outer["parent"]) == ("seaproof.predict", TRACE, PARENT)
    assert (inner["trace"], inner["parent"]) == (TRACE, outer["id"])
    assert outer["status"] == "UNSET"
    assert outer["attributes"] == {
        "url.path": "/invocations",
        "http.request.method": "POST",
        "http.request.body.size": 5,
        "http.request.header.content-type": "text/csv",
        "seaproof.inference_id": "i-1",
        "http.response.status_code": 200,
        "http.response.body.size": 55,
    }


@pytest.mark.parametrize("script", [AUTHOR, ASYNC_AUTHOR], ids=["plain", "async"])
def test_a_failure_is_an_error_and_what_the_caller_did_is_none(container: Container, script: str) -> None:
    container.serve(script)

    _, failed, _, unfit = spans(container, "fail", "unfit")

    assert (failed["status"], failed["events"]) == ("ERROR", ["exception"])
    assert failed["attributes"]["http.response.status_code"] == 500
    assert (unfit["status"], unfit["events"]) == ("UNSET", [])
    assert unfit["attributes"]["http.response.status_code"] == 422


@pytest.mark.parametrize("script", [AUTHOR, ASYNC_AUTHOR], ids=["plain", "async"])
def test_the_span_of_a_stream_ends_with_its_last_part(container: Container, script: str) -> None:
    container.serve(script)

    found = spans(container, "parts")

    assert [span["name"] for span in found] == ["inner", "part 0", "part 1", "seaproof.predict"]
    assert {span["parent"] for span in found[:3]} == {found[3]["id"]}
    assert "Traceback" not in container.log
    assert "ended span" not in container.log


def test_without_a_traceparent_a_prediction_begins_a_trace(container: Container) -> None:
    container.serve(AUTHOR)
    container.invoke("hello")

    inner, outer = spans(container)

    assert outer["parent"] == ""
    assert inner["trace"] == outer["trace"] != TRACE


def test_without_opentelemetry_nothing_of_it_is_imported(container: Container, tmp_path: Path) -> None:
    # In the place of the package, one without `trace`, as images have that hold something else of this name.
    (tmp_path / "ml" / "model" / "code" / "opentelemetry").mkdir(parents=True)
    (tmp_path / "ml" / "model" / "code" / "opentelemetry" / "__init__.py").write_text("")
    container.serve(
        "import json, sys\ndef transform_fn(model, data, content_type, accept):\n"
        "    return json.dumps([name for name in sys.modules if name.startswith('opentelemetry.')])\n"
    )

    reply = container.invoke("1", traceparent=f"00-{TRACE}-{PARENT}-01")

    assert (reply.status, json.loads(reply.body)) == (200, [])


def test_an_author_who_sets_up_nothing_is_served_as_ever(container: Container) -> None:
    container.serve("def transform_fn(model, data, content_type, accept):\n    return data\n")

    assert soon(lambda: container.invoke("1").body == b"1")


@pytest.mark.parametrize(
    ("header", "seen"),
    [
        (f"00-{TRACE}-{PARENT}-01", TRACE),
        (f"cc-{TRACE}-{PARENT}-01-more", TRACE),
        (f"ff-{TRACE}-{PARENT}-01", ""),
        (f"00-{'0' * 32}-{PARENT}-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (f"00-{TRACE.upper()}-{PARENT}-01", ""),
        ("00-1-2-01", ""),
        ("", ""),
    ],
)
def test_a_traceparent_is_read_as_the_standard_says(header: str, seen: str) -> None:
    assert trace_id(header) == seen


def test_requests_that_share_a_call_have_a_span_each_and_the_call_is_linked_to_them(
    container: Container,
) -> None:
    found = batched(container, "2", "3", "unreadable")

    each = {span["parent"]: span for span in found if span["name"] == "seaproof.predict"}
    two, three, bad = (each[f"{number:016x}"] for number in (2, 3, 4))
    (call,) = [span for span in found if span["name"] == "seaproof.batch"]
    inner = [span for span in found if span["name"] == "inner"][-1]
    assert {two["trace"], three["trace"], bad["trace"]} == {TRACE}
    assert (call["parent"], call["links"]) == ("", [two["id"], three["id"]])
    assert call["attributes"] == {"seaproof.batch.requests": 2, "seaproof.batch.rows": 2}
    assert (inner["trace"], inner["parent"]) == (call["trace"], call["id"])
    assert [span["parent"] for span in found if span["name"] == "read 3"] == [three["id"]]
    assert [span["attributes"]["http.response.status_code"] for span in (two, three, bad)] == [200, 200, 500]
    assert [(span["status"], span["events"]) for span in (two, bad)] == [("UNSET", []), ("ERROR", ["exception"])]
    assert "ended span" not in container.log


INSTRUMENTED = """
import json, os, pathlib
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

class Written(SpanExporter):
    def export(self, spans):
        with pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"], "spans").open("a") as out:
            out.writelines(json.dumps(dict(span.attributes)) + "\\n" for span in spans)
        return SpanExportResult.SUCCESS

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(Written()))
trace.set_tracer_provider(provider)
"""


def test_the_span_of_a_saved_model_names_its_file(container: Container) -> None:
    """Where nobody wrote a script, what starts Python sets up the provider."""
    folder = container.root / "ml" / "model"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text("def predict(columns):\n    return columns['a'] * 2\n")
    write_schema(folder, Schema("", (Field("a", "float"),), (Field("twice", "float"),)))
    (container.root / "sitecustomize.py").write_text(INSTRUMENTED)
    container.restart(PYTHONPATH=f"{SOURCE}{os.pathsep}{container.root}")
    soon(container.answers)

    reply = container.invoke("21", Accept="text/csv", traceparent=f"00-{TRACE}-{PARENT}-01")

    assert float(reply.body) == 42
    (span,) = map(json.loads, (container.root / "ml" / "spans").read_text().splitlines())
    assert (span["seaproof.model"], span["url.path"]) == ("model.py", "/invocations")


def test_in_a_shared_call_that_fails_only_the_guilty_span_is_an_error(container: Container) -> None:
    found = batched(container, "2", "13", "4")

    each = {span["parent"]: span for span in found if span["name"] == "seaproof.predict"}
    assert [each[f"{number:016x}"]["status"] for number in (1, 2, 3, 4)] == ["UNSET", "UNSET", "ERROR", "UNSET"]
    assert all(span["status"] == "ERROR" for span in found if span["name"] == "seaproof.batch")
    assert "ended span" not in container.log


def batched(container: Container, *bodies: str) -> list[dict[str, Any]]:
    """The spans of these, which are predicted together, behind one that is predicted before them; the caller's span
    is 1 for that, and counts up for these."""
    container.serve(BATCHED)
    here = container.root / "ml"

    def send(number: int, body: str) -> HTTPConnection:
        return container.ask(body, Accept="text/csv", traceparent=f"00-{TRACE}-{number:016x}-01")

    sent = [send(1, "1")]
    soon((here / "busy").exists)
    for number, body in enumerate(bodies, 2):
        sent.append(send(number, body))
        container.get("/ping")  # answered after that was read
    (here / "open").touch()
    for connection in sent:
        reply_on(connection)
    ended = len(bodies) + 1
    soon(lambda: (here / "spans").read_text().count('"seaproof.predict"') == ended)
    return [json.loads(line) for line in (here / "spans").read_text().splitlines()]
