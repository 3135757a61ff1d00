"""MLServer with its own scikit-learn runtime; requests and replies are those of the V2 inference protocol."""

from __future__ import annotations

import json

from payloads import Payload
from processes import free_port
from rival import Run

WHAT = "MLServer (V2 protocol)"
MODELS = ("logreg", "hgb")
PAYLOADS = ("json-row",)
PATH = "/v2/models/served/infer"
PING = "/v2/models/served/ready"


def command(run: Run) -> list[str]:
    """`mlserver start` on a folder with its two settings files."""
    settings = {
        "host": "127.0.0.1",
        "http_port": run.port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": run.workers,
        "debug": False,
    }
    model = {
        "name": "served",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(run.base / "model" / "model.joblib")},
    }
    (run.folder / "settings.json").write_text(json.dumps(settings))
    (run.folder / "model-settings.json").write_text(json.dumps(model))
    return [run.tool("mlserver"), "start", str(run.folder)]


def body(payload: Payload, plain: bytes) -> bytes:
    """One input tensor."""
    rows = json.loads(plain)
    data = [value for row in rows for value in row]
    tensor = {"name": "predict", "shape": [len(rows), len(rows[0])], "datatype": "FP64", "data": data}
    return json.dumps({"inputs": [tensor]}).encode()


def values(reply: bytes) -> list[float]:
    """The data of the one output tensor."""
    found: list[float] = json.loads(reply)["outputs"][0]["data"]
    return found
