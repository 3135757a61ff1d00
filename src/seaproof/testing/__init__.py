"""Shipped for tests: `check`, the pytest plugin, and the contract suites of drivers, storage and engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seaproof.testing.proof import check

__all__ = ["check"]


def __getattr__(name: str) -> Any:
    """`check` is imported when it is asked for: the plugin is loaded by every pytest run."""
    if name == "check":
        from seaproof.testing.proof import check

        return check
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
