"""Python code that comes with a model, imported from its file."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from seaproof.errors import ContractError


def imported(path: Path) -> Any:
    """The module of this file, its folder first on sys.path; what it raises passes through."""
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ContractError("it is no Python file", where=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
