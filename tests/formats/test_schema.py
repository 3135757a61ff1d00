"""schema.json: what is written is what is read, and what is wrong is named."""

from __future__ import annotations

import json

import pytest

from seaproof.errors import ContractError
from seaproof.formats.schema import FILE, Field, Schema, read_schema, write_schema

SCHEMA = Schema(
    id="m-1",
    input=(Field("age", "int"), Field("job", "str", ("clerk", "köchin"))),
    output=(Field("probability", "float"),),
    target="income",
    classes=("no", "yes"),
)


def test_what_is_written_is_what_is_read(tmp_path):
    write_schema(tmp_path, SCHEMA)

    assert read_schema(tmp_path) == SCHEMA


def test_the_same_schema_is_the_same_bytes(tmp_path):
    write_schema(tmp_path, SCHEMA)
    first = (tmp_path / FILE).read_bytes()
    write_schema(str(tmp_path), SCHEMA)

    assert (tmp_path / FILE).read_bytes() == first


def test_a_folder_without_one_has_no_schema(tmp_path):
    assert read_schema(tmp_path) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot be read"),
        ("[]", "not a JSON object"),
        (json.dumps({"id": 7}), "id"),
        (json.dumps({"input": {}}), "input"),
        (json.dumps({"input": ["age"]}), "input[0]"),
        (json.dumps({"input": [{"name": "age", "type": "number"}]}), "float, int, str, bool"),
        (json.dumps({"output": [{"name": "p", "type": "float", "categories": [1]}]}), "output[0].categories"),
        (json.dumps({"classes": "yes"}), "classes"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, said):
    (tmp_path / FILE).write_text(content)

    with pytest.raises(ContractError) as caught:
        read_schema(tmp_path)
    assert said in str(caught.value)
    assert FILE in str(caught.value)
