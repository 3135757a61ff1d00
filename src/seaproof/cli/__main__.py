"""`python -m seaproof.cli` is `seaproof`."""

from seaproof.cli import main

main()
