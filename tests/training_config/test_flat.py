"""A nested config as hyperparameters and back: in both dialects, within the platform's limits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seaproof.contract.training_config.flat import flatten, is_nested, names_a_target, unflatten
from seaproof.errors import ContractError

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text(max_size=30)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
CONFIGS = st.dictionaries(st.text(max_size=12), VALUES, max_size=6)


def as_the_sdk_sends_it(hyperparameters: dict[str, str]) -> dict[str, str]:
    """Every value encoded as JSON, and the SDK's own beside them."""
    own = {"sagemaker_program": "train.py", "sagemaker_region": "us-east-1"}
    return {name: json.dumps(value) for name, value in {**hyperparameters, **own}.items()}


@given(CONFIGS)
def test_what_goes_in_comes_out_in_either_dialect(config: dict[str, Any]) -> None:
    flat = flatten(config)

    assert all(isinstance(text, str) and len(text) <= 2500 for text in flat.values())
    assert unflatten(flat) == config
    assert unflatten(as_the_sdk_sends_it(flat)) == config
    assert is_nested(flat)
    assert is_nested(as_the_sdk_sends_it(flat))


@given(st.lists(st.text(max_size=20), max_size=800))
def test_a_list_of_any_length_goes_through(names: list[str]) -> None:
    flat = flatten({"features": names})

    assert unflatten(flat) == {"features": names}
    assert all(len(text) <= 2500 for text in flat.values())


@pytest.mark.parametrize(
    ("sent", "config"),
    [
        ({"target": "y", "model_params.depth": "6"}, {"target": "y", "model_params": {"depth": 6}}),
        ({"target": '"y"', "model_params": '{"depth": 6}'}, {"target": "y", "model_params": {"depth": 6}}),
        ({"target": "y", "model_params": '{"a": 1}', "model_params.b": "2"}, {"model_params": {"a": 1, "b": 2}}),
        ({"target": "y", "split.by": "true"}, {"split": {"by": True}}),
        ({"target": "y", r"class_weights.a\.b": "2"}, {"class_weights": {"a.b": 2}}),
        ({"target": "y", "metrics": '["f1", "lift"]'}, {"metrics": ["f1", "lift"]}),
    ],
)
def test_hyperparameters_written_by_hand_are_a_config_too(sent: dict[str, str], config: dict[str, Any]) -> None:
    assert unflatten(sent) == {"target": "y", **config}
    assert names_a_target(sent)
    assert not is_nested(sent)


def test_numbers_stay_numbers_and_texts_texts() -> None:
    config = {"positive_class": "1", "seed": 1, "target": "true", "split": {"stratify": True}}

    assert flatten(config) == {
        "seaproof_config": "nested",
        "positive_class": '"1"',
        "seed": "1",
        "target": '"true"',
        "split.stratify": "true",
    }


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({f"key{number}": number for number in range(100)}, "101 hyperparameters, and SageMaker takes 100"),
        ({"data": {"train": "x" * 2501}}, "data.train has 2501 characters"),
    ],
)
def test_what_sagemaker_would_refuse_is_refused_before(config: dict[str, Any], said: str) -> None:
    with pytest.raises(ContractError, match=said):
        flatten(config)
