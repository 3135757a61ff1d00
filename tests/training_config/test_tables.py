"""What a file holds, as columns to learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas
import pytest
from fitting_lab import run

from seaproof.contract.training_config.meaning import Data, read_config
from seaproof.errors import ContractError
from seaproof.training.tables import choose, read_files, typed

TEXT = """\
id, size ,colour,owned,code,empty,y
a1,1.5, red,true,007,,no
a2,NA,blue ,False,010,,yes
a3,?,,TRUE,007,,no
a4,-2e3,red,,011,,yes
"""


def columns(text: str, tmp_path: Path, **config: Any) -> tuple[dict[str, str], dict[str, list[Any]]]:
    """The types of the columns, and their cells, None for what is missing."""
    (tmp_path / "rows.csv").write_text(text)
    meant, problems = read_config({"target": "y", **config})
    assert problems == []
    frame = read_files([tmp_path / "rows.csv"], meant.data)
    chosen = choose(frame, meant)
    cells = typed(frame, chosen.fields)
    shown = {name: [None if cell != cell else cell for cell in cells[name].tolist()] for name in cells.columns}
    return {field.name: field.type for field in chosen.fields}, shown


def test_columns_are_typed_by_all_that_they_hold(tmp_path: Path) -> None:
    types, cells = columns(TEXT.replace(" size ", "size"), tmp_path, categorical=["code"])

    assert types == {"id": "str", "size": "float", "colour": "str", "owned": "bool", "code": "str"}
    assert cells["size"] == [1.5, None, None, -2000.0]
    assert cells["colour"] == ["red", "blue", None, "red"]
    assert cells["owned"] == [1.0, 0.0, 1.0, None]
    assert cells["code"] == ["007", "010", "007", "011"]


def test_columns_that_cannot_teach_anything_are_left_out_and_told(tmp_path: Path) -> None:
    header = '"",x,empty,Unnamed: 3,y\n'
    text = header + "".join(f"{number},{number % 7},NA,{number},{number % 2}\n" for number in range(40))
    (tmp_path / "rows.csv").write_text(text)
    config, _ = read_config({"target": "y"})
    frame = read_files([tmp_path / "rows.csv"], config.data)
    chosen = choose(frame, config)

    assert chosen.names == ["x"]
    assert [note.partition(":")[0] for note in chosen.notes[:1]] == ["`Unnamed"]
    assert chosen.notes[2] == "`empty` is left out: it is empty in every row"
    assert columns(text, tmp_path, features=["x", "Unnamed: 0"])[0] == {"x": "float", "Unnamed: 0": "float"}


def test_a_column_that_was_meant_to_be_one_of_numbers_is_told(tmp_path: Path) -> None:
    rows = [f'{number},{"-" if number == 3 else number},"{number},5",{number % 2}\n' for number in range(30)]
    (tmp_path / "rows.csv").write_text("n,dash,comma,y\n" + "".join(rows))
    config, _ = read_config({"target": "y"})
    notes = choose(read_files([tmp_path / "rows.csv"], config.data), config).notes

    dash = "nearly all of its cells are numbers, and `-` is none. List below `data.missing` what means: not known."
    comma = "its numbers have a decimal comma. Write them with a point."

    assert notes == (f"`dash` counts as categories: {dash}", f"`comma` counts as categories: {comma}")


def test_a_name_that_two_columns_have_fails_the_job(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("x,x,y\n1,2,3\n")

    with pytest.raises(ContractError, match="the column `x` is there twice"):
        read_files([tmp_path / "rows.csv"], Data())


def test_text_that_names_rows_is_left_out_unless_it_is_asked_for(tmp_path: Path) -> None:
    text = "id,x,y\n" + "".join(f"row-{number},{number},{number % 2}\n" for number in range(120))

    assert columns(text, tmp_path)[0] == {"x": "float"}
    assert columns(text, tmp_path, features=["id", "x"])[0] == {"id": "str", "x": "float"}


def test_what_counts_as_missing_can_be_said(tmp_path: Path) -> None:
    text = "a,b,y\n-999,none,1\n3,NA,0\n,x,1\n"
    types, cells = columns(text, tmp_path, data={"missing": ["-999", "none"]})

    assert types == {"a": "float", "b": "str"}
    assert cells == {"a": [None, 3.0, None], "b": [None, "NA", "x"]}


def test_a_parquet_file_is_the_same_table_as_the_csv_file(tmp_path: Path) -> None:
    frame = pandas.DataFrame(
        {"n": [1.0, None, 3.0], "flag": [True, False, True], "t": ["a", None, "b"], "y": [1, 2, 3]}
    )
    frame.to_parquet(tmp_path / "rows.parquet")
    frame.to_csv(tmp_path / "rows.csv", index=False)

    one = read_files([tmp_path / "rows.parquet"], Data())
    other = read_files([tmp_path / "rows.csv"], Data())
    config, _ = read_config({"target": "y"})

    assert choose(one, config) == choose(other, config)
    assert typed(one, choose(one, config).fields).equals(typed(other, choose(other, config).fields))


def test_files_of_one_channel_are_one_table_with_columns_in_any_order(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("y,x\n4,3\n")
    (tmp_path / "c.csv").write_text("y,z\n4,3\n")

    assert read_files([tmp_path / "a.csv", tmp_path / "b.csv"], Data()).to_numpy().tolist() == [["1", "2"], ["3", "4"]]
    with pytest.raises(ContractError, match=r"c\.csv has the columns `y`, `z`, and a\.csv has `x`, `y`"):
        read_files([tmp_path / "a.csv", tmp_path / "c.csv"], Data())


def test_a_test_row_of_another_type_is_named(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"row 4: `x` is 'many', and in the training rows a number"):
        run(tmp_path, {"target": "y", "features": ["x"]}, "x,y\n1,a\n2,b\n3,a\n", "x,y\nmany,a\n")
