"""The command line before it does anything: what it imports, how it refuses, what it exits with."""

import json
import socket
import subprocess
import sys
import threading

import click
import pytest
from click.testing import CliRunner

# What `seaproof --help` may import beside the standard library. A longer list is a slower start: think first.
ALLOWED = {"click", "seaproof"}
OURS = {"seaproof", "seaproof.cli", "seaproof.cli.app", "seaproof.errors"}


def seaproof(*args, cwd=None, stdin=None):
    return subprocess.run(
        [sys.executable, "-m", "seaproof.cli", *args], capture_output=True, text=True, cwd=cwd, input=stdin, timeout=60
    )


def test_help_imports_next_to_nothing():
    code = (
        "import sys; before = set(sys.modules); sys.argv = ['seaproof', '--help']\n"
        "import seaproof.cli\n"
        "try: seaproof.cli.main()\n"
        "except SystemExit: pass\n"
        "print('\\n'.join(sorted(set(sys.modules) - before)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stderr.split())

    assert {name.split(".")[0] for name in imported} - sys.stdlib_module_names <= ALLOWED
    assert {name for name in imported if name.startswith("seaproof")} == OURS


def test_every_command_explains_itself():
    from seaproof.cli.app import COMMANDS

    for name in COMMANDS:
        done = seaproof(name, "--help")
        assert done.returncode == 0
        assert len(done.stdout) > 200


def test_all_help_fits_a_terminal_of_80_columns():
    from seaproof.cli.app import seaproof as tool

    def commands(command, words):
        yield words
        for name in command.list_commands(click.Context(command)) if isinstance(command, click.Group) else ():
            yield from commands(command.get_command(click.Context(command), name), [*words, name])

    for words in commands(tool, []):
        shown = CliRunner().invoke(tool, [*words, "--help"], terminal_width=80, prog_name="seaproof").output
        assert [line for line in shown.splitlines() if len(line) > 80] == []
        # Click cuts what does not fit into a list of commands.
        assert [line for line in shown.splitlines() if line.startswith("  ") and line.endswith("...")] == []


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["operations", "CreateModle"], "Did you mean CreateModel?"),
        (["check", "--explain", "SP999"], "there is no check 'SP999'"),
        (["trian"], "Did you mean `seaproof train`?"),
        (["train", "--instances", "0"], "0 is not in the range"),
        (["predict", "nowhere.csv"], "'nowhere.csv' does not exist"),
        (["train", "--driver", "podman"], "'podman' is not one of"),
    ],
)
def test_a_wrong_command_line_is_told_so_in_one_paragraph(args, said, tmp_path):
    done = seaproof(*args, cwd=tmp_path)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_local_server_the_next_step_is_named(tmp_path):
    done = seaproof("predict", "-", cwd=tmp_path, stdin="1")

    assert done.returncode == 1
    assert "no local server runs for this project" in done.stderr
    assert "`seaproof up` starts one" in done.stderr


def test_an_error_is_json_where_json_was_asked_for(tmp_path):
    done = seaproof("predict", "-", "--json", cwd=tmp_path, stdin="1")

    assert done.returncode == 1
    assert json.loads(done.stderr)["error"]["where"] == str(tmp_path)


def test_a_misspelt_key_of_the_project_is_named(tmp_path):
    (tmp_path / "seaproof.toml").write_text("[training]\nchanels = {}\n")
    done = seaproof("train", cwd=tmp_path)

    assert done.returncode == 1
    assert "'chanels'" in done.stderr
    assert "seaproof.toml, training" in done.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["train"], "there is no seaproof.toml"),
        (["serve"], "there is no seaproof.toml"),
        (["init", "/proc/nowhere"], "No such file or directory (/proc/nowhere"),
        (["up", "--port", "80000"], "port is 80000, over 65535 (--port)"),
    ],
)
def test_what_cannot_be_done_here_is_said_in_one_paragraph(args, said, tmp_path):
    done = seaproof(*args, cwd=tmp_path)

    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / ".seaproof").exists()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["train", "--name", "bad_name"], "'bad_name' is no name that SageMaker takes (--name)"),
        (["train", "-H", "depth"], "'depth' is no NAME=VALUE (--hyperparameter)"),
        (["train", "-c", "data"], "'data' is no NAME=PATH (--channel)"),
        (["train", "-c", "more=nowhere.csv"], "there is no file or folder 'nowhere.csv' for channel 'more'"),
        (["serve", "--endpoint", "a b"], "'a b' is no name that SageMaker takes (--endpoint)"),
    ],
)
def test_what_a_command_is_given_is_checked_before_it_works(args, said, tmp_path):
    seaproof("init", str(tmp_path / "p"))
    done = seaproof(*args, "--driver", "process", cwd=tmp_path / "p")

    assert done.returncode == 1
    assert said in done.stderr


def test_a_state_that_is_damaged_and_an_s3_that_is_none_are_said_in_one_paragraph(tmp_path):
    (tmp_path / ".seaproof").mkdir()
    (tmp_path / ".seaproof" / "seaproof.db").write_text("no database")
    damaged = seaproof("up", "--port", "0", "--driver", "process", cwd=tmp_path)
    (tmp_path / ".seaproof" / "seaproof.db").unlink()
    (tmp_path / "seaproof.toml").write_text('[settings]\ns3 = "minio"\n')
    elsewhere = seaproof("up", "--port", "0", "--driver", "process", cwd=tmp_path)

    assert (damaged.returncode, elsewhere.returncode) == (1, 1)
    assert "file is not a database" in damaged.stderr
    assert "move it away" in damaged.stderr
    assert "'minio' is no address of an S3 (setting s3, SEAPROOF_S3)" in elsewhere.stderr


def test_a_local_server_that_ends_as_soon_as_it_was_found_has_a_successor(tmp_path):
    state = tmp_path / ".seaproof"
    state.mkdir()
    listener = socket.create_server(("127.0.0.1", 0))
    address = {"url": f"http://127.0.0.1:{listener.getsockname()[1]}", "token": ""}
    (state / "coordinator.json").write_text(json.dumps(address))

    def answer_once():
        with listener, listener.accept()[0] as connection:
            connection.recv(65536)
            health = json.dumps({"state": str(state), "driver": "process"}).encode()
            (state / "coordinator.json").unlink()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(health), health))

    ending = threading.Thread(target=answer_once)
    ending.start()
    done = seaproof("transform", "--resume", "nosuch", "--driver", "process", cwd=tmp_path)
    ending.join()

    assert done.returncode == 1
    assert "nosuch" in done.stderr
    assert "does not answer" not in done.stderr


def test_init_writes_a_project_and_overwrites_nothing(tmp_path):
    first = seaproof("init", "my flowers", cwd=tmp_path)
    again = seaproof("init", "my flowers", cwd=tmp_path)

    assert first.returncode == 0, first.stderr
    assert again.returncode == 1
    assert "is there already" in again.stderr
    assert 'name = "my-flowers"' in (tmp_path / "my flowers" / "seaproof.toml").read_text()
    own_test = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path / "my flowers",
        capture_output=True,
        text=True,
        check=False,
    )
    assert own_test.returncode == 0, own_test.stdout
