"""The command line: one file per command; click is imported only here."""

from __future__ import annotations


def main() -> None:
    """Entry point of `seaproof`: run one command, end with its exit code."""
    try:
        from seaproof.cli.app import run
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    run()
