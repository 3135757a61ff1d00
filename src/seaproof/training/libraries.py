"""The libraries that training from a config needs, imported when they are; a missing one is named as pip calls it."""

from __future__ import annotations

import importlib
from typing import Any

from seaproof.errors import ContractError

_PACKAGES = {"sklearn": "scikit-learn"}


def need(module: str) -> Any:
    """A module by its dotted name; ContractError where the image has none."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        top = module.partition(".")[0]
        if error.name != top:
            raise
        package = _PACKAGES.get(top, top)
        raise ContractError(
            f"training from a config needs the package {package}, and it is not installed",
            where="image",
            next_step=f"Install it: pip install {package}. Nothing is installed when a container starts.",
        ) from None
    except OSError as error:  # a shared library of the system's that the package counts on
        raise ContractError(
            f"the package {module} is installed and cannot be loaded: {error}",
            where="image",
            next_step="Add the system's library to the image; libgomp.so.1 is in Debian's package libgomp1.",
        ) from None
