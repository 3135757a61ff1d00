"""The end of the log of every container of a job or an endpoint."""

from __future__ import annotations

from html import escape

from seaproof.api.client import Client
from seaproof.dashboard.layout import pre
from seaproof.drivers.terminal_codes import without_codes

LINES = 200
BYTES = 64 * 1024
STREAMS = 20
"""Containers whose logs are shown; the newest of more."""


def logs(client: Client, group: str, owner: str, command: str) -> str:
    """Each stream's last lines, and the command that shows all of them."""
    streams = client.log_streams(group, owner)
    if not streams:
        return '<p class="none">Nothing was printed yet.</p>'
    parts = [f'<p class="soft">The last lines; all of them: <code>{escape(command)}</code></p>']
    for stream in streams[-STREAMS:]:
        text = client.logs(group, stream, -BYTES)[0].decode("utf-8", "replace")
        lines = without_codes(text).splitlines()[-LINES:]
        if len(streams) > 1:
            parts.append(f'<p class="soft">{escape(stream.removeprefix(f"{owner}/"))}</p>')
        parts.append(pre("\n".join(lines) or "(nothing)"))
    return "".join(parts)
