"""What `seaproof predict` does with an answer: to the terminal, to a file, or as JSON."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from seaproof.cli.session import show_json


@dataclass(frozen=True)
class Answer:
    """Where the answer of an endpoint goes."""

    endpoint: str
    output: Path | None
    as_json: bool

    def whole(self, body: bytes, about: dict[str, str]) -> None:
        """An answer that is there; what is said `about` it is shown as JSON, and a new session on stderr."""
        if self.output:
            self.output.write_bytes(body)
        if self.as_json:
            show_json({"endpoint": self.endpoint, **about, **_body(body)})
            return
        if not self.output:
            sys.stdout.buffer.write(body)
            if body and not body.endswith(b"\n") and sys.stdout.isatty():
                print()
        for name in ("new_session", "closed_session"):
            if name in about:
                sys.stdout.flush()
                print(f"{name.replace('_', ' ')}: {about[name]}", file=sys.stderr)

    def parts(self, parts: Iterator[bytes]) -> None:
        """An answer that comes: each part is shown at once. As JSON, one object for each."""
        file = self.output.open("wb") if self.output else None
        try:
            for number, part in enumerate(parts, 1):
                if file:
                    file.write(part)
                if self.as_json:
                    show_json({"endpoint": self.endpoint, "part": number, **_body(part)})
                elif not file:
                    sys.stdout.buffer.write(part)
                    sys.stdout.flush()
        finally:
            if file:
                file.close()
        if not self.as_json and not file and sys.stdout.isatty():
            print()


def _body(body: bytes) -> dict[str, str]:
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(body).decode()}
