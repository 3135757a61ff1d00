"""The /opt/ml tree: what one side writes, the other reads."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seaproof.contract.opt_ml import (
    Channel,
    Cluster,
    OptMl,
    TrainingInput,
    decode_hyperparameter,
    host_names,
    read_training,
    write_training,
)
from seaproof.errors import ContractError

NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True)
CHANNELS = st.builds(
    Channel,
    input_mode=st.sampled_from(["File", "Pipe"]),
    distribution=st.sampled_from(["FullyReplicated", "ShardedByS3Key"]),
    record_wrapper=st.sampled_from(["None", "RecordIO"]),
    content_type=st.sampled_from(["", "text/csv"]),
)


@given(st.dictionaries(NAMES, st.text()), st.dictionaries(NAMES, CHANNELS, max_size=5), st.integers(1, 12))
def test_what_is_written_is_what_is_read(tmp_path_factory, hyperparameters, channels, count):
    root = tmp_path_factory.mktemp("opt_ml")
    hosts = host_names(count)
    told = TrainingInput(hyperparameters, channels, Cluster(current_host=hosts[0], hosts=hosts))

    write_training(root, told)

    assert read_training(root) == told


def test_the_files_have_the_platforms_form(tmp_path):
    channels = {"train": Channel(input_mode="FastFile", content_type="text/csv"), "plain": Channel()}
    write_training(tmp_path, TrainingInput({"lr": "0.1"}, channels, Cluster("algo-2", host_names(11))))
    tree = OptMl(tmp_path)

    assert json.loads(tree.hyperparameters.read_text()) == {"lr": "0.1"}
    assert json.loads(tree.input_data_config.read_text()) == {
        "train": {
            "TrainingInputMode": "File",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
            "ContentType": "text/csv",
        },
        "plain": {
            "TrainingInputMode": "File",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
        },
    }
    resources = json.loads(tree.resource_config.read_text())
    assert resources["hosts"][:4] == ["algo-1", "algo-10", "algo-11", "algo-2"]
    assert resources["current_host"] == "algo-2"
    assert resources["instance_groups"] == [
        {
            "instance_group_name": "homogeneousCluster",
            "instance_type": "ml.m5.large",
            "hosts": resources["hosts"],
        }
    ]
    assert all(tree.root.joinpath(*parts).is_dir() for parts in (["model"], ["output", "data"], ["input", "data"]))


def test_a_hand_made_folder_needs_no_configuration(tmp_path):
    (tmp_path / "input" / "data" / "training").mkdir(parents=True)

    assert read_training(tmp_path).channels == {"training": Channel()}
    assert read_training(tmp_path).cluster.hosts == ("algo-1",)


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("hyperparameters.json", "{", "is not JSON"),
        ("hyperparameters.json", "[1]", "holds a list, not an object"),
        ("resourceconfig.json", '{"hosts": ["algo-1"]}', "lacks 'current_host'"),
        ("inputdataconfig.json", '"x"', "holds a str, not an object"),
    ],
)
def test_a_broken_file_is_named(tmp_path, file, text, said):
    config = OptMl(tmp_path).config
    config.mkdir(parents=True)
    (config / file).write_text(text)

    with pytest.raises(ContractError, match=said) as caught:
        read_training(tmp_path)
    assert file in str(caught.value)


@pytest.mark.parametrize(
    ("text", "meant"),
    [("0.1", 0.1), ("abc", "abc"), ('"abc"', "abc"), ("true", True), ("", ""), ("[1, 2]", [1, 2]), ("1e", "1e")],
)
def test_both_dialects_of_hyperparameters_are_understood(text, meant):
    assert decode_hyperparameter(text) == meant
