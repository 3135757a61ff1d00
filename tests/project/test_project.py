"""seaproof.toml: read whole, every mistake named by its key."""

import pytest

from seaproof.errors import ProjectError
from seaproof.project import find_project, load_project
from seaproof.settings import Settings, state_folder

FULL = """
[project]
name = "flowers"
[images."flowers:latest"]
folder = "program"
train = ["python", "train.py"]
accept_bind_to_port = true
[images."flowers:latest".environment]
DEPTH = 3
[training.channels]
train = "data"
[training.hyperparameters]
rate = 0.1
quick = true
[settings]
port = 9100
"""


def write(folder, text):
    (folder / "program").mkdir(exist_ok=True)
    path = folder / "seaproof.toml"
    path.write_text(text)
    return path


def test_a_project_is_read_from_the_nearest_folder_above(tmp_path):
    write(tmp_path, FULL)
    project = find_project(tmp_path / "program")

    assert (project.root, project.name, project.image) == (tmp_path, "flowers", "flowers")
    image = project.images["flowers:latest"]
    assert (image.folder, image.train) == (tmp_path / "program", ("python", "train.py"))
    assert image.environment == {"DEPTH": "3"}
    assert project.training.hyperparameters == {"rate": "0.1", "quick": "true"}


def test_a_folder_without_a_file_is_a_project_with_defaults(tmp_path):
    folder = tmp_path / "My model_2"
    folder.mkdir()

    assert find_project(folder).name == "My-model-2"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[projekt]", "nothing is known by the name 'projekt'"),
        ("[project]\nnam = 'x'", "seaproof.toml, project"),
        ("[project]\nname = 3", "project.name"),
        ("[images.x]\nfolder = 'nowhere'", "there is no folder"),
        ("[images.x]\ntrain = 'python train.py'", "a list of words"),
        ("[images.x]\nnetwork = 'none'", "none of auto, host, own"),
        ("[images.x]\naccept_bind_to_port = 'yes'", "true or false"),
        ("[training]\ninstance_count = 0", "a whole number from 1 on"),
        ("[training.hyperparameters]\nlayers = [1, 2]", "training.hyperparameters.layers"),
        ("[training]\nchannels = 'data'", "a table is expected"),
        ("[project", "cannot be read as TOML"),
    ],
)
def test_a_mistake_is_named_by_its_key(tmp_path, text, said):
    with pytest.raises(ProjectError) as caught:
        load_project(write(tmp_path, text))

    assert said in str(caught.value)


def test_flags_come_before_environment_before_file_before_default():
    file, environ = {"port": 1, "driver": "process", "account": "1"}, {"SEAPROOF_PORT": "2", "SEAPROOF_ACCOUNT": "2"}
    settings = Settings.load({"port": 3, "driver": None}, environ, file)

    assert (settings.port, settings.account, settings.driver, settings.region) == (3, "2", "process", "us-east-1")


@pytest.mark.parametrize(
    ("flags", "environ", "file", "said"),
    [
        ({"port": "x"}, {}, {}, "--port"),
        ({}, {"SEAPROOF_PORT": "x"}, {}, "environment, SEAPROOF_PORT"),
        ({}, {}, {"driver": "podman"}, "auto, docker, process, fake"),
        ({}, {}, {"prot": 1}, "there is no setting 'prot'"),
        ({}, {}, {"ping_interval": -1}, "below zero"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_with_its_source(flags, environ, file, said):
    with pytest.raises(ProjectError) as caught:
        Settings.load(flags, environ, file)

    assert said in str(caught.value)


def test_the_state_lies_in_the_projects_folder_unless_it_is_absolute(tmp_path):
    assert state_folder(Settings(), tmp_path) == tmp_path / ".seaproof"
    assert state_folder(Settings(state="/var/x"), tmp_path).as_posix() == "/var/x"
