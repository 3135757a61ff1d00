"""PyTorch: TorchScript, an exported program, or safetensors with the code of the module beside them.

None of them is a pickle that could run code of a stranger's; a bare `torch.save` file is, and is not served.
A model that has a schema.json takes its columns, in order, as one float32 tensor; one without takes whatever array it
is sent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from seaproof.errors import ContractError
from seaproof.formats.code import imported
from seaproof.formats.identity import REGRESSION, classification, completed, numbered
from seaproof.formats.model import Options, Rows, is_numeric, labels
from seaproof.formats.schema import Field, Schema

CODE = ("code/model.py", "model.py")


def load_script(path: Path, options: Options) -> Torch:
    """TorchScript, as torch.jit.save writes it."""
    return _model(torch.jit.load(str(path), map_location=_device()), path)


def load_exported(path: Path, options: Options) -> Torch:
    """An exported program, as torch.export.save writes it."""
    return _model(torch.export.load(str(path)).module().to(_device()), path, trained=False)


def load_safetensors(path: Path, options: Options) -> Torch:
    """Weights, and the code beside them: `build()` in code/model.py gives the module that they belong to."""
    from safetensors.torch import load_file

    code = next((path.parent / name for name in CODE if (path.parent / name).is_file()), None)
    if code is None:
        raise ContractError(
            f"{path.name} holds weights only, and there is no {' or '.join(CODE)} beside it",
            where=str(path),
            next_step="Define build() there, which returns the torch.nn.Module that the weights belong to.",
        )
    build = getattr(imported(code), "build", None)
    if not callable(build):
        raise ContractError(
            "it defines no build", where=str(code), next_step="Define build(), which returns the torch.nn.Module."
        )
    module = build()
    try:
        module.load_state_dict(load_file(str(path)))
    except RuntimeError as error:
        raise ContractError(
            f"the weights of {path.name} are not those of build(): {' '.join(str(error).split())[:300]}",
            where=str(code),
            next_step="Build the module that was saved.",
        ) from None
    return _model(module.to(_device()), path)


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _model(module: Any, path: Path, *, trained: bool = True) -> Torch:
    if trained:
        module.eval()  # an exported program is that already, and refuses to be told
    schema = completed(Schema("", (), ()), path)
    if not is_numeric(schema):
        raise ContractError(
            "it has columns of text, and a tensor has no place for them",
            where=str(path.parent / "schema.json"),
            next_step="Serve it with an inference.py whose input_fn encodes them.",
        )
    return Torch(module, schema)


class Torch:
    """One loaded module."""

    explain = None

    def __init__(self, module: Any, schema: Schema) -> None:
        self._module = module
        # Asked once: torch looks for a driver anew each time.
        self._device = _device()
        self.schema = schema
        if schema.input:
            # How many values it gives for a row is known when it has given some.
            width = _width(self._run(np.zeros((1, len(schema.input)))))
            self.schema = Schema(schema.id, schema.input, _outputs(schema, width), schema.target, schema.classes)

    def predict(self, rows: Rows) -> Any:
        """What the module returns: its tensor as an array, one row for each row."""
        said = self._run(rows)
        return said[:, 0] if said.ndim == 2 and said.shape[1] == 1 else said

    def score(self, rows: Rows) -> list[Any]:
        """Every value that it returns; for a classifier whose labels schema.json names, the label before them."""
        said = self.predict(rows)
        if said.ndim == 1:
            return [said]
        columns = list(said.T)
        classes = self.schema.classes
        return [labels(classes, said.argmax(1)), *columns] if len(classes) == len(columns) else columns

    def _run(self, rows: Rows) -> Any:
        with torch.inference_mode():
            given = torch.from_numpy(np.ascontiguousarray(rows, np.float32)).to(self._device)
            said = self._module(given)
        said = said[0] if isinstance(said, (tuple, list)) else said
        return said.detach().cpu().numpy()


def _width(said: Any) -> int:
    return int(said.shape[1]) if said.ndim == 2 else 1


def _outputs(schema: Schema, width: int) -> tuple[Field, ...]:
    if len(schema.classes) == width > 1:
        own = classification(schema.classes)
    else:
        own = REGRESSION if width == 1 else numbered("prediction", width)
    return schema.output if len(schema.output) == len(own) else own
