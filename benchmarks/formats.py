"""How much of a library's own speed is left when its model is served.

python benchmarks/formats.py [SECONDS] [FORMAT...]
python benchmarks/formats.py --quick       two formats, half a second each

Each format serves a model of 20 columns from its saved file, one worker, one thread; nothing else is written. wrk
(which must be installed) sends 1,000 rows as CSV and as npy, two requests at a time, and one row as CSV, 64 at a time.
Beside it, in a process of its own with one thread too, the library predicts the same rows: given as an array, given as
the CSV's bytes that pandas reads, and one row after another. For a MOJO that is genmodel's own PredictCsv, its start
taken off. Both sides take turns, five rounds; the median counts.

What is compared are rows for each second of CPU that a side has used: of the server with all of its processes, and of
the library's process. On an idle machine, where each side keeps one core busy, that is rows per second; on a busy one
it is what still means something.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests"), str(HERE.parent / "tests" / "formats")]

ROUNDS = 5
ROWS, COLUMNS = 1000, 20
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def table() -> tuple[Any, Any]:
    """2,000 rows to learn from; the first half is what is predicted."""
    import numpy as np

    draw = np.random.default_rng(20)
    rows = draw.normal(size=(2 * ROWS, COLUMNS)).round(4) + 0.0  # no -0, which real tables do not have either
    return rows, (rows[:, 0] * rows[:, 1] + draw.normal(size=2 * ROWS) > 0).astype(int)


def sklearn(folder: Path) -> None:
    """Histogram gradient boosting, 100 trees."""
    import joblib
    from sklearn.ensemble import HistGradientBoostingClassifier

    joblib.dump(HistGradientBoostingClassifier(random_state=0).fit(*table()), folder / "model.joblib")


def catboost(folder: Path) -> None:
    """500 trees of depth 6."""
    from catboost import CatBoostClassifier

    model = CatBoostClassifier(iterations=500, depth=6, verbose=0, thread_count=1, allow_writing_files=False)
    model.fit(*table()).save_model(str(folder / "model.cbm"))


def xgboost(folder: Path) -> None:
    """500 trees of depth 6."""
    from xgboost import XGBClassifier

    XGBClassifier(n_estimators=500, max_depth=6, n_jobs=1).fit(*table()).save_model(folder / "model.ubj")


def lightgbm(folder: Path) -> None:
    """500 trees of 31 leaves."""
    from lightgbm import LGBMClassifier

    LGBMClassifier(n_estimators=500, n_jobs=1, verbose=-1).fit(*table()).booster_.save_model(folder / "model.txt")


def onnx(folder: Path) -> None:
    """A forest of 100 trees, from scikit-learn."""
    import numpy as np
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestClassifier

    rows, target = table()
    model = RandomForestClassifier(100, random_state=0).fit(rows, target)
    graph = to_onnx(model, rows[:1].astype(np.float32), options={"zipmap": False})
    (folder / "model.onnx").write_bytes(graph.SerializeToString())


def mojo(folder: Path) -> None:
    """100 trees of depth 6, by H2O."""
    from venvs import python_with

    rows, target = table()
    names = [f"x{number}" for number in range(COLUMNS)]
    lines = [
        ",".join([*names, "y"]),
        *(",".join(map(str, [*row, y])) for row, y in zip(rows.tolist(), target.tolist(), strict=True)),
    ]
    (folder / "train.csv").write_text("\n".join(lines))
    script = (
        "import h2o, sys\nfrom h2o.estimators import H2OGradientBoostingEstimator as GBM\n"
        "h2o.init(nthreads=1, max_mem_size='1g', port=int(sys.argv[2]), bind_to_localhost=True, verbose=False)\n"
        "h2o.no_progress()\nframe = h2o.import_file(sys.argv[1] + '/train.csv')\nframe['y'] = frame['y'].asfactor()\n"
        "model = GBM(ntrees=100, max_depth=6, seed=1)\nmodel.train(y='y', training_frame=frame)\n"
        "model.download_mojo(sys.argv[1] + '/model.zip')\nh2o.cluster().shutdown()\n"
    )
    subprocess.run([python_with("h2o"), "-c", script, folder, str(free_port())], check=True, capture_output=True)
    (folder / "train.csv").unlink()


def pytorch(folder: Path) -> None:
    """Three layers of 256, as TorchScript; what they weigh is no matter here."""
    from venvs import python_with

    script = (
        "import sys, torch\nfrom torch.nn import Linear, ReLU\ntorch.manual_seed(0)\n"
        f"layers = [Linear({COLUMNS}, 256), ReLU(), Linear(256, 256), ReLU(), Linear(256, 1)]\n"
        "torch.jit.script(torch.nn.Sequential(*layers).eval()).save(sys.argv[1] + '/model.pt')\n"
    )
    subprocess.run([python_with("torch"), "-c", script, folder], check=True, capture_output=True)
    write_columns(folder)


FUNCTION = """
import numpy as np

def predict(columns):
    score = sum(columns[f"x{number}"] * (number - 10) for number in range(20))
    return 1 / (1 + np.exp(-score))
"""


def function(folder: Path) -> None:
    """A logistic function of numpy's."""
    (folder / "model.py").write_text(FUNCTION)
    write_columns(folder)


def write_columns(folder: Path) -> None:
    """A schema.json with names for the columns."""
    fields = [{"name": f"x{number}", "type": "float"} for number in range(COLUMNS)]
    (folder / "schema.json").write_text(json.dumps({"input": fields, "output": []}))


MODELS: dict[str, Callable[[Path], None]] = {
    made.__name__: made for made in (sklearn, catboost, xgboost, lightgbm, onnx, mojo, pytorch, function)
}


def own_predict(name: str, folder: Path) -> Callable[[Any], Any]:
    """The library's own way from rows to predictions."""
    if name == "sklearn":
        import joblib

        predict: Callable[[Any], Any] = joblib.load(folder / "model.joblib").predict
        return predict
    if name == "catboost":
        from catboost import CatBoostClassifier

        return CatBoostClassifier().load_model(str(folder / "model.cbm")).predict
    if name == "xgboost":
        from xgboost import Booster

        return Booster(model_file=str(folder / "model.ubj")).inplace_predict
    if name == "lightgbm":
        from lightgbm import Booster as LightGBM

        return LightGBM(model_file=str(folder / "model.txt")).predict
    if name == "function":
        space: dict[str, Any] = {}
        exec(FUNCTION, space)
        return lambda rows: space["predict"]({f"x{number}": rows[:, number] for number in range(COLUMNS)})
    import numpy as np

    if name == "pytorch":
        import torch

        module = torch.jit.load(str(folder / "model.pt"))

        def forward(rows: Any) -> Any:
            with torch.inference_mode():
                return module(torch.from_numpy(rows.astype(np.float32))).numpy()[:, 0]

        return forward
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
    given = session.get_inputs()[0].name
    return lambda rows: session.run([session.get_outputs()[0].name], {given: rows.astype(np.float32)})[0]


def library(name: str, folder: Path, seconds: float) -> None:
    """In a process of its own: rows per second of the library, as JSON."""
    import io

    predict = own_predict(name, folder)
    rows = table()[0][:ROWS]
    text = (folder.parent / "rows.csv").read_bytes()
    found = {
        "array": ROWS * per_second(lambda: predict(rows), seconds),
        "row": per_second(lambda: predict(rows[:1]), seconds),
    }
    if name != "pytorch":  # whose environment has no pandas
        import pandas

        def of_csv() -> str:
            return "\n".join(map(str, predict(pandas.read_csv(io.BytesIO(text), header=None).to_numpy())))

        found["csv"] = ROWS * per_second(of_csv, seconds)
    print(json.dumps(found))


def per_second(call: Callable[[], Any], seconds: float) -> float:
    """How often in a second of CPU, after a first call that does not count."""
    call()
    done, began, used = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() < began + seconds:
        call()
        done += 1
    return done / (time.process_time() - used)


def predict_csv(folder: Path) -> dict[str, float]:
    """Rows per second of genmodel's own program, its start taken off."""
    from genmodel import genmodel

    header = ",".join(f"x{number}" for number in range(COLUMNS))
    lines = (folder.parent / "rows.csv").read_text()
    took = []
    for times in (1, 101):
        given = folder.parent / "many.csv"
        given.write_text(f"{header}\n{lines * times}")
        command = ["java", "-XX:+UseSerialGC", "-cp", str(genmodel()), "hex.genmodel.tools.PredictCsv"]
        options = ["--mojo", str(folder / "model.zip"), "--input", str(given), "--output", str(folder.parent / "out")]
        before = children_cpu()
        subprocess.run([*command, *options, "--decimal"], check=True, capture_output=True)
        took.append(children_cpu() - before)
    return {"csv": 100 * ROWS / (took[1] - took[0])}


def children_cpu() -> float:
    """Seconds of CPU of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


OWN = {"mojo": "h2o", "pytorch": "torch"}
"""Formats whose library has an environment of its own."""


def environment_of(name: str) -> str:
    """The Python of that environment."""
    from venvs import python_with

    return str(python_with(OWN[name]))


def free_port() -> int:
    from seaproof.drivers.ports import free_port as free

    return int(free())


def main() -> None:
    """Measure and print the table."""
    import numpy as np
    from format_lab import served

    words = sys.argv[1:] if sys.argv[1:] != ["--quick"] else ["0.5", "sklearn", "catboost"]
    seconds = float(words.pop(0)) if words and words[0].replace(".", "").isdigit() else 1.0
    print(
        "| format | 1,000 rows of CSV | of the library with pandas | array, of the library | one row, c=64 | of the "
        "library, row by row |\n|---|---|--:|--:|--:|--:|"
    )
    with tempfile.TemporaryDirectory() as made:
        rows = table()[0][:ROWS]
        bodies = Path(made)
        np.savetxt(bodies / "rows.csv", rows, "%g", ",")
        np.save(bodies / "rows.npy", rows)
        (bodies / "row.csv").write_text((bodies / "rows.csv").read_text().partition("\n")[0] + "\n")
        for name in words or MODELS:
            root = bodies / name
            folder = root / "ml" / "model"
            folder.mkdir(parents=True)
            MODELS[name](folder)
            (root / "rows.csv").write_bytes((bodies / "rows.csv").read_bytes())
            (folder.parent / "rows.csv").write_bytes((bodies / "rows.csv").read_bytes())
            python, environment = sys.executable, dict(ONE_THREAD)
            if name in OWN:
                python = environment_of(name)
            if name == "mojo":
                from genmodel import genmodel

                environment["SEAPROOF_JAVA_JAR"] = str(genmodel())
            with served(root, python, **environment) as container:
                line(name, compare(name, folder, bodies, container, seconds))


def compare(name: str, folder: Path, bodies: Path, container: Any, seconds: float) -> dict[str, float]:
    """The median of each figure, rounds in turn."""
    from load import measure
    from processes import Server

    server = Server(container.process, container.port, 0.0)
    sent = {
        "served csv": ("rows.csv", "text/csv", 2),
        "served npy": ("rows.npy", "application/x-npy", 2),
        "served row": ("row.csv", "text/csv", 64),
    }
    if name == "mojo":
        del sent["served npy"]  # PredictCsv, which it is compared with, reads CSV
    found: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for what, (body, kind, connections) in sent.items():
            result = measure(server, "/invocations", bodies / body, kind, "text/csv", connections, max(1, int(seconds)))
            assert not result.failed, f"{name}, {what}: {result.failed} requests failed"
            rows = 1 if what == "served row" else ROWS
            found.setdefault(what, []).append(rows * result.requests_per_second / result.server_cpu)
        for what, rate in (predict_csv(folder) if name == "mojo" else beside(name, folder, seconds)).items():
            found.setdefault(what, []).append(rate)
    return {what: median(rates) for what, rates in found.items()}


def beside(name: str, folder: Path, seconds: float) -> dict[str, float]:
    """The library in a process of its own."""
    python = environment_of(name) if name in OWN else sys.executable
    command = [python, __file__, "--library", name, str(folder), str(seconds / 2)]
    done = subprocess.run(command, env={**os.environ, **ONE_THREAD}, check=True, capture_output=True, text=True)
    rates: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return rates


def line(name: str, found: dict[str, float]) -> None:
    """One format's line of the table."""

    def share(served: str, own: str) -> str:
        return f"{found[served] / found[own]:.2f}" if served in found and own in found else ""

    cells = [
        name,
        f"{found['served csv']:,.0f} rows/CPU s",
        share("served csv", "csv"),
        share("served npy", "array"),
        f"{found['served row']:,.0f}/CPU s",
        share("served row", "row"),
    ]
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--library"]:
        library(sys.argv[2], Path(sys.argv[3]), float(sys.argv[4]))
    else:
        main()
