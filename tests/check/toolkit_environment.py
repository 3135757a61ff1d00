"""Makes .cache/inference-toolkit, the environment of AWS's inference toolkit (it needs Java beside it).

python tests/check/toolkit_environment.py
"""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "gateway"))

from multi_model_server_environment import PACKAGES, make_environment  # noqa: E402  found by the path above

TOOLKIT = (*PACKAGES, "sagemaker-inference==1.10.1", "boto3==1.44.5")
FOLDER = TESTS.parent / ".cache" / "inference-toolkit"


def make_toolkit() -> Path:
    """The environment's folder, ready to use."""
    return make_environment(FOLDER, TOOLKIT)


if __name__ == "__main__":
    print(make_toolkit())
