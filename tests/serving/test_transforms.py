"""GET /execution-parameters: from the environment, or from the author."""

from __future__ import annotations

import pytest
from container_process import Container

from seaproof.contract.environ import ServingEnviron
from seaproof.serving.transforms import execution_parameters

PREDICT = "def predict_fn(data, model):\n    return [1]\n"


@pytest.mark.parametrize(
    ("environ", "seen"),
    [
        ({}, (2, "MULTI_RECORD", 6)),
        ({"SAGEMAKER_MODEL_SERVER_WORKERS": "8"}, (16, "MULTI_RECORD", 6)),
        ({"SAGEMAKER_MODEL_SERVER_WORKERS": "64"}, (16, "MULTI_RECORD", 6)),
        ({"SAGEMAKER_MODEL_SERVER_WORKERS": "8", "SAGEMAKER_MAX_PAYLOAD_IN_MB": "30"}, (3, "MULTI_RECORD", 30)),
        ({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "4096"}, (1, "MULTI_RECORD", 100)),
        ({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "0"}, (2, "MULTI_RECORD", 6)),
        ({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "0.5"}, (2, "MULTI_RECORD", 1)),
        ({"SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD"}, (2, "SINGLE_RECORD", 6)),
        ({"SAGEMAKER_BATCH_STRATEGY": "SingleRecord"}, (2, "SINGLE_RECORD", 6)),
        ({"SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "12"}, (12, "MULTI_RECORD", 6)),
    ],
)
def test_they_follow_from_the_environment(environ: dict[str, str], seen: tuple[int, str, int]) -> None:
    given = execution_parameters(ServingEnviron.read({"SAGEMAKER_MODEL_SERVER_WORKERS": "1", **environ}))

    assert tuple(given.values()) == seen
    assert list(given) == ["MaxConcurrentTransforms", "BatchStrategy", "MaxPayloadInMB"]


@pytest.mark.parametrize(
    "function",
    [
        "def execution_parameters_fn():\n    return {'MaxConcurrentTransforms': 3}\n",
        "async def execution_parameters_fn():\n    return {'MaxConcurrentTransforms': 3}\n",
        "def execution_parameters_fn():\n    return '{\"MaxConcurrentTransforms\": 3}'\n",
        "def execution_parameters_fn():\n    return b'{\"MaxConcurrentTransforms\": 3}'\n",
    ],
)
def test_the_author_may_give_them(container: Container, function: str) -> None:
    container.serve(PREDICT + function)

    reply = container.get("/execution-parameters")

    assert (reply.status, reply.json) == (200, {"MaxConcurrentTransforms": 3})
    assert reply.headers["content-type"] == "application/json"
    assert container.invoke("1").json == [1]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return 7", "returned int, and is to return a dict"),
        ("return 'none'", "JSONDecodeError"),
        ("raise OSError('no')", "OSError: no"),
    ],
)
def test_an_author_who_fails_to_is_told_so(container: Container, body: str, said: str) -> None:
    container.serve(PREDICT + f"def execution_parameters_fn():\n    {body}\n")

    reply = container.get("/execution-parameters")

    assert reply.status == 500
    assert said in reply.json["error"]
