"""The table of variables in docs/serving.md says what contract/environ.py reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from seaproof.contract import environ
from seaproof.contract.environ import ModelEnviron, ServingEnviron
from seaproof.errors import ContractError
from seaproof.http.server import ServerLimits

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (`[A-Z_`, ]+`) \|(.*?)\| (.+) \|$", re.MULTILINE)


def rows() -> list[tuple[list[str], str]]:
    """The names in each row of the table, and their default."""
    page = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    table = page.partition("## Variables of the container")[2]
    return [(re.findall(r"`([A-Z_]+)`", names), default.strip()) for names, default, _ in ROW.findall(table)]


def test_every_variable_has_a_row_and_every_row_a_variable() -> None:
    source = Path(environ.__file__).read_text(encoding="utf-8")
    read = set(re.findall(r'"([A-Z]{3,}(?:_[A-Z]+)+)"', source))

    assert len(read) > 20
    assert {name for names, _ in rows() for name in names} == read


def test_names_of_one_row_stand_in_the_order_in_which_they_are_tried() -> None:
    several = [tuple(names) for names, _ in rows() if len(names) > 1]

    assert several == [environ.WORKERS, environ.TIMEOUT]


@pytest.mark.parametrize(("name", "default"), [(name, default) for names, default in rows() for name in names])
def test_a_default_is_that_of_the_code(name: str, default: str) -> None:
    """A variable that takes a number says its default where it is given none."""
    limit = ServerLimits().body_bytes // 2**20
    others = {
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": f"{limit}",
        "SAGEMAKER_BASE_DIR": ServingEnviron.read({}).base_dir,
        "SEAPROOF_LOAD": "worker" if ServingEnviron.read({}).load_after_fork else "master",
        "SEAPROOF_ACCESS_LOG": ServingEnviron.read({}).access_log,
        "SEAPROOF_OUTPUT": ModelEnviron.read({}).output,
        "SEAPROOF_NO_PICKLE": str(ModelEnviron.read({}).no_pickle).lower(),
        "SAGEMAKER_MULTI_MODEL": str(ServingEnviron.read({}).multi_model).lower(),
    }
    try:
        ServingEnviron.read({name: "no number"})
        ModelEnviron.read({name: "no number"})
    except ContractError as error:
        said = re.search(r"for the default of ([0-9.]+)\.$", error.next_step)
        expected = others.get(name) or (said.group(1) if said else "")
        assert default == ("CPUs" if name in environ.WORKERS else expected)
    else:
        assert default == others.get(name, default)
        assert not default.isdigit()
