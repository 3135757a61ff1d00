"""The LitAPI.

python server.py PORT WORKERS
"""

import os
import sys

import litserve
import numpy
from served_model import load


class Served(litserve.LitAPI):
    def setup(self, device):
        self.function = load(os.environ["MODEL"])

    def decode_request(self, request):
        return numpy.array(request, dtype=float)

    def predict(self, table):
        return self.function(table)

    def encode_response(self, values):
        return values.tolist()


if __name__ == "__main__":
    server = litserve.LitServer(
        Served(api_path="/invocations"),
        accelerator="cpu",
        workers_per_device=int(sys.argv[2]),
        healthcheck_path="/ping",
    )
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
