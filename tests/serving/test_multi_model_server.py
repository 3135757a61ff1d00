"""The calls that were made to multi-model-server 1.1.11, made to ours: same status, same shape of the JSON.

The record is made by `record_multi_model_server.py`, in a live run. What differs on purpose is listed here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from container_process import Container
from many_models import ManyModels, members
from record_multi_model_server import CALLS, RECORD, exchange, folders

from seaproof.drivers.ports import free_port

RECORDED = json.loads(RECORD.read_text(encoding="utf-8"))

COMMON = """
import os

def model_fn(model_dir):
    name = os.path.basename(model_dir)
    if name == "broken":
        raise ValueError("weights are missing")
    if name == "hungry":
        raise MemoryError("no room")
    return name

def transform_fn(model, data, content_type, accept):
    if model == "starving":
        raise MemoryError("no room")
    if model == "failing":
        raise ValueError("predict failed")
    return model.encode() + b":" + (data if isinstance(data, bytes) else data.encode())
"""

NO_ONE = "the contract has no such route: InvokeEndpoint on a multi-model endpoint always names a model"
NO_FOLDER = "a model is a folder; an address that is none is refused when it is given, not when it is invoked"
CLIENT = "what is wrong with a request is the client's: 400 and not 500"
NOTHING_LEFT = "a model that cannot be loaded leaves nothing behind, so that it can be asked for again"
SLASH = "a name is opaque, and may hold a slash"

# name of the call: our status, and the reason.
DEVIATIONS = {
    "invocations without models": (404, NO_ONE),
    "invocations with one model": (404, NO_ONE),
    "invoke by GET": (405, "the contract has POST only; a GET would have no body to predict from"),
    "load from a path that is a file": (404, NO_FOLDER),
    "load with an empty url": (400, NO_FOLDER),
    "delete what a file gave": (404, NO_FOLDER),
    "delete what an empty url gave": (404, NO_FOLDER),
    "delete what found no memory": (404, NOTHING_LEFT),
    "load with no body": (400, CLIENT),
    "load with broken JSON": (400, CLIENT),
    "load with a list": (400, CLIENT),
    "list after a model that found no memory": (404, NOTHING_LEFT),
    "invoke with a failure": (
        500,
        "as /invocations answers, and as the SageMaker inference toolkit does on that server",
    ),
    "describe a name with a slash": (200, SLASH),
    "invoke a name with a slash": (200, SLASH),
    "delete a name with a slash": (200, SLASH),
}

# The same status, another body.
BODIES = {
    "invoke without memory": "what the author's functions raise is told as on /invocations",
    "list as many as there are": "no token for a page that would be empty",
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """What ours answers, by name of the call."""
    root = tmp_path_factory.mktemp("replay")
    container = Container(root, free_port())
    many = ManyModels(container)
    many.common(COMMON)
    folders(root / "given")
    many.serve()
    yield {name: exchange(container.port, call, root / "given") for name, call in CALLS.items()}
    assert container.stop() == 0


def test_the_record_is_of_these_calls() -> None:
    assert {name: entry["call"] for name, entry in RECORDED.items()} == CALLS
    assert len(CALLS) >= 25
    assert Path(RECORD).name == "multi_model_server_1_1_11.json"


@pytest.mark.parametrize("name", CALLS)
def test_the_answer_is_that_of_multi_model_server(name: str, answers: dict[str, dict[str, Any]]) -> None:
    ours, theirs = answers[name], RECORDED[name]["answer"]
    deviation = DEVIATIONS.get(name)

    assert ours["status"] == (deviation[0] if deviation else theirs["status"])
    if deviation:
        assert ours["status"] != theirs["status"], "no longer a deviation"
        return
    if "text" in theirs:  # what the model made of it
        assert ours["text"] == theirs["text"]
        return
    assert ours["headers"]["content-type"] == theirs["headers"]["content-type"]
    if ours["status"] >= 400:  # the members of that server's errors, and ours beside them
        if name not in BODIES:
            assert members(theirs["json"]).items() <= members(ours["json"]).items()
            assert ours["json"]["code"] == ours["status"]
        assert ours["json"]["next_step"]
    elif "models" in theirs["json"]:
        assert ours["json"]["models"] == theirs["json"]["models"]
        assert ours["json"].get("nextPageToken") == (None if name in BODIES else theirs["json"].get("nextPageToken"))
    elif "workers" in theirs["json"]:
        assert _described(ours["json"]) == _described(theirs["json"])
        assert ours["json"]["modelName"] == theirs["json"]["modelName"]
        assert ours["json"]["modelUrl"] == theirs["json"]["modelUrl"]
    else:
        assert members(ours["json"]) == members(theirs["json"])


def test_an_error_names_the_same_type_where_the_platform_knows_it(answers: dict[str, dict[str, Any]]) -> None:
    for name in ("load again", "invoke what is not loaded", "delete again", "a path that is none", "post to a model"):
        assert answers[name]["json"]["type"] == RECORDED[name]["answer"]["json"]["type"]


def _described(value: dict[str, Any]) -> Any:
    shape = members(value)
    for worker in shape["workers"]:
        worker["memoryUsage"] = worker["startTime"] = "replaced in the record"
    return shape
