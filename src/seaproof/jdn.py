r"""Janet data notation, read: what hazal's users keep their containers in.

    {:a 1} @{:a 1}     Struct: a struct or a table
    [1 2] (1 2)        tuple
    @[1 2]             list
    "a\n\t\x41\u00e9"  str; a newline as it stands in the file is no part of it
    `a`  ``a ` b``     str, as it stands; indentation up to the opening backtick is taken off
    @"a"  @`a`         bytes: a buffer
    :a  a              Keyword, Symbol
    1_000 0xff 2r101   int or float
    true false nil     True, False, None
    # to the end of the line

A comma is not white space, as in Janet. Strings are bytes there; those that are not UTF-8 come as surrogate escapes.
Source: the Janet language documentation, "Syntax and the parser".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Union

from seaproof.errors import ProjectError

DEPTH = 200
"""How deep values may be nested."""

_WHITE = " \t\n\r\0\f\v"
_TOKEN = re.compile(r"[A-Za-z0-9!$%&*+\-./:<=>?@^_\x80-\U0010ffff]+")
_NUMBER = re.compile(r"([+-]?)(0x|[0-9]{1,2}r)?(.*)")
_LONGEST_NUMBER = 400
_ESCAPES = {
    "n": 10, "t": 9, "r": 13, "0": 0, "z": 0, "f": 12, "v": 11, "a": 7, "b": 8, "e": 27,
    "'": 39, "?": 63, '"': 34, "\\": 92,
}  # fmt: skip
_HEX_ESCAPES = {"x": 2, "u": 4, "U": 6}
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_READER_MACROS = {"'": "quote", "~": "quasiquote", ";": "splice", "|": "short function"}


@dataclass(frozen=True)
class Keyword:
    """`:name`, without the colon."""

    name: str


@dataclass(frozen=True)
class Symbol:
    """A bare word."""

    name: str


@dataclass(frozen=True)
class Struct:
    """Keys and values in the order of the file. Any value may be a key."""

    pairs: tuple[tuple[Value, Value], ...]

    def named(self) -> dict[str, Value]:
        """What stands under keywords or strings, by name; the last one counts."""
        keys = ((key.name if isinstance(key, Keyword) else key, value) for key, value in self.pairs)
        return {key: value for key, value in keys if isinstance(key, str)}


Value = Union[  # noqa: UP007 - it names itself
    None, bool, int, float, str, bytes, Keyword, Symbol, tuple["Value", ...], list["Value"], Struct
]


def parse(text: str, file: str = "", notes: list[str] | None = None) -> Value:
    """The first value in `text`, as Janet's own `parse` takes it; ProjectError with line, column, what is expected.

    Where more follows, `notes` is told.
    """
    reader = _Reader(text.removeprefix("\ufeff"), file)
    reader.skip()
    if reader.at_end:
        raise reader.error("a value is expected, and the file has none", 'Like [{:type "single" :container "name"}].')
    value = reader.value(0)
    reader.skip()
    if notes is not None and not reader.at_end:
        notes.append(f"{reader.place()}: what follows the first value is not read, as in Janet; are brackets missing?")
    return value


class _Reader:
    """A place in the text."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file, self.position = text, file, 0

    @property
    def at_end(self) -> bool:
        return self.position >= len(self.text)

    @property
    def next(self) -> str:
        return self.text[self.position : self.position + 1]

    def error(self, what: str, next_step: str = "", position: int | None = None) -> ProjectError:
        return ProjectError(what, where=self.place(position), next_step=next_step)

    def place(self, position: int | None = None) -> str:
        """File, line and column, of where the reader is if nothing is given."""
        at = self.position if position is None else position
        place = f"line {self.text.count(chr(10), 0, at) + 1}, column {self.column(at)}"
        return f"{self.file}, {place}" if self.file else place

    def column(self, position: int) -> int:
        """Counted from 1."""
        return position - self.text.rfind("\n", 0, position)

    def skip(self) -> None:
        """Over white space and comments."""
        while not self.at_end:
            if self.next == "#":
                end = self.text.find("\n", self.position)
                self.position = len(self.text) if end < 0 else end
            elif self.next in _WHITE:
                self.position += 1
            else:
                return

    def value(self, depth: int) -> Value:
        """The value that begins here."""
        if depth > DEPTH:
            raise self.error(f"values are nested deeper than {DEPTH}", "Is there a bracket too many?")
        char = self.next
        if char in _CLOSING:
            return self._collection(depth, mutable=False)
        if char == '"':
            return _text(self._string())
        if char == "`":
            return _text(self._long_string())
        if char == "@":
            follows = self.text[self.position + 1 : self.position + 2]
            if follows in _CLOSING:
                self.position += 1
                return self._collection(depth, mutable=True)
            if follows in ('"', "`"):
                self.position += 1
                return self._string() if follows == '"' else self._long_string()
        token = _TOKEN.match(self.text, self.position)
        if token:
            return self._token(token[0])
        raise self._unexpected(char)

    def _unexpected(self, char: str) -> ProjectError:
        if char == ",":
            return self.error("a value is expected, and a comma is none", "Separate values by white space alone.")
        if char in _READER_MACROS:
            return self.error(f"a value is expected; {char!r} ({_READER_MACROS[char]}) is code, not data")
        if char in ")]}":
            return self.error(f"a value is expected, and {char!r} closes nothing that was opened")
        return self.error(f"a value is expected, not {char!r}")

    def _collection(self, depth: int, *, mutable: bool) -> Value:
        opened, opening = self.position, self.next
        closing = _CLOSING[opening]
        items = []
        self.position += 1
        while True:
            self.skip()
            if self.at_end:
                raise self.error(f"{closing!r} is expected: {opening!r} was never closed", position=opened)
            if self.next == closing:
                break
            if self.next in ")]}":
                raise self.error(f"{closing!r} or a value is expected, not {self.next!r}")
            items.append(self.value(depth + 1))
        if opening == "{" and len(items) % 2:
            raise self.error("a value is expected after the last key: a struct holds keys and values in pairs")
        self.position += 1
        if opening == "{":
            return Struct(tuple(zip(items[::2], items[1::2], strict=True)))
        return items if mutable and opening in "[(" else tuple(items)

    def _string(self) -> bytes:
        opened = self.position
        self.position += 1
        parts: list[bytes] = []
        while True:
            plain = self.position
            while not self.at_end and self.next not in '"\\':
                self.position += 1
            # Janet leaves out the newlines of a string in quotation marks.
            parts.append(_bytes(self.text[plain : self.position].replace("\n", "").replace("\r", "")))
            if self.at_end:
                raise self.error("'\"' is expected: the string was never closed", position=opened)
            if self.next == '"':
                self.position += 1
                return b"".join(parts)
            parts.append(self._escape())

    def _escape(self) -> bytes:
        char = self.text[self.position + 1 : self.position + 2]
        if char in _ESCAPES:
            self.position += 2
            return bytes([_ESCAPES[char]])
        count = _HEX_ESCAPES.get(char, 0)
        digits = self.text[self.position + 2 : self.position + 2 + count]
        if count == 0 or not re.fullmatch(f"[0-9a-fA-F]{{{count}}}", digits):
            expected = f"{count} hexadecimal digits" if count else r"\n \t \r \0 \" \\ \xHH or \uHHHH"
            raise self.error(f"{expected} are expected here" if count else f"an escape is expected: {expected}")
        code = int(digits, 16)
        if code > 0x10FFFF:
            raise self.error(r"a code point up to \U10FFFF is expected here")
        self.position += 2 + count
        return bytes([code]) if char == "x" else chr(code).encode("utf-8", "surrogatepass")

    def _long_string(self) -> bytes:
        opened = self.position
        while self.next == "`":
            self.position += 1
        fence = self.text[opened : self.position]
        # It ends with the first run that is long enough, and after just as many.
        end = self.text.find(fence, self.position)
        if end < 0:
            raise self.error(f"{fence} is expected: the long string was never closed", position=opened)
        content = self.text[self.position : end]
        self.position = end + len(fence)
        return _bytes(_dedented(content, self.column(opened) - 1))

    def _token(self, token: str) -> Value:
        if token.startswith(":"):
            self.position += len(token)
            return Keyword(token[1:])
        if len(token) > _LONGEST_NUMBER and token.lstrip("+-")[:1].isdigit():
            raise self.error(f"a number of at most {_LONGEST_NUMBER} characters is expected")
        number = _number(token) if len(token) <= _LONGEST_NUMBER else None
        if number is not None:
            self.position += len(token)
            return number
        if token[0] in "0123456789":
            raise self.error(f"a number is expected, and {token[:40]!r} is none")
        self.position += len(token)
        words = {"nil": None, "true": True, "false": False}
        return words[token] if token in words else Symbol(token)


def _number(token: str) -> int | float | None:
    """None where the token is no number."""
    found = _NUMBER.fullmatch(token)
    if not found or not token.isascii():
        return None
    sign, prefix, body = found.groups()
    base = 10 if not prefix else 16 if prefix == "0x" else int(prefix[:-1])
    # `e` is a digit in many bases; `&` is none in any.
    mantissa, mark, exponent = _partition(body, "[eE&]" if base == 10 else "&")
    whole, point, part = mantissa.partition(".")
    digits = _digits(whole + part, base)
    power = _digits(exponent.removeprefix("-").removeprefix("+"), base) if mark else 0
    if digits is None or power is None:
        return None
    value: int | float = digits
    if point or mark:
        power = min(power, 100_000) * (-1 if exponent.startswith("-") else 1)
        value = _scaled(digits, base, power - len(part.replace("_", "")))
    return -value if sign == "-" else value


def _partition(text: str, mark: str) -> tuple[str, str, str]:
    before, *rest = re.split(f"({mark})", text, maxsplit=1)
    return (before, rest[0], rest[1]) if rest else (before, "", "")


def _digits(text: str, base: int) -> int | None:
    plain = text.replace("_", "")
    if not 2 <= base <= 36 or not plain.isalnum() or text.startswith("_"):
        return None
    try:
        return int(plain, base)
    except ValueError:
        return None


def _scaled(digits: int, base: int, power: int) -> float:
    """digits * base ** power, rounded once; beyond the range of a double it is infinite or zero, as in Janet."""
    if base == 10:
        return float(f"{digits}e{power}")
    if abs(power) > 5000:
        return float("inf") if power > 0 and digits else 0.0
    try:
        return float(digits * Fraction(base) ** power)
    except OverflowError:
        return float("inf")


def _dedented(text: str, indent: int) -> str:
    """A long string without its indentation, where every line has it, and without one newline at either end."""
    lines = text.split("\n")
    if all(not line[:indent].rstrip("\r").strip(" ") for line in lines[1:]):
        lines[1:] = [
            line[indent:] if len(line) > indent else line[len(line) - line.endswith("\r") :] for line in lines[1:]
        ]
        text = "\n".join(lines)
    for newline in ("\r\n", "\n"):
        if text.startswith(newline):
            text = text[len(newline) :]
            break
    for newline in ("\r\n", "\n"):
        if text.endswith(newline):
            return text[: -len(newline)]
    return text


def _bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def walk(value: Value) -> Iterator[Value]:
    """What a sequence holds, sequences in it opened likewise; anything else alone."""
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from walk(item)
    else:
        yield value
