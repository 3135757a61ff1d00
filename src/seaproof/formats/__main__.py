"""`python -m seaproof.formats FOLDER [FILE]`: which model lies there, and what an image needs to serve it, as JSON.

For tools outside of the image, which start this as a process: what they learn is what the container would find.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from seaproof.errors import SeaproofError
from seaproof.formats.choice import Found, described, find


def facts(found: Found) -> dict[str, Any]:
    """The file, its format, and the packages: each in the version that is installed here, if one is."""
    one = found.format
    return {
        "file": found.path.name,
        "format": one.name,
        "packages": [_pinned(package) for _, package in one.libraries] + [_pinned(package) for package in one.often],
        "debian": list(one.debian),
    }


def _pinned(package: str) -> str:
    try:
        return f"{package}=={version(package)}"
    except PackageNotFoundError:
        return package


def main(words: list[str]) -> int:
    """Print the facts, or an error: `{"what", "where", "next_step"}`."""
    try:
        found = find(words[0], words[1] if words[1:] else "")
    except SeaproofError as error:
        sys.stdout.write(json.dumps({"what": error.what, "where": error.where, "next_step": error.next_step}))
        return 1
    if found is None:
        there = ", ".join(sorted(path.name for path in Path(words[0]).iterdir())) or "nothing"
        what = f"no model that can be served is among the files: {there}"
        sys.stdout.write(json.dumps({"what": what, "next_step": f"Models are: {described()}."}))
        return 1
    sys.stdout.write(json.dumps(facts(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
