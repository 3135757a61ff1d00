"""Whatever a request holds, the answer is an answer or an error of the API: never a mistake of ours."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seaproof.api import operations, spec, wire
from seaproof.control.plane import Plane
from seaproof.errors import ServiceError

OPERATIONS = (
    "CreateModel",
    "DescribeModel",
    "ListModels",
    "DeleteModel",
    "CreateEndpointConfig",
    "DescribeEndpointConfig",
    "ListEndpointConfigs",
    "DeleteEndpointConfig",
    "AddTags",
    "ListTags",
    "DeleteTags",
    "ListTrainingJobs",
    "ListEndpoints",
    "DescribeTrainingJob",
    "DescribeEndpoint",
)
ARN = "arn:aws:sagemaker:us-east-1:000000000000:model/"
TEXTS = ("", "a", "b", "A-b", "s3://bucket/a", "s3://bucket/../a", "s3://bucket/", "s3:///", f"{ARN}a", ARN, "é", "\0")


def values(shape: Any, depth: int = 4) -> st.SearchStrategy[Any]:
    """Values that fit a shape more often than not."""
    kind = shape.type_name
    if kind == "structure" and depth:
        members = {name: values(member, depth - 1) for name, member in shape.members.items()}
        required = {name: members.pop(name) for name in shape.required_members}
        few = dict(list(members.items())[:12])
        return st.fixed_dictionaries(required, optional=few)
    if kind == "list":
        return st.lists(values(shape.member, depth - 1), max_size=2)
    if kind == "map":
        return st.dictionaries(st.sampled_from(TEXTS), values(shape.value, depth - 1), max_size=2)
    if kind == "string":
        return st.sampled_from([*shape.metadata["enum"][:3], "?"] if "enum" in shape.metadata else TEXTS)
    if kind == "boolean":
        return st.booleans()
    if kind in ("integer", "long"):
        return st.sampled_from([0, 1, 50, 100, 2**40])
    return st.sampled_from([0.0, 1.5, 1e300, -1, "x", None])


REQUESTS = {operation: values(spec.input_shape(operation)) for operation in OPERATIONS}


@pytest.mark.parametrize("operation", OPERATIONS)
@settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_request_is_answered_or_refused(plane: Plane, operation: str, data: st.DataObject) -> None:
    operations.run(plane, "ListModels", {})
    request = data.draw(REQUESTS[operation])
    try:
        told = wire.json_answer(operations.run(plane, operation, request))
    except ServiceError as error:
        told = wire.json_error(error)

    assert told.status in (200, 400)
