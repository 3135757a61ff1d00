"""GET /ping: on the right port, from outside, 200, again and again, in time."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator

from seaproof.check.archive import missing_file
from seaproof.check.check import RUN, SERVING, Evidence, Finding, NotApplicable, Unchecked, check, fail, warn
from seaproof.check.entry import interpreter_is_there, program_is_executable, program_is_found, verb_refused
from seaproof.check.resources import CRASHES
from seaproof.check.startup import Startup, comes_up, startup
from seaproof.check.subject import Subject
from seaproof.contract import environ, http

_SERVERLESS_SECONDS = 180.0
_CRASH_LOOP = re.compile(
    r"[^\n]*(?:Worker failed to boot|Exception in worker process|exited unexpectedly|respawn)[^\n]*"
)
_VARIABLE_MISSED = re.compile(
    r"^KeyError: '([A-Z][A-Z0-9_]+)'|^\S*: line \d+: ([A-Z][A-Z0-9_]+): unbound variable", re.M
)
_PROXY = (502, 503, 504)
_NOT_EXECUTED = (126, 127)
"""Exit codes of an init whose program could not be executed."""


@check(
    "SP007",
    "It listens on port 8080, or the port it is told, on all interfaces",
    row=7,
    symptom='"did not pass the ping health check", with empty logs',
    platform="connects from another network namespace to port 8080, or to SAGEMAKER_BIND_TO_PORT where that is set",
    fix='app.run(host="0.0.0.0", port=int(os.environ.get("SAGEMAKER_BIND_TO_PORT", 8080)))',
    stage=RUN,
    roles=SERVING,
    mark="D",
    sources="ex#210, #993, #1113; sdk#155",
)
def listens_where_it_is_asked(subject: Subject) -> Iterator[Finding]:
    started = startup(subject)
    ports = ", ".join(map(str, started.listening))
    if started.loading and started.kind in ("elsewhere", "loopback"):
        _not_yet(subject, started, f"it listens on {ports}, and not on port {environ.DEFAULT_PORT}, and still computes")
    if started.kind == "loopback":
        cause = f"it listens on {ports} only, which is not reached from outside the container"
        yield fail(cause, *started.evidence(), fix=_told_to_listen(started.log))
    elif started.kind == "elsewhere":
        cause = f"it listens on {ports}, and not on port {environ.DEFAULT_PORT}"
        yield fail(cause, *started.evidence(), fix=_told_to_listen(started.log))
    elif started.kind == "not-http":
        yield fail("what listens there does not answer in HTTP", *started.evidence())
    elif started.kind == "silent":
        _not_yet(subject, started, "nothing answers on its port")
        yield fail(f"nothing answered within {started.patience:g} s", *started.evidence())


def _told_to_listen(log: str) -> str:
    """How a well-known server, seen by its log, is told where to listen; empty for others."""
    said = log.lower()
    known = {
        "gunicorn": "gunicorn --bind 0.0.0.0:8080 ...",
        "uvicorn": "uvicorn --host 0.0.0.0 --port 8080 ...",
        "waitress": "waitress-serve --listen=0.0.0.0:8080 ...",
    }
    return next((option for name, option in known.items() if name in said), "")


@check(
    "SP107",
    "It listens on SAGEMAKER_BIND_TO_PORT, as its label says",
    symptom='"did not pass the ping health check" in an endpoint of several containers',
    platform="gives every container of such an endpoint a port of its own, as they share a network",
    fix='port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", 8080))',
    stage=RUN,
    roles=SERVING,
    mark="D",
)
def listens_on_the_port_told(subject: Subject) -> Iterator[Finding]:
    labelled = subject.config().labels.get(http.LABEL_BIND_TO_PORT, "").lower() == "true"
    if not labelled and not {"pipeline", "multi-model"} & set(subject.roles):
        raise NotApplicable(f"it has no label {http.LABEL_BIND_TO_PORT}")
    if not startup(subject).healthy:
        raise Unchecked("it did not become healthy on port 8080 either", blocks=False)
    if not subject.lab.isolates:
        raise Unchecked("without namespaces it is always given a port", blocks=False)
    subject.lab.say("starting it on another port")
    port = 20000 + secrets.randbelow(20000)
    again = comes_up(subject, environment={environ.BIND_TO_PORT: str(port)}, port=port)
    if not again.healthy:
        told = Evidence("environment", f"{environ.BIND_TO_PORT}={port}")
        yield fail(f"it does not answer on port {port}, which it was told", told, *again.evidence())


@check(
    "SP008",
    "GET /ping is answered with 200 within 2 s, without log-in or redirect",
    row=8,
    symptom='"did not pass the ping health check", with logs full of 404 for /ping',
    platform="takes 200 for healthy and nothing else, within 2 s, and follows no redirect",
    fix='@app.get("/ping")\ndef ping():\n    return "", 200',
    stage=RUN,
    roles=SERVING,
    mark="D",
    sources="ex#815, #852",
)
def ping_is_200(subject: Subject) -> Iterator[Finding]:
    started = startup(subject)
    if started.kind == "status" and missing_file(started):
        raise Unchecked("it wants for a file of its model; see SP127", blocks=False)
    if started.kind == "status" and started.last_status not in _PROXY:
        if started.loading:
            _not_yet(subject, started, f"/ping is answered with {started.last_status}, and it still computes,")
        yield fail(f"GET /ping is answered with {started.last_status}", *started.evidence())
    elif started.kind == "slow":
        yield fail("GET /ping is not answered within 2 s", *started.evidence())


@check(
    "SP009",
    "/ping stays at 200 once it is there",
    row=9,
    symptom="nginx answers 502, then the container is killed",
    platform="asks every few seconds for life, and replaces what does not answer with 200",
    fix="Start the proxy after the workers, and let /ping ask one of them.",
    stage=RUN,
    roles=SERVING,
    mark="D",
    sources="ex#2028",
)
def ping_is_steady(subject: Subject) -> Iterator[Finding]:
    started = startup(subject)
    if started.kind == "flapping":
        yield fail("/ping is 200 at one time and not at another", *started.evidence())
    elif started.kind == "status" and started.last_status in _PROXY:
        loop = _CRASH_LOOP.findall(started.log)
        if not loop:
            _not_yet(subject, started, f"/ping is answered with {started.last_status}")
        cause = "what is behind the proxy ends again and again" if loop else "what is behind the proxy never answers"
        yield fail(f"/ping stays at {started.last_status}: {cause}", *started.evidence())


@check(
    "SP010",
    "It is healthy within 8 minutes",
    row=10,
    symptom='"did not pass the ping health check", after minutes',
    platform="waits 8 min for the first 200 (3 min for serverless, the model's download included)",
    fix='"ContainerStartupHealthCheckTimeoutInSeconds": 1800        # in the variant',
    stage=RUN,
    roles=SERVING,
    mark="D",
    sources="sdk#3362",
)
def healthy_in_time(subject: Subject) -> Iterator[Finding]:
    started = startup(subject)
    limit = subject.options.startup_seconds
    if "serverless" in subject.roles:
        limit = min(limit, _SERVERLESS_SECONDS)
    took = started.ready_seconds
    if took is None:
        lived = started.kind in ("silent", "status", "slow") and started.patience >= limit
        if lived:
            yield fail(f"it was not healthy within {limit:g} s", *started.evidence())
        return
    if took > limit:
        yield fail(f"the first 200 came after {took:.1f} s, and {limit:g} are allowed", *started.evidence())
    elif took > limit / 2:
        yield warn(f"the first 200 came after {took:.1f} of {limit:g} s", *started.evidence())


@check(
    "SP109",
    "It stays alive while it starts",
    symptom="the endpoint ends as Failed; the log ends with a traceback",
    platform="starts it again and again, and gives up after 8 min",
    fix="The last lines of its log say why it ended.",
    stage=RUN,
    roles=SERVING,
    mark="D",
)
def stays_alive(subject: Subject) -> Iterator[Finding]:
    started = startup(subject)
    if started.lifted:
        return  # SP017, SP034 or SP038 says why
    if started.kind == "not-executed" or (started.exit is not None and started.exit.code in _NOT_EXECUTED):
        looks = (program_is_found, program_is_executable, interpreter_is_there)
        if any(list(look.function(subject)) for look in looks):
            return
    if started.kind == "not-executed":
        yield fail("it could not be started", *started.evidence())
    elif started.kind == "died" and started.exit is not None:
        if started.exit.out_of_memory or started.exit.code in CRASHES:
            return  # SP017, SP018
        if missing_file(started):
            raise Unchecked("it ended for want of a file of its model; see SP127", blocks=False)
        if verb_refused(started.log):
            raise Unchecked("it ended over the argument `serve`; see SP030", blocks=False)
        daemon = "gunicorn without --daemon; nginx -g 'daemon off;'        # the server stays in the foreground"
        ended = "ended, as if there were nothing to serve," if started.exit.code == 0 else "ended"
        cause = f"it {ended} with exit code {started.exit.code} before /ping was 200"
        fix = daemon if started.exit.code == 0 else _variable_given(started.log)
        yield fail(cause, *started.evidence(), fix=fix)
    elif started.kind == "stopped" and "wrote" not in started.why_stopped and "printed" not in started.why_stopped:
        yield fail(f"it was stopped: {started.why_stopped}", *started.evidence())


def _variable_given(log: str) -> str:
    """How the environment variable is given for want of which it ended; empty where that is not the reason."""
    missed = "".join(next(iter(_VARIABLE_MISSED.findall(log)), ()))
    if not missed or not ("unbound variable" in log or re.search(r"<frozen os>|/os\.py|os\.environ\[", log)):
        return ""
    return f'seaproof check ... --env {missed}=VALUE\n"Environment": {{"{missed}": "VALUE"}}        # in CreateModel'


def _not_yet(subject: Subject, started: Startup, what: str) -> None:
    """Unchecked where it was not given the time that the platform gives."""
    limit = subject.options.startup_seconds
    if started.patience < limit and subject.target.address is None:
        last = next((line.strip() for line in reversed(started.log.splitlines()) if line.strip()), "")
        raise Unchecked(
            f"{what} after {started.patience:g} s, and the platform waits {limit:g} s"
            + (f"; its last line: {last[:160]}" if last else ""),
            next_step=f"--patience {limit:g} waits as long.",
        )
