"""FailureReason of a transform job: the platform's sentence, then what it leaves to be searched for in the log."""

from __future__ import annotations

from collections.abc import Sequence

from seaproof.batch.payload import Failure
from seaproof.contract.limits import REAL_TIME
from seaproof.control.store import Body

TOO_LARGE = 413
SEE_LOGS = "See job logs for more information"


def reason(body: Body, failures: Sequence[tuple[str, Failure]], objects: int) -> str:
    """For the failures of a job, most telling one first."""
    name, failure = next(((n, f) for n, f in failures if f.kind != "ClientError"), failures[0])
    count = f"{len(failures):,} of {objects:,} objects failed; s3://{name}" if objects > 1 else f"s3://{name}"
    text = f"{failure.kind}: {SEE_LOGS}. {count}: {failure.reason.rstrip('.')}."
    advice = advise(body, failure)
    limit = REAL_TIME.failure_text.value
    room = limit - len(advice) - 1
    return f"{text if len(text) <= room else text[: room - 1] + '…'} {advice}".strip()


def advise(body: Body, failure: Failure) -> str:
    """What to do, where that is known."""
    options = body["_options"]
    if failure.kind == "InternalServerError":
        return f"Make room; `seaproof transform --resume {body['TransformJobName']}` then goes on where it was."
    lines = body["TransformInput"].get("SplitType") == "Line"
    if failure.status == TOO_LARGE:
        cut = "smaller ones with `--max-payload` (MaxPayloadInMB)" if lines else "the object with `--split` (SplitType)"
        return f"The container takes no request of that size: let it (nginx: client_max_body_size), or cut {cut}."
    if failure.header_suspected and not options["repeat_header"]:
        return (
            "The first line of the object looks like a header, and with Line split only the first request has it:"
            " `--repeat-header` (tag seaproof:repeat-header) repeats it in each."
        )
    if lines and not options["quarantine"] and not failure.unreadable:
        return "`--quarantine` (tag seaproof:quarantine) puts such records aside and goes on."
    return ""
