"""Tags: added, changed, listed, removed, limited."""

from __future__ import annotations

from typing import Any

import pytest

from seaproof.api.operations import run
from seaproof.control.plane import Plane
from seaproof.control.tags import list_tags
from seaproof.errors import ServiceError

ARN = "arn:aws:sagemaker:us-east-1:000000000000:model/m"


def tags(**values: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in values.items()]


def a_model(plane: Plane, **given: str) -> None:
    request = {"ModelName": "m", "PrimaryContainer": {"Image": "i"}, "Tags": tags(**given)}
    run(plane, "CreateModel", request)


def test_tags_come_with_a_resource_and_are_added_changed_and_removed(plane: Plane) -> None:
    a_model(plane, a="1", b="2")
    assert run(plane, "ListTags", {"ResourceArn": ARN}) == {"Tags": tags(a="1", b="2")}
    added = run(plane, "AddTags", {"ResourceArn": ARN, "Tags": tags(c="3", a="one")})
    assert added == {"Tags": tags(a="one", b="2", c="3")}
    assert run(plane, "DeleteTags", {"ResourceArn": ARN, "TagKeys": ["b", "nothing"]}) == {}

    assert run(plane, "ListTags", {"ResourceArn": ARN}) == {"Tags": tags(a="one", c="3")}


def test_a_resource_has_fifty_tags_at_most(plane: Plane) -> None:
    a_model(plane, **{f"k{number}": "v" for number in range(49)})
    with pytest.raises(ServiceError, match="would have 51 tags"):
        run(plane, "AddTags", {"ResourceArn": ARN, "Tags": tags(x="1", y="2")})
    run(plane, "AddTags", {"ResourceArn": ARN, "Tags": tags(x="1", k1="changed")})

    assert len(run(plane, "ListTags", {"ResourceArn": ARN})["Tags"]) == 50


def test_tags_come_in_pages_as_large_as_is_asked_for(plane: Plane) -> None:
    a_model(plane, **{f"k{number:02}": "v" for number in range(50)})
    whole = run(plane, "ListTags", {"ResourceArn": ARN, "MaxResults": 50})
    rest = run(plane, "ListTags", {"ResourceArn": ARN, "NextToken": "k39"})
    with pytest.raises(ServiceError, match="Invalid NextToken"):
        run(plane, "ListTags", {"ResourceArn": ARN, "NextToken": "x"})
    few = list_tags(plane, {"ResourceArn": ARN, "MaxResults": 40})

    assert (len(whole["Tags"]), "NextToken" in whole) == (50, False)
    assert [tag["Key"] for tag in rest["Tags"]] == [f"k{number}" for number in range(40, 50)]
    # The API takes no less than 50, which is all that a resource has.
    assert (len(few["Tags"]), few["NextToken"]) == (40, "k39")


@pytest.mark.parametrize(
    ("operation", "more"), [("AddTags", {"Tags": tags(a="1")}), ("ListTags", {}), ("DeleteTags", {"TagKeys": ["a"]})]
)
def test_a_resource_that_is_not_there_has_no_tags(plane: Plane, operation: str, more: dict[str, Any]) -> None:
    with pytest.raises(ServiceError, match="Could not find resource") as caught:
        run(plane, operation, {"ResourceArn": ARN, **more})

    assert caught.value.code == "ValidationException"


def test_the_name_in_an_arn_may_be_written_as_it_was_given(plane: Plane) -> None:
    a_model(plane, a="1")

    assert run(plane, "ListTags", {"ResourceArn": ARN.replace("/m", "/M")}) == {"Tags": tags(a="1")}
