"""GET /execution-parameters: what batch transform is told of this container where its request leaves it open.

Source: SageMaker developer guide, "Use your own inference code with batch transform".
"""

from __future__ import annotations

import json
from typing import Any

from seaproof.contract.environ import ServingEnviron
from seaproof.http.message import Response
from seaproof.serving.replies import json_reply

MIB = 1024 * 1024
PAYLOAD_MIB = 6
"""What batch transform takes where nobody has an opinion."""
IN_FLIGHT_MIB = 100
"""Its ceiling for one payload, and for all in flight together."""
_STRATEGIES = {"multirecord": "MULTI_RECORD", "singlerecord": "SINGLE_RECORD"}


def execution_parameters(environ: ServingEnviron) -> dict[str, Any]:
    """What follows from the environment: two at once for each worker, as far as their payloads allow.

    The kernel deals connections out to workers by chance: with one for each, some would often have none. And while
    one payload is on its way, the worker has another.
    """
    # Never 0, which would mean a payload without bounds.
    payload = min(IN_FLIGHT_MIB, max(1, environ.max_body // MIB)) if environ.max_body else PAYLOAD_MIB
    at_once = environ.max_concurrent_transforms or min(2 * environ.workers, max(1, IN_FLIGHT_MIB // payload))
    given = environ.batch_strategy.replace("_", "").lower()
    return {
        "MaxConcurrentTransforms": at_once,
        "BatchStrategy": _STRATEGIES.get(given, "MULTI_RECORD"),
        "MaxPayloadInMB": payload,
    }


def authors_parameters(value: Any) -> Response:
    """The answer made of what the author's execution_parameters_fn returned: a dict, or JSON as text or bytes, as
    the scikit-learn container has it. TypeError or ValueError for anything else."""
    if isinstance(value, (str, bytes)):
        value = json.loads(value)
    if not isinstance(value, dict):
        raise TypeError(f"execution_parameters_fn returned {type(value).__name__}, and is to return a dict")
    return json_reply(200, value)
