"""How much `seaproof pipeline` adds: chains of 1, 2 and 3 containers, against nginx `proxy_pass` and direct calls.

    python benchmarks/gateway.py            all of it, medians of 5 rounds
    python benchmarks/gateway.py --quick    one short round

Small bodies: the containers are nginx with `return 200` and 150 bytes, so that they cost next to nothing. 1 MB bodies:
`seaproof.http` echoes them. All processes stand from first to last and take turns, so that what the machine does in
between hits all of them. Compare ratios within one run only.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median

from load import LoadFailed, Measurement, measure
from processes import Server

SMALL, LARGE = b"0.123456," * 17, b"0.123456," * 116_509
HOPS = (1, 2, 3)
KIND = "text/csv"
NGINX = """
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
RETURN = """
server {{
  listen 127.0.0.1:{port} backlog=1024; default_type text/csv;
  location / {{ return 200 '{text}'; }}
}}
"""
PROXY = """
upstream small {{ server 127.0.0.1:{small}; keepalive 64; keepalive_requests 10000000; }}
upstream large {{ server 127.0.0.1:{large}; keepalive 64; keepalive_requests 10000000; }}
server {{
  listen 127.0.0.1:{port} backlog=1024; proxy_http_version 1.1; proxy_set_header Connection "";
  location = /small {{ proxy_pass http://small/invocations; }}
  location = /large {{ proxy_pass http://large/invocations; }}
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


def main() -> None:
    """Start everything, measure round after round, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=0)
    given = parser.parse_args()
    rounds = given.rounds or (1 if given.quick else 5)
    seconds = given.seconds or (1 if given.quick else 3)
    if not shutil.which("nginx"):
        sys.exit("nginx is not installed; on Debian: apt-get install nginx-light")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        small = [stack.enter_context(_nginx(folder / f"container{hop}", RETURN, text=SMALL.decode())) for hop in HOPS]
        large = [stack.enter_context(_echo()) for _ in HOPS]
        proxy = stack.enter_context(_nginx(folder / "proxy", PROXY, small=small[0].port, large=large[0].port))
        gateways = {
            (size, hops): stack.enter_context(_gateway(folder / f"gateway-{size}{hops}", containers[:hops]))
            for size, containers in (("small", small), ("large", large))
            for hops in HOPS
        }
        results: dict[tuple[str, str, int], list[Measurement]] = {}
        for number in range(rounds):
            for size, body, first in (("small", SMALL, small[0]), ("large", LARGE, large[0])):
                file = folder / size
                file.write_bytes(body)
                targets = [("direct", first, "/invocations"), ("nginx", proxy, f"/{size}")]
                targets += [(f"{hops} hops", gateways[size, hops], "/pipeline") for hops in HOPS]
                for connections in (1, 16, 64) if size == "small" else (1, 16):
                    for what, server, path in targets:
                        print(f"round {number + 1}: {size} c={connections} {what}", file=sys.stderr)
                        found = measure(server, path, file, KIND, "*/*", connections, seconds)
                        if found.failed:
                            raise LoadFailed(f"{found.failed} requests failed: {size}, {what}")
                        results.setdefault((size, what, connections), []).append(found)
        _show(results, {key: server for key, server in gateways.items() if key[0] == "large"})


def _show(results: dict[tuple[str, str, int], list[Measurement]], large: dict[tuple[str, int], Server]) -> None:
    def middle(size: str, what: str, connections: int, figure: str) -> float:
        return median(getattr(each, figure) for each in results[size, what, connections])

    print(
        "\n| body | connections | target | requests/s | p50 ms | p99 ms | server CPU |\n|---|--:|---|--:|--:|--:|--:|"
    )
    for size, what, connections in results:
        rate, p50, p99, cpu = (
            middle(size, what, connections, figure) for figure in ("requests_per_second", "p50", "p99", "server_cpu")
        )
        print(f"| {size} | {connections} | {what} | {rate:,.0f} | {p50:.3f} | {p99:.3f} | {cpu:.2f} |")
    print("\n| figure | goal | found |\n|---|--:|--:|")
    direct = middle("small", "direct", 1, "p50")
    for hops in HOPS:
        added = (middle("small", f"{hops} hops", 1, "p50") - hops * direct) / hops
        print(f"| added p50 per hop, c=1, {hops} hops, ms | 0.08 | {added:.3f} |")
    added = middle("small", "nginx", 1, "p50") - direct
    print(f"| the same of nginx proxy_pass, 1 hop, ms | | {added:.3f} |")
    for connections in (1, 16, 64):
        ours = middle("small", "1 hops", connections, "requests_per_second")
        ratio = ours / middle("small", "nginx", connections, "requests_per_second")
        goal = "0.55" if connections == 64 else ""
        print(f"| requests/s, 1 hop, c={connections}: part of nginx proxy_pass | {goal} | {ratio:.2f} |")
    for connections in (1, 16):
        ours = middle("large", "1 hops", connections, "requests_per_second")
        ratio = ours / middle("large", "nginx", connections, "requests_per_second")
        print(f"| 1 MB, 1 hop, c={connections}: part of nginx proxy_pass | | {ratio:.2f} |")
    for (_, hops), server in large.items():
        print(f"| peak memory, 1 MB bodies, c=16, {hops} hops, MB | the same for all | {_peak(server) / 1e6:.0f} |")


def _peak(server: Server) -> int:
    """The most memory that the process has had, in bytes."""
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmHWM:"))


@contextmanager
def _nginx(folder: Path, inner: str, **values: object) -> Iterator[Server]:
    folder.mkdir()
    port = _free_port()
    config = NGINX.format(folder=folder, inner=inner.format(port=port, **values))
    (folder / "nginx.conf").write_text(config)
    with _process(
        ["nginx", "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")], port
    ) as server:
        yield server


@contextmanager
def _echo() -> Iterator[Server]:
    port = _free_port()
    with _process([sys.executable, "-c", ECHO, str(port)], port) as server:
        yield server


@contextmanager
def _gateway(folder: Path, containers: list[Server]) -> Iterator[Server]:
    folder.mkdir()
    entries = [{"container": f"bench-{number}", "port": each.port} for number, each in enumerate(containers)]
    (folder / "containers.json").write_text(json.dumps(entries))
    port = _free_port()
    command = [sys.executable, "-m", "seaproof.cli", "pipeline", "--quiet", "--port", str(port)]
    with _process(command, port, folder) as server:
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


if __name__ == "__main__":
    main()
