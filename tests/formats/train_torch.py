"""Run in .cache/torch: a small network in each form that is served, and what it says of some rows.

python train_torch.py FOLDER     FOLDER/<form>/... and FOLDER/said.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

FOLDER = Path(sys.argv[1])
CODE = """
import torch

def build():
    return torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3), torch.nn.Softmax(1)
    )
"""


def main() -> None:
    given = json.loads((FOLDER / "iris.json").read_text())
    rows, target = torch.tensor(given["rows"]), torch.tensor(given["target"])
    torch.manual_seed(0)
    space: dict[str, object] = {}
    exec(CODE, space)
    model = space["build"]()  # type: ignore[operator]
    learn = torch.optim.Adam(model.parameters(), 0.05)
    for _ in range(100):
        learn.zero_grad()
        torch.nn.functional.nll_loss(torch.log(model(rows)), target).backward()
        learn.step()
    model.eval()
    for form in ("script", "exported", "weights"):
        (FOLDER / form).mkdir()
    torch.jit.script(model).save(str(FOLDER / "script" / "model.pt"))
    any_rows = ({0: torch.export.Dim("rows")},)
    torch.export.save(
        torch.export.export(model, (rows[:2],), dynamic_shapes=any_rows), str(FOLDER / "exported" / "model.pt2")
    )
    save_file(model.state_dict(), str(FOLDER / "weights" / "model.safetensors"))
    (FOLDER / "weights" / "code").mkdir()
    (FOLDER / "weights" / "code" / "model.py").write_text(CODE)
    # As texts, which keep a float32 as it is.
    said = [[str(value) for value in row] for row in model(rows).detach().numpy()]
    (FOLDER / "said.json").write_text(json.dumps(said))


main()
