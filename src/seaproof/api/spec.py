"""The API models of SageMaker as botocore ships them: the schema of every request and answer, loaded when needed."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from botocore import xform_name
from botocore.loaders import Loader
from botocore.model import ServiceModel

Shape = Any
"""A botocore.model.Shape: `type_name`, `members`, `required_members`, `metadata`, ..."""

_WORD = re.compile(r"[A-Z][a-z0-9]+")
_WORDS = re.compile(r"(?:[A-Z][a-z0-9]+)+")

CONTROL = "sagemaker"
RUNTIME = "sagemaker-runtime"


@cache
def service(name: str = CONTROL) -> ServiceModel:
    """The model of one service: the one that the installed botocore ships, whatever a user's ~/.aws/models holds."""
    data = Path(Loader.BUILTIN_DATA_PATH)
    loader = Loader(extra_search_paths=[str(data)], include_default_search_paths=False)
    return ServiceModel(loader.load_service_model(name, "service-2"), service_name=name)


@cache
def operations(name: str = CONTROL) -> dict[str, str]:
    """Every operation of a service: its name in boto3 -> its name in the API, such as create_model -> CreateModel."""
    return {_in_boto3(operation): operation for operation in service(name).operation_names}


def _in_boto3(operation: str) -> str:
    """As `xform_name`, which takes 60 ms for all of SageMaker's, a tenth of a start: plain words need less."""
    if _WORDS.fullmatch(operation):
        return "_".join(_WORD.findall(operation)).lower()
    return str(xform_name(operation))


def input_shape(operation: str, name: str = CONTROL) -> Shape | None:
    """The shape of a request; None for an operation that takes nothing."""
    return service(name).operation_model(operation).input_shape


def output_shape(operation: str, name: str = CONTROL) -> Shape | None:
    """The shape of an answer; None for an operation that answers nothing."""
    return service(name).operation_model(operation).output_shape
