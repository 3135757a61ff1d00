"""Memory of a container by its number of workers: ours against examples/classic, with a model that is one big array.

python benchmarks/memory.py

Each server is asked until every one of its workers has used the model, and then PSS is summed over all of its
processes: a page that n of them share counts as 1/n in each, so that the sum is what the machine really holds. Both run
in one environment, so that the libraries are the same ones.
"""

from __future__ import annotations

import argparse
import http.client
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import classic_program
from environments import CACHE, REPOSITORY, environment
from processes import Server, free_port, running
from rival import HERE, Run

WORKERS = (1, 2, 4, 8)
MIB = 1024 * 1024
SCRIPT = """
import pathlib
import memory_model

def model_fn(model_dir):
    return memory_model.Model(pathlib.Path(model_dir) / "weights.npy")

def transform_fn(model, data, content_type, accept):
    return str(model.predict(None)[0])
"""
MODEL = '''
import numpy

class Model:
    """As heavy as its array, which is read whole from the file, and all of which a prediction reads."""

    def __init__(self, path):
        self.weights = numpy.load(path)

    def __reduce__(self):
        return Model, (PATH,)

    def predict(self, table):
        return numpy.full(1 if table is None else len(table), self.weights.sum())
'''
PICKLE = "import memory_model, pickle, sys; pickle.dump(memory_model.Model(memory_model.PATH), open(sys.argv[1], 'wb'))"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=200, help="size of the model (200)")
    parser.add_argument("--env", type=Path, help="an environment that has all that is needed")
    parser.add_argument("--quick", action="store_true", help="one and two workers only")
    given = parser.parse_args()
    env = given.env or environment("memory", HERE / "requirements" / "memory.txt", with_seaproof=True)
    folder = CACHE / "run" / "memory"
    shutil.rmtree(folder, ignore_errors=True)
    weights = make_model(folder, env, given.megabytes)
    print(f"A model of {given.megabytes} MB; MiB of memory (PSS) of all processes together:\n")
    print("| workers | seaproof | each further worker | classic | each further worker | classic / seaproof |")
    print("|--:|--:|--:|--:|--:|--:|")
    first: tuple[float, float] | None = None
    for workers in WORKERS[:2] if given.quick else WORKERS:
        ours = measure(*seaproof(folder, env, weights, workers), workers) / MIB
        theirs = measure(*classic(folder, env, weights, workers), workers) / MIB
        first = first or (ours, theirs)
        one, other = (
            f"{(now - alone) / (workers - 1):.0f}" if workers > 1 else ""
            for now, alone in ((ours, first[0]), (theirs, first[1]))
        )
        print(f"| {workers} | {ours:.0f} | {one} | {theirs:.0f} | {other} | {theirs / ours:.1f} |", flush=True)


Command = tuple[list[str], dict[str, str], Path, int]


def make_model(folder: Path, env: Path, megabytes: int) -> Path:
    """The folder of the model: `weights.npy`, and the module that reads it."""
    model = folder / "ml" / "model"
    model.mkdir(parents=True)
    script = "import numpy, sys; numpy.save(sys.argv[1], numpy.random.default_rng(0).random(int(sys.argv[2])))"
    os.spawnl(
        os.P_WAIT, str(env / "bin" / "python"), "python", "-c", script, str(model / "weights"), str(megabytes * 125_000)
    )
    (model / "memory_model.py").write_text(f"PATH = {str(model / 'weights.npy')!r}\n{MODEL}")
    (model / "code").mkdir()
    (model / "code" / "inference.py").write_text(SCRIPT)
    return model


def seaproof(folder: Path, env: Path, model: Path, workers: int) -> Command:
    """`seaproof-container serve`."""
    port = free_port()
    environ = {
        **surroundings(env, model),
        "SAGEMAKER_BASE_DIR": str(folder / "ml"),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SAGEMAKER_MODEL_SERVER_WORKERS": str(workers),
    }
    return [str(env / "bin" / "python"), "-m", "seaproof.container", "serve"], environ, fresh(folder / "seaproof"), port


def classic(folder: Path, env: Path, model: Path, workers: int) -> Command:
    """nginx and gunicorn of examples/classic; each of its workers unpickles the model when it is first asked."""
    port, own = free_port(), fresh(folder / "classic")
    run = Run("echo", folder / "ml", port, own, env, workers)
    start = classic_program.prepare(run)
    pickled = own / "ml" / "model" / "decision-tree-model.pkl"
    # In the place of the pickle that the benchmark has for its own models.
    start[start.index("-c", 3) + 1] = PICKLE
    start[-2:] = [str(pickled)]
    return start, {**surroundings(env, model), **classic_program.environ(run)}, own, port


def surroundings(env: Path, model: Path) -> dict[str, str]:
    """Variables that both have."""
    return {
        "PATH": f"{env / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": f"{model}:{REPOSITORY / 'src'}",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def fresh(folder: Path) -> Path:
    """The folder, with nothing in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def measure(command: list[str], environ: dict[str, str], folder: Path, port: int, workers: int) -> int:
    """Bytes of memory once it no longer changes under requests: all workers have the model by then."""
    with running(command, environ, folder, port, "/ping") as server, ThreadPoolExecutor(2 * workers) as pool:
        before, same = 0, 0
        deadline = time.monotonic() + 120
        while same < 3:
            list(pool.map(lambda _: ask(server), range(16 * workers)))
            now = server.memory()
            same = same + 1 if abs(now - before) < MIB else 0
            before = now
            if time.monotonic() > deadline:
                raise SystemExit(f"the memory of {command[0]} does not settle")
        return before


def ask(server: Server) -> None:
    """One invocation; SystemExit where it fails, as what is measured would not be what serves."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", "/invocations", b"1,2,3,4\n", {"Content-Type": "text/csv"})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"an invocation failed: {answer.status} {text!r}")


if __name__ == "__main__":
    main()
