"""A nested config as hyperparameters and back: SageMaker takes flat ones only, every value a text of 2,500 characters.

    {"model_params": {"depth": 6}, "features": ["a", "b"]}
    {"model_params.depth": "6", "features": "[\\"a\\", \\"b\\"]", "seaproof_config": "nested"}

Texts go as they are, unless they would be read back as something else; then, and for all else, JSON. Dots in names
are written `\\.`. A list that is too long goes on in `features#2`. The marker tells that a job is driven by a
config, and in which dialect: the SageMaker SDK encodes every value as JSON once more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from seaproof.contract.opt_ml import decode_hyperparameter
from seaproof.errors import ContractError

MARKER, NESTED = "seaproof_config", "nested"
VALUE_LENGTH = 2500
MOST = 100
_TARGETS = ("target", "data_params", "data_params.target")
_PIECE = re.compile(r"((?:\\.|[^\\#])+)#([1-9][0-9]*)", re.DOTALL)


def flatten(config: Mapping[str, Any]) -> dict[str, str]:
    """A config as hyperparameters; ContractError where SageMaker would not take it."""
    flat = {MARKER: NESTED}
    for path, value in _leaves(config, ()):
        name = ".".join(_escape(part) for part in path)
        for number, piece in enumerate(_pieces(name, value), 1):
            flat[name if number == 1 else f"{name}#{number}"] = piece
    if len(flat) > MOST:
        raise ContractError(
            f"the config comes to {len(flat)} hyperparameters, and SageMaker takes {MOST}",
            next_step="Leave out of model_params what is a default anyway.",
        )
    return flat


def unflatten(hyperparameters: Mapping[str, str]) -> dict[str, Any]:
    """The config that these hyperparameters hold, in either dialect, without what the SDK adds (`sagemaker_...`)."""
    own = {name: text for name, text in hyperparameters.items() if not name.startswith("sagemaker_")}
    decoded = {name: decode_hyperparameter(text) for name, text in own.items()}
    if _twice(own, decoded):
        decoded = {name: decode_hyperparameter(text) for name, text in decoded.items()}
    decoded.pop(MARKER, None)
    config: dict[str, Any] = {}
    for name in sorted(decoded, key=_order):
        path, number = _path(name)
        _put(config, path, decoded[name], number, name)
    return config


def is_nested(hyperparameters: Mapping[str, str]) -> bool:
    """Whether these hyperparameters were written by `flatten`, whatever became of them on the way."""
    return bool(decode_hyperparameter(hyperparameters.get(MARKER, "")) == NESTED)


def names_a_target(hyperparameters: Mapping[str, str]) -> bool:
    """Whether these hyperparameters, written by hand, may be a config."""
    return any(name in hyperparameters for name in _TARGETS)


def _twice(own: Mapping[str, str], decoded: Mapping[str, Any]) -> bool:
    """Whether texts that are hyperparameters already were encoded again, as the SDK does."""
    if MARKER in own:
        return own[MARKER] != NESTED
    return bool(own) and all(isinstance(value, str) and own[name] != value for name, value in decoded.items())


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping) and (value or not path):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, str(key)))
    else:
        yield path, value


def _pieces(name: str, value: Any) -> list[str]:
    text = _encode(value)
    if len(text) <= VALUE_LENGTH:
        return [text]
    if isinstance(value, (list, tuple)) and len(value) > 1:
        half = len(value) // 2
        return [*_pieces(name, value[:half]), *_pieces(name, value[half:])]
    raise ContractError(
        f"{name} has {len(text)} characters as a hyperparameter, and SageMaker takes {VALUE_LENGTH}",
        next_step="Make it shorter.",
    )


def _encode(value: Any) -> str:
    if isinstance(value, str) and value.isprintable() and value == decode_hyperparameter(value):
        return value
    return json.dumps(value)


def _escape(part: str) -> str:
    """One key, so that it is never taken for several, for a piece, or for what is not the config's."""
    if not part:
        return "\\0"
    escaped = re.sub(r"([\\.#])", r"\\\1", part)
    return f"\\{escaped}" if part.startswith(("sagemaker_", MARKER)) else escaped


def _path(name: str) -> tuple[list[str], int]:
    """The keys that a name stands for, and the number of its piece."""
    piece = _PIECE.fullmatch(name)
    if piece:
        name = piece.group(1)
    parts = re.findall(r"(?:\\.|[^.\\])+", name, re.DOTALL)
    keys = ["" if part == "\\0" else re.sub(r"\\(.)", r"\1", part, flags=re.DOTALL) for part in parts]
    return keys, int(piece.group(2)) if piece else 1


def _order(name: str) -> tuple[list[str], int]:
    return _path(name)


def _put(config: dict[str, Any], path: list[str], value: Any, number: int, name: str) -> None:
    for key in path[:-1]:
        config = config.setdefault(key, {})
        if not isinstance(config, dict):
            raise ContractError(f"{name} is given beside a value for {key}", where="hyperparameters.json")
    there = config.get(path[-1])
    if number > 1 and isinstance(there, list) and isinstance(value, list):
        there.extend(value)
    elif isinstance(there, dict) and isinstance(value, dict):
        there.update(value)
    else:
        config[path[-1]] = value
