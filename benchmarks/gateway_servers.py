"""What the benchmark of the gateway runs: containers that cost next to nothing, nginx as a proxy and with Lua, ours."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from processes import Server

MODEL = "warm"
NGINX = """
{modules}
worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log; daemon off; master_process off;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 10000000; client_max_body_size 0; client_body_buffer_size 4m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  proxy_buffers 64 64k; proxy_buffer_size 64k; proxy_busy_buffers_size 128k;
  {inner}
}}
"""
CONTAINER = """
server {{
  listen 127.0.0.1:{port} backlog=1024; default_type text/csv;
  location = /models {{ default_type application/json; return 200 '{{"models": []}}'; }}
  location / {{ return 200 '{text}'; }}
}}
"""
UPSTREAM = "upstream {name} {{ server 127.0.0.1:{port}; keepalive 64; keepalive_requests 10000000; }}\n"
PROXY = """
server {{
  listen 127.0.0.1:{port} backlog=1024; proxy_http_version 1.1; proxy_set_header Connection "";
  location = /small {{ proxy_pass http://small0/invocations; }}
  location = /large {{ proxy_pass http://large0/invocations; }}
  location ~ ^/hop/([a-z]+[0-9])$ {{ internal; proxy_pass http://$1/invocations; }}
  location ~ ^/(small|large)/([0-9])$ {{
    content_by_lua_block {{
      ngx.req.read_body()
      local body = ngx.req.get_body_data()
      local reply
      for hop = 0, tonumber(ngx.var[2]) - 1 do
        reply = ngx.location.capture("/hop/" .. ngx.var[1] .. hop, {{ method = ngx.HTTP_POST, body = body }})
        if reply.status ~= 200 then return ngx.exit(502) end
        body = reply.body
        ngx.req.set_header("Content-Type", reply.header["Content-Type"])
      end
      ngx.header["Content-Type"] = reply.header["Content-Type"]
      ngx.header["Content-Length"] = #body
      ngx.print(body)
    }}
  }}
}}
"""
ECHO = """
import asyncio, sys
from seaproof.http.limits import ServerLimits
from seaproof.http.message import Response
from seaproof.http.server import run, serve
def echo(request):
    return Response(200, [(b"Content-Type", b"text/csv")], request.body)
async def main():
    server = await serve(echo, port=int(sys.argv[1]), limits=ServerLimits(body_bytes=2**30))
    await asyncio.Event().wait()
run(main())
"""


@contextmanager
def container(folder: Path, text: bytes) -> Iterator[Server]:
    """nginx that answers every request with this text, and GET /models as a multi-model container without any."""
    with _nginx(folder, CONTAINER, text=text.decode()) as server:
        yield server


@contextmanager
def echo() -> Iterator[Server]:
    """`seaproof.http` that gives bodies back."""
    port = _free_port()
    with _process([sys.executable, "-c", ECHO, str(port)], port) as server:
        yield server


@contextmanager
def proxy(folder: Path, small: list[Server], large: list[Server]) -> Iterator[Server]:
    """nginx: /small and /large with proxy_pass to the first; /small/N and /large/N with Lua through the first N."""
    upstreams = "".join(
        UPSTREAM.format(name=f"{name}{number}", port=each.port)
        for name, servers in (("small", small), ("large", large))
        for number, each in enumerate(servers)
    )
    built = subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=True).stderr
    found = re.search(r"--modules-path=(\S+)", built)
    modules = Path(found[1] if found else "/usr/lib/nginx/modules")
    names = ("ndk_http_module.so", "ngx_http_lua_module.so")
    if not all((modules / name).is_file() for name in names):
        sys.exit("nginx has no Lua; on Debian: apt-get install libnginx-mod-http-lua")
    loads = " ".join(f"load_module {modules / name};" for name in names)
    with _nginx(folder, upstreams.replace("{", "{{").replace("}", "}}") + PROXY, loads) as server:
        yield server


@contextmanager
def gateway(folder: Path, containers: list[Server], many: bool = False) -> Iterator[Server]:
    """`seaproof pipeline` in front of them; with `many`, they are multi-model containers."""
    folder.mkdir()
    entries = [
        {"container": f"bench-{number}", "port": each.port, "type": "multi" if many else "single"}
        for number, each in enumerate(containers)
    ]
    (folder / "containers.json").write_text(json.dumps(entries))
    port = _free_port()
    command = [sys.executable, "-m", "seaproof.cli", "pipeline", "--quiet", "--port", str(port)]
    with _process(command, port, folder) as server:
        yield server


def peak(server: Server) -> int:
    """The most memory that the process has had, in bytes."""
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmHWM:"))


@contextmanager
def _nginx(folder: Path, inner: str, modules: str = "", **values: object) -> Iterator[Server]:
    folder.mkdir()
    port = _free_port()
    config = NGINX.format(folder=folder, modules=modules, inner=inner.format(port=port, **values))
    (folder / "nginx.conf").write_text(config)
    with _process(
        ["nginx", "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")], port
    ) as server:
        yield server


@contextmanager
def _process(command: list[str], port: int, folder: Path | None = None) -> Iterator[Server]:
    """A process until it is no longer needed; it answers something when this begins."""
    started = time.monotonic()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as process:
        try:
            while not _answers(port):
                if process.poll() is not None or time.monotonic() - started > 30:
                    sys.exit(f"it did not start: {' '.join(command)}")
                time.sleep(0.05)
            yield Server(process, port, time.monotonic() - started)
        finally:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
            process.wait(30)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status < 503
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
