"""A full run, cut into slices that each are over before a machine stops being quiet; what the goals need comes first.

Everything against everything would take a day. Each slice has those rivals that its models and bodies are about, and
seaproof, to which all ratios are.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Slice:
    """What takes turns in one slice."""

    name: str
    rivals: tuple[str, ...]
    models: tuple[str, ...]
    payloads: tuple[str, ...]
    connections: tuple[int, ...]
    rounds: int = 5
    seconds: int = 2


HAND_WRITTEN = ("seaproof", "starlette", "classic")
FRAMEWORKS = ("seaproof", "litserve", "bentoml", "mlserver", "mlflow", "ray-serve", "multi-model-server")
FEW = ("logreg", "catboost")
OTHERS = ("hgb", "lightgbm", "onnx")

PLAN = (
    Slice(
        "echo",
        ("nginx", "c-epoll", "seaproof-http", "seaproof", "starlette", "flask", "classic"),
        ("echo",),
        ("csv-row",),
        (1, 64),
    ),
    Slice("one CSV row", HAND_WRITTEN, FEW, ("csv-row",), (1, 64)),
    Slice("one JSON row", ("seaproof", "starlette", "classic-json"), FEW, ("json-row",), (64,)),
    Slice("frameworks, JSON", FRAMEWORKS, FEW, ("json-row",), (64,), seconds=1),
    Slice("frameworks, CSV", ("seaproof", "ray-serve", "multi-model-server"), FEW, ("csv-row",), (64,), seconds=1),
    Slice("1,000 rows", HAND_WRITTEN, FEW, ("csv-1000",), (16,)),
    Slice("5 MB", (*HAND_WRITTEN, "in-process"), FEW, ("csv-5mb",), (1,)),
    Slice("16 at a time", ("seaproof", "starlette", "classic", "classic-json"), FEW, ("csv-row", "json-row"), (16,)),
    Slice("one JSON row by one", ("seaproof", "starlette", "classic-json"), FEW, ("json-row",), (1,)),
    Slice("other models, one row", HAND_WRITTEN, OTHERS, ("csv-row",), (1, 64)),
    Slice("other models, 1,000 rows", HAND_WRITTEN, OTHERS, ("csv-1000",), (16,), seconds=1),
    Slice("npy", ("seaproof", "starlette", "flask"), (*FEW, *OTHERS), ("npy-1000",), (1, 16), seconds=1),
    Slice("frameworks, other models", FRAMEWORKS, OTHERS, ("json-row",), (64,), rounds=3, seconds=1),
)
