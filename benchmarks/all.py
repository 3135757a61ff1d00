"""Every benchmark of this folder, one after the other: what `make bench` runs.

python benchmarks/all.py [--quick] [--only run,codecs]

A benchmark is a file that can be run by itself and knows `--quick`. With it, all of them together stay under three
minutes once what they need is installed: the first is that of the serving runtime, and those for which no time is left
are named.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
FIRST = "run"
QUICK_SECONDS = 170
LEAST = 15
"""Seconds that have to be left for another benchmark to be begun."""


def benchmarks() -> list[str]:
    """Their names, the serving runtime's first."""
    found = []
    for path in HERE.glob("*.py"):
        text = path.read_text()
        if path != Path(__file__).resolve() and '__name__ == "__main__"' in text and '"--quick"' in text:
            found.append(path.stem)
    return sorted(found, key=lambda name: (name != FIRST, name))


QUIETLY = """
import os, runpy, signal, sys
signal.signal(signal.SIGINT, lambda number, frame: sys.exit(128 + number))
del sys.argv[0]
sys.path[0] = os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a program so that Ctrl-C ends it without a traceback, its servers as well."""


def main() -> int:
    """Run them; 1 where one failed."""
    known = benchmarks()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"at most {QUICK_SECONDS} seconds in all")
    parser.add_argument("--only", default=",".join(known), help="names, separated by commas; default: %(default)s")
    given = parser.parse_args()
    names = given.only.split(",")
    if unknown := sorted(set(names) - set(known)):
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are: {', '.join(known)}")
    began, failed, left_out = time.monotonic(), [], []
    for name in names:
        left = QUICK_SECONDS - (time.monotonic() - began) if given.quick else None
        if left is not None and left < LEAST:
            left_out.append(name)
            continue
        print(f"\n=== {name} ===", flush=True)
        command = [sys.executable, "-c", QUIETLY, str(HERE / f"{name}.py"), *(["--quick"] if given.quick else [])]
        code = _run(command, left)
        if code is None:
            left_out.append(name)
        elif code:
            failed.append(name)
    print(f"\n{len(names) - len(failed) - len(left_out)} of {len(names)} benchmarks, {time.monotonic() - began:.0f} s")
    for name in left_out:
        print(f"left out for want of time: python benchmarks/{name}.py --quick")
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def _run(command: list[str], seconds: float | None) -> int | None:
    """Its exit code; None where it took longer, and was asked to end, so that it ends its servers."""
    with subprocess.Popen(command) as child:
        try:
            return child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGINT)
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            child.kill()
        return None


if __name__ == "__main__":
    sys.exit(main())
