"""GET /metrics and the access log of a multi-model container: told by its front, for all models."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest
from container_process import soon
from many_models import ECHO, ManyModels, says
from test_container_metrics import count, read

BIG = (
    "def model_fn(model_dir):\n    return bytearray(b'x' * 40_000_000)\n"
    "def transform_fn(model, data, content_type, accept):\n    return str(len(model))\n"
)
FAILS = ECHO + "    raise ValueError('no')\n"
FROZEN = "import gc\n" + ECHO + "    return str(gc.get_freeze_count())\n"


def seen(many: ManyModels) -> dict[Any, float]:
    return read(many.container.get("/metrics").body.decode())


def models(many: ManyModels) -> tuple[float, float]:
    """How many are loaded, and their bytes; those of every process, for only the front has any."""
    found = seen(many)
    return tuple(  # type: ignore[return-value]
        sum(value for (name, _), value in found.items() if name == f"seaproof_{kind}")
        for kind in ("models_loaded", "model_bytes")
    )


def test_loads_and_unloads_are_told(many: ManyModels) -> None:
    many.serve()
    assert models(many) == (0, 0)

    many.load("big", many.add("big", BIG))
    one = models(many)
    many.load("small", many.add("small", says("s")))
    two = models(many)
    many.unload("big")
    left = models(many)
    many.load("broken", many.add("broken", "raise ValueError('no')"))

    assert (one[0], two[0], left[0]) == (1, 2, 1)
    assert one[1] > 40_000_000 < two[1]
    assert 0 < left[1] < 40_000_000
    assert models(many) == left
    assert count(seen(many), "model_load_seconds") > 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_requests_are_counted_once_whatever_the_name_of_the_model(many: ManyModels, workers: str) -> None:
    many.serve(SAGEMAKER_MODEL_SERVER_WORKERS=workers)
    for name in ("a", "b/c"):
        many.load(name, many.add(name.replace("/", "-"), says("x")))
        assert many.invoke(name).body == b"x"
    assert many.invoke("none").status == 404

    found = seen(many)

    assert count(found, "requests_total", route="/models/{name}/invoke", status="200") == 2
    assert count(found, "requests_total", route="/models/{name}/invoke", status="404") == 1
    assert count(found, "requests_total", route="/models", status="200") == 2
    assert count(found, "requests_total", route="/invocations", status="200") == 0
    assert count(found, "requests_in_flight") == 0


def test_a_model_whose_process_dies_is_a_death_and_is_counted_again_when_it_is_back(many: ManyModels) -> None:
    many.serve()
    many.load("a", many.add("a", says("x")))
    before = models(many)

    os.kill(many.pid("a"), signal.SIGKILL)
    soon(lambda: count(seen(many), "worker_deaths_total") == 1 and many.invoke("a").body == b"x")

    assert models(many)[0] == before[0] == 1
    assert models(many)[1] > 0


def test_only_get_asks_for_metrics(many: ManyModels) -> None:
    many.serve()

    reply = many.container.send("POST", "/metrics", "", {})

    assert (reply.status, reply.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_each_request_has_one_line_in_the_access_log(many: ManyModels, workers: str) -> None:
    many.serve(SEAPROOF_ACCESS_LOG="on", SAGEMAKER_MODEL_SERVER_WORKERS=workers)
    many.load("a", many.add("a", FAILS))
    many.invoke("a", X_Amzn_SageMaker_Inference_Id="i-1")
    many.unload("a")
    many.container.stop()

    lines = [json.loads(line) for line in many.container.log.splitlines() if line.startswith("{")]

    told = [(line["method"], line["path"], line["status"]) for line in lines]
    assert told == [("POST", "/models", 200), ("POST", "/models/a/invoke", 500), ("DELETE", "/models/a", 200)]
    assert lines[1]["inference_id"] == "i-1"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_a_model_loaded_is_out_of_the_collectors_sight(many: ManyModels, workers: str) -> None:
    many.serve(SAGEMAKER_MODEL_SERVER_WORKERS=workers)
    objects = FROZEN.replace("return model_dir", "return [[number] for number in range(300_000)]")
    many.load("a", many.add("a", objects))

    assert int(many.invoke("a").body) > 300_000


TRACED = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter = InMemorySpanExporter()

def model_fn(model_dir):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)

def transform_fn(model, data, content_type, accept):
    return str([span.attributes["seaproof.model"] for span in exporter.get_finished_spans()])
"""


def test_the_span_of_a_request_says_which_model_answered(many: ManyModels) -> None:
    many.serve()
    for name in ("a", "b/c.tar.gz"):
        many.load(name, many.add(name.replace("/", "-"), TRACED))
        many.invoke(name)

    assert many.invoke("a").body == b"['a']"
    assert many.invoke("b/c.tar.gz").body == b"['b/c.tar.gz']"
