from __future__ import annotations

from pathlib import Path

import pytest

from seaproof.errors import ProjectError
from seaproof.inference_pipeline import FILES, find_pipeline, load_pipeline
from seaproof.project import find_project

JDN = '[{:type "single" :container "sagemaker-pre"} {:type "multi" :container "sagemaker-inf"}]'
JSON = '[{"type": "single", "container": "sagemaker-pre"}, {"type": "multi", "container": "sagemaker-inf"}]'
TOML = '[[containers]]\ncontainer = "sagemaker-pre"\n[[containers]]\ntype = "multi"\ncontainer = "sagemaker-inf"\n'
FORMS = {"containers.jdn": JDN, "containers.json": JSON, "containers.toml": TOML, "any-name": JDN}


@pytest.mark.parametrize("name", FORMS)
def test_every_notation_gives_the_same_pipeline(tmp_path: Path, name: str):
    (tmp_path / name).write_text(FORMS[name])
    pipeline = load_pipeline(tmp_path / name, find_project(tmp_path))

    assert [(c.name, c.multi, c.is_adopted) for c in pipeline.containers] == [
        ("sagemaker-pre", False, True),
        ("sagemaker-inf", True, True),
    ]
    assert pipeline.is_hazals == (name in ("containers.jdn", "any-name"))
    assert pipeline.notes == ()


def test_the_pipeline_may_stand_in_seaproof_toml(tmp_path: Path):
    (tmp_path / "seaproof.toml").write_text(TOML.replace("[[containers]]", "[[pipeline.containers]]"))
    pipeline = find_pipeline(None, tmp_path, find_project(tmp_path))

    assert [container.name for container in pipeline.containers] == ["sagemaker-pre", "sagemaker-inf"]
    assert not pipeline.is_hazals


@pytest.mark.parametrize("name", FILES)
def test_a_configuration_is_found_where_one_is(tmp_path: Path, name: str):
    (tmp_path / name).write_text(FORMS[name])

    assert find_pipeline(None, tmp_path, find_project(tmp_path)).file.name == name
    assert find_pipeline(tmp_path, Path("/"), find_project(Path("/"))).file.name == name


def test_no_configuration_is_said(tmp_path: Path):
    with pytest.raises(ProjectError, match=r"there is no configuration: no containers\.jdn"):
        find_pipeline(None, tmp_path, find_project(tmp_path))


def test_a_file_that_is_not_there_is_said(tmp_path: Path):
    with pytest.raises(ProjectError, match="there is no such file"):
        find_pipeline(tmp_path / "containers.jdn", tmp_path, find_project(tmp_path))


@pytest.mark.parametrize("given", [True, False])
def test_more_than_one_configuration_is_said(tmp_path: Path, given: bool):
    (tmp_path / "containers.jdn").write_text(JDN)
    (tmp_path / "containers.json").write_text(JSON)

    with pytest.raises(ProjectError, match=r"more than one configuration: containers\.jdn, containers\.json"):
        find_pipeline(tmp_path if given else None, tmp_path, find_project(tmp_path))


def test_a_legacy_port_is_understood_and_unknown_keys_are_harmless(tmp_path: Path):
    file = tmp_path / "containers.jdn"
    file.write_text('@[@{:type "single" :container "pre" :port 8_081 :colour :red} ({:type "multi" :container "inf"})]')
    pipeline = load_pipeline(file, find_project(tmp_path))

    assert [(c.name, c.port) for c in pipeline.containers] == [("pre", 8081), ("inf", None)]
    assert "colour is not known here" in pipeline.notes[0]


def test_a_container_can_be_started_from_an_image_or_a_folder(tmp_path: Path):
    (tmp_path / "inf" / "models").mkdir(parents=True)
    (tmp_path / "containers.toml").write_text(
        '[[containers]]\ncontainer = "pre"\nimage = "pre:1"\nenvironment = {A = 1, B = true}\n'
        '[[containers]]\ncontainer = "inf"\ntype = "multi"\nfolder = "inf"\nserve = ["sh", "serve"]\n'
        'models = "inf/models"'
    )
    first, second = load_pipeline(tmp_path / "containers.toml", find_project(tmp_path)).containers

    assert (first.image, first.environment, first.is_adopted) == ("pre:1", {"A": "1", "B": "true"}, False)
    assert second.program is not None
    assert (second.program.folder, second.program.serve) == (tmp_path / "inf", ("sh", "serve"))
    assert second.models == tmp_path / "inf" / "models"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "names no container"),
        ('[{:type "single"}]', "it has no name"),
        ('[{:type "dual" :container "a"}]', "its type is 'dual'"),
        ('[{:container "a"}]', "its type is ''"),
        ('[{:type "single" :container 5}]', "container is 5"),
        ("[1]", "a container is expected, not 1"),
        ('[{:type "single" :container "a" :port 1e9}]', "port is 1000000000.0"),
        ('[{:type "single" :container "a" :port 1e999}]', "port is inf"),
        ('[{:type "single" :container "a" :folder "nowhere"}]', "there is no folder"),
        ('[{:type "single" :container "a" :image "i" :folder "."}]', "an image and a folder"),
        ('[{:type "single" :container "a" :environment {:A 1}}]', "only to a container that is started here"),
        ('[{:type "single", :container "a"}]', "a comma is none"),
        ('[{:type "single" :container "a" :folder "." :serve "x"}]', "serve is 'x'"),
    ],
)
def test_a_mistake_is_named_with_its_container(tmp_path: Path, text: str, message: str):
    (tmp_path / "containers.jdn").write_text(text)

    with pytest.raises(ProjectError, match=message) as caught:
        load_pipeline(tmp_path / "containers.jdn", find_project(tmp_path))
    assert str(tmp_path / "containers.jdn") in caught.value.where


def test_what_follows_the_first_value_is_left_out_as_in_janet_and_that_is_said(tmp_path: Path):
    text = '{:type "single" :container "a"} # the first\n{:type "multi" :container "b"}\n'
    (tmp_path / "containers.jdn").write_text(text)
    found = load_pipeline(tmp_path / "containers.jdn", find_project(tmp_path))

    assert [container.name for container in found.containers] == ["a"]
    assert "line 2, column 1: what follows the first value is not read" in found.notes[0]


@pytest.mark.parametrize(("name", "kind"), [("containers.json", "JSON"), ("containers.toml", "TOML")])
def test_a_file_that_is_not_in_its_notation_is_said(tmp_path: Path, name: str, kind: str):
    (tmp_path / name).write_bytes(b"[[[\xff")

    with pytest.raises(ProjectError, match=f"it is not {kind}"):
        load_pipeline(tmp_path / name, find_project(tmp_path))
