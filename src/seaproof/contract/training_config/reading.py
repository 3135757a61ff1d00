"""Reads one level of a config, remembering every mistake and where it is, so that a user sees them all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from seaproof.contract.training_config.names import PLACES, did_you_mean

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """One mistake: the keys that lead to it, what is wrong, and what to do."""

    path: Path
    what: str
    next_step: str = ""

    def __str__(self) -> str:
        return f"{self.what.rstrip('.')}. {self.next_step}" if self.next_step else self.what


class Reader:
    """One table of a config. What cannot be used is put down as a problem, and its default taken."""

    def __init__(self, values: Mapping[str, Any], problems: list[Problem], path: Path = ()) -> None:
        self._values, self._problems, self._path = values, problems, path
        self._known: list[str] = []

    def __contains__(self, key: str) -> bool:
        return self._values.get(key) is not None

    def problem(self, key: str, what: str, next_step: str = "", *more: str | int) -> None:
        """Put down a mistake at `key`, or deeper."""
        path = (*self._path, key, *more) if key else self._path
        self._problems.append(Problem(path, what, next_step))

    def raw(self, key: str) -> Any:
        """The value as it stands there; None where it is left out or empty."""
        self._known.append(key)
        return self._values.get(key)

    def text(self, key: str, default: str = "") -> str:
        """A single value, as the text it was written as."""
        value = self.raw(key)
        if value is None:
            return default
        if isinstance(value, (dict, list)):
            self.problem(key, f"`{key}` is {_kind(value)}, and should be a single word or number")
            return default
        return as_text(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of single values; one alone counts as a list of one."""
        value = self.raw(key)
        if value is None:
            return ()
        items = value if isinstance(value, list) else [value]
        for place, item in enumerate(items):
            if isinstance(item, (dict, list)) or item is None:
                self.problem(key, f"`{key}` should be a list of words; {_kind(item)} stands in it", "", place)
                return ()
        texts = [as_text(item) for item in items]
        for place, item in enumerate(texts):
            if item in texts[:place]:
                self.problem(key, f"`{item}` stands twice in `{key}`", "Take one of them out.", place)
        return tuple(texts)

    def choice(self, key: str, known: Iterable[str], default: str = "") -> str:
        """One of the known words."""
        word = self.text(key, default)
        known = list(known)
        if word in known or word == default:
            return word
        self.problem(key, f"`{word}` is no {key}", did_you_mean(word, known) or f"It can be {', '.join(known)}.")
        return default

    def number(self, key: str, default: float, low: float, high: float, words: str) -> float:
        """A number from low to high; `words` says what is expected."""
        value = self.raw(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            self.problem(key, f"`{key}` is {value!r}", f"It should be {words}.")
            return default
        return value

    def whole(self, key: str, default: int, low: int, high: int, words: str) -> int:
        """A whole number from low to high."""
        value = self.number(key, default, low, high, words)
        if value != int(value):
            self.problem(key, f"`{key}` is {value!r}", f"It should be {words}.")
            return default
        return int(value)

    def flag(self, key: str, default: bool | None) -> bool | None:
        """true or false."""
        value = self.raw(key)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.problem(key, f"`{key}` is {value!r}", "It should be true or false.")
        return default

    def table(self, key: str, shorthand: str = "") -> Reader:
        """A table below; with `shorthand`, a single value there stands for that key of it."""
        value = self.raw(key)
        if value is None:
            value = {}
        elif not isinstance(value, dict) and shorthand and not isinstance(value, list):
            value = {shorthand: value}
        elif not isinstance(value, dict):
            self.problem(key, f"`{key}` is {_kind(value)}, and should be a table of names and values")
            value = {}
        return Reader(value, self._problems, (*self._path, key))

    def mapping(self, key: str) -> dict[str, Any]:
        """A table that is passed on as it is."""
        return dict(self.table(key)._values)

    def done(self) -> None:
        """Put down every key that nobody asked for."""
        where = f" below `{'.'.join(map(str, self._path))}`" if self._path else ""
        for key in self._values:
            if key not in self._known:
                hint = did_you_mean(str(key), self._known) or f"What can stand here: {', '.join(self._known)}."
                place = PLACES.get(str(key), "")
                if place and self._path[:1] != (place,):
                    hint = f"It stands below `{place}`."
                self.problem(str(key), f"nothing is known by the name `{key}`{where}", hint)


def as_text(value: Any) -> str:
    """A single value as the text that it was written as."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "a table"
    return "a list" if isinstance(value, list) else "nothing" if value is None else repr(value)
