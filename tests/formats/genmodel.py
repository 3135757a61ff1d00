"""The jar of H2O's open runtime, which lies in the jar that lies in H2O's package."""

from __future__ import annotations

import zipfile
from pathlib import Path

from venvs import make_environment


def genmodel() -> Path:
    """The jar, ready to use."""
    folder = make_environment("h2o")
    jar = folder / "h2o-genmodel.jar"
    if not jar.is_file():
        (whole,) = folder.glob("lib/python*/site-packages/h2o/backend/bin/h2o.jar")
        with zipfile.ZipFile(whole) as archive:
            made = jar.with_suffix(".partial")
            made.write_bytes(archive.read("www/3/h2o-genmodel.jar"))
            made.replace(jar)
    return jar
