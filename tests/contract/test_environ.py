"""The environment of a container, read once."""

import pytest

from seaproof.contract.environ import ServingEnviron, TrainingEnviron
from seaproof.errors import ContractError


def test_an_empty_environment_gives_the_platforms_defaults():
    found = ServingEnviron.read({})

    assert (found.port, found.base_dir, found.timeout, found.max_body) == (8080, "/opt/ml", 60.0, None)
    assert found.workers >= 1


def test_sagemakers_spelling_comes_before_the_classic_one():
    both = {"MODEL_SERVER_WORKERS": "2", "SAGEMAKER_MODEL_SERVER_WORKERS": "3", "MODEL_SERVER_TIMEOUT": "10"}

    assert ServingEnviron.read(both).workers == 3
    assert ServingEnviron.read(both).timeout == 10.0
    assert ServingEnviron.read({"MODEL_SERVER_WORKERS": "2"}).workers == 2


def test_payload_megabytes_become_bytes():
    assert ServingEnviron.read({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "6"}).max_body == 6 * 1024 * 1024


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SAGEMAKER_BIND_TO_PORT", "http"),
        ("SAGEMAKER_BIND_TO_PORT", "70000"),
        ("MODEL_SERVER_WORKERS", "0"),
        ("MODEL_SERVER_TIMEOUT", "nan"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(name, value):
    with pytest.raises(ContractError, match=name):
        ServingEnviron.read({name: value})


def test_a_training_job_is_told_its_name():
    found = TrainingEnviron.read({"TRAINING_JOB_NAME": "j", "TRAINING_JOB_ARN": "arn:j"})

    assert (found.job_name, found.job_arn) == ("j", "arn:j")


def test_batches_and_queues_have_bounds_of_their_own():
    assert ServingEnviron.read({}).max_batch_delay == 0
    given = {"SEAPROOF_MAX_BATCH_ROWS": "8", "SEAPROOF_MAX_BATCH_DELAY_MS": "5", "SEAPROOF_QUEUE": "3"}

    found = ServingEnviron.read({**given, "SEAPROOF_QUEUE_MB": "2"})

    assert (found.max_batch_rows, found.max_batch_delay, found.queue) == (8, 0.005, 3)
    assert found.queue_bytes == 2 * 1024 * 1024


@pytest.mark.parametrize("name", ["SEAPROOF_MAX_BATCH_ROWS", "SEAPROOF_MAX_BATCH_DELAY_MS", "SEAPROOF_QUEUE"])
def test_a_bound_below_zero_is_named(name):
    with pytest.raises(ContractError, match=name):
        ServingEnviron.read({name: "-1"})
