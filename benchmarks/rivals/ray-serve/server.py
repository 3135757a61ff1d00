"""The deployment.

python server.py PORT WORKERS
"""

import io
import os
import sys

import numpy
import ray
from ray import serve
from served_model import load
from starlette.requests import Request
from starlette.responses import Response


class Served:
    def __init__(self, folder):
        self.function = load(folder)

    async def __call__(self, request: Request):
        if request.url.path == "/ping":
            return Response()
        if request.headers["content-type"] == "application/json":
            return self.function(numpy.array(await request.json(), dtype=float)).tolist()
        table = numpy.loadtxt(io.BytesIO(await request.body()), delimiter=",", ndmin=2)
        return Response("\n".join(map(str, self.function(table).tolist())) + "\n", media_type="text/csv")


if __name__ == "__main__":
    port, workers = int(sys.argv[1]), int(sys.argv[2])
    ray.init(include_dashboard=False, num_cpus=workers)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    deployment = serve.deployment(num_replicas=workers, ray_actor_options={"num_cpus": 0}, max_ongoing_requests=100)
    serve.run(deployment(Served).bind(os.environ["MODEL"]), route_prefix="/", blocking=True)
