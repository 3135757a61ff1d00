"""What a build reads: the files whose change makes another image. The rest of a folder may change as it likes.

Only files that the Dockerfile names in COPY or ADD count. Where it names more than that can be told from its text (a
variable, a mount), or there is none, the whole folder counts.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from seaproof.ship.shipment import ImageShape

_CACHES = {".git", ".seaproof", ".venv", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", "node_modules"}


def digest(context: Path, shape: ImageShape) -> str:
    """A hash over the Dockerfile, the build's arguments, and every file that goes in, with its name and mode."""
    seen = hashlib.sha256(json.dumps([shape.platform, sorted(shape.arguments.items())]).encode())
    dockerfile = context / shape.dockerfile
    text = dockerfile.read_bytes() if dockerfile.is_file() else b"COPY . ."
    seen.update(hashlib.sha256(text).digest())
    for path in files(context, text.decode("utf-8", "replace")):
        seen.update(f"{path.relative_to(context).as_posix()}\0{path.stat().st_mode & 0o111}\0".encode())
        with path.open("rb") as opened:
            while piece := opened.read(1 << 20):
                seen.update(piece)
    return seen.hexdigest()


def files(context: Path, dockerfile: str) -> Iterator[Path]:
    """The files of the context that the Dockerfile takes, each once, sorted."""
    patterns = sources(dockerfile)
    found = set(context.rglob("*")) if patterns is None else set()
    for pattern in patterns or ():
        for path in context.glob(pattern.strip("/") or "*") if pattern not in (".", "./") else [context]:
            found.update(path.rglob("*") if path.is_dir() else [path])
    for path in sorted(found):
        if path.is_file() and not _CACHES & set(path.relative_to(context).parts):
            yield path


def sources(dockerfile: str) -> list[str] | None:
    """What COPY and ADD name, as patterns below the context; None where that cannot be told."""
    found: list[str] = []
    for line in re.sub(r"\\\s*\n", " ", dockerfile).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word.upper() == "RUN" and "--mount" in rest:
            return None
        if word.upper() not in ("COPY", "ADD"):
            continue
        if "--from=" in rest:
            continue
        if "$" in rest or "<<" in rest:
            return None
        try:
            given = json.loads(rest) if rest.lstrip().startswith("[") else shlex.split(rest)
        except ValueError:
            return None
        found += [source for source in given[:-1] if not source.startswith("--") and "://" not in source]
    return found
