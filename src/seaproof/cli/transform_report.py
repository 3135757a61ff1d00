"""What `seaproof transform` says at its end: of a job, or of a dry run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from seaproof.cli.app import INTERRUPTED, WorkloadFailed
from seaproof.cli.screen import facts, table
from seaproof.cli.session import Session, show_json
from seaproof.cli.transform_request import Asked, dry_run
from seaproof.ship.secrecy import without_secrets
from seaproof.storage.local import LocalStorage
from seaproof.storage.storage import parse_address


def report(
    session: Session,
    job: dict[str, Any],
    numbers: dict[str, Any],
    target: Path | None,
    written: list[Path],
) -> None:
    """Show how a job ended; WorkloadFailed where it did not complete."""
    if session.json:
        show_json({**without_secrets(job), "Numbers": numbers, "Files": [str(path) for path in written]})
    name, status = job["TransformJobName"], job["TransformJobStatus"]
    out = job["TransformOutput"]["S3OutputPath"]
    if status == "Failed":
        reason = str(job.get("FailureReason", "no reason given"))
        # With a header in each request the output is another one: nothing of this one can be gone on with.
        said = any(option in reason for option in ("--repeat-header", "--resume"))
        on = "" if said else f" When that is mended: seaproof transform --resume {name}"
        raise WorkloadFailed(
            f"transform job {name} failed: {reason}", next_step=f"The whole log: seaproof jobs logs {name}.{on}"
        )
    if not session.json:
        requests = int(numbers.get("requests") or 0)
        seconds = numbers.get("now", 0) - numbers.get("started", 0)
        aside = int(numbers.get("bad") or 0)
        facts(
            {
                "transform job": name,
                "status": f"{status} after {seconds:.1f} s",
                "objects": f"{numbers.get('objects_done', 0):,}",
                "records": f"{numbers.get('records', 0):,} in {requests:,} request{'s' * (requests != 1)}",
                "put aside": f"{aside:,} record{'s' * (aside != 1)}, in *.quarantine.jsonl" if aside else None,
                "output": out,
                "folder": target or LocalStorage(session.state / "s3").path(parse_address(out.rstrip("/"))),
            }
        )
    if status == "Stopped":
        if not session.json:
            print(f"To go on where it was: seaproof transform --resume {name}")
        raise click.exceptions.Exit(INTERRUPTED)


def survey(session: Session, source: str | None, asked: Asked) -> None:
    """Show how the input would be cut: exit code 1 where a record is over the limit."""
    if source is None:
        raise click.UsageError("--dry-run needs INPUT")
    found = dry_run(session, source, asked)
    if session.json:
        show_json(found)
    else:
        rows = [
            (name, f"{one['requests']:,}", f"{one['bytes'] / 2**20:,.1f}", f"{one['oversizes']:,}")
            for name, one in found["objects"].items()
        ]
        table(rows, ("OBJECT", "REQUESTS", "MB", "OVER THE LIMIT"))
        for name, one in found["objects"].items():
            for over in one["oversize"]:
                print(f"{name}: {_too_large(over, found['limit'])}")
    if any(one["oversizes"] for one in found["objects"].values()):
        raise click.exceptions.Exit(1)


def _too_large(over: dict[str, Any], limit: int) -> str:
    if over["size"] < 0:
        return (
            f"without a split the whole object is one record, which is longer than the {limit:,} bytes of a request."
            " Say --split Line, or a larger --max-payload"
        )
    place = f"line {over['line']:,}" if over["line"] else f"byte {over['start']:,}"
    return f"the record at {place} has {over['size']:,} bytes, and a request takes {limit:,}"
