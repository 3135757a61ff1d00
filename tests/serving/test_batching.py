"""Batching: what goes together, and that nobody can tell from an answer that it did."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from batch_lab import GATED, converse, gated, value
from container_process import Container, reply_on
from hypothesis import given, settings
from hypothesis import strategies as st

from seaproof.contract.environ import ServingEnviron
from seaproof.http.message import Request, Response
from seaproof.serving.batching import Batcher, Job
from seaproof.serving.functions import read_functions
from seaproof.serving.predictor import Predictor
from seaproof.serving.replies import failure_reply

# What goes together.


def test_what_comes_while_a_prediction_runs_goes_together_as_the_next(container: Container) -> None:
    with gated(container) as lab:
        first = lab.send_first("1,2")
        others = lab.send([f"{number},2" for number in range(20, 30)])
        lab.open()

        assert [value(reply.result()) for reply in others] == list(range(22, 32))
        assert value(first.result()) == 3
        assert lab.seen == [1, 10]


def test_a_lone_request_waits_for_nobody(container: Container) -> None:
    with gated(container, SEAPROOF_MAX_BATCH_DELAY_MS="0") as lab:
        lab.open()
        took = []
        for _ in range(20):
            began = time.monotonic()
            container.invoke("1,2")
            took.append(time.monotonic() - began)

        assert min(took) < 0.02
        assert lab.seen == [1] * 20


def test_a_delay_lets_an_idle_worker_wait_for_more(container: Container) -> None:
    with gated(container, SEAPROOF_MAX_BATCH_DELAY_MS="500") as lab:
        lab.open()
        began = time.monotonic()
        sent = lab.send_at_once(["1,2", "3,4", "5,6"])

        assert [value(reply.result()) for reply in sent] == [3, 7, 11]
        assert time.monotonic() - began >= 0.5
        assert lab.seen == [3]


def test_no_call_has_more_rows_than_are_allowed_save_for_one_request(container: Container) -> None:
    with gated(container, SEAPROOF_MAX_BATCH_ROWS="4") as lab:
        first = lab.send_first("1,2")
        others = lab.send(["1,1\n2,2\n", "3,3\n4,4\n", "5,5\n6,6\n", "\n".join(["7,7"] * 9)])
        lab.open()

        assert [reply.result().status for reply in [first, *others]] == [200] * 5
        assert others[3].result().body.split() == [b"14.0"] * 9
        assert lab.seen == [1, 4, 2, 9] or sorted(lab.seen[1:]) == [2, 4, 9]


def test_only_what_is_alike_is_joined(container: Container) -> None:
    with gated(container) as lab:
        lab.send_first("1,2")
        csv = lab.send(["1,2", "1,2,3", "4,5", "4,5,6"])
        whole = lab.send(["[[1, 2]]", "[[1, 2, 3]]", "[[4, 5]]"], "application/json")
        lab.open()

        assert [value(reply.result()) for reply in [*csv, *whole]] == [3, 6, 9, 15, 3, 6, 9]
        assert sorted(lab.seen[1:]) == [1, 2, 2, 2]


# One bad request fails alone.


def test_a_body_that_cannot_be_read_fails_alone(container: Container) -> None:
    with gated(container) as lab:
        lab.send_first("1,2")
        sent = lab.send(["1,2", '"1,2', "3,4", "", "5,6\n7"])
        lab.open()

        assert [reply.result().status for reply in sent] == [200, 400, 200, 400, 400]
        assert [value(sent[0].result()), value(sent[2].result())] == [3, 7]
        assert sent[4].result().json["where"] == "row 2, column 1"


def test_a_request_that_predict_fn_refuses_fails_alone_and_is_in_the_log_once(container: Container) -> None:
    with gated(container) as lab:
        lab.send_first("1,2")
        sent = lab.send([f"{number},0" for number in range(9, 17)])
        lab.open()

        assert [reply.result().status for reply in sent] == [200] * 4 + [500] + [200] * 3
        assert sent[4].result().json["error"] == "ValueError: thirteen"
        assert [value(reply.result()) for reply in sent if reply.result().status == 200] == [9, 10, 11, 12, 14, 15, 16]
        assert container.log.count("predict_fn failed") == 1


def test_what_output_fn_refuses_fails_alone(container: Container) -> None:
    script = "\ndef output_fn(prediction, accept):\n    return str(1 / (prediction[0] - 3))\n"
    with gated(container, "batch = True\n" + GATED.replace("sum(axis=1)", "sum(axis=1).tolist()") + script) as lab:
        lab.send_first("5,5")
        sent = lab.send(["1,3", "1,2", "2,3"])
        lab.open()

        assert [reply.result().status for reply in sent] == [200, 500, 200]
        assert lab.seen == [1, 3]


def test_a_function_that_is_not_row_wise_is_found_out_and_no_answer_is_wrong(container: Container) -> None:
    with gated(container, "batch = True\n" + GATED.replace("rows.sum(axis=1)", "[rows.sum()]")) as lab:
        lab.send_first("1,2")
        sent = lab.send(["1,2", "3,4", "5,6"])
        lab.open()
        assert [value(reply.result()) for reply in sent] == [3, 7, 11]
        assert lab.seen == [1, 3, 1, 1, 1]

        assert value(container.invoke("1,2", Accept="text/csv")) == 3
        assert container.log.count("list of length 1, not one result for each row") == 1


def test_callers_that_have_left_are_not_predicted(container: Container) -> None:
    with gated(container) as lab:
        lab.send_first("1,2")

        async def leave() -> None:
            task = asyncio.ensure_future(converse(container.port, [(b"1,2", "text/csv", "*/*")]))
            await asyncio.sleep(0.2)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        asyncio.run(leave())
        (stays,) = lab.send(["3,4"])
        lab.open()

        assert value(stays.result()) == 7
        assert lab.seen == [1, 1]


# The author's part.

OWN = """
import pandas as pd
batch = True
calls = []

def input_fn(data, content_type, context):
    return pd.DataFrame([[float(cell) for cell in row.split(";")] for row in data.split()], columns=["a", "b"])

def predict_fn(frame, model):
    calls.append(len(frame))
    return frame["a"] * 10 + frame["b"]

def output_fn(prediction, accept, context):
    context.custom_attributes = context.header("X-Amzn-SageMaker-Custom-Attributes") + "!"
    if accept == "text/plain":
        return (f"{number}\\n" for number in prediction)
    return f"{accept} {list(prediction.index)} {prediction.tolist()}", accept

def execution_parameters_fn():
    return {"seen": calls}
"""


def test_the_authors_functions_before_and_after_see_one_request_each(container: Container) -> None:
    with gated(container, OWN, SEAPROOF_MAX_BATCH_DELAY_MS="400"):
        kinds = ["text/csv", "application/json", "text/plain"]
        with container.standing_still():
            sent = [
                container.ask(
                    f"{number};1 {number};2",
                    "text/csv",
                    Accept=kinds[number % 3],
                    **{"X-Amzn-SageMaker-Custom-Attributes": str(number)},
                )
                for number in range(6)
            ]

        for number, reply in enumerate(map(reply_on, sent)):
            assert reply.headers["x-amzn-sagemaker-custom-attributes"] == f"{number}!"
            values = [number * 10 + 1.0, number * 10 + 2.0]
            if number % 3 == 2:
                assert reply.body.split() == [str(v).encode() for v in values]
            else:
                assert reply.body.decode() == f"{kinds[number % 3]} [0, 1] {values}"
        assert container.get("/execution-parameters").json["seen"] == [12]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("def predict_fn(data, model, context):\n    return data\n", "predict_fn takes a context"),
        (
            "def transform_fn(model, data, content_type, accept):\n    return data\n",
            "transform_fn does all of the work",
        ),
        ("async def predict_fn(data, model):\n    return data\n", "predict_fn cannot be `async def`"),
    ],
)
def test_what_cannot_be_batched_says_so_at_the_start(container: Container, script: str, said: str) -> None:
    container.start("batch = True\n" + script)

    assert container.wait() == 1
    assert said in container.log
    assert "take batch = True out" in container.log


# Identity under load.

PLAIN = """
import numpy as np
batch = True
calls = [0, 0]

def predict_fn(data, model):
    rows = np.asarray(data, float)
    calls[0] += 1
    calls[1] += len(rows)
    if (rows < 0).any():
        raise ValueError("negative")
    return rows.sum(axis=1)

def execution_parameters_fn():
    return {"calls": calls[0], "rows": calls[1]}
"""


def _one(draw: random.Random) -> tuple[tuple[bytes, str, str], int, list[float]]:
    """A request, the status that it must get, and the values where that is 200."""
    width = draw.choice([3, 3, 3, 4])
    rows = [[draw.randrange(1_000_000) for _ in range(width)] for _ in range(draw.choice([1, 1, 1, 2, 3]))]
    status = draw.choices([200, 400, 500], [40, 1, 1])[0]
    if status == 500:
        rows[-1][0] = -1
    kind = draw.choice(["text/csv", "text/csv", "application/json"])
    body = "\n".join(",".join(map(str, row)) for row in rows) if kind == "text/csv" else json.dumps(rows)
    if status == 400:
        body = body + '\n"' if kind == "text/csv" else body[:-1]
    accept = draw.choice(["text/csv", "application/json", "*/*"])
    return (body.encode(), kind, accept), status, [float(sum(row)) for row in rows]


@pytest.mark.parametrize("quick", ["", "quick = True\n"])
def test_every_reply_under_load_is_that_of_its_own_request(container: Container, quick: str) -> None:
    container.serve(quick + PLAIN)
    draw = random.Random(3)
    given = [[_one(draw) for _ in range(40)] for _ in range(48)]

    async def load() -> Sequence[Any]:
        return await asyncio.gather(*(converse(container.port, [r for r, _, _ in talk]) for talk in given))

    for talk, replies in zip(given, asyncio.run(load()), strict=True):
        for ((_, _, accept), status, values), (got, body) in zip(talk, replies, strict=True):
            assert got == status, body
            if status == 200:
                parsed = json.loads(body) if accept != "text/csv" else [float(line) for line in body.split()]
                assert parsed == values
    counts = container.get("/execution-parameters").json
    assert counts["rows"] > counts["calls"] * 2  # most of them were predicted with others


def test_a_batch_answers_each_request_as_it_is_answered_alone() -> None:
    batched, alone = _batcher(4096), _predictor()
    requests = [_request(b"1,2"), _request(b"3,4"), _request(b'["x"]', b"application/json"), _request(b"-1,2")]

    answers = _answers(batched, requests)

    assert [answer.status for answer in answers] == [200, 200, 500, 500]
    assert answers == [_alone(alone, request) for request in requests]


class _BuiltIn:
    """The handlers of a built-in format: an object, and nothing that a user has written."""

    batch = True

    def __init__(self, model: Any) -> None:
        self._model = model

    def model_fn(self, model_dir: str) -> Any:
        return self._model

    def predict_fn(self, data: Any, model: Any) -> Any:
        return model(np.asarray(data, float))


class _Counting:
    """A model that notes how many rows each call had, and adds them up."""

    def __init__(self, result: Any = None, **attributes: bool) -> None:
        self.seen: list[int] = []
        self._result = result
        vars(self).update(attributes)

    def __call__(self, rows: Any) -> Any:
        self.seen.append(len(rows))
        return rows.sum(axis=1) if self._result is None else self._result


def _built_in(model: _Counting) -> Batcher:
    functions = read_functions(_BuiltIn(model), "/opt/ml/model/sums.bin", built_in=True)
    predictor = Predictor(functions, model, ServingEnviron(), "/opt/ml/model")
    return Batcher(predictor, 4096, predictor.predict, _fail)


def test_a_built_in_format_that_is_row_wise_is_batched_without_being_asked() -> None:
    model = _Counting()

    answers = _answers(_built_in(model), [_request(b"1,2"), _request(b"3,4"), _request(b"5,6")])

    assert [float(answer.body) for answer in answers] == [3, 7, 11]
    assert model.seen == [3]


def test_a_loaded_model_may_say_that_it_is_not_row_wise() -> None:
    model = _Counting(row_wise=False)

    answers = _answers(_built_in(model), [_request(b"1,2"), _request(b"3,4")])

    assert [float(answer.body) for answer in answers] == [3, 7]
    assert model.seen == [1, 1]


def test_nobody_is_told_to_change_a_built_in_format(caplog: pytest.LogCaptureFixture) -> None:
    answers = _answers(_built_in(_Counting(np.array([1.0]))), [_request(b"1,2"), _request(b"3,4")])

    assert [float(answer.body) for answer in answers] == [1, 1]
    assert "from now on every request is predicted by itself. The model is /opt/ml/model/sums.bin" in caplog.text


BODIES = st.one_of(
    st.lists(st.lists(st.integers(-1, 9).map(str), min_size=2, max_size=2), min_size=1, max_size=3).map(
        lambda rows: (b"text/csv", "\n".join(map(",".join, rows)).encode())
    ),
    st.lists(st.lists(st.sampled_from([1, 2.5, -1, "x", None]), min_size=2, max_size=2), max_size=3).map(
        lambda rows: (b"application/json", json.dumps(rows).encode())
    ),
    st.lists(st.dictionaries(st.sampled_from("ab"), st.integers(0, 3)), max_size=3).map(
        lambda rows: (b"application/json", json.dumps(rows).encode())
    ),
    st.sampled_from([(b"text/csv", b""), (b"text/csv", b"a,b\n1,2"), (b"image/png", b"1"), (b"text/csv", b"1,2,3")]),
)
ACCEPTS = st.sampled_from([b"text/csv", b"application/json", b"*/*", b"image/png", b"application/x-npy"])


@settings(deadline=None)  # how long an example takes is the machine's affair, and the first one imports the formats
@given(st.lists(st.tuples(BODIES, ACCEPTS), min_size=1, max_size=12), st.integers(1, 8))
def test_any_batch_answers_each_request_as_it_is_answered_alone(given: list[Any], max_rows: int) -> None:
    batched, alone = _batcher(max_rows), _predictor()
    requests = [_request(body, kind, accept) for (kind, body), accept in given]

    assert _answers(batched, requests) == [_alone(alone, request) for request in requests]


def _model() -> ModuleType:
    module = ModuleType("inference")

    def predict_fn(data: Any, model: Any) -> Any:
        if isinstance(data, list) and data and isinstance(data[0], dict):
            return [row.pop("a") for row in data]  # changes its input, and misses a key now and then
        rows = np.asarray(data, float)
        if (rows == -1).any():
            raise ValueError("minus one")
        return rows.sum(axis=1)

    module.predict_fn = predict_fn  # type: ignore[attr-defined]
    module.batch = True  # type: ignore[attr-defined]
    return module


def _predictor() -> Predictor:
    return Predictor(read_functions(_model(), "inference.py"), None, ServingEnviron(), "/opt/ml/model")


def _fail(error: BaseException) -> Response:
    return failure_reply(error, "")


def _batcher(max_rows: int) -> Batcher:
    predictor = _predictor()
    return Batcher(predictor, max_rows, predictor.predict, _fail)


def _request(body: bytes, kind: bytes = b"text/csv", accept: bytes = b"text/csv") -> Request:
    return Request("POST", "/invocations", headers=[(b"content-type", kind), (b"accept", accept)], body=body)


def _alone(predictor: Predictor, request: Request) -> Any:
    try:
        return predictor.predict(request)
    except Exception as error:
        return _fail(error)


class _Ticket:
    def done(self) -> bool:
        return False


def _answers(batcher: Batcher, requests: list[Request]) -> list[Any]:
    jobs = [Job(_Ticket(), request) for request in requests]
    answered = [(id(ticket), answer) for answers in batcher.answers(jobs) for ticket, answer in answers]
    assert sorted(ticket for ticket, _ in answered) == sorted(id(job.ticket) for job in jobs)
    found = dict(answered)
    return [found[id(job.ticket)] for job in jobs]


def test_batches_need_no_numpy_in_the_image(container: Container, tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise ImportError('not in this image')")
    container.serve(
        "import sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "batch = True\ncalls = []\n"
        "def predict_fn(data, model):\n    calls.append(len(data))\n    return [sum(row) for row in data]\n"
        "def execution_parameters_fn():\n    return {'seen': calls}\n",
        SEAPROOF_MAX_BATCH_DELAY_MS="300",
    )

    with container.standing_still():
        sent = [container.ask(f"{number},1") for number in range(5)]

    assert [reply_on(connection).json for connection in sent] == [[number + 1.0] for number in range(5)]
    assert container.get("/execution-parameters").json["seen"] == [5]


def test_metrics_tell_the_size_of_batches(container: Container) -> None:
    with gated(container) as lab:
        lab.send_first("1,2")
        sent = lab.send(["1,2", "3,4\n5,6", "7,8"])
        lab.open()
        assert {reply.result().status for reply in sent} == {200}

        lines = container.get("/metrics").body.decode().splitlines()
        assert any("batch_rows_sum" in line and float(line.split()[-1]) == 4 for line in lines)
        assert any("batch_requests_sum" in line and float(line.split()[-1]) == 3 for line in lines)
