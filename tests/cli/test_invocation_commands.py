"""docs/invocations.md and docs/testing.md, line by line: what they say runs as they say it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_commands import SEAPROOF, Project, wait_until

DOCS = Path(__file__).parent.parent.parent / "docs"


def blocks(page):
    """The fenced blocks of a page, in their order: language and text."""
    return re.findall(r"^```(\w+)\n(.*?)^```", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What each command of docs/invocations.md printed, after all that stands before it was done."""
    folder = tmp_path_factory.mktemp("invocations")
    subprocess.run([*SEAPROOF, "init", "flowers"], cwd=folder, check=True, capture_output=True)
    project = Project(folder / "flowers")
    file = project.root / "seaproof.toml"
    plain, said = file.read_text(), {}
    for language, text in blocks("invocations.md"):
        if language == "toml":
            file.write_text(f"{plain}\n{text}")
        elif language == "python":
            url = json.loads((project.root / ".seaproof" / "coordinator.json").read_text())["url"]
            done = subprocess.run(
                [sys.executable, "-c", text.replace("http://127.0.0.1:9001", url)], capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
        else:
            for line in text.splitlines():
                words = line.split()[1:]
                if words[:2] == ["endpoints", "shadow"]:  # it is asked after the caller has his answer
                    wait_until(lambda words=words: project.run(*words, check=False).returncode == 0)
                said[line] = project.run(*words).stdout
            file.write_text(plain)
    yield project, said
    project.run("down")
    wait_until(lambda: not project.workloads())


def test_every_command_of_the_page_does_what_it_says(shown):
    project, said = shown
    plain = said["seaproof predict data/sample.csv --accept text/csv --inference-id my-request-1"]
    bucket = project.root / ".seaproof" / "s3" / "flowers"

    assert plain.startswith("setosa")
    assert said["seaproof predict data/sample.csv --accept text/csv --stream"] == plain
    assert said["seaproof predict data/sample.csv --endpoint later --accept text/csv --async"] == plain
    (place,) = said["seaproof predict data/sample.csv --endpoint later --accept text/csv --async --no-wait"].split()
    wait_until((bucket / place.removeprefix("s3://flowers/")).exists)
    assert "compared     1 request\n" in said["seaproof endpoints shadow shadowed"]
    wait_until(lambda: list((bucket / "captured" / "captured" / "AllTraffic").rglob("*.jsonl")))
    assert "serverless: 1024 MB, 5 at once" in said["seaproof endpoints describe serverless"]


def test_what_goes_wrong_is_told_in_a_sentence(shown):
    project, _ = shown
    both = project.run("predict", "data/sample.csv", "--stream", "--async", check=False)
    bad = project.run("predict", "-", "--endpoint", "later", "--async", stdin="1,2\n", check=False)
    streamed = project.run("predict", "-", "--endpoint", "shadowed", "--stream", stdin="1,2\n", check=False)
    unshadowed = project.run("endpoints", "shadow", "serverless", check=False)
    as_json = project.json("predict", "data/sample.csv", "--endpoint", "shadowed", "--stream", "--accept", "text/csv")

    assert (both.returncode, both.stderr.splitlines()[0]) == (
        2,
        "seaproof: --stream and --async exclude each other, and --no-wait goes with --async",
    )
    assert (bad.returncode, streamed.returncode) == (3, 3)
    assert "4 numbers are needed, not 2" in bad.stderr
    assert "4 numbers are needed, not 2" in streamed.stderr
    assert "endpoint serverless has no shadow variant" in unshadowed.stderr
    assert as_json["part"] == 1


def test_the_tests_of_the_page_pass(tmp_path):
    (python,) = [text for language, text in blocks("testing.md") if language == "python"]
    (tmp_path / "test_page.py").write_text(python)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'temp'}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
