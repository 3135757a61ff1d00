"""`seaproof models`: what multi-model endpoints have loaded, and how much memory a trace would need."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from seaproof.cli import hit_rate_plot
from seaproof.cli.model_traces import UNITS, read_sizes, read_trace, size_text
from seaproof.cli.screen import moment, table
from seaproof.cli.session import living, open_session, project_options, show_json
from seaproof.errors import SeaproofError
from seaproof.gateway.listing import listing
from seaproof.invocations.hit_rates import HitRates, hit_rates
from seaproof.invocations.send import Sender

_POINTS = 200
_HEADINGS = ("MODEL", "LOADED", "CALLS", "HITS", "LOADS", "EVICTED", "FAILED", "DISK", "MEMORY", "LAST USE")


@click.group("models", invoke_without_command=True)
@project_options
@click.option("--endpoint", help="Of this endpoint alone.")
@click.option("--gateway", metavar="HOST:PORT", help="Of the containers behind this `seaproof pipeline` instead.")
@click.pass_context
def command(context: click.Context, folder: Path, as_json: bool, endpoint: str | None, gateway: str | None) -> None:
    """The models of multi-model endpoints, or of a gateway's containers, most used first.

    LOADED is the number of instances that have the model in memory now, HITS the calls that found it loaded,
    EVICTED how often it was unloaded to make room, DISK its size unpacked, MEMORY what the container says that it
    takes. The counts are kept in memory: they begin anew when the local server, or the gateway, does.
    """
    if context.invoked_subcommand:
        return
    if gateway and endpoint:
        raise click.UsageError("--endpoint and --gateway exclude each other: a gateway has no endpoints.")
    found = _behind(gateway) if gateway else living(open_session(folder, as_json)).models()
    rows = [row for row in found if endpoint in (None, row["endpoint"])]
    if as_json:
        show_json(rows)
    elif rows:
        table([_cells(row) for row in rows], ("CONTAINER" if gateway else "ENDPOINT", *_HEADINGS))
    elif gateway:
        print(f"no model was asked for yet at the gateway {gateway}")
    else:
        named = ", ".join(sorted({row["endpoint"] for row in found}))
        hint = f"endpoints with models: {named}" if named else "`seaproof predict --target-model` asks for one"
        print(f"no model of {endpoint or 'any multi-model endpoint'} was asked for yet; {hint}")


@command.command(short_help="Draw the hit rate for any amount of memory, from TRACE.")
@click.argument("trace", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--memory", help="Mark this much on the curve: 2GB, 500MiB, or a number of models where no sizes are known."
)
@click.option(
    "--sizes",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV with the columns model and bytes.  [default: the bytes of the trace]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("hit-rate.png"),
    show_default=True,
    help="Picture to write.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the curve as JSON, too.")
def simulate(trace: Path, memory: str | None, sizes: Path | None, output: Path, as_json: bool) -> None:
    """Draw how often models would be found loaded, for any amount of memory, from TRACE.

    TRACE is a CSV with the column model, and bytes if known, oldest request first; the setting model_trace records one
    in .seaproof/traces. Needs matplotlib: pip install "seaproof[plots]".

    \b
      seaproof models simulate .seaproof/traces/flowers.csv --memory 2GB
    """
    asked, given = read_trace(trace)
    by_model = read_sizes(sizes, asked) if sizes else given
    rates = hit_rates(asked, by_model)
    mark = _memory(memory, in_bytes=by_model is not None) if memory else None
    hit_rate_plot.draw(rates, output, trace.name, mark=mark, label=_label(memory), in_bytes=by_model is not None)
    if as_json:
        show_json(_as_json(rates, mark, output, in_bytes=by_model is not None))
        return
    for line in _lines(rates, mark, _label(memory), in_bytes=by_model is not None):
        print(line)
    print(f"drawn in {output}")


def _behind(gateway: str) -> list[dict[str, Any]]:
    sender = Sender()
    try:
        return listing(gateway, sender)
    finally:
        sender.close()


def _cells(row: dict[str, Any]) -> tuple[Any, ...]:
    names = ("invocations", "hits", "loads", "evictions", "failures")
    sizes = (size_text(row[size]) if row[size] else "" for size in ("bytes", "memory"))
    return (
        row["endpoint"],
        row["model"],
        len(row["loaded"]) or "",
        *(row[name] for name in names),
        *sizes,
        moment(row["last_use"]),
    )


def _label(memory: str | None) -> str:
    """As it was given; a plain number is one of models, or of bytes."""
    given = (memory or "").strip()
    return given if not given.isdigit() else ""


def _memory(text: str, *, in_bytes: bool) -> int:
    """`2GB` as bytes, or a plain number."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)", text.strip())
    unit = match[2].lower() if match else ""
    if not match or unit not in UNITS:
        raise SeaproofError(f"--memory {text!r} is no amount of memory", next_step="Write it as 2GB, 500MiB or 50.")
    if not in_bytes and (unit or "." in match[1]):
        raise SeaproofError(
            f"--memory {text!r} is in bytes, and the trace has no bytes",
            next_step="Give --sizes, or a number of models.",
        )
    return int(float(match[1]) * UNITS[unit])


def _lines(rates: HitRates, mark: int | None, label: str, *, in_bytes: bool) -> list[str]:
    def amount(memory: int) -> str:
        return size_text(memory) if in_bytes else f"{memory:,} models"

    lines = [f"{rates.requests:,} requests for {rates.models:,} models, {amount(rates.total)} together"]
    if mark is not None:
        lines.append(f"hit rate {rates.at(mark):.1%} with {label or amount(mark)}")
    return [
        *lines,
        f"hit rate {rates.best:.1%} at best, with room for all",
        f"{amount(rates.needed(0.9))} give 90 % of that, {amount(rates.needed(0.99))} give 99 %",
    ]


def _as_json(rates: HitRates, mark: int | None, output: Path, *, in_bytes: bool) -> dict[str, Any]:
    return {
        "requests": rates.requests,
        "models": rates.models,
        "unit": "bytes" if in_bytes else "models",
        "total": rates.total,
        "best": rates.best,
        "memory": mark,
        "hit_rate": None if mark is None else rates.at(mark),
        "curve": [{"memory": memory, "hit_rate": rate} for memory, rate in rates.points(_POINTS)],
        "picture": str(output),
    }
