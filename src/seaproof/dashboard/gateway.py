"""The page of `seaproof pipeline`: its containers in order, the models that they hold, and how to call it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from seaproof.dashboard.layout import Html, document, pre, table


def gateway_page(about: Mapping[str, Any]) -> str:
    """The document of what the gateway's GET / tells."""
    containers = about["containers"]
    rows = [
        (number, one["name"], "multi-model" if one["type"] == "multi" else "one model", _place(one))
        for number, one in enumerate(containers, 1)
    ]
    models = [
        (one["name"], name, "loaded" if name in one["loaded"] else "", counts["invocations"], counts["failures"])
        for one in containers
        for name, counts in one.get("models", {}).items()
    ]
    (_, example), *options = about["call"].items()
    parts = [
        f"<h1>{escape(' → '.join(one['name'] for one in containers))}</h1>",
        f'<p class="soft">{escape(about["what"])}; as {escape(about["configuration"])} has it.</p>',
        table(rows, ("#", "container", "kind", "where")),
    ]
    if models:
        parts += ["<h2>Models</h2>", table(models, ("container", "model", "now", "#calls", "#failed loads"))]
    parts += ["<h2>Call it</h2>", pre(example), table(options, ("", "what it gives"))]
    return document("seaproof pipeline", *parts)


def _place(container: Mapping[str, Any]) -> Html | str:
    if "problem" in container:
        return Html(f'<span class="status bad">{escape(container["problem"])}</span>')
    return f"{container['address']}, {container['how']}"
