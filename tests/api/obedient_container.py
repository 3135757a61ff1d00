"""A serving container that does what the body of a request says: see `do_POST`. What has no order in it is echoed."""

import http.server
import json
import os
import pathlib
import time

NAME = os.environ.get("NAME", "")
ME = os.urandom(8).hex()
BUSY, PEAK = [], [0]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and body in one packet

    def do_GET(self):
        self.answer(200, b"")

    def do_POST(self):
        BUSY.append(self)
        PEAK[0] = max(PEAK[0], len(BUSY))
        try:
            self.obey()
        finally:
            BUSY.remove(self)

    def obey(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            order = json.loads(body)
            assert isinstance(order, dict)
        except (ValueError, AssertionError):
            return self.answer(200, body, {"Content-Type": self.headers.get("Content-Type", "text/plain")})
        if "DARK" in os.environ:
            order.update(order.get("dark", {}))
        print("asked", order.get("id", ""), flush=True)
        taken = bytearray(order.get("take", 0))
        taken[::4096] = b"x" * len(taken[::4096])
        time.sleep(order.get("sleep", 0))
        while "until" in order and not pathlib.Path(order["until"]).exists():
            time.sleep(0.01)
        headers = {"Content-Type": "text/csv; charset=x", **order.get("headers", {})}
        if "parts" in order:
            return self.stream(order, headers)
        shown = {"name": NAME, "me": ME, "peak": PEAK[0], "headers": dict(self.headers), "said": order.get("say", "")}
        shown["path"] = self.path
        body = order["answer"].encode() if "answer" in order else json.dumps(shown).encode()
        return self.answer(order.get("status", 200), body, headers)

    def stream(self, order, headers):
        """Parts in chunked coding; a number among them is a pause, `break` ends the connection, `wait` is a file."""
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        try:
            for part in order["parts"]:
                if part == "break":
                    self.close_connection = True
                    return
                if isinstance(part, (int, float)):
                    time.sleep(part)
                elif isinstance(part, dict):
                    while not pathlib.Path(part["wait"]).exists():
                        time.sleep(0.01)
                else:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part.encode()))
                    self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            print("the client went away", flush=True)
            self.close_connection = True

    def answer(self, status, body, headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


http.server.ThreadingHTTPServer.request_queue_size = 256
http.server.ThreadingHTTPServer(
    ("0.0.0.0", int(os.environ.get("SAGEMAKER_BIND_TO_PORT", 8080))), Handler
).serve_forever()
