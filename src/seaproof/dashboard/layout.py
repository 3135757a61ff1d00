"""How a page looks: the document around it, tables, states, times. Everything that comes in is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from html import escape
from importlib.resources import files
from urllib.parse import urlencode

from seaproof import __version__

GOOD = ("InService", "Completed")
BAD = ("Failed", "UpdateRollbackFailed")
RESTS = ("Stopped", "OutOfService")
REFRESH_SECONDS = 5
"""How often a page that shows something under way asks again."""


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def document(title: str, *parts: str, busy: bool = False) -> str:
    """One HTML document; where something is under way, `busy`, the browser loads it again by itself."""
    again = f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">' if busy else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{again}<link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{_style()}</style></head><body><main>\n{chr(10).join(parts)}\n"
        f"<footer>seaproof {__version__} on this machine. For programs: <a href='/metrics'>/metrics</a>."
        f"{f' This page loads anew every {REFRESH_SECONDS} seconds.' if busy else ''}</footer></main></body></html>\n"
    )


def table(rows: Iterable[Sequence[object]], headings: Sequence[str]) -> str:
    """A table; a column whose heading begins with # holds numbers, one that begins with @ times."""
    kinds = [{"#": ' class="n"', "@": ' class="t"'}.get(heading[:1], "") for heading in headings]
    head = "".join(f"<th{kind}>{escape(text.lstrip('#@'))}</th>" for kind, text in zip(kinds, headings, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{cell(value)}</td>" for kind, value in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def facts(values: Mapping[str, object]) -> str:
    """Names and values; what has no value is left out."""
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{cell(value)}</td></tr>" for name, value in values.items() if value)
    return f'<div class="wide"><table>{rows}</table></div>'


def cell(value: object) -> str:
    """A value as markup."""
    return value if isinstance(value, Html) else escape("" if value is None else str(value))


def link(page: str, name: str) -> Html:
    """A link to the page of a job or an endpoint."""
    return Html(f'<a href="{escape(path(page, name))}">{escape(name)}</a>')


def path(page: str, name: str) -> str:
    """Where the page of a job or an endpoint is."""
    return f"/_seaproof/pages/{page}?{urlencode({'name': name})}"


def state(status: str) -> Html:
    """A status in its colour, which is never all that tells."""
    kind = "good" if status in GOOD else "bad" if status in BAD else "soft" if status in RESTS else "busy"
    return Html(f'<span class="status {kind}">{escape(status)}</span>')


def is_busy(status: str) -> bool:
    """Whether something with this status is about to have another."""
    return status not in (*GOOD, *BAD, *RESTS)


def why(reason: str | None) -> str:
    """A failure's reason."""
    return f'<p class="why">{escape(reason)}</p>' if reason else ""


def pre(text: str) -> str:
    """Text as it is: a command, a log."""
    return f"<pre>{escape(text)}</pre>"


def moment(seconds: float | None) -> str:
    """A time in this machine's zone."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S") if seconds else ""


def span(begun: float | None, ended: float | None) -> str:
    """How long something took."""
    return f"{ended - begun:,.1f} s" if begun and ended else ""


@cache
def _style() -> str:
    return (files("seaproof.dashboard") / "style.css").read_text(encoding="utf-8")
