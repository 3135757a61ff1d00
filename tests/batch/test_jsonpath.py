"""DataProcessing as a table: what each path means in JSON and CSV, what a join makes, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from seaproof.batch.jsonpath import PathError, parse, select
from seaproof.batch.payload import RecordError
from seaproof.batch.records import Processing, after, before, cells, split_records

OBJECT = {"id": 7, "a": {"b": {"c": 1}, "d": [1, 2, 3]}, "list": [10, 20, 30, 40], "odd name": None, "x.y": "dot"}
LIST = [1, "two", [3, 4], {"five": 5}, None]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("$", OBJECT, OBJECT),
        ("$", [1, 2], [1, 2]),
        ("$", 3, 3),
        ("$.id", OBJECT, 7),
        ("$.a.b", OBJECT, {"c": 1}),
        ("$.a.b.c", OBJECT, 1),
        ("$['id']", OBJECT, 7),
        ('$["id"]', OBJECT, 7),
        ("$['odd name']", OBJECT, None),
        ("$['x.y']", OBJECT, "dot"),
        ("$['a']['b']['c']", OBJECT, 1),
        ("$.a['b'].c", OBJECT, 1),
        ("$.a.['b']", OBJECT, {"c": 1}),
        ("$['id','list']", OBJECT, {"id": 7, "list": [10, 20, 30, 40]}),
        ("$['list', 'id']", OBJECT, {"list": [10, 20, 30, 40], "id": 7}),
        ("$.a.['b','d']", OBJECT, {"b": {"c": 1}, "d": [1, 2, 3]}),
        ("$.list[0]", OBJECT, 10),
        ("$.list[-1]", OBJECT, 40),
        ("$.list[1,3]", OBJECT, [20, 40]),
        ("$.list[0,-1]", OBJECT, [10, 40]),
        ("$.list[1:]", OBJECT, [20, 30, 40]),
        ("$.list[:3]", OBJECT, [10, 20, 30]),
        ("$.list[1:3]", OBJECT, [20, 30]),
        ("$.list[:-1]", OBJECT, [10, 20, 30]),
        ("$.list[-2:]", OBJECT, [30, 40]),
        ("$.list[2:99]", OBJECT, [30, 40]),
        ("$.list[:]", OBJECT, [10, 20, 30, 40]),
        ("$.list[*]", OBJECT, [10, 20, 30, 40]),
        ("$.list.*", OBJECT, [10, 20, 30, 40]),
        ("$.a.*", OBJECT, [{"c": 1}, [1, 2, 3]]),
        ("$.a[*]", OBJECT, [{"c": 1}, [1, 2, 3]]),
        ("$[0]", LIST, 1),
        ("$[-1]", LIST, None),
        ("$[2][1]", LIST, 4),
        ("$[3].five", LIST, 5),
        ("$[1:]", LIST, ["two", [3, 4], {"five": 5}, None]),
        ("$[:4]", LIST, LIST[:4]),
        ("$[1:4]", LIST, LIST[1:4]),
        ("$[*].k", [{"k": 1}, {"k": 2}], [1, 2]),
        ("$[0,1].k", [{"k": 1}, {"k": 2}, {"k": 3}], [1, 2]),
        ("$[1:].k", [{"k": 1}, {"k": 2}, {"k": 3}], [2, 3]),
    ],
)
def test_a_path_means_this_in_json(path: str, value: Any, expected: Any) -> None:
    assert select(parse(path), value) == expected


ROW = b'1,"a, ""b""",,x y,-5'


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$", ROW),
        ("$[0]", b"1"),
        ("$[-1]", b"-5"),
        ("$[1]", b'"a, ""b"""'),
        ("$[2]", b""),
        ("$[0,-1]", b"1,-5"),
        ("$[3,0]", b"x y,1"),
        ("$[1:]", b'"a, ""b""",,x y,-5'),
        ("$[:-1]", b'1,"a, ""b""",,x y'),
        ("$[:2]", b'1,"a, ""b"""'),
        ("$[2:4]", b",x y"),
        ("$[9:]", b""),
        ("$[*]", ROW),
    ],
)
def test_a_path_means_these_cells_of_a_csv_row(path: str, expected: bytes) -> None:
    processing = Processing(input_filter=parse(path), family="csv", lines=True)

    assert before(processing, [ROW + b"\n", ROW + b"\r\n", ROW]) == expected + b"\n" + expected + b"\r\n" + expected


JOIN = Processing(join=True, family="json", lines=True)


@pytest.mark.parametrize(
    ("family", "output_filter", "given", "answer", "expected"),
    [
        ("json", "$", b'{"id":1}\n', b"0.5\n", '{"id":1,"SageMakerOutput":0.5}\n'),
        ("json", "$", b'{"id":1}\n', b'{"score":0.5}', '{"id":1,"SageMakerOutput":{"score":0.5}}\n'),
        ("json", "$", b"[1,2]\n", b"0.5\n", '{"SageMakerInput":[1,2],"SageMakerOutput":0.5}\n'),
        (
            "json",
            "$",
            b"3\n4\n",
            b"30\n40\n",
            '{"SageMakerInput":3,"SageMakerOutput":30}\n{"SageMakerInput":4,"SageMakerOutput":40}\n',
        ),
        (
            "jsonlines",
            "$",
            b'{"a":1}\n{"a":2}\n',
            b"[1]\n[2]\n",
            '{"a":1,"SageMakerOutput":[1]}\n{"a":2,"SageMakerOutput":[2]}\n',
        ),
        ("jsonlines", "$['id','SageMakerOutput']", b'{"id":1,"x":2}\n', b"3\n", '{"id":1,"SageMakerOutput":3}\n'),
        ("jsonlines", "$.SageMakerOutput", b'{"id":1,"x":2}\n', b'{"p":3}\n', '{"p":3}\n'),
        ("jsonlines", "$.SageMakerOutput.p", b'{"id":1}\n', b'{"p":"\xc3\xa9"}\n', '"\u00e9"\n'),
        ("jsonlines", "$.SageMakerInput[0]", b"[5,6]\n", b"1\n", "5\n"),
        ("csv", "$", b"1,2\n3,4\n", b"0.1\n0.2\n", "1,2,0.1\n3,4,0.2\n"),
        ("csv", "$", b"1,2\n3,4", b"0.1,a\n0.2,b", "1,2,0.1,a\n3,4,0.2,b"),
        ("csv", "$", b"1,2\r\n3,4\r\n", b"0.1\n0.2\n", "1,2,0.1\r\n3,4,0.2\r\n"),
        ("csv", "$[0,-1]", b"id,x,y\n", b"0.7\n", "id,0.7\n"),
        ("csv", "$[-1]", b'"a,b",2\n', b"0.7\n", "0.7\n"),
        ("csv", "$[1:]", b"id,x\n", b"0.7,c\n", "x,0.7,c\n"),
    ],
)
def test_a_join_and_an_output_filter_make_this(
    family: str, output_filter: str, given: bytes, answer: bytes, expected: str
) -> None:
    processing = Processing(join=True, output_filter=parse(output_filter), family=family, lines=True)

    assert after(processing, split_records(given), answer) == expected.encode()


def test_without_a_join_an_output_filter_sees_the_answer_alone() -> None:
    processing = Processing(output_filter=parse("$[0]"), family="csv", lines=True)

    assert after(processing, [b"1,2\n"], b"a,b\nc,d\n") == b"a\nc\n"


def test_one_json_document_may_have_lines_of_its_own() -> None:
    processing = Processing(input_filter=parse("$.rows"), join=True, family="json", lines=False)
    document = json.dumps({"rows": [1, 2]}, indent=2).encode()

    assert before(processing, [document]) == b"[1,2]"
    assert json.loads(after(processing, [document], b'{\n"p": 1}')) == {"rows": [1, 2], "SageMakerOutput": {"p": 1}}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "a path begins with $"),
        ("id", "a path begins with $"),
        ("$id", "a dot or a bracket is expected"),
        ("$.", "a name is expected after the dot"),
        ("$..id", "a name is expected after the dot"),
        ("$.a b", "a dot or a bracket is expected"),
        ("$[", "the bracket does not close"),
        ("$['a'", "the bracket does not close"),
        ("$['a", "the quote does not close"),
        ("$[]", "numbers, quoted names, a slice or * are expected"),
        ("$[a]", "numbers, quoted names, a slice or * are expected"),
        ("$['a',1]", "numbers, quoted names, a slice or * are expected"),
        ("$[?(@.a)]", "numbers, quoted names, a slice or * are expected"),
        ("$[1:2:3]", "numbers, quoted names, a slice or * are expected"),
        (f"$.{'a' * 63}", "at most 63 characters, this one 65"),
    ],
)
def test_a_path_that_cannot_be_read_is_refused_with_the_place(path: str, said: str) -> None:
    with pytest.raises(PathError) as caught:
        parse(path)

    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("family", "path", "record", "said"),
    [
        ("json", "$.b", b'{"a":1}', "there is no 'b', but 'a'"),
        ("json", "$['a','b']", b'{"a":1}', "there is no 'b', but 'a'"),
        ("json", "$.a", b"[1]", "'a' is looked for in a list, which has no names"),
        ("json", "$[0]", b'{"a":1}', "[0] is looked for in an object, which is no list"),
        ("json", "$[3]", b"[1,2]", "there is no element 3: it has 2"),
        ("json", "$[1:]", b'"text"', "a slice is taken of a text, which is no list"),
        ("json", "$.*", b"null", "* stands for what is in null, which holds nothing"),
        ("json", "$.a", b"{'a': 1}", "the record is no JSON document"),
        ("csv", "$[2]", b"1,2", "there is no column 2: it has 2"),
        ("csv", "$.a", b"1,2", "a row of a CSV file is a list: use numbers"),
        ("csv", "$[0][1]", b"1,2", "a row of a CSV file is a list: use numbers"),
    ],
)
def test_a_record_that_a_path_does_not_fit_is_named(family: str, path: str, record: bytes, said: str) -> None:
    processing = Processing(input_filter=parse(path), family=family, lines=True)

    with pytest.raises(RecordError) as caught:
        before(processing, [record])

    assert said in caught.value.what


def test_the_first_record_that_does_not_fit_is_told_by_its_number() -> None:
    processing = Processing(input_filter=parse("$[2]"), family="csv", lines=True)

    with pytest.raises(RecordError) as caught:
        before(processing, [b"1,2,3\n", b"4,5,6\n", b"7,8\n", b"9\n"])

    assert caught.value.index == 2


def test_a_join_needs_as_many_outputs_as_inputs() -> None:
    with pytest.raises(RecordError, match="answered 1 records to 2"):
        after(JOIN, [b"1\n", b"2\n"], b"[1,2]")
    with pytest.raises(RecordError, match="the output is no JSON document"):
        after(JOIN, [b"1\n"], b"<html>")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (b"", [b""]),
        (b"a", [b"a"]),
        (b"a,", [b"a", b""]),
        (b",,", [b"", b"", b""]),
        (b'"a,b",c', [b'"a,b"', b"c"]),
        (b'"a""b","c"', [b'"a""b"', b'"c"']),
        (b'"line\nend",2', [b'"line\nend"', b"2"]),
        (b'x"y,z', [b'x"y', b"z"]),
        (b'"open,a', [b'"open', b"a"]),
        (b'a,"', [b"a", b'"']),
    ],
)
def test_cells_stay_as_they_were_written(row: bytes, expected: list[bytes]) -> None:
    assert cells(row) == expected
    assert b",".join(cells(row)) == row
