"""How much `seaproof pipeline` adds: chains of 1, 2 and 3 containers, against nginx and against no gateway at all.

    python benchmarks/gateway.py                   all of it, medians of 5 rounds
    python benchmarks/gateway.py --quick           one short round
    python benchmarks/gateway.py --bodies small    150 bytes alone; large: 1 MB alone

Rivals: nginx `proxy_pass` (one hop), nginx + Lua (the same pipeline in a dozen lines), and a minimal client that calls
the containers one after another (direct_chain.py). Small bodies: the containers are nginx with `return 200` and 150
bytes, so that they cost next to nothing. 1 MB bodies: `seaproof.http` echoes them. All processes stand from first to
last and take turns, so that what the machine does in between hits all of them. Compare ratios within one run only.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from gateway_servers import MODEL, container, echo, gateway, peak, proxy
from load import LoadFailed, measure
from processes import Server

SMALL, LARGE = b"0.123456," * 17, b"0.123456," * 116_509
HOPS = (1, 2, 3)
KIND = "text/csv"
CONNECTIONS = {"small": (1, 16, 64), "large": (1, 16, 64)}


@dataclass(frozen=True)
class Found:
    """One measurement; times in milliseconds, CPU of the server in cores (0 where nobody counted)."""

    requests_per_second: float
    p50: float
    p99: float = 0.0
    server_cpu: float = 0.0
    other_cpu: float = 0.0


@dataclass
class Bench:
    """What stands, and what was found: body, connections, target -> one each round."""

    folder: Path
    stack: ExitStack
    seconds: int
    sizes: list[str]
    found: dict[tuple[str, int, str], list[Found]] = field(default_factory=dict)

    def start(self) -> None:
        """All servers."""
        enter = self.stack.enter_context
        small = [enter(container(self.folder / f"container{hop}", SMALL)) for hop in HOPS]
        large = [enter(echo()) for _ in HOPS]
        self.containers = {"small": small, "large": large}
        self.proxy = enter(proxy(self.folder / "proxy", small, large))
        self.gateways = {
            (size, hops): enter(gateway(self.folder / f"gateway-{size}{hops}", containers[:hops]))
            for size, containers in self.containers.items()
            for hops in HOPS
        }
        self.many = enter(gateway(self.folder / "gateway-many", small[:1], many=True))

    def targets(self, size: str) -> list[tuple[str, Server, str]]:
        """What is measured with bodies of this size: name, server, path."""
        targets = [("container", self.containers[size][0], "/invocations"), ("nginx", self.proxy, f"/{size}")]
        for hops in HOPS:
            targets.append((f"gateway {hops}", self.gateways[size, hops], "/pipeline"))
            targets.append((f"lua {hops}", self.proxy, f"/{size}/{hops}"))
        if size == "small":
            targets.append(("model", self.many, f"/pipeline?model={MODEL}"))
        return targets

    def round(self, number: int) -> None:
        """Everything once."""
        for size in self.sizes:
            body = {"small": SMALL, "large": LARGE}[size]
            file = self.folder / size
            file.write_bytes(body)
            for connections in CONNECTIONS[size]:
                print(f"round {number}: {size}, c={connections}", file=sys.stderr, flush=True)
                for what, server, path in self.targets(size):
                    # At 64 connections a round of 1 MB bodies takes a while.
                    seconds = self.seconds if size == "small" else max(self.seconds, connections // 8)
                    came = measure(server, path, file, KIND, "*/*", connections, seconds)
                    if came.failed:
                        raise LoadFailed(f"{came.failed} requests failed: {size}, {what}")
                    one = Found(came.requests_per_second, came.p50, came.p99, came.server_cpu, came.other_cpu)
                    self.found.setdefault((size, connections, what), []).append(one)
                for hops in HOPS:
                    self.found.setdefault((size, connections, f"client {hops}"), []).append(
                        self.direct(file, connections, self.containers[size][:hops])
                    )

    def direct(self, file: Path, connections: int, servers: list[Server]) -> Found:
        """The containers called one after another."""
        command = [sys.executable, str(Path(__file__).with_name("direct_chain.py")), str(connections)]
        command += [str(self.seconds), str(file), *(str(server.port) for server in servers)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        return Found(**json.loads(done.stdout))

    def middle(self, size: str, connections: int, what: str, figure: str) -> float:
        """The median of the rounds."""
        return median(getattr(each, figure) for each in self.found[size, connections, what])

    def ratio(self, size: str, connections: int, one: str, other: str) -> float:
        """Requests per second of one, as a part of the other's: the median of the rounds' own ratios."""
        pairs = zip(self.found[size, connections, one], self.found[size, connections, other], strict=True)
        return median(ours.requests_per_second / theirs.requests_per_second for ours, theirs in pairs)

    def added(self, connections: int, one: str, other: str, hops: int) -> float:
        """Milliseconds of p50 that one adds to the other for each hop: the median of the rounds' own differences."""
        pairs = zip(self.found["small", connections, one], self.found["small", connections, other], strict=True)
        return median((ours.p50 - theirs.p50) / hops for ours, theirs in pairs)


def main() -> None:
    """Start everything, measure round after round, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--bodies", choices=["small", "large", "both"], default="both")
    given = parser.parse_args()
    if not shutil.which("nginx"):
        sys.exit("nginx is not installed; on Debian: apt-get install nginx-light libnginx-mod-http-lua")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        sizes = ["small", "large"] if given.bodies == "both" else [given.bodies]
        bench = Bench(Path(name), stack, given.seconds or (1 if given.quick else 2), sizes)
        bench.start()
        for number in range(given.rounds or (1 if given.quick else 5)):
            bench.round(number + 1)
        _show(bench)


def _show(bench: Bench) -> None:
    print("\n| body | c | target | requests/s | p50 ms | p99 ms | server CPU |\n|---|--:|---|--:|--:|--:|--:|")
    for size, connections, what in bench.found:
        rate, p50, p99, cpu = (
            bench.middle(size, connections, what, figure)
            for figure in ("requests_per_second", "p50", "p99", "server_cpu")
        )
        tail = f"{p99:.3f} | {cpu:.2f}" if cpu else " | "
        print(f"| {size} | {connections} | {what} | {rate:,.0f} | {p50:.3f} | {tail} |")
    print("\n| figure | goal | found |\n|---|--:|--:|")
    if "small" in bench.sizes:
        _show_small(bench)
    if "large" in bench.sizes:
        _show_large(bench)
    other = median(each.other_cpu for what in bench.found.values() for each in what if each.server_cpu)
    print(f"\nCores that something else kept busy meanwhile (containers included): {other:.2f}")


def _show_small(bench: Bench) -> None:
    for hops in HOPS:
        added = bench.added(1, f"gateway {hops}", f"client {hops}", hops)
        print(f"| added p50 per hop, c=1, {hops} hops, against the minimal client, ms | 0.08 | {added:.3f} |")
    print(f"| the same of nginx proxy_pass, 1 hop, ms | | {bench.added(1, 'nginx', 'client 1', 1):.3f} |")
    print(f"| added p50 of a warm model, c=1, ms | 0.1 | {bench.added(1, 'model', 'client 1', 1):.3f} |")
    for connections in CONNECTIONS["small"]:
        goal = "0.55" if connections == 64 else ""
        ratio = bench.ratio("small", connections, "gateway 1", "nginx")
        print(f"| requests/s, 1 hop, c={connections}: part of nginx proxy_pass | {goal} | {ratio:.2f} |")
    for connections in CONNECTIONS["small"]:
        goal = "0.9" if connections == 64 else ""
        ratio = bench.ratio("small", connections, "gateway 3", "lua 3")
        print(f"| requests/s, 3 hops, c={connections}: part of nginx + Lua | {goal} | {ratio:.2f} |")


def _show_large(bench: Bench) -> None:
    for connections in CONNECTIONS["large"]:
        one = bench.ratio("large", connections, "gateway 1", "nginx")
        three = bench.ratio("large", connections, "gateway 3", "lua 3")
        print(f"| requests/s, 1 MB, 1 hop, c={connections}: part of nginx proxy_pass | | {one:.2f} |")
        print(f"| requests/s, 1 MB, 3 hops, c={connections}: part of nginx + Lua | | {three:.2f} |")
    for (size, hops), server in bench.gateways.items():
        if size == "large":
            print(f"| peak memory, 1 MB bodies, {hops} hops, MB | the same for all | {peak(server) / 1e6:.0f} |")


if __name__ == "__main__":
    main()
