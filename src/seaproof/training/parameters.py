"""`python -m seaproof.training.parameters`: what an algorithm has against `model_params`, before anything runs.

Is given `{"algorithm", "task", "model_params", "classes", "stopping_rounds"}` as its argument, and prints as its last
line `{}`, or what is wrong with one of them. For the command line, which starts this as a process, here or in the image
that is to train: what it learns is what a job there would say.
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any

from seaproof.contract.training_config.names import did_you_mean
from seaproof.errors import ContractError
from seaproof.training.algorithms import check_params
from seaproof.training.trial import refused

SHOWN = 240
"""Characters of a library's message."""


def main() -> int:
    """Answer; where the library is not here nothing is known, and the job itself will say so."""
    asked = json.loads(sys.argv[1])
    # Libraries print: what they say is not the answer.
    answer = os.dup(1)
    os.dup2(2, 1)
    told = _told(asked)
    os.write(answer, json.dumps(told).encode() + b"\n")
    return 0


def _told(asked: dict[str, Any]) -> dict[str, str]:
    algorithm, task, params = asked["algorithm"], asked["task"], asked["model_params"]
    try:
        check_params(algorithm, task, params)
        found = refused(algorithm, task, params, asked["classes"], asked["stopping_rounds"]) if task else None
    except ContractError as error:
        name = error.where.partition("model_params.")[2]
        return {"name": name, "what": error.what, "next_step": error.next_step} if name else {}
    if found is None:
        return {}
    name, said = found
    value = params.get(name)
    what = f"{algorithm} refuses `{value}` as `{name}`" if name else f"{algorithm} refuses model_params"
    # Libraries list all that there is, and often the one that was meant is among it.
    words = {word for word in re.findall(r"[\w:]+", said) if word != value}
    meant = did_you_mean(value, sorted(words)) if isinstance(value, str) else ""
    shown = said if len(said) <= SHOWN else f"{said[:SHOWN].rpartition(' ')[0]} ..."
    next_step = meant or "The message is the library's own; its documentation lists what it takes."
    return {"name": name, "what": f"{what}: {shown}", "next_step": next_step}


if __name__ == "__main__":
    sys.exit(main())
