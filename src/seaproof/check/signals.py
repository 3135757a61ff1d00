"""SIGTERM and what follows: it ends in time, and it can be started again."""

from __future__ import annotations

from collections.abc import Iterator

from seaproof.check.check import RUN, SERVING, Evidence, Finding, Unchecked, check, fail, warn
from seaproof.check.startup import comes_up, running
from seaproof.check.subject import Subject

_QUICK = 2.0


@check(
    "SP106",
    "SIGTERM ends it in time",
    symptom="every update takes 30 s longer, and requests in flight are cut off",
    platform="sends SIGTERM to the first process, and SIGKILL 30 s later",
    fix="exec gunicorn ...        # in a shell script, so that the server gets the signal",
    stage=RUN,
    roles=SERVING,
    mark="D",
    sources="developer guide: stop of hosting containers",
)
def sigterm_ends_it(subject: Subject) -> Iterator[Finding]:
    run = running(subject)
    if run.driver is None:
        raise Unchecked("a container that runs already is not stopped", blocks=False)
    grace = subject.options.stop_seconds
    subject.lab.say(f"stopping it with SIGTERM, {grace:g} s at most")
    took = run.stop(grace)
    subject.lab.learn("stopped", run)
    if took >= grace:
        yield warn(
            f"it did not end within {grace:g} s of SIGTERM, and was killed",
            Evidence("log", run.log_tail(4)),
        )
    elif took > max(_QUICK, grace / 2):
        yield warn(f"it took {took:.1f} of {grace:g} s to end")


@check(
    "SP052",
    "It can be started again from the same model",
    row=52,
    symptom="the second start fails: port in use, lock file, a database in the model's folder",
    platform="starts containers again for security patches and on replaced hosts",
    fix="Write locks and databases to /tmp, and remove what is left of an earlier start.",
    stage=RUN,
    roles=SERVING,
    mark="I",
)
def starts_again(subject: Subject) -> Iterator[Finding]:
    run = subject.lab.has("stopped") or running(subject)
    if run.driver is None:
        raise Unchecked("a container that runs already is not stopped", blocks=False)
    subject.lab.say("starting it again in what it left behind")
    run.stop(subject.options.stop_seconds)
    found = comes_up(subject, run.opt_ml)
    if not found.healthy:
        yield fail("it does not come up a second time in the /opt/ml that the first start left", *found.evidence())
