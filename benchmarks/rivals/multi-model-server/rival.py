"""multi-model-server, the Java server of SageMaker's older containers, with one model and a Python handler."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from processes import free_port
from rival import Run

WHAT = "multi-model-server"
MODELS = ("logreg", "hgb", "catboost", "lightgbm", "onnx")
PAYLOADS = ("csv-row", "json-row", "csv-1000")

CONFIG = """
inference_address=http://127.0.0.1:{port}
management_address=http://127.0.0.1:{management}
default_workers_per_model={workers}
preload_model=false
max_request_size=100000000
"""


def command(run: Run) -> list[str]:
    """The server in the foreground, on a model store made by hand."""
    model = run.folder / "store" / "served"
    (model / "MAR-INF").mkdir(parents=True)
    manifest = {
        "specificationVersion": "1.0",
        "implementationVersion": "1.0",
        "modelServerVersion": "1.0",
        "runtime": "python",
        "engine": {"engineName": "MXNet"},
        "model": {"modelName": "served", "handler": "service.py:handle", "modelVersion": "1.0"},
    }
    (model / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest))
    shutil.copy(Path(__file__).with_name("service.py"), model)
    config = run.folder / "config.properties"
    config.write_text(CONFIG.format(port=run.port, management=free_port(), workers=run.workers))
    start = [run.tool("multi-model-server"), "--start", "--foreground", "--mms-config", str(config)]
    return [*start, "--model-store", str(model.parent), "--models", "served=served"]


def environ(run: Run) -> dict[str, str]:
    """Which model to load."""
    return {"MODEL": str(run.base / "model")}
