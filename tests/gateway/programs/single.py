"""A container of one model, as small as one can be: it wraps what it is sent. `die` ends it, `fail` is a 500."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body, kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200, b"")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if b"die" in body:
            print("ends as it was told", flush=True)
            os._exit(3)
        if b"fail" in body:
            print("KeyError: 'fail'", file=sys.stderr, flush=True)
            self.answer(500, b"<h1>KeyError</h1>", "text/html")
            return
        text = json.dumps({"prepared": body.decode(), "type": self.headers["Content-Type"], "pid": os.getpid()})
        self.answer(200, text.encode())


if __name__ == "__main__":
    print("arguments:", sys.argv[1:], flush=True)
    ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("SAGEMAKER_BIND_TO_PORT", 8080))), Handler).serve_forever()
