"""A multi-model container in a few lines of the standard library: as a program, or in a thread of a test.

It keeps the text of `<url>/weights` for each model and answers `<text>:<body>`. It holds at most MODELS_AT_MOST models;
a model whose folder has a file `slow` takes that many seconds to load, or until the file is there that it names; one
with `broken` answers its load with 500. A body of `until FILE` is answered when that is there, one of `sleep N` after
so many seconds.
`/statistics` tells what it was asked. Its own 404: a body of `404`.
"""

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Container(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port=0, at_most=1000):
        super().__init__(("127.0.0.1" if port == 0 else "0.0.0.0", port), Handler)
        self.at_most = at_most
        self.lock = threading.Lock()
        self.models = {}
        self.loading = set()
        self.counts = {"loads": {}, "unloads": 0, "refused": 0, "most": 0, "wrong": 0}

    def load(self, name, url):
        folder = Path(url)
        if not (folder / "weights").is_file():
            return 404, {"message": f"no model in {url}"}
        with self.lock:
            if name in self.models:
                return 409, {}
            if len(self.models) + len(self.loading) >= self.at_most:
                self.counts["refused"] += 1
                return 507, {"message": "no memory"}
            self.counts["wrong"] += name in self.loading
            self.loading.add(name)
            text = (folder / "weights").read_text()
            self.counts["loads"][text] = self.counts["loads"].get(text, 0) + 1
        try:
            if (folder / "slow").exists():
                wait_for((folder / "slow").read_text())
            if (folder / "broken").exists():
                return 500, {"message": (folder / "broken").read_text()}
            with self.lock:
                self.loading.discard(name)
                self.models[name] = (url, text)
                self.counts["most"] = max(self.counts["most"], len(self.models))
            return 200, {}
        finally:
            with self.lock:
                self.loading.discard(name)


def wait_for(what):
    """So many seconds, or a file."""
    if not what.startswith("/"):
        return time.sleep(float(what))
    deadline = time.monotonic() + 60
    while not Path(what).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self):
        server = self.server
        if self.path == "/ping":
            return self.answer(200, {})
        if self.path == "/statistics":
            with server.lock:
                return self.answer(200, {**server.counts, "loaded": len(server.models)})
        with server.lock:
            models = [{"modelName": name, "modelUrl": url} for name, (url, _) in server.models.items()]
        if self.path.startswith("/models/"):
            found = [model for model in models if model["modelName"] == self.path[8:]]
            return self.answer(200, {**found[0], "workers": [{"memoryUsage": 4096}]}) if found else self.answer(404, {})
        # One entry a page, to have pages.
        _, _, token = self.path.partition("next_page_token=")
        at = int(token or 0)
        more = {"nextPageToken": str(at + 1)} if at + 1 < len(models) else {}
        return self.answer(200, {"models": models[at : at + 1], **more})

    def do_POST(self):
        server, body = self.server, self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/models":
            given = json.loads(body)
            return self.answer(*server.load(given["model_name"], given["url"]))
        if self.path == "/forget":
            with server.lock:
                server.models.clear()
            return self.answer(200, {})
        name = self.path.split("/")[2]
        with server.lock:
            model = server.models.get(name)
        if model is None or body == b"404":
            return self.answer(404, {"message": "no such model"})
        if body.startswith((b"sleep ", b"until ")):
            wait_for(body[6:].decode())
        if body == b"die":
            os.kill(os.getpid(), signal.SIGKILL)
        return self.raw(200, f"{model[1]}:{body.decode()}:{self.headers['X-Amzn-SageMaker-Target-Model']}".encode())

    def do_DELETE(self):
        with self.server.lock:
            found = self.server.models.pop(self.path.split("/")[2], None)
            self.server.counts["unloads"] += found is not None
        self.answer(200 if found else 404, {})

    def answer(self, status, value):
        self.raw(status, json.dumps(value).encode())

    def raw(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    assert os.environ["SAGEMAKER_MULTI_MODEL"] == "true"
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print("listening", sys.argv[1:], flush=True)
    Container(int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")), int(os.environ["MODELS_AT_MOST"])).serve_forever()
