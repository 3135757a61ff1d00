"""One transform by the splitter, the batch strategy and the client of SageMaker Python SDK v2's local mode, as its
`_LocalTransformJob` uses them; prints its figures as JSON. Runs in an environment of its own.

python batch_sdk.py PORT INPUT MEGABYTES    of a payload: for each line that it adds it copies the payload so far
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from sagemaker.local.data import get_batch_strategy_instance, get_splitter_instance
from sagemaker.local.local_session import LocalSagemakerRuntimeClient


def main(port: int, path: Path, megabytes: int) -> None:
    client = LocalSagemakerRuntimeClient({"local": {"serving_port": port}})
    strategy = get_batch_strategy_instance("MultiRecord", get_splitter_instance("Line"))
    began = time.perf_counter()
    requests = 0
    with tempfile.NamedTemporaryFile(dir=path.parent) as output:
        for item in strategy.pad(str(path), megabytes):
            body = client.invoke_endpoint(item, "", "text/csv", "text/csv")["Body"]
            output.write(body.read())
            body.close()
            output.write(b"\n")
            requests += 1
        output.flush()
        size = Path(output.name).stat().st_size
    seconds = time.perf_counter() - began
    usage = resource.getrusage(resource.RUSAGE_SELF)
    figures = {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "peak_mb": usage.ru_maxrss / 1024}
    print(json.dumps({**figures, "requests": requests, "output": size}))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
