"""The scorer API, request by request, on a real server: what H2O's hosted scorers answer, and how they refuse."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from html import escape
from typing import Any

import joblib
import pandas
import pytest
from format_lab import CSV, Container, model_folder, served
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from seaproof.formats.schema import Field, Schema, write_schema
from seaproof.serving.tabular.explained import html

OCTETS = "application/octet-stream"
FIELDS = ["age", "plan", "active", "visits"]
OUTPUTS = ["prediction", "probability_no", "probability_yes"]
ROW = {"age": "41.5", "plan": "paid", "active": "true", "visits": "3"}


def churn() -> tuple[Any, pandas.DataFrame]:
    """A model of four columns, one of each type, and what it was trained on."""
    frame = pandas.DataFrame(
        {
            "age": [20.0, 30.0, 40.0, 50.0, 60.0, 70.0],
            "plan": ["free", "paid"] * 3,
            "active": [1.0, 0.0, 0.0, 1.0, 1.0, 0.0],
            "visits": [1, 5, 2, 8, 3, 9],
        }
    )
    one_hot = OneHotEncoder(handle_unknown="ignore")
    columns = ColumnTransformer([("text", one_hot, ["plan"])], remainder="passthrough")
    return make_pipeline(columns, LogisticRegression()).fit(frame, ["no", "yes", "no", "yes", "no", "yes"]), frame


MODEL, TRAINED = churn()


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    root = tmp_path_factory.mktemp("scorer")
    folder = model_folder(root)
    joblib.dump(MODEL, folder / "model.joblib")
    types: list[Any] = ["float", "str", "bool", "int"]
    given = tuple(
        Field(name, kind, ("free", "paid") if name == "plan" else ()) for name, kind in zip(FIELDS, types, strict=True)
    )
    write_schema(folder, Schema("churn-7", given, (), target="churned"))
    TRAINED.to_csv(folder / "rows.csv", index=False)
    (folder / "data").mkdir()
    TRAINED[["visits", "plan", "active", "age"]].to_csv(folder / "data" / "turned.csv", index=False)
    TRAINED.to_csv(folder / "headless.csv", index=False, header=False)
    TRAINED.drop(columns="age").to_csv(folder / "short.csv", index=False)
    elsewhere = root / "elsewhere"
    elsewhere.mkdir()
    TRAINED.to_csv(elsewhere / "more.csv", index=False)
    TRAINED.to_csv(root / "secret.csv", index=False)
    (folder / "link.csv").symlink_to(root / "secret.csv")
    with served(root, SEAPROOF_SCORE_FOLDER=str(elsewhere)) as running:
        yield running


def expected(**row: Any) -> list[str]:
    """What the model itself says of one row, as texts."""
    return expected_of(row)[0]


def expected_of(*rows: dict[str, Any]) -> list[list[str]]:
    """What it says of several at once, each the usual row but for what is given."""
    frame = pandas.DataFrame([{"age": 41.5, "plan": "paid", "active": 1.0, "visits": 3.0, **row} for row in rows])
    chances = MODEL.predict_proba(frame).tolist()
    return [[str(label), *map(str, said)] for label, said in zip(MODEL.predict(frame), chances, strict=True)]


def request(rows: Any = None, fields: Any = None, **more: Any) -> str:
    """A request for one row of all fields, unless said otherwise."""
    given = {
        "rows": [[41.5, "paid", True, 3]] if rows is None else rows,
        "fields": FIELDS if fields is None else fields,
    }
    return json.dumps({**given, **more})


# A flat row.


@pytest.mark.parametrize(
    "content_type", [OCTETS, "application/json", "text/csv", "application/x-www-form-urlencoded", ""]
)
def test_a_flat_row_is_answered_whatever_its_content_type(container: Container, content_type: str) -> None:
    reply = container.invoke(json.dumps(ROW), content_type)

    assert reply.status == 200, reply.body
    assert reply.headers["content-type"] == "application/json"
    assert reply.json == dict(zip(OUTPUTS, expected(), strict=True))


@pytest.mark.parametrize(
    ("row", "scored"),
    [
        ({**ROW, "unknown": "x"}, {}),
        (dict(reversed(ROW.items())), {}),
        ({**ROW, "age": 41.5, "visits": 3, "active": True}, {}),
        ({**ROW, "active": False}, {"active": 0.0}),
        ({**ROW, "active": "0"}, {"active": 0.0}),
        ({**ROW, "plan": "never seen"}, {"plan": "never seen"}),
        ({**ROW, "age": True}, {"age": 1.0}),
        ({**ROW, "visits": "3.0"}, {}),
    ],
)
def test_a_flat_row_is_read_by_name_and_type(container: Container, row: dict[str, Any], scored: dict[str, Any]) -> None:
    reply = container.invoke(json.dumps(row), OCTETS)

    assert reply.status == 200, reply.body
    assert list(reply.json.values()) == expected(**scored)


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        ({**ROW, "age": None}, "the field age is null"),
        ({**ROW, "age": [1]}, "the field age is not a single value"),
        ({**ROW, "age": {"years": 1}}, "the field age is not a single value"),
        ({**ROW, "unknown": None}, "the field unknown is null"),
        ({"age": "1"}, "missing model fields plan, active, visits: expected [age, plan, active, visits], actual [age]"),
        ({}, "missing model fields age, plan, active, visits: expected [age, plan, active, visits], actual []"),
        ({**ROW, "age": "old"}, "row 0, column age: 'old' is not a number"),
        ({**ROW, "visits": "2.5"}, "row 0, column visits: 2.5 is not a whole number"),
        ({**ROW, "active": "perhaps"}, "row 0, column active: 'perhaps' is not true or false"),
    ],
)
def test_a_flat_row_that_does_not_fit_is_a_400(container: Container, row: dict[str, Any], detail: str) -> None:
    reply = container.invoke(json.dumps(row), OCTETS)

    assert (reply.status, reply.json) == (400, {"detail": detail})


def test_what_fails_while_it_is_scored_is_a_500(container: Container) -> None:
    # The model takes no NaN, which is what an empty text is in a column of numbers.
    reply = container.invoke(json.dumps({**ROW, "age": ""}), OCTETS)

    assert reply.status == 500
    assert list(reply.json) == ["detail"]
    assert reply.json["detail"].startswith("ValueError: Input X contains NaN")
    assert "Traceback (most recent call last)" in container.log


@pytest.mark.parametrize(
    ("body", "content_type", "status", "said"),
    [
        ('{"age": 1', OCTETS, 400, "the body begins as a JSON object does, and is none"),
        ('{"age": 1', "application/x-www-form-urlencoded", 400, "the body begins as a JSON object does, and is none"),
        ("1,free,0,1", OCTETS, 415, "bytes of no kind are no table"),
        ("", OCTETS, 415, "bytes of no kind are no table"),
    ],
)
def test_a_body_of_no_kind_that_is_no_row_is_refused(
    container: Container, body: str, content_type: str, status: int, said: str
) -> None:
    reply = container.invoke(body, content_type)

    assert reply.status == status
    assert said in reply.body.decode()


# Fields and rows.


@pytest.mark.parametrize(("method", "path"), [("POST", "/invocations"), ("POST", "/model/score")])
def test_fields_and_rows_are_answered_with_id_fields_and_score(container: Container, method: str, path: str) -> None:
    reply = container.send(method, path, request([[41.5, "paid", True, 3], ["20", "free", "false", "1"]]))

    assert reply.status == 200, reply.body
    assert list(reply.json) == ["id", "fields", "score"]
    assert reply.json["id"] == "churn-7"
    assert reply.json["fields"] == OUTPUTS
    assert reply.json["score"] == expected_of({}, {"age": 20.0, "plan": "free", "active": 0.0, "visits": 1.0})


@pytest.mark.parametrize(
    ("asked", "fields", "before"),
    [
        ({"includeFieldsInOutput": ["age"]}, ["age"], ["41.5"]),
        ({"includeFieldsInOutput": ["visits", "age"]}, ["age", "visits"], ["41.5", "3"]),
        ({"includeFieldsInOutput": ["active"]}, ["active"], ["1"]),
        ({"includeFieldsInOutput": []}, [], []),
        ({"includeFieldsInOutput": None}, [], []),
        ({"idField": "key"}, [], []),
    ],
)
def test_included_fields_come_first_in_the_order_of_the_request(
    container: Container, asked: dict[str, Any], fields: list[str], before: list[str]
) -> None:
    reply = container.invoke(request(**asked))

    assert reply.json["fields"] == [*fields, *OUTPUTS]
    assert reply.json["score"] == [[*before, *expected()]]


def test_included_nulls_stay_null_and_booleans_are_digits(container: Container) -> None:
    rows = [[1, "free", True, 1, None], [2, "paid", False, 2, False]]
    reply = container.invoke(request(rows, [*FIELDS, "note"], includeFieldsInOutput=["active", "note"]))

    assert [row[:2] for row in reply.json["score"]] == [["1", None], ["0", "0"]]


def test_an_id_that_is_included_and_not_sent_is_made_for_each_row(container: Container) -> None:
    rows = [[41.5, "paid", True, 3]] * 2
    reply = container.invoke(request(rows, includeFieldsInOutput=["age", "key"], idField="key"))
    ids = [uuid.UUID(row[1]) for row in reply.json["score"]]

    assert reply.json["fields"] == ["age", "key", *OUTPUTS]
    assert len(set(ids)) == 2


def test_an_id_that_is_sent_is_sent_back(container: Container) -> None:
    reply = container.invoke(
        request([["k1", 41.5, "paid", True, 3]], ["key", *FIELDS], includeFieldsInOutput=["key"], idField="key")
    )

    assert reply.json["score"] == [["k1", *expected()]]


def test_fields_are_left_out_where_nobody_wants_their_names(container: Container) -> None:
    reply = container.invoke(request(noFieldNamesInOutput=True))

    assert reply.json == {"id": "churn-7", "score": [expected()]}


def test_booleans_for_numbers_are_one_and_zero(container: Container) -> None:
    reply = container.invoke(request([[True, "paid", False, True]]))

    assert reply.json["score"] == [expected(age=1.0, active=0.0, visits=1.0)]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (request([]), "no rows were given"),
        (json.dumps({"fields": FIELDS}), "no rows were given"),
        (json.dumps({"fields": FIELDS, "rows": None}), "no rows were given"),
        (request(fields=[]), "no fields were given"),
        (json.dumps({"rows": [[1]]}), "no fields were given"),
        (request([[1, "free", True, 1], [2, "free"]]), "row 1 has too few elements: expected 4, actual 2"),
        (request([[1, "free", True, 1, 5]]), "row 0 has too many elements: expected 4, actual 5"),
        (request([7]), "row 0 is not a list"),
        (request([[1, ["free"], True, 1]]), "row 0 has an element that is not a single value"),
        (request(fields=["age", "plan", 3, "visits"]), "the fields are not all texts"),
        (
            request([[1, "free"]], ["age", "plan"]),
            "missing model fields active, visits: expected [age, plan, active, visits], actual [age, plan]",
        ),
        (request([[1, "free", 1, 1], ["x", "free", 1, 1]]), "row 1, column age: 'x' is not a number"),
        (request(includeFieldsInOutput=["nobody"]), "includeFieldsInOutput names nobody, not among the fields"),
        (request(includeFieldsInOutput="age"), "includeFieldsInOutput is not a list of texts"),
        (request(idField=7), "idField is not a text"),
    ],
)
def test_rows_that_do_not_fit_are_a_400(container: Container, body: str, detail: str) -> None:
    for path in ("/invocations", "/model/score"):
        reply = container.send("POST", path, body)

        assert (reply.status, reply.json) == (400, {"detail": detail})


@pytest.mark.parametrize("body", ["", "[1, 2]", "not JSON", "{"])
def test_a_body_that_is_no_object_is_no_request_of_the_scorers(container: Container, body: str) -> None:
    reply = container.send("POST", "/model/score", body)

    assert (reply.status, reply.json) == (400, {"detail": "the body is no JSON object with fields and rows"})


# What the model says of itself.


def test_the_model_says_who_it_is(container: Container) -> None:
    reply = container.get("/model/id")

    assert (reply.status, reply.body) == (200, b"churn-7")


def test_the_schema_names_fields_with_their_types(container: Container) -> None:
    schema = container.get("/model/schema").json

    assert schema["schema"]["inputFields"] == [
        {"name": "age", "dataType": "Float64"},
        {"name": "plan", "dataType": "Str", "categories": ["free", "paid"]},
        {"name": "active", "dataType": "Bool"},
        {"name": "visits", "dataType": "Int64"},
    ]
    assert [(one["name"], one["dataType"]) for one in schema["schema"]["outputFields"]] == [
        ("prediction", "Str"),
        ("probability_no", "Float64"),
        ("probability_yes", "Float64"),
    ]


def test_the_sample_request_scores_as_it_is(container: Container) -> None:
    sample = container.get("/model/sample_request")

    assert sample.json["fields"] == FIELDS
    assert container.send("POST", "/model/score", sample.body).status == 200
    assert container.invoke(sample.body, OCTETS).status == 200


def test_a_model_without_contributions_says_so_with_501(container: Container) -> None:
    reply = container.send("POST", "/model/contribution", request())

    beside = container.send("POST", "/model/score", request(requestShapleyValueType="ORIGINAL"))
    without = container.send("POST", "/model/score", request(requestShapleyValueType="NONE"))

    assert container.get("/model/capabilities").json == ["SCORE"]
    assert (reply.status, reply.json) == (501, {"detail": "this model has no contributions"})
    assert (beside.status, beside.json) == (reply.status, reply.json)
    assert without.json == container.send("POST", "/model/score", request()).json


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/ping", 200),
        ("POST", "/model/id", 405),
        ("GET", "/model/contribution", 405),
        ("GET", "/model", 404),
        ("GET", "/invocations", 405),
    ],
)
def test_paths_and_methods(container: Container, method: str, path: str, status: int) -> None:
    assert container.send(method, path, b"{}").status == status


# A file of rows.


@pytest.mark.parametrize("name", ["rows.csv", "data/turned.csv", "more.csv", "data%2Fturned.csv"])
def test_a_file_below_the_model_or_the_folder_that_is_set_is_scored(container: Container, name: str) -> None:
    reply = container.get(f"/model/score?file={name}")
    chances = MODEL.predict_proba(TRAINED)

    assert reply.status == 200, reply.body
    assert reply.json["fields"] == OUTPUTS
    assert [[float(cell) for cell in row[1:]] for row in reply.json["score"]] == chances.tolist()
    assert [row[0] for row in reply.json["score"]] == list(MODEL.predict(TRAINED))


@pytest.mark.parametrize(
    ("query", "status", "detail"),
    [
        ("", 400, "no file was named"),
        ("?file=nothing.csv", 404, "there is no file nothing.csv below"),
        ("?file=../../secret.csv", 404, "there is no file ../../secret.csv below"),
        ("?file=link.csv", 404, "there is no file link.csv below"),
        ("?file=/etc/passwd", 404, "there is no file /etc/passwd below"),
        ("?file=data", 404, "there is no file data below"),
        ("?file=a%00b", 404, "there is no file a"),
        ("?file=short.csv", 400, "short.csv, header: the column age is missing"),
        ("?file=headless.csv", 400, "headless.csv, header: the columns age, plan, active, visits are missing"),
    ],
)
def test_any_other_file_is_refused(container: Container, query: str, status: int, detail: str) -> None:
    reply = container.get(f"/model/score{query}")

    assert reply.status == status
    assert reply.json["detail"].startswith(detail)


# For programs and people.


def test_the_openapi_document_names_every_path_that_there_is(container: Container) -> None:
    document = container.get("/openapi.json").json

    assert document["openapi"].startswith("3.1")
    for path, methods in document["paths"].items():
        for method in methods:
            reply = container.send(method.upper(), path, request())
            assert reply.status not in (404, 405), (method, path)
    assert list(document["components"]["schemas"]["Row"]["properties"]) == FIELDS


def test_the_page_explains_the_model_without_a_script(container: Container) -> None:
    reply = container.get("/docs")
    page = reply.body.decode()

    assert reply.headers["content-type"].startswith("text/html")
    assert "<script" not in page
    for text in ("churn-7", "churned", "age", "free, paid", "probability_yes", "/model/score?file=", "whole number"):
        assert text in page
    said = container.invoke(json.dumps({"age": "0.0", "plan": "free", "active": "False", "visits": "0"})).body.decode()
    assert escape(said) in page
    assert f"http://127.0.0.1:{container.port}/invocations" in page
    strange = container.send("GET", "/docs", headers={"Host": "evil'; rm -rf /"}).body.decode()
    assert "evil" not in strange


def test_the_page_has_no_column_of_values_where_none_are_known() -> None:
    schema = Schema("m", (Field("age", "float"),), (Field("plan", "str", ("free", "paid")),))
    page = html(schema, {"fields": ["age"], "rows": [["0.0"]]}, False, "http://127.0.0.1:8080", "")

    takes, _, gives = page.partition("What it gives")
    assert "<th>values</th>" not in takes
    assert "<td>free, paid</td>" in gives


# Plain CSV and JSON beside it.


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("41.5,paid,true,3\n", CSV),
        ("age,plan,active,visits\n41.5,paid,1,3\n", CSV),
        ("visits,x,plan,active,age\n3,9,paid,1,41.5\n", CSV),
        ('[[41.5, "paid", true, 3]]', "application/json"),
        ('[41.5, "paid", true, 3]', "application/json"),
        ('[{"plan": "paid", "age": 41.5, "x": null, "active": 1, "visits": 3}]', "application/json"),
        ('{"instances": [[41.5, "paid", true, 3]]}', "application/json"),
        ('{"plan": "paid", "age": 41.5, "active": 1, "visits": 3}\n', "application/jsonlines"),
    ],
)
def test_plain_rows_are_answered_plainly(container: Container, body: str, content_type: str) -> None:
    reply = container.invoke(body, content_type)

    assert reply.status == 200, reply.body
    assert reply.json == [expected()[0]]


@pytest.mark.parametrize(
    ("body", "content_type", "status", "said"),
    [
        ("41.5,paid,true\n", CSV, 400, "row 1 has 3 columns, and the model takes 4"),
        ("41.5;paid;true;3\n", CSV, 400, "row 1 has one column, with ';' in it, and the model takes 4"),
        ("age\tplan\tactive\tvisits\n41.5\tpaid\ttrue\t3\n", CSV, 400, r"with '\t' in it"),
        ("41.5,paid,true,3\n1,free,false\n", CSV, 400, "row 2 has 3 columns, and the first has 4"),
        ("age,plan,active\n1,free,0\n", CSV, 400, "the column visits is missing"),
        ("41.5,paid,true,3\nold,paid,true,3\n", CSV, 400, "'old' is not a number"),
        ("age,plan,active,visits\n41.5,paid,true,3\nold,paid,true,3\n", CSV, 400, "row 3, column age"),
        ('41.5,"paid,true,3\n', CSV, 400, "not CSV"),
        ("", CSV, 400, "the body is empty"),
        ("age,plan,active,visits\n", CSV, 400, "there are no rows"),
        ("[]", "application/json", 400, "there are no rows"),
        ("7", "application/json", 400, "there are no rows"),
        ("[[1, 2]]", "application/json", 400, "row 1 has 2 columns"),
        ('[{"age": 1}]', "application/json", 400, "the columns plan, active, visits are missing"),
        ('[[1, "free", true, 1], {"age": 1}]', "application/json", 400, "neither a list nor an object"),
        ("{", "application/json", 400, "not JSON"),
        ("1,free,0,1", "image/png", 415, "content type image/png is not supported"),
    ],
)
def test_plain_rows_that_do_not_fit_are_refused_with_their_place(
    container: Container, body: str, content_type: str, status: int, said: str
) -> None:
    reply = container.invoke(body, content_type)

    assert reply.status == status, reply.body
    assert said in f"{reply.json['error']} {reply.json['where']}"
    assert reply.json["next_step"]


def test_a_value_of_any_kind_in_any_place_is_answered_and_never_an_error_of_ours(container: Container) -> None:
    strange: list[Any] = [
        None,
        True,
        10**400,
        -(10**400),
        1e308,
        "1e999",
        "\ud800",
        "\0",
        "NaN",
        "Infinity",
        "-inf",
        "0x10",
        "１２",
        [],
        {},
        [[1]],
        " 3 ",
    ]
    for value in strange:
        for name in FIELDS:
            row = {**ROW, name: value}
            bodies = [row, {"fields": list(row), "rows": [list(row.values())]}, [row], [list(row.values())]]
            for body in bodies:
                reply = container.invoke(json.dumps(body), "application/json")

                assert reply.status in (200, 400, 500), (body, reply.body)
                if reply.status == 500:  # the model's own: it takes neither NaN nor infinity
                    assert "ValueError: Input X contains" in reply.body.decode(), (body, reply.body)
