from __future__ import annotations

import math
import re
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seaproof.errors import ProjectError
from seaproof.jdn import DEPTH, Keyword, Struct, Symbol, Value, parse

HAZALS = '[{:type "single" :container "sagemaker-pre"} {:type "multi" :container "sagemaker-inf"}]'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{:a 1}", Struct(((Keyword("a"), 1),))),
        ("@{:a 1}", Struct(((Keyword("a"), 1),))),
        ("{}", Struct(())),
        ("[1 2]", (1, 2)),
        ("(1 2)", (1, 2)),
        ("@[1 2]", [1, 2]),
        ("@(1 2)", [1, 2]),
        ("[]", ()),
        (r'"a\n\t\x41\u00e9\""', 'a\n\tAé"'),
        (r'"\U01F642\0\z\e\\\'\?"', "\U0001f642\0\0\x1b\\'?"),
        (r'"\xc3\xa9"', "é"),
        (r'"\xff"', "\udcff"),
        ('"two\nlines"', "twolines"),
        ("`raw \\n`", "raw \\n"),
        ("``one ` tick``", "one ` tick"),
        ("```\nlong\n```", "long"),
        ("  `a\n   b`", "a\n b"),
        ("  `a\n b`", "a\n b"),
        ('@"bytes"', b"bytes"),
        ("@`by\ntes`", b"by\ntes"),
        (":x", Keyword("x")),
        (":", Keyword("")),
        ("::y", Keyword(":y")),
        (":a,", Keyword("a")),
        ("sagemaker-pre", Symbol("sagemaker-pre")),
        ("-", Symbol("-")),
        ("é", Symbol("é")),
        ("@x", Symbol("@x")),
        ("1_000", 1000),
        ("0xff", 255),
        ("0xFF", 255),
        ("-0x1e", -30),
        ("2r101", 5),
        ("36rz", 35),
        ("-7", -7),
        ("+7", 7),
        ("007", 7),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("-1.5e3", -1500.0),
        ("1E-3", 0.001),
        ("1&2", 100.0),
        ("0x1.8", 1.5),
        ("0x1&2", 256.0),
        ("2r1.1", 1.5),
        ("1e999", math.inf),
        ("1e-999", 0.0),
        ("9007199254740993", 9007199254740993),
        ("true", True),
        ("false", False),
        ("nil", None),
        ("# a comment\n1 # another", 1),
        ("\ufeff[1]", (1,)),
        ("[1#x\n2]", (1, 2)),
        ("[\0\f\v1\r\n]", (1,)),
        ("1 2 ] this is not read", 1),
    ],
)
def test_the_notation_is_read(text: str, expected: Value):
    found = parse(text)

    assert found == expected
    assert type(found) is type(expected)


def test_hazals_own_example_is_read():
    found = parse(HAZALS)

    assert isinstance(found, tuple)
    assert [item.named() for item in found if isinstance(item, Struct)] == [
        {"type": "single", "container": "sagemaker-pre"},
        {"type": "multi", "container": "sagemaker-inf"},
    ]


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", "line 1, column 1", "the file has none"),
        ("# only a comment", "line 1, column 17", "the file has none"),
        ("[1, 2]", "line 1, column 3", "a comma is none"),
        ('{:a "x",\n :b 1}', "line 1, column 8", "a comma is none"),
        ("[1\n 2", "line 1, column 1", "']' is expected: '[' was never closed"),
        ("[1 2}", "line 1, column 5", "']' or a value is expected, not '}'"),
        ("]", "line 1, column 1", "closes nothing that was opened"),
        ('\n  "abc', "line 2, column 3", "the string was never closed"),
        ("``abc`", "line 1, column 1", "the long string was never closed"),
        (r'"\q"', "line 1, column 2", "an escape is expected"),
        (r'"\x4"', "line 1, column 2", "2 hexadecimal digits are expected here"),
        (r'"\u12"', "line 1, column 2", "4 hexadecimal digits are expected here"),
        (r'"\UFFFFFF"', "line 1, column 2", r"up to \U10FFFF"),
        ('"\\', "line 1, column 2", "an escape is expected"),
        ("{:a}", "line 1, column 4", "a struct holds keys and values in pairs"),
        ("12abc", "line 1, column 1", "a number is expected, and '12abc' is none"),
        ("99r1", "line 1, column 1", "a number is expected"),
        ("1.2.3", "line 1, column 1", "a number is expected"),
        ("'x", "line 1, column 1", "(quote) is code, not data"),
        ("\\x", "line 1, column 1", "a value is expected, not '\\\\'"),
        ("9" * 401, "line 1, column 1", "at most 400 characters"),
    ],
)
def test_what_is_wrong_is_said_with_line_and_column(text: str, where: str, what: str):
    with pytest.raises(ProjectError, match=re.escape(what)) as caught:
        parse(text, "containers.jdn")

    assert caught.value.where == f"containers.jdn, {where}"


def test_nesting_is_bounded():
    with pytest.raises(ProjectError, match="nested deeper"):
        parse("[" * 100_000)
    assert parse("[" * DEPTH + "]" * DEPTH)


# Any text at all, and texts made of what the notation is made of.
PIECES = st.sampled_from(
    ["{", "}", "@{", "[", "]", "(", ")", "@[", '"', "`", "``", '@"', "\\", "\\x4", "\\u00e9", ":", ":type", "a", " ",
     "\n", "#", ",", "0x", "2r", "1_", ".", "e", "-", "&", "9", "nil", "true", "\ud800", "\udcff", "é", "\0", "@", ";"]
)  # fmt: skip


@given(st.one_of(st.text(), st.lists(PIECES, max_size=60).map("".join), st.binary().map(lambda b: b.decode("latin-1"))))
@settings(max_examples=600, deadline=None)
def test_any_text_is_read_or_refused_in_our_words(text: str):
    try:
        parse(text, "f")
        where = "f, line "
    except ProjectError as error:
        where = error.where

    assert where.startswith("f, line ")


@given(st.text(alphabet="0123456789_.e+-&xrabfz", max_size=40))
@settings(max_examples=400, deadline=None)
def test_any_token_of_digits_is_read_or_refused(text: str):
    try:
        parse(text)
    except ProjectError:
        return


def _finite() -> st.SearchStrategy[float]:
    return st.floats(allow_nan=False, allow_infinity=False)


NAMES = st.text(alphabet="abcXYZ-_?*é", min_size=1, max_size=8).filter(
    lambda name: name not in ("nil", "true", "false") and not name.startswith("-")
)
TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), _finite(), TEXTS, st.binary(), NAMES.map(Keyword), NAMES.map(Symbol)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.lists(st.tuples(inner, inner), max_size=3).map(lambda pairs: Struct(tuple(pairs))),
    ),
    max_leaves=12,
)


def written(value: Value) -> str:
    """A writer of the notation, for the tests alone."""
    if value is None or isinstance(value, bool):
        return {None: "nil", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (str, bytes)):
        data = value.encode() if isinstance(value, str) else value
        text = "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\' else f"\\x{b:02x}" for b in data)
        return f'{"@" if isinstance(value, bytes) else ""}"{text}"'
    if isinstance(value, Keyword):
        return f":{value.name}"
    if isinstance(value, Symbol):
        return value.name
    if isinstance(value, Struct):
        return "{" + " ".join(f"{written(key)} {written(item)}" for key, item in value.pairs) + "}"
    inner = "\n".join(map(written, value))
    return f"@[{inner}]" if isinstance(value, list) else f"({inner})"


def bits(value: Value) -> object:
    """Distinguishes what Python calls equal: 1, 1.0 and true; 0.0 and -0.0."""
    if isinstance(value, float):
        return ("float", struct.pack(">d", value))
    if isinstance(value, (list, tuple)):
        return (type(value), [bits(item) for item in value])
    if isinstance(value, Struct):
        return (Struct, [(bits(key), bits(item)) for key, item in value.pairs])
    return (type(value), value)


@given(VALUES)
@settings(max_examples=300, deadline=None)
def test_what_is_written_is_read_again(value: Value):
    assert bits(parse(written(value))) == bits(value)
