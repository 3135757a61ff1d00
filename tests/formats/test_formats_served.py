"""Each format, as its own library saved it, packed and served: what is answered is what that library predicts, on every
row. MOJOs and PyTorch, whose libraries have environments of their own, are in test_mojo.py and test_torch.py."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from format_lab import (
    CSV,
    JSON,
    Container,
    Made,
    Recipe,
    columns_of,
    csv_text,
    packed,
    records,
    same,
    served,
    table,
)
from recipes import RECIPES

Serving = tuple[Container, Made]


@pytest.fixture(scope="module", params=RECIPES.values(), ids=RECIPES)
def serving(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A container with the model of one recipe, from its archive."""
    recipe: Recipe = request.param
    root = tmp_path_factory.mktemp("served")
    trained = root / "trained"
    trained.mkdir()
    made = recipe(trained)
    packed(trained, root)
    with served(root, **made.environment) as container:
        yield container, made


def test_plain_csv_with_a_header_is_answered_as_the_library_predicts(serving: Serving) -> None:
    container, made = serving
    reply = container.invoke(csv_text(made.columns), CSV)

    assert reply.status == 200, reply.body
    assert same(reply.json, made.predicted)


def test_columns_come_in_any_order_and_with_others_between_them(serving: Serving) -> None:
    container, made = serving
    names = [*made.columns, "further"]
    random.Random(0).shuffle(names)
    rows = len(next(iter(made.columns.values())))
    reply = container.invoke(csv_text({**made.columns, "further": range(rows)}, names), CSV)

    assert reply.status == 200, reply.body
    assert same(reply.json, made.predicted)


def test_plain_csv_without_a_header_is_in_the_order_of_the_schema(serving: Serving) -> None:
    container, made = serving
    reply = container.invoke(csv_text(made.columns, header=False), CSV, Accept=CSV)
    lines = [line.split(",") for line in reply.body.decode().splitlines()]

    assert reply.status == 200, reply.body
    assert same([line[0] if len(line) == 1 else line for line in lines], made.predicted)


def test_json_records_are_answered_as_the_library_predicts(serving: Serving) -> None:
    container, made = serving
    reply = container.invoke(json.dumps(records(made.columns)), JSON)

    assert reply.status == 200, reply.body
    assert same(reply.json, made.predicted)


def test_the_scorer_answers_every_output_as_text(serving: Serving) -> None:
    container, made = serving
    answered = columns_of(container.invoke(table(made.columns), "application/octet-stream"))

    assert list(answered) == list(made.scores)
    assert {type(cell) for cells in answered.values() for cell in cells} == {str}
    for name, expected in made.scores.items():
        assert same(answered[name], expected), name


def test_rows_that_come_together_are_answered_each_as_by_itself(serving: Serving) -> None:
    container, made = serving
    lines = csv_text(made.columns, header=False).splitlines()[:60]
    with ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda line: container.invoke(line, CSV), lines))

    assert {reply.status for reply in replies} == {200}
    assert [reply.json[0] for reply in replies] == [container.invoke(line, CSV).json[0] for line in lines]


def test_the_schema_says_what_the_file_knows(serving: Serving) -> None:
    container, made = serving
    schema = container.get("/model/schema").json

    assert [(one["name"], one["dataType"]) for one in schema["schema"]["inputFields"]] == list(
        zip(made.columns, made.types, strict=True)
    )
    assert [one["name"] for one in schema["schema"]["outputFields"]] == list(made.scores)
    known = {one["name"]: one["categories"] for one in schema["schema"]["inputFields"] if "categories" in one}
    assert known == {name: list(values) for name, values in made.categories.items()}
    assert container.get("/model/id").body.decode() == schema["id"]


def test_the_sample_request_is_scored_as_it_is(serving: Serving) -> None:
    container, _ = serving

    reply = container.send("POST", "/model/score", container.get("/model/sample_request").body)

    assert reply.status == 200, reply.body


def test_contributions_are_the_librarys_own(serving: Serving) -> None:
    container, made = serving
    capabilities = container.get("/model/capabilities").json
    reply = container.send("POST", "/model/contribution", table(made.columns))
    if made.contributions is None:
        assert (reply.status, capabilities) == (501, ["SCORE"])
        return
    groups = [group["contributions"] for group in reply.json["contributionGroups"]]
    expected = made.contributions
    expected = [expected[:, place] for place in range(expected.shape[1])] if expected.ndim == 3 else [expected]

    original = container.send("POST", "/model/contribution", table(made.columns, requestShapleyValueType="ORIGINAL"))
    beside = container.send("POST", "/model/score", table(made.columns, requestShapleyValueType="ORIGINAL")).json
    invoked = container.invoke(table(made.columns, requestShapleyValueType="ORIGINAL")).json
    plain = container.send("POST", "/model/score", table(made.columns, requestShapleyValueType="NONE")).json
    refused = {
        (path, wanted): container.send("POST", path, table(made.columns, requestShapleyValueType=wanted)).status
        for path in ("/model/contribution", "/model/score", "/invocations")
        for wanted in ("TRANSFORMED", "BOTH")
    }
    nothing = container.send("POST", "/model/contribution", table(made.columns, requestShapleyValueType="NONE"))

    assert original.json == reply.json
    contributions = {name: value for name, value in reply.json.items() if name != "id"}
    assert contributions["contributionGroups"] == contributions["contributionByOutputGroup"]
    assert refused == {(path, wanted): 501 if wanted == "TRANSFORMED" else 400 for path, wanted in refused}
    assert (nothing.status, list(nothing.json)) == (400, ["detail"])
    assert beside == invoked == {**plain, "featureShapleyContributions": contributions}
    assert capabilities == ["SCORE", "CONTRIBUTION_ORIGINAL"]
    assert reply.json["features"] == [*made.columns, "bias"]
    assert len(groups) == len(expected)
    for got, wanted in zip(groups, expected, strict=True):
        assert np.array_equal(np.array(got, wanted.dtype), wanted)
