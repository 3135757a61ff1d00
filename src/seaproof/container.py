"""The entry of the image: `seaproof-container serve` and `seaproof-container train`.

SageMaker starts a container with one of these two words as its argument. Nothing is imported before it is needed,
and nothing is ever installed or downloaded.
"""

from __future__ import annotations

import gc
import logging
import sys
from pathlib import Path

from seaproof.errors import SeaproofError

HELP = """\
usage: seaproof-container serve | train

Make it the image's entry point, in this form, so that signals reach it:

    ENTRYPOINT ["seaproof-container"]

serve   answers GET /ping and POST /invocations on port 8080, with the functions of inference.py:
        model_fn(model_dir), input_fn(data, content_type), predict_fn(data, model), output_fn(prediction, accept),
        or transform_fn(model, data, content_type, accept); each may take `context` as a last argument.
        The script is sought in /opt/ml/model/code, SAGEMAKER_SUBMIT_DIRECTORY, /opt/ml/code, the folder that the
        container starts in, and /opt/program.

          SAGEMAKER_PROGRAM                        another script than inference.py
          SAGEMAKER_MODEL_SERVER_WORKERS           worker processes (default: one for each CPU)
          SAGEMAKER_MODEL_SERVER_TIMEOUT           seconds for one prediction (60)
          SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT     type of the answer where the caller names none (application/json)
          SAGEMAKER_MAX_PAYLOAD_IN_MB              largest request body (25)
          SAGEMAKER_BIND_TO_PORT                   port (8080)
          SEAPROOF_LOAD=worker                     load the model in each worker instead of once for all; a script
                                                   can say so itself: load_after_fork = True
          SAGEMAKER_MULTI_MODEL=true               serve many models, each loaded and unloaded through /models; workers
                                                   are then those of each model (1)
          SEAPROOF_MEMORY_LIMIT_MB                 MiB for a multi-model container (the cgroup's limit)
          SEAPROOF_ACCESS_LOG=on                   a JSON line on standard output for each request but /ping; all, off,
                                                   or errors (those from status 400 on; the default)
          OMP_NUM_THREADS                          threads of numeric libraries in each worker (CPUs / workers)

        Predictions run in a thread beside the server, so that /ping is always answered. A script whose functions
        never take more than a few milliseconds can say quick = True, and saves the way to that thread and back.

train   runs train(job) of train.py, or train.py (SAGEMAKER_PROGRAM) as a script with the arguments and the SM_
        variables of the SageMaker training toolkit. A failure ends with exit code 255 and its reason in
        /opt/ml/output/failure.

SAGEMAKER_BASE_DIR stands in for /opt/ml, to try it outside of a container.
"""

USAGE = 2


def main(argv: list[str] | None = None) -> int:
    """Run the container; its exit code."""
    words = sys.argv[1:] if argv is None else argv
    called = Path(sys.argv[0]).name
    # Where an image has it under the names that SageMaker looks for on PATH, the name is the word.
    verb = words[0] if words else called if called in ("serve", "train") else ""
    if verb in ("-h", "--help", "help"):
        sys.stdout.write(HELP)
        return 0
    if verb not in ("serve", "train"):
        said = f"{verb!r} is neither serve nor train" if verb else "it takes one word, serve or train"
        sys.stderr.write(f"seaproof-container: {said}. `seaproof-container --help` says more.\n")
        return USAGE
    _plain_lines()
    try:
        return _serve() if verb == "serve" else _train()
    except SeaproofError as error:
        sys.stderr.write(f"seaproof-container: {error}\n")
        return 1


def _serve() -> int:
    # What is imported here stays. To look it through for garbage, again and again, takes a fifth of the start.
    gc.disable()
    from seaproof.contract.environ import ServingEnviron
    from seaproof.serving.master import serve

    gc.freeze()
    gc.enable()
    return serve(ServingEnviron.read())


def _train() -> int:
    from seaproof.contract.environ import BASE_DIR, TrainingEnviron
    from seaproof.training.entry import train

    environ = TrainingEnviron.read()
    if not Path(environ.base_dir).is_dir():
        # The platform always makes it. On a bare host it is not ours to make.
        sys.stderr.write(
            f"seaproof-container: there is no folder {environ.base_dir}, so this is no training container. "
            f"`seaproof train` runs one here; or set {BASE_DIR} to a folder that stands in for /opt/ml.\n"
        )
        return USAGE
    return train(environ)


def _plain_lines() -> None:
    """Every line goes out when it is complete, into a pipe too, and our own lines go to stderr."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log = logging.getLogger("seaproof")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


if __name__ == "__main__":
    sys.exit(main())
