"""Training files as a table: every cell read as it is written, then typed by what the whole column holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seaproof.contract.training_config.columns import (
    check_columns,
    check_twice,
    features_of,
    is_unnamed,
    listed,
    named,
    set_apart,
)
from seaproof.contract.training_config.meaning import Data, TrainingConfig
from seaproof.contract.training_config.reading import Problem
from seaproof.errors import ContractError
from seaproof.formats.schema import Field
from seaproof.training.libraries import need

Frame = Any
"""A pandas DataFrame: float64 with NaN for numbers, objects of str with NaN for categories."""
Series = Any

_FLAGS = {"true": 1.0, "false": 0.0}
_ALIKE = 0.5
"""A column of text with more different values than this share of its rows names rows, and teaches nothing."""
_FEW = 50
"""So many different texts are categories in any case."""
_SOME, _MOST = 10, 0.8
"""From so many different texts on, of which so large a share are numbers, a column was meant to be one of numbers."""
_DECIMAL_COMMA = r"-?\d+,\d+"
PARQUET = (".parquet", ".pq")


@dataclass(frozen=True)
class Columns:
    """What is learned from, and what was left out."""

    fields: tuple[Field, ...]
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """The names, in the order of the model's input."""
        return [field.name for field in self.fields]


def refuse(problems: Sequence[Problem]) -> None:
    """ContractError with the problems of a config, where there are any."""
    if problems:
        where = ".".join(map(str, problems[0].path))
        more = "".join(f"\n{problem}" for problem in problems[1:])
        raise ContractError(f"{problems[0]}{more}", where=f"config, {where}" if where else "config")


def read_files(files: Sequence[Path], data: Data) -> Frame:
    """The rows of all files as objects of str, NaN where a cell is missing; ContractError names what cannot be read."""
    pandas = need("pandas")
    frames = [_read(file, data) for file in files]
    first = frames[0]
    for file, frame in zip(files[1:], frames[1:], strict=True):
        if set(frame.columns) != set(first.columns):
            raise ContractError(
                f"{file.name} has the columns {listed(list(frame.columns))}, and {files[0].name} has "
                f"{listed(list(first.columns))}",
                where=str(file.parent),
                next_step="Files of one channel are one table; give them the same columns.",
            )
    return pandas.concat(frames, ignore_index=True) if len(frames) > 1 else first


def _read(file: Path, data: Data) -> Frame:
    pandas = need("pandas")
    try:
        if file.suffix.lower() in PARQUET:
            return _as_text(pandas.read_parquet(file))
        how = {
            "sep": data.separator,
            "dtype": object,
            "keep_default_na": False,
            "encoding": "utf-8-sig",
            "index_col": False,
            "low_memory": False,
        }
        missing = list(data.missing)
        frame = pandas.read_csv(file, header=0 if data.header else None, na_values=missing, **how)
        # As they stand there: pandas calls the second of two `age` another name.
        header = pandas.read_csv(file, header=None, nrows=1, **how).iloc[0].tolist() if data.header else []
    except (ValueError, OSError, ImportError) as error:
        raise ContractError(f"{file.name} cannot be read: {str(error).strip()}", where=str(file.parent)) from None
    if not data.header:
        if data.columns and len(data.columns) != len(frame.columns):
            raise ContractError(
                f"`columns` has {len(data.columns)} names, and {file.name} has {len(frame.columns)} columns",
                where="config, data.columns",
            )
        frame.columns = list(data.columns) or [str(number) for number in range(len(frame.columns))]
    if len(header) == len(frame.columns):
        frame.columns = named(header)
    frame.columns = [str(name) for name in frame.columns]
    refuse(check_twice(list(frame.columns)))
    return _stripped(frame, data)


def _stripped(frame: Frame, data: Data) -> Frame:
    """Without blanks around cells, which spreadsheets leave."""
    pandas, numpy = need("pandas"), need("numpy")
    missing = set(data.missing)
    columns = {}
    for name in frame.columns:
        # Each different text is looked at once; the last code, -1, is that of a missing cell.
        codes, texts = pandas.factorize(frame[name])
        plain = [str(text).strip() for text in texts]
        cells = numpy.array([numpy.nan if text in missing else text for text in plain] + [numpy.nan], dtype=object)
        columns[name] = cells[codes]
    return pandas.DataFrame(columns, dtype=object)


def _as_text(frame: Frame) -> Frame:
    """A typed table as the text that a CSV file would hold."""
    for name in frame.columns:
        cells = frame[name].tolist()
        frame[name] = _objects([float("nan") if cell is None or cell != cell else _text(cell) for cell in cells])
    frame.columns = [str(name) for name in frame.columns]
    return frame


def _text(cell: Any) -> str:
    if isinstance(cell, bool):
        return str(cell).lower()
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def _objects(cells: list[Any]) -> Series:
    return need("pandas").Series(cells, dtype=object)


def choose(frame: Frame, config: TrainingConfig) -> Columns:
    """The columns to learn from, with their types; ContractError where the config names others."""
    refuse(check_columns(config, list(frame.columns)))
    names = features_of(config, list(frame.columns))
    fields: list[Field] = []
    notes = [
        f"`{name}` is left out: a column without a name numbers the rows. List it in `features` to have it after all."
        for name in frame.columns
        if is_unnamed(name) and name not in {*names, *set_apart(config)}
    ]
    for name in names:
        field, note = _field(frame[name], name, config)
        if note:
            notes.append(note)
        if field:
            fields.append(field)
    if not fields:
        raise ContractError(
            "no column is left to learn from", where="config, features", next_step=" ".join(notes) or "Name some."
        )
    return Columns(tuple(fields), tuple(notes))


def _field(cells: Series, name: str, config: TrainingConfig) -> tuple[Field | None, str]:
    known = cells.dropna()
    texts = need("pandas").Series(known.unique(), dtype=object)
    if name not in config.categorical:
        if known.empty:
            return None, f"`{name}` is left out: it is empty in every row"
        if len(texts) <= 2 * len(_FLAGS) and texts.str.lower().isin(_FLAGS).all():
            return Field(name, "bool"), ""
        if _numbers(texts).notna().all():
            return Field(name, "float"), ""
    different = len(texts)
    named = name in config.categorical or name in config.features
    if not named and different > _FEW and different > _ALIKE * len(known):
        return None, (
            f"`{name}` is left out: {different} different texts in {len(known)} rows name rows and teach nothing "
            "about others. List it in `features` to have it all the same."
        )
    return Field(name, "str"), _almost_numbers(texts, name) if name not in config.categorical else ""


def _almost_numbers(texts: Series, name: str) -> str:
    """What to say of a column of categories that was most likely meant to be one of numbers; or nothing."""
    numbers = _numbers(texts).notna()
    odd = texts[~numbers]
    if len(texts) >= _SOME and numbers.mean() >= _MOST:
        none = "is none" if len(odd) == 1 else "are none"
        return (
            f"`{name}` counts as categories: nearly all of its cells are numbers, and {listed(odd.tolist())} {none}. "
            "List below `data.missing` what means: not known."
        )
    if len(texts) >= _SOME and odd.str.fullmatch(_DECIMAL_COMMA).mean() >= _MOST:
        return f"`{name}` counts as categories: its numbers have a decimal comma. Write them with a point."
    return ""


def typed(frame: Frame, fields: Sequence[Field]) -> Frame:
    """These columns of a table, as their types say; ContractError where a cell is no such thing."""
    columns = {}
    for field in fields:
        cells = frame[field.name].reset_index(drop=True)
        columns[field.name] = cells if field.type == "str" else _typed_numbers(cells, field)
    return need("pandas").DataFrame(columns)


def _typed_numbers(cells: Series, field: Field) -> Series:
    if field.type == "bool":
        cells = cells.map(lambda cell: _FLAGS.get(cell.lower(), cell) if isinstance(cell, str) else cell)
    numbers = _numbers(cells)
    wrong = cells[numbers.isna() & cells.notna()]
    if len(wrong):
        raise ContractError(
            f"row {wrong.index[0] + 1}: `{field.name}` is {wrong.iloc[0]!r}, and in the training rows a number",
            next_step="Correct the file, or list the column in `categorical`.",
        )
    return numbers.astype("float64")


def _numbers(cells: Series) -> Series:
    pandas, numpy = need("pandas"), need("numpy")
    return pandas.to_numeric(cells, errors="coerce").replace([numpy.inf, -numpy.inf], numpy.nan)


def with_categories(fields: Sequence[Field], frame: Frame) -> tuple[Field, ...]:
    """The fields, those of text with the categories that these rows hold, in sorting order."""
    return tuple(
        replace(field, categories=tuple(sorted(frame[field.name].dropna().unique()))) if field.type == "str" else field
        for field in fields
    )
