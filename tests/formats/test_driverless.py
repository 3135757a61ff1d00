"""The adapter of Driverless AI's runtime, against a jar of our own few lines that has the same public methods.

The runtime itself is its vendor's and licensed; nothing of it is here.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from format_lab import CSV, Container, columns_of, free_port, model_folder, served, table

from venvs import python_with

JAVA = Path(__file__).with_name("driverless_stub")


@pytest.fixture(scope="module")
def jar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stub's jar."""
    if shutil.which("javac") is None:
        pytest.skip("there is no JDK")
    folder = tmp_path_factory.mktemp("stub")
    sources = sorted(map(str, JAVA.rglob("*.java")))
    subprocess.run(["javac", "-d", str(folder / "classes"), *sources], check=True, capture_output=True)
    made = folder / "mojo2-runtime-stub.jar"
    subprocess.run(["jar", "cf", str(made), "-C", str(folder / "classes"), "."], check=True, capture_output=True)
    return made


def leave_model(root: Path) -> None:
    (model_folder(root) / "pipeline.mojo").write_bytes(b"its format is the vendor's")


def refused(root: Path, **environment: str) -> str:
    """The log of a container that ends before it is ready."""
    container = Container(root, free_port())
    with pytest.raises(AssertionError), served(root, str(python_with("h2o")), **environment):
        pass
    assert container.root == root
    assert "Traceback" not in container.log
    return container.log


def test_a_pipeline_is_scored_by_the_users_own_runtime(jar: Path, tmp_path: Path) -> None:
    leave_model(tmp_path)
    shutil.copy(jar, model_folder(tmp_path))
    with served(tmp_path, str(python_with("h2o")), DRIVERLESS_AI_LICENSE_KEY="a-valid-key") as container:
        schema = container.get("/model/schema").json
        given = {"age": [41.5, None, 20], "visits": [3, 1, 0], "plan": ["paid", "free", None]}
        answered = columns_of(container.invoke(table(given), "application/octet-stream"))
        plain = container.invoke("41.5,3,paid\n", CSV)

        assert [(one["name"], one["dataType"]) for one in schema["schema"]["inputFields"]] == [
            ("age", "Float64"),
            ("visits", "Int64"),
            ("plan", "Str"),
        ]
        # The stub gives the number of letters that it was told, and the sum of the numbers.
        assert answered == {"letters": ["4.0", "4.0", "0.0"], "sum": ["44.5", "1.0", "20.0"]}
        assert plain.json == [[4.0, 44.5]]
        assert container.get("/model/id").body == b"stub-uuid"
        explained = container.send("POST", "/model/contribution", table(given)).json
        assert explained["features"] == ["contrib_plan", "contrib_bias"]
        assert explained["contributionByOutputGroup"] == [
            {"outputGroup": "sum", "contributions": [["4.0", "44.5"], ["4.0", "1.0"], ["0.0", "20.0"]]}
        ]
        assert "CONTRIBUTION_ORIGINAL" in container.get("/model/capabilities").json
        four = {name: [*cells, cells[0]] for name, cells in given.items()}  # of which the stub says that it cannot
        refused = container.send("POST", "/model/contribution", table(four))
        assert refused.status == 501
        assert "no Shapley values today" in refused.json["detail"]


def test_contributions_of_several_classes_are_grouped_by_class(jar: Path, tmp_path: Path) -> None:
    (model_folder(tmp_path) / "pipeline.mojo").write_bytes(b"its format is the vendor's, and it is a longer one")
    given = {"age": [1.5], "visits": [3], "plan": ["paid"]}
    environment = {"SEAPROOF_JAVA_JAR": str(jar), "DRIVERLESS_AI_LICENSE_KEY": "a-valid-key"}
    with served(tmp_path, str(python_with("h2o")), **environment) as container:
        explained = container.send("POST", "/model/contribution", table(given)).json

    assert explained["features"] == ["contrib_plan", "contrib_bias"]
    assert explained["contributionByOutputGroup"] == [
        {"outputGroup": "a", "contributions": [["4.0", "4.5"]]},
        {"outputGroup": "b", "contributions": [["4.5", "4.0"]]},
        {"outputGroup": "c", "contributions": [["4.0", "4.0"]]},
    ]


@pytest.mark.parametrize("place", ["ml/model", "."])
def test_without_the_runtime_the_container_says_what_is_missing(tmp_path: Path, place: str) -> None:
    model_folder(tmp_path)
    # In the model's folder; or where the container starts, which is where H2O's own scorer looks next.
    (tmp_path / place / "pipeline.mojo").write_bytes(b"its format is the vendor's")

    said = refused(tmp_path)

    assert "pipeline.mojo needs the Driverless AI runtime, which is yours to license and to bring" in said
    assert "mojo2-runtime*.jar" in said
    assert "SEAPROOF_JAVA_JAR=<path>" in said


def test_without_a_licence_the_container_says_so(jar: Path, tmp_path: Path) -> None:
    leave_model(tmp_path)

    said = refused(tmp_path, SEAPROOF_JAVA_JAR=str(jar))

    assert "does not accept its licence" in said
    assert "Set DRIVERLESS_AI_LICENSE_KEY" in said


def test_a_jar_that_is_another_is_named(jar: Path, tmp_path: Path) -> None:
    leave_model(tmp_path)
    other = tmp_path / "other.jar"
    subprocess.run(["jar", "cf", str(other), "-C", str(JAVA), "."], check=True, capture_output=True)

    said = refused(tmp_path, SEAPROOF_JAVA_JAR=str(other))

    assert "other.jar has no class ai.h2o.mojos.runtime.MojoPipeline" in said
