"""The formats of ours: how each is told from its file, and the module that loads it, imported when one is there."""

from __future__ import annotations

import importlib
import zipfile
from collections.abc import Callable
from pathlib import Path

from seaproof.formats.model import Format, Model, Options, starts

Load = Callable[[Path, Options], Model]


def later(module: str, function: str = "load") -> Load:
    """A loader of ours that is imported when it is called."""

    def load(path: Path, options: Options) -> Model:
        loaded: Load = getattr(importlib.import_module(f"seaproof.formats.{module}"), function)
        return loaded(path, options)

    return load


def by_suffix(*suffixes: str) -> Callable[[Path], bool]:
    """Told by the end of the name alone."""
    return lambda path: path.suffix.lower() in suffixes


def is_catboost(path: Path) -> bool:
    """`CBM1` are the first bytes of every such file."""
    return path.suffix.lower() == ".cbm" or starts(path, 4) == b"CBM1"


def is_xgboost(path: Path) -> bool:
    """JSON or UBJSON whose first key is `learner`; `.bst` is either."""
    suffix = path.suffix.lower()
    if suffix in (".ubj", ".bst", ".xgb"):
        return True
    return suffix == ".json" and b'"learner"' in starts(path)


def is_lightgbm(path: Path) -> bool:
    """Text whose first line is `tree`."""
    return path.suffix.lower() in (".txt", ".lgb", ".lightgbm") and starts(path, 5).rstrip(b"\r\n") == b"tree"


def members(path: Path) -> list[str]:
    """The names in a zip; none where it is no zip."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return []


def is_h2o_mojo(path: Path) -> bool:
    """A zip with `model.ini` at its top."""
    return path.suffix.lower() in (".zip", ".mojo") and "model.ini" in members(path)


def is_driverless_mojo(path: Path) -> bool:
    """`pipeline.mojo`, which is no MOJO of H2O-3."""
    return path.suffix.lower() == ".mojo" and not is_h2o_mojo(path)


def is_torchscript(path: Path) -> bool:
    """A zip with compiled code, which a pickled state_dict has not."""
    if path.suffix.lower() not in (".pt", ".pth", ".ts"):
        return False
    names = members(path)
    return any(name.endswith("/constants.pkl") for name in names) and any("/code/" in name for name in names)


def is_function(path: Path) -> bool:
    """model.py, which is imported, so that its name alone decides."""
    return path.name == "model.py"


NUMPY = ("numpy", "numpy")
TORCH = ("torch", "torch")
JAVA = (("jpype", "JPype1"), NUMPY)
JRE = ("default-jre-headless",)

FORMATS: tuple[Format, ...] = (
    Format("CatBoost", "*.cbm", is_catboost, later("catboost"), (("catboost", "catboost"),)),
    Format("XGBoost", "*.json, *.ubj, *.bst", is_xgboost, later("xgboost"), (("xgboost", "xgboost-cpu"),), True),
    Format(
        "LightGBM", "*.txt", is_lightgbm, later("lightgbm"), (("lightgbm", "lightgbm"),), True, debian=("libgomp1",)
    ),
    Format("ONNX", "*.onnx", by_suffix(".onnx"), later("onnx"), (("onnxruntime", "onnxruntime"), NUMPY), True),
    Format(
        "scikit-learn",
        "*.joblib",
        by_suffix(".joblib"),
        later("sklearn", "load_joblib"),
        (("joblib", "joblib"), ("sklearn", "scikit-learn")),
        often=("pandas",),
        pickle=True,
    ),
    Format(
        "scikit-learn",
        "*.pkl, *.pickle",
        by_suffix(".pkl", ".pickle"),
        later("sklearn", "load_pickle"),
        (("sklearn", "scikit-learn"),),
        often=("pandas",),
        pickle=True,
    ),
    Format(
        "scikit-learn",
        "*.skops",
        by_suffix(".skops"),
        later("sklearn", "load_skops"),
        (("skops", "skops"), ("sklearn", "scikit-learn")),
        often=("pandas",),
    ),
    Format("H2O-3 MOJO", "*.zip, *.mojo", is_h2o_mojo, later("mojo"), JAVA, True, debian=JRE),
    Format("Driverless AI MOJO", "pipeline.mojo", is_driverless_mojo, later("driverless"), JAVA, True, debian=JRE),
    Format("TorchScript", "*.pt, *.pth", is_torchscript, later("torch", "load_script"), (TORCH, NUMPY), True),
    Format(
        "PyTorch exported program", "*.pt2", by_suffix(".pt2"), later("torch", "load_exported"), (TORCH, NUMPY), True
    ),
    Format(
        "PyTorch safetensors",
        "*.safetensors with code/model.py",
        by_suffix(".safetensors"),
        later("torch", "load_safetensors"),
        (TORCH, ("safetensors", "safetensors"), NUMPY),
        True,
    ),
    Format("Python function", "model.py", is_function, later("function"), (NUMPY,)),
)
