"""`python -m seaproof.training.parameters`: which of `model_params` an algorithm does not have, before anything runs.

Reads `{"algorithm", "task", "model_params"}` from standard input and prints `{}`, or what is wrong with one of them.
For the command line, which starts this as a process: what it learns is what a job on the same Python would say.
"""

from __future__ import annotations

import json
import sys

from seaproof.errors import ContractError
from seaproof.training.algorithms import check_params


def main() -> int:
    """Answer; where the library is not here nothing is known, and the job itself will say so."""
    asked = json.load(sys.stdin)
    told = {}
    try:
        check_params(asked["algorithm"], asked["task"], asked["model_params"])
    except ContractError as error:
        name = error.where.partition("model_params.")[2]
        if name:
            told = {"name": name, "what": error.what, "next_step": error.next_step}
    sys.stdout.write(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
