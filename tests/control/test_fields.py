"""Which fields are honoured, ignored and refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from seaproof.control import fields
from seaproof.control.store import Store
from seaproof.errors import ServiceError

IMPLEMENTED = ("Name", "Container.{Image,Environment}", "Variants.Name", "Tags")
IGNORED = ("Vpc", "Container.Vpc", "Variants.Volume")


def test_fields_with_behaviour_pass_and_ignored_ones_are_listed() -> None:
    request = {
        "Name": "a",
        "Container": {"Image": "i", "Environment": {"ANY": "thing"}, "Vpc": {"Subnets": ["s"]}},
        "Variants": [{"Name": "x"}, {"Name": "y", "Volume": 3}],
        "Tags": [{"Key": "k", "Value": "v"}],
        "Vpc": {"Subnets": ["s"]},
    }

    assert fields.check("create_thing", request, IMPLEMENTED, IGNORED) == ["Container.Vpc", "Variants.Volume", "Vpc"]


def test_every_field_in_neither_table_is_refused_by_name() -> None:
    request = {"Name": "a", "Other": 1, "Container": {"Image": "i", "Mode": "x"}, "Variants": [{"Speed": 0}]}
    with pytest.raises(ServiceError) as caught:
        fields.check("create_big_thing", request, IMPLEMENTED, IGNORED)

    assert caught.value.code == "ValidationException"
    assert caught.value.message == (
        "seaproof does not have these fields of CreateBigThing: Container.Mode, Other, Variants.Speed."
        " Leave them out here, or send the request to AWS."
    )


def test_a_value_that_asks_for_nothing_is_neither_refused_nor_listed() -> None:
    request = {"Name": "a", "Spot": False, "List": [], "Map": {}, "Text": "", "Gone": None, "Vpc": {}}

    assert fields.check("create_thing", request, IMPLEMENTED, IGNORED) == []


def test_what_is_ignored_is_an_event(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    fields.note(store, "model", "m", [])
    fields.note(store, "model", "m", ["Vpc", "Container.Vpc"])
    events = [event.event for event in store.events("model", "m")]
    store.close()

    assert events == [{"type": "FieldsIgnored", "message": "recorded, without effect here: Vpc, Container.Vpc"}]
