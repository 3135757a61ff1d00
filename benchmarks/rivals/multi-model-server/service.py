"""The handler: called with None at the start, then with one request at a time."""

import io
import json
import os

import numpy
from served_model import load

STATE = {}


def handle(data, context):
    if data is None:
        STATE["function"] = load(os.environ["MODEL"])
        return None
    body = data[0].get("body") or data[0].get("data")
    if isinstance(body, (list, dict)):
        table = numpy.array(body, dtype=float)
    elif context.get_request_header(0, "Content-Type") == "application/json":
        table = numpy.array(json.loads(body), dtype=float)
    else:
        text = body if isinstance(body, str) else bytes(body).decode()
        table = numpy.loadtxt(io.StringIO(text), delimiter=",", ndmin=2)
    return ["\n".join(map(str, STATE["function"](table).tolist())) + "\n"]
