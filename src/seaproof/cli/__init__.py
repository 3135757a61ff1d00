"""The command line: one file per command; click is imported only here."""

from __future__ import annotations


def main() -> None:
    """Entry point of `seaproof`: run one command, end with its exit code."""
    from seaproof.cli.app import run

    run()
