"""examples/income as a user would call it: its data, and the four functions of inference.py on a trained model."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from seaproof.errors import RequestError

FOLDER = Path(__file__).parents[2] / "examples" / "income"
HELD_OUT = FOLDER / "data" / "held_out.csv"


@pytest.fixture(scope="module")
def inference() -> Iterator[ModuleType]:
    """inference.py, imported with its folder first on the path, as in the image."""
    sys.path.insert(0, str(FOLDER))
    import inference

    yield inference
    sys.path.remove(str(FOLDER))
    for name in ("inference", "table"):
        del sys.modules[name]


def test_the_data_is_small_has_a_label_first_and_no_row_in_both_parts() -> None:
    parts = {}
    for name in ("train.csv", "held_out.csv"):
        with (FOLDER / "data" / name).open(newline="") as file:
            header, *rows = list(csv.reader(file))
        assert header[0] == "income"
        assert {row[0] for row in rows} == {"<=50K", ">50K"}
        assert {len(row) for row in rows} == {10}
        parts[name] = len(rows)

    assert parts == {"train.csv": 5000, "held_out.csv": 1500}
    assert sum(path.stat().st_size for path in (FOLDER / "data").iterdir()) < 1_000_000


def test_a_csv_with_a_header_may_have_its_columns_in_any_order_and_more_of_them(inference: ModuleType) -> None:
    plain = inference.input_fn(b"39,Private,HS-grad,Divorced,Sales,Unmarried,0,0,40\n", "text/csv")
    header = (
        b"income,hours_per_week,workclass,education,marital_status,occupation,relationship,capital_gain,"
        b"capital_loss,age\r\n>50K,40,Private,HS-grad,Divorced,Sales,Unmarried,0,0,39\r\n"
    )
    mixed = inference.input_fn(header, "text/csv; charset=utf-8")

    assert plain.tolist() == mixed.tolist() == [[39, "Private", "HS-grad", "Divorced", "Sales", "Unmarried", 0, 0, 40]]


def test_json_takes_one_object_or_a_list_of_them(inference: ModuleType) -> None:
    row = {"age": 39, "capital_gain": None, "capital_loss": 0, "hours_per_week": "40", "workclass": "Private"}
    row |= {"education": None, "marital_status": "", "occupation": "?", "relationship": "Unmarried"}
    one = inference.input_fn(json.dumps(row).encode(), "application/json")
    two = inference.input_fn(json.dumps([row, row]), "application/json")

    assert one.shape == (1, 9)
    assert two.shape == (2, 9)
    assert one[0, 6] != one[0, 6], "a missing number is nan"
    assert list(one[0, 2:5]) == ["", "", ""]


@pytest.mark.parametrize(
    ("body", "content_type", "status", "says"),
    [
        (b"1,2\n", "text/csv", 400, "row 1 has 2 columns, not 9"),
        (b"39,a,b,c,d,e,0,0,40\n1\n", "text/csv", 400, "row 2 has 1 columns"),
        (b"age,workclass\n1,2\n", "text/csv", 400, "row 1 has no education"),
        (b"old,a,b,c,d,e,0,0,40\n", "text/csv", 400, "age is 'old'"),
        (b"", "text/csv", 400, "no row"),
        (b"\xff", "text/csv", 400, "not UTF-8"),
        (b'{"age": 1}', "application/json", 400, "row 1 has no workclass"),
        (b"[1]", "application/json", 400, "no JSON object"),
        (b"{", "application/json", 400, "not JSON"),
        (b"x", "image/png", 415, "image/png is not read here"),
    ],
)
def test_a_request_that_cannot_be_read_is_refused_with_the_row_and_column(
    inference: ModuleType, body: bytes, content_type: str, status: int, says: str
) -> None:
    with pytest.raises(RequestError) as refused:
        inference.input_fn(body, content_type)

    assert refused.value.status == status
    assert says in str(refused.value)


@pytest.mark.parametrize(("accept", "kind"), [("text/csv", "text/csv"), ("application/json", "application/json")])
def test_the_reply_has_the_type_that_was_asked_for(inference: ModuleType, accept: str, kind: str) -> None:
    reply, content_type = inference.output_fn([(">50K", 0.75), ("<=50K", 0.5)], accept)

    assert content_type == kind
    values: Any = json.loads(reply)["predictions"] if "json" in kind else reply.splitlines()
    assert len(values) == 2
