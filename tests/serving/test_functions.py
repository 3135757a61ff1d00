"""The author's functions: both styles, context, async, streams, and what is said of those that cannot work."""

from __future__ import annotations

from pathlib import Path

import pytest
from container_process import Container, reply_on, soon

FOUR = """
import json

def model_fn(model_dir):
    return {"factor": 2, "dir": model_dir}

def input_fn(data, content_type):
    return [float(cell) for cell in data.split(",")]

def predict_fn(data, model):
    return [value * model["factor"] for value in data]

def output_fn(prediction, accept):
    return json.dumps(prediction)
"""


def test_the_four_functions_run_in_turn(container: Container) -> None:
    container.serve(FOUR)

    reply = container.invoke("1,2")

    assert (reply.status, reply.json) == (200, [2, 4])
    assert reply.headers["content-type"] == "application/json"


def test_the_functions_left_out_are_decoder_predict_and_encoder(container: Container) -> None:
    container.serve(
        "class Model:\n"
        "    def predict(self, rows):\n"
        "        return [sum(float(cell) for cell in row) for row in rows]\n"
        "def model_fn(model_dir):\n"
        "    return Model()\n"
    )

    assert container.invoke("1,2\n3,4\n").json == [3, 7]
    assert container.invoke("[[1, 2], [3, 4]]", "application/json; charset=utf-8").json == [3, 7]
    as_csv = container.invoke("1,2\n3,4\n", Accept="text/csv")
    assert [float(cell) for cell in as_csv.body.split()] == [3, 7]
    assert as_csv.headers["content-type"].startswith("text/csv")


@pytest.mark.parametrize(
    ("content_type", "accept", "status"),
    [("image/png", "*/*", 415), ("text/csv", "image/png", 406), ("application/json", "*/*", 400)],
)
def test_what_the_codecs_refuse_keeps_its_status(
    container: Container, content_type: str, accept: str, status: int
) -> None:
    container.serve("def predict_fn(data, model):\n    return [1.0]\n")

    reply = container.invoke("1,2", content_type, Accept=accept)

    assert reply.status == status
    assert set(reply.json) == {"error", "where", "next_step"}


def test_the_default_accept_can_be_set(container: Container) -> None:
    container.serve("def predict_fn(data, model):\n    return [1.5]\n", SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT="text/csv")

    assert container.invoke("1").body.strip() == b"1.5"


@pytest.mark.parametrize(
    ("returned", "body", "content_type"),
    [
        ("b'1'", b"1", "application/json"),
        ("'ä'", "ä".encode(), "application/json"),
        ("('1', 'text/csv')", b"1", "text/csv"),
        ("(b'1', 'text/plain; charset=ascii')", b"1", "text/plain; charset=ascii"),
        ("{'a': 1}", b'{"a":1}', "application/json"),
    ],
)
def test_output_fn_may_return_text_bytes_or_a_pair_with_its_type(
    container: Container, returned: str, body: bytes, content_type: str
) -> None:
    container.serve(
        f"def predict_fn(data, model):\n    return 0\ndef output_fn(prediction, accept):\n    return {returned}\n"
    )

    reply = container.invoke("1")

    assert (reply.body.replace(b" ", b""), reply.headers["content-type"]) == (body, content_type)


CONTEXT = """
import json

def model_fn(model_dir, context):
    return context.system_properties["model_dir"] == model_dir == context.model_dir

def input_fn(data, content_type, context):
    return context.custom_attributes

def predict_fn(data, model, *, context):
    return [data, model, context.inference_id, context.content_type, context.accept, context.environment.workers,
            context.traceparent, context.get_request_header(0, "X-Amzn-SageMaker-Inference-Id")]

def output_fn(prediction, accept, context):
    context.custom_attributes = "seen=" + prediction[0]
    context.set_response_status(201, "Created")
    return json.dumps(prediction)
"""


def test_context_tells_of_the_request_and_sets_headers_of_the_answer(container: Container) -> None:
    container.serve(CONTEXT)

    reply = container.invoke(
        "1",
        "text/csv; charset=utf-8",
        X_Amzn_SageMaker_Custom_Attributes="trace=7",
        X_Amzn_SageMaker_Inference_Id="abc",
        traceparent="00-1-2-01",
        Accept="application/json",
    )

    assert reply.status == 201
    assert reply.headers["x-amzn-sagemaker-custom-attributes"] == "seen=trace=7"
    assert reply.json == ["trace=7", True, "abc", "text/csv; charset=utf-8", "application/json", 1, "00-1-2-01", "abc"]


def test_a_header_that_would_split_the_answer_is_refused(container: Container) -> None:
    container.serve(
        "def transform_fn(model, data, content_type, accept, context):\n"
        "    context.custom_attributes = 'a\\r\\nSet-Cookie: b'\n"
        "    return data\n"
    )

    reply = container.invoke("1")

    assert reply.status == 500
    assert "set-cookie" not in reply.headers


def test_a_parameter_with_a_default_of_its_own_is_left_alone(container: Container) -> None:
    container.serve("def predict_fn(data, model, threshold=0.5):\n    return [threshold]\n")

    assert container.invoke("1").json == [0.5]


ASYNC = """
import asyncio

running = 0

async def model_fn(model_dir):
    await asyncio.sleep(0)
    return asyncio.get_running_loop()

async def input_fn(data, content_type):
    return float(data)

async def predict_fn(data, model):
    global running
    assert asyncio.get_running_loop() is model
    running += 1
    while running < data:
        await asyncio.sleep(0.01)
    return [data]
"""


def test_async_functions_run_beside_one_another(container: Container) -> None:
    container.serve(ASYNC)

    connections = [container.ask("8") for _ in range(8)]  # each is answered when all eight have begun

    assert [reply_on(connection).body for connection in connections] == [b"[8.0]"] * 8


def test_ping_is_answered_while_an_async_function_blocks(container: Container) -> None:
    container.serve(
        "import pathlib, time\ndef input_fn(data, content_type):\n    return pathlib.Path(data)\n"
        "async def predict_fn(folder, model):\n    (folder / 'begun').touch()\n"
        "    while not (folder / 'go').exists():\n        time.sleep(0.01)\n    return [1]\n"
    )
    connection = container.ask(str(container.root))
    soon((container.root / "begun").exists)

    assert container.get("/ping").status == 200

    (container.root / "go").touch()
    assert reply_on(connection).json == [1]


# The second part and the third are there when the first was read.
PARTS = """
import os, time
def transform_fn(model, data, content_type, accept):
    return parts(data)

def parts(go):
    for number in range(3):
        yield f"part {number}\\n"
        while not os.path.exists(go):
            time.sleep(0.01)
"""

ASYNC_PARTS = """
import asyncio, os
async def transform_fn(model, data, content_type, accept):
    for number in range(3):
        yield f"part {number}\\n"
        while not os.path.exists(data):
            await asyncio.sleep(0.01)
"""


@pytest.mark.parametrize("script", [PARTS, ASYNC_PARTS])
def test_a_generator_is_streamed_piece_by_piece(container: Container, script: str) -> None:
    container.serve(script)
    go = container.root / "go"
    connection = container.ask(str(go), Accept="text/plain")

    answer = connection.getresponse()
    first = answer.readline()
    go.touch()
    rest = answer.read()
    connection.close()

    assert (first, rest) == (b"part 0\n", b"part 1\npart 2\n")
    assert answer.headers["Content-Type"] == "text/plain"


def test_a_generator_that_fails_at_once_is_500(container: Container) -> None:
    container.serve(
        "def transform_fn(model, data, content_type, accept):\n    return parts()\n"
        "def parts():\n    raise ValueError('no parts')\n    yield b''\n"
    )

    reply = container.invoke("1")

    assert (reply.status, reply.json["error"]) == (500, "ValueError: no parts")


def test_a_generator_is_closed_when_its_client_leaves(container: Container, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    container.serve(
        "import pathlib, time\n"
        "def transform_fn(model, data, content_type, accept):\n    return parts(data)\n"
        "def parts(path):\n"
        "    try:\n        while True:\n            time.sleep(0.01)\n            yield b'x' * 1000\n"
        "    finally:\n        pathlib.Path(path).touch()\n"
    )
    connection = container.ask(str(closed))
    answer = connection.getresponse()
    assert answer.read(10) == b"x" * 10

    answer.close()
    connection.close()

    soon(closed.exists)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "def transform_fn(model, data, content_type, accept): ...\ndef input_fn(data, content_type): ...\n",
            "transform_fn stands beside input_fn",
        ),
        ("def input_fn(data, content_type): ...\n", "there is no model_fn, and neither predict_fn nor transform_fn"),
        ("def model_fn(): ...\n", "model_fn takes nothing, and is called with model_dir"),
        ("def predict_fn(data): ...\n", "predict_fn takes data, and is called with data, model"),
        ("def model_fn(model_dir):\n    return 7\n", "the model is of type int, which has no predict"),
        ("def model_fn(model_dir):\n    raise OSError('no such model')\n", "OSError: no such model"),
        ("import nothing_of_this_name\n", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("raise SystemExit(0)\n", "the script asked for exit code 0"),
    ],
)
def test_a_script_that_cannot_work_ends_the_container_before_it_is_ready(
    container: Container, script: str, said: str
) -> None:
    container.start(script)

    assert container.wait() not in (0, None)
    assert said in container.log
    assert "ready after" not in container.log


def test_an_exception_while_loading_shows_the_authors_line(container: Container) -> None:
    container.start("def model_fn(model_dir):\n    raise OSError('no such model')\n")

    assert container.wait() == 1
    assert 'inference.py", line 2, in model_fn' in container.log
    assert "master.py" not in container.log


def test_there_is_no_script(container: Container) -> None:
    container.start("", SAGEMAKER_PROGRAM="predictor.py")

    assert container.wait() == 1
    assert "the script predictor.py is in none of" in container.log
    assert "Traceback" not in container.log


def test_a_model_folder_is_needed_only_by_a_model_fn_that_reads_it(container: Container, tmp_path: Path) -> None:
    (tmp_path / "inference.py").write_text("def predict_fn(data, model):\n    return [model]\n")
    container.start("")
    assert container.wait() != 0  # the empty script beside the model comes first
    (tmp_path / "ml" / "model" / "code" / "inference.py").unlink()
    (tmp_path / "ml" / "model" / "code").rmdir()
    (tmp_path / "ml" / "model").rmdir()

    soon(container.restart().answers)

    assert container.invoke("1").json == [None]


def test_modules_beside_the_script_can_be_imported_and_its_classes_unpickled(container: Container) -> None:
    code = container.root / "ml" / "model" / "code"
    code.mkdir(parents=True)
    (code / "shapes.py").write_text("SIDES = 3\n")
    container.serve(
        "import pickle, shapes\n"
        "class Model:\n    sides = shapes.SIDES\n"
        "def model_fn(model_dir):\n    return pickle.loads(pickle.dumps(Model()))\n"
        "def predict_fn(data, model):\n    return [model.sides]\n"
    )

    assert container.invoke("1").json == [3]


def test_the_hooks_before_and_after_loading_run(container: Container) -> None:
    container.serve(
        "calls = []\n"
        "def pre_model_fn(model_dir):\n    calls.append('before')\n"
        "def model_fn(model_dir):\n    calls.append('load')\n    return 7\n"
        "def model_warmup_fn(model_dir, model):\n    calls.append(model)\n"
        "def predict_fn(data, model):\n    return calls\n"
    )

    assert container.invoke("1").json == ["before", "load", 7]
