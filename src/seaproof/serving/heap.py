"""How much memory a worker keeps that it has freed.

By glibc's defaults a block of some megabytes goes back to the kernel as soon as it is freed, and comes anew with the
next request, page by page, each of which the kernel clears: half of the time that a body of 5 MB took to decode.
"""

from __future__ import annotations

import ctypes

from seaproof.contract.environ import variable

KEPT = 64 * 1024 * 1024
"""Bytes at the end of the heap: what a body of 5 MB needs while it is decoded, twice over."""
LARGEST = 32 * 1024 * 1024
"""Bytes of a block that comes from the heap, the most that glibc allows; larger ones are the kernel's own."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_OWN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> None:
    """Have this process, and those that it forks, keep freed memory for the next request. Does nothing where the C
    library is another than glibc, or where the environment says how much is kept."""
    if any(map(variable, _OWN)):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl has none, Windows has no None
        return
    mallopt(_MMAP_THRESHOLD, LARGEST)
    mallopt(_TRIM_THRESHOLD, KEPT)
