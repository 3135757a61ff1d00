"""One TOML table that knows which keys were asked for: a misspelt one is found, and every mistake is named."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

from seaproof.errors import ProjectError


class Table:
    """One TOML table that remembers which keys were asked for, so that a misspelt one is found."""

    def __init__(self, values: Mapping[str, Any], file: str, path: str) -> None:
        self._values, self._file, self._path = dict(values), file, path
        self._asked: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def raw(self, key: str) -> Any:
        """The value as it stands there, or None."""
        return self._values.get(key)

    def take_out(self, but: Collection[str]) -> dict[str, Any]:
        """Remove all keys except these, and return them with their values, for who reads them otherwise."""
        taken = {key: value for key, value in self._values.items() if key not in but}
        self._values = {key: value for key, value in self._values.items() if key in but}
        return taken

    def names(self) -> list[str]:
        return list(self._values)

    def error(self, key: str, problem: str) -> ProjectError:
        return ProjectError(problem, where=f"{self._file}, {self._name(key)}", next_step="Change it there.")

    def table(self, key: str) -> Table:
        value = self._take(key, {})
        if not isinstance(value, dict):
            raise self.error(key, "a table is expected here")
        return Table(value, self._file, self._name(key))

    def text(self, key: str, default: str) -> str:
        value = self._take(key, default)
        if not isinstance(value, str):
            raise self.error(key, f"a text is expected here, not {value!r}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise self.error(key, f"true or false is expected here, not {value!r}")
        return value

    def count(self, key: str, default: int, *, least: int = 1) -> int:
        value = self._take(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.error(key, f"a whole number from {least} on is expected here, not {value!r}")
        return value

    def choice(self, key: str, default: str, choices: tuple[str, ...]) -> str:
        value = self.text(key, default)
        if value not in choices:
            close = difflib.get_close_matches(value.lower(), [choice.lower() for choice in choices], n=1)
            guess = next((choice for choice in choices if close == [choice.lower()]), "")
            listed = f"{value!r} is none of {', '.join(filter(None, choices))}"
            raise self.error(key, f"{listed}; did you mean {guess}?" if guess else listed)
        return value

    def tables(self, key: str) -> tuple[dict[str, Any], ...]:
        value = self._take(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.error(key, f"tables are expected here, each under [[{self._name(key)}]]")
        return tuple(value)

    def words(self, key: str) -> tuple[str, ...]:
        value = self._take(key, [])
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise self.error(key, f'a list of words is expected here, like ["python", "train.py"], not {value!r}')
        return tuple(value)

    def texts(self, key: str) -> dict[str, str]:
        """A table of scalars, each as SageMaker will see it: as text."""
        given = self.table(key)._values
        for name, value in given.items():
            if isinstance(value, (dict, list)):
                raise self.error(f"{key}.{name}", "a single value is expected here")
        return {name: str(v).lower() if isinstance(v, bool) else str(v) for name, v in given.items()}

    def rest(self) -> dict[str, Any]:
        self._asked.update(self._values)
        return dict(self._values)

    def done(self) -> None:
        unknown = sorted(set(self._values) - self._asked)
        if unknown:
            known = ", ".join(sorted(self._asked))
            close = difflib.get_close_matches(unknown[0], self._asked, n=1)
            raise ProjectError(
                f"nothing is known by the name {unknown[0]!r}",
                where=f"{self._file}, {self._path or 'top level'}",
                next_step=(f"Did you mean {close[0]}? " if close else "") + f"What can stand here: {known}.",
            )

    def _take(self, key: str, default: Any) -> Any:
        self._asked.add(key)
        return self._values.get(key, default)

    def _name(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key
