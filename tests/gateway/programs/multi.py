"""A multi-model container: a model is a folder with a text in it; one that is not there is 507, as hazal expects.

`perish` in a body ends it.
"""

import json
import os
import pathlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODELS = {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200, {"models": list(MODELS)})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.path == "/models":
            wanted = json.loads(body)
            text = pathlib.Path(wanted["url"], "text")
            if wanted["model_name"] in MODELS:
                self.answer(409, {"error": "already loaded"})
            elif not text.exists():
                print("no such model:", text, flush=True)
                self.answer(507, {"error": "no such model"})
            else:
                MODELS[wanted["model_name"]] = text.read_text()
                self.answer(200, {})
            return
        if b"perish" in body:
            os._exit(4)
        _, _, name, _ = self.path.split("/")
        if name not in MODELS:
            self.answer(404, {"error": "not loaded"})
        else:
            self.answer(200, {"model": name, "says": MODELS[name], "given": json.loads(body)})


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("SAGEMAKER_BIND_TO_PORT", 8080))), Handler).serve_forever()
