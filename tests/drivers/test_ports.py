"""Ports for programs that bind them later: given once, by whatever process, and by the kernel to nobody else."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from seaproof.drivers.ports import free_port

ASKS = "from seaproof.drivers.ports import free_port; print(*(free_port() for _ in range(100)), flush=True); input()"


def test_who_asks_at_the_same_time_is_given_other_ports_which_the_kernel_gives_to_nobody():
    command = [sys.executable, "-c", ASKS]
    others = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(3)]
    with ThreadPoolExecutor(8) as pool:
        given = list(pool.map(lambda _: free_port(), range(100)))
    for other in others:
        assert other.stdout is not None
        given += map(int, other.stdout.readline().split())
    for other in others:
        other.communicate(b"\n")
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])

    assert len(given) == len(set(given)) == 400
    assert max(given) < first or first < 20_000  # where the kernel leaves no room
