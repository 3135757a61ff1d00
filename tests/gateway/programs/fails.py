"""A container that fails as a body tells it: `second die` is for the one whose NAME is second; others pass it on.

exact      415 unless the type is text/csv to the letter     limit   413 over 1,000 bytes
sleep      no reply                                          memory  grows until it is killed
die        ends                                              close   closes the connection
raise      500 and a traceback                               no-route 404
mute       listens no more, and lives on                     move    listens on another port
tear       300,000 bytes of a reply of 2 MB
"""

import os
import socket
import sys
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = os.environ["NAME"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body, kind="text/plain"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200, b"")

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return
        name, verb = body.decode().split()[:2]
        if name != NAME or not self.fails(verb, body):
            self.answer(200, body, "text/csv; charset=utf-8")

    def fails(self, verb, body):
        """Whether nothing more is to be said."""
        kind = self.headers["Content-Type"]
        if verb == "exact" and kind != "text/csv":
            self.answer(415, f"Content type {kind} is not supported".encode())
        elif verb == "limit" and len(body) > 1000:
            self.answer(413, b"over 1000 bytes")
        elif verb == "no-route":
            self.answer(404, b'{"detail":"Not Found"}', "application/json")
        elif verb == "sleep":
            time.sleep(60)
        elif verb == "memory":
            held = []
            while True:
                held.append(bytearray(os.urandom(4096)) * 1024)
                time.sleep(0.02)
        elif verb == "die":
            print("had enough", flush=True)
            os._exit(3)
        elif verb == "close":
            self.close_connection = True
        elif verb == "tear":
            self.send_response(200)
            self.send_header("Content-Type", "text/csv")
            self.send_header("Content-Length", "2000000")
            self.end_headers()
            self.wfile.write(b"1" * 300_000)
            self.close_connection = True
        elif verb == "raise":
            try:
                raise ValueError("could not convert string to float: 'x'")
            except ValueError as error:
                print(traceback.format_exception_only(error)[0], end="", file=sys.stderr, flush=True)
            time.sleep(0.1)
            self.answer(500, b"<h1>Internal Server Error</h1>", "text/html")
        elif verb in ("mute", "move"):
            self.close_connection = True
            server.socket.shutdown(socket.SHUT_RDWR)
            server.socket.close()
            if verb == "move":
                other = ThreadingHTTPServer(("0.0.0.0", 0), Handler)
                print(f"Running on http://0.0.0.0:{other.server_address[1]}", flush=True)
                threading.Thread(target=other.serve_forever, daemon=True).start()
            self.answer(200, body, "text/csv; charset=utf-8")
        else:
            return False
        return True

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("0.0.0.0", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler)
server.daemon_threads = True
print("serving", flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
threading.Event().wait()
