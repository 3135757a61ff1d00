"""The limit: the same file decoded and predicted in processes on all cores, without HTTP and without an order; prints
the seconds. The decoder, the model and the encoder are those of the server. Runs in the environment of `seaproof`.

python batch_limit.py MODEL_FOLDER INPUT PROCESSES
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

from served_model import load

from seaproof.batch.source import FileSource
from seaproof.batch.split import splitter
from seaproof.contract.http import parse_media_type
from seaproof.serving import codecs

CSV = parse_media_type("text/csv")


def work(model_folder: str, path: str, ranges: multiprocessing.Queue, ready: multiprocessing.Barrier) -> None:  # type: ignore[type-arg]
    predict = load(model_folder)
    descriptor = os.open(path, os.O_RDONLY)
    ready.wait()
    with tempfile.TemporaryFile(dir=Path(path).parent) as output:
        while found := ranges.get():
            start, stop = found
            table = codecs.decode(os.pread(descriptor, stop - start, start), CSV)
            body, _ = codecs.encode(predict(table), [CSV], "text/csv")
            output.write(body)
        output.flush()


def main(model_folder: str, path: str, processes: int) -> None:
    context = multiprocessing.get_context("fork")
    ranges, ready = context.Queue(), context.Barrier(processes + 1)
    with Path(path).open("rb") as file:
        for cut in splitter("Line", limit=6 * 1024 * 1024, single=False)(FileSource(file), 0):
            ranges.put((cut.start, cut.stop))
    for _ in range(processes):
        ranges.put(None)
    workers = [context.Process(target=work, args=(model_folder, path, ranges, ready)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    ready.wait()
    began = time.perf_counter()
    for worker in workers:
        worker.join()
    print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
