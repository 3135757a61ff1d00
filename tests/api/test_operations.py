"""Dispatch: every operation is found by its name, and one that is not there is named."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from botocore import xform_name

from seaproof import control
from seaproof.api import operations, spec
from seaproof.errors import ServiceError


def test_each_operation_is_defined_once_in_the_control_modules() -> None:
    names = spec.operations()
    defined: Counter[str] = Counter()
    for path in Path(next(iter(control.__path__))).rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        defined.update(node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in names)

    assert {name: count for name, count in defined.items() if count > 1} == {}
    assert sorted(names[name] for name in defined) == operations.supported()


def test_what_is_supported_is_sorted_and_has_what_this_part_brings() -> None:
    supported = operations.supported()

    assert supported == sorted(supported)
    assert {"CreateModel", "DescribeModel", "ListModels", "DeleteModel", "AddTags", "ListTags", "DeleteTags"} <= set(
        supported
    )


def test_an_operation_that_is_not_there_is_named_with_a_next_step(plane: object) -> None:
    with pytest.raises(ServiceError, match="does not have the operation CreateFeatureGroup") as absent:
        operations.run(plane, "CreateFeatureGroup", {})  # type: ignore[arg-type]
    with pytest.raises(ServiceError, match="SageMaker has no operation 'CreateModl'") as unknown:
        operations.run(plane, "CreateModl", {})  # type: ignore[arg-type]

    assert (absent.value.code, absent.value.status) == ("UnknownOperationException", 501)
    assert (unknown.value.code, unknown.value.status) == ("UnknownOperationException", 400)


def test_the_client_is_light() -> None:
    code = "import sys, seaproof.api.client; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = {
        "seaproof",
        "seaproof.api",
        "seaproof.api.client",
        "seaproof.contract",
        "seaproof.contract.http",
        "seaproof.errors",
    }

    assert {name for name in done.stdout.split() if name.startswith(("seaproof", "boto", "httptools"))} == ours


@pytest.mark.parametrize("service", ["sagemaker", "sagemaker-runtime", "s3", "logs", "iam", "sns", "ecr"])
def test_operations_have_the_names_that_boto3_gives_them(service: str) -> None:
    names = spec.service(service).operation_names

    assert spec.operations(service) == {xform_name(name): name for name in names}
