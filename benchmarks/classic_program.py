"""examples/classic made ready for a benchmark: its own files, with other paths, another port and another model."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from environments import REPOSITORY
from rival import Run

CLASSIC = REPOSITORY / "examples" / "classic"
FILES = ("serve", "nginx.conf", "wsgi.py", "predictor.py")
MODEL = '''
class Served:
    """Answers as the model of the benchmark; unpickled by predictor.py."""

    def __init__(self, folder):
        self.folder, self.function = folder, None

    def predict(self, table):
        if self.folder is None:
            return table[:, 0]
        if self.function is None:
            from served_model import load

            self.function = load(self.folder)
        return self.function(table)
'''


def prepare(run: Run, predictor: Path | None = None) -> list[str]:
    """Copy the folder with its fixed paths replaced, and pickle what stands for the model; the command to serve.

    For `echo` the model gives back the first column, since the predictor reads and writes its CSV with pandas
    whatever the model is.
    """
    program, base = run.folder / "program", run.folder / "ml"
    (base / "model").mkdir(parents=True)
    program.mkdir()
    changes = {
        "/opt/ml": str(base),
        "/opt/program": str(program),
        "/tmp/": f"{run.folder}/",
        "listen 8080 deferred": f"listen 127.0.0.1:{run.port} deferred",
    }
    for name in FILES:
        source = predictor if predictor and name == "predictor.py" else CLASSIC / name
        # In one go, as what is put in may hold what is replaced: this folder may lie below /tmp.
        text = re.sub("|".join(map(re.escape, changes)), lambda found: changes[found[0]], source.read_text())
        (program / name).write_text(text)
        shutil.copymode(CLASSIC / name, program / name)
    folder = "None" if run.model == "echo" else repr(str(run.base / "model"))
    (program / "benchmark_model.py").write_text(MODEL)
    script = (
        "import pickle, sys; sys.path.insert(0, sys.argv[1]); import benchmark_model as m; "
        f"pickle.dump(m.Served({folder}), open(sys.argv[2], 'wb'))"
    )
    run_script = [run.tool("python"), "-c", script, str(program), str(base / "model" / "decision-tree-model.pkl")]
    return ["sh", "-c", '"$@" && cd "$0" && exec ./serve', str(program), *run_script]


def environ(run: Run) -> dict[str, str]:
    """What the Dockerfile of examples/classic sets, and the number of workers."""
    return {"MODEL_SERVER_WORKERS": str(run.workers), "PYTHONUNBUFFERED": "TRUE"}
