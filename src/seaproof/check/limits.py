"""Sizes and times: what the platform allows, and what the container's own parts cut off before that."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import suppress

from seaproof.check.check import RUN, SERVING, STATIC, Evidence, Finding, NotApplicable, Unchecked, check, fail, warn
from seaproof.check.holding import hold
from seaproof.check.programs import programs
from seaproof.check.run import describe_problem
from seaproof.check.startup import running, startup
from seaproof.check.streaming import stream_payload
from seaproof.check.subject import Subject
from seaproof.check.traffic import invoke_payload, known_payload, payload
from seaproof.errors import HttpError
from seaproof.http.reply import Reply

MB = 1024 * 1024
_SIZES = ((1, "MB", 1 * MB), (6, "MB: what batch transform sends by default", 6 * MB), (25, "MB", 25 * MB - 200 * 1024))
_TOO_LARGE = re.compile(
    rb"too large|entity too|exceed|max(imum)?[ _]?(request|payload|body|content)|payload size", re.IGNORECASE
)
_GUNICORN_TIMEOUT = re.compile(r"(?:--timeout[\"',=\s]+|-t[\"',\s]+|\btimeout\s*=\s*)(\d+)")
_STARTS_GUNICORN = re.compile(
    r"""(?:^|&&|;|\))\s*(?:exec\s+)?(?:\S*/|python\d?\s+-m\s+)?gunicorn\s|["']gunicorn["']""", re.MULTILINE
)
_COMPUTES_IN_THREADS = re.compile(r"""\bgthread\b|\bthreads["']?[=:,\s]+["']?(?:[2-9]|\d\d)""")
_NAMES_ITS_FILE = re.compile(r"""(?:\s-c|--config)[\s=,"']+(?:file:)?(?:\S*/)?([\w.-]+\.py)""")
_READ_TIMEOUT = re.compile(r"proxy_read_timeout\s+(\d+)\s*(ms|s|m|h)?\s*;")
_GUNICORN_DEFAULT, _NGINX_DEFAULT = 30.0, 60.0
_CONFIGURATION = (".conf", ".py", ".sh", ".ini", ".cfg", "")
_FULL = re.compile(r"[^\n]*(No space left on device|ENOSPC|Disk quota exceeded)[^\n]*")
_SCRIPT_LIMIT = 64 * 1024


@check(
    "SP036",
    "The image is small enough for a serverless endpoint",
    row=36,
    symptom='"Image size N is greater than supported size 10737418240"',
    platform="takes images of up to 10 GB, unpacked, for serverless endpoints",
    fix="Start from a slim base image, and remove caches in the RUN line that fills them.",
    stage=STATIC,
    roles=("serverless",),
    mark="D",
    sources="qnabot#691; deep-learning-containers#3803, #4616",
    limit="a folder or Dockerfile has no size before it is built; one whose layers are zstd is not measured in a file",
)
def image_is_small_enough(subject: Subject) -> Iterator[Finding]:
    size, most = subject.built().size, subject.options.image_limit
    if size is not None and size > most:
        yield fail(f"the image has {size:,} bytes, more than the {most:,} that are taken")
    elif size is not None and size > most * 0.8:
        yield warn(f"the image has {size:,} of the {most:,} bytes that are taken")


@check(
    "SP016",
    "Nothing in front of the model gives up before the platform does",
    row=16,
    symptom='502, or "WORKER TIMEOUT" in the log, before 60 s are over',
    platform="waits 60 s for an answer; gunicorn kills a worker after 30 s unless told otherwise",
    fix="gunicorn --timeout 65 ...\n# nginx: proxy_read_timeout 65s;",
    stage=STATIC,
    roles=SERVING,
    mark="U",
    sources="tf-serving#130",
    limit="what is compiled in, or set when it runs, is not read: SP116 holds the workers with `--hold 55`",
)
def nothing_gives_up_early(subject: Subject) -> Iterator[Finding]:
    seen, limit = False, subject.options.invocation_seconds
    for what, seconds, place in early(subject):
        seen = True
        if 0 < seconds < limit:
            yield warn(f"{what} after {seconds:g} s", place=place)
    if not seen:
        raise NotApplicable("no gunicorn and no nginx is configured in what can be read")


def early(subject: Subject) -> Iterator[tuple[str, float, str]]:
    """What may give up before the platform does: what it does (`PATH lets nginx give up`), after how many seconds
    (0: never), and where that is written."""
    files, config = subject.files(), subject.config()
    texts = list(_configuration(subject))
    given = config.environment.get("GUNICORN_CMD_ARGS", "")
    for path, text in [*texts, ("ENTRYPOINT", shlex.join(config.program))]:
        place = "" if path == "ENTRYPOINT" else files.place(path)
        if _STARTS_GUNICORN.search(text):
            named = {*_NAMES_ITS_FILE.findall(f"{text} {given}"), "gunicorn.conf.py"}
            theirs = [other for name, other in texts if name.rpartition("/")[2] in named and other != text]
            whole = "\n".join([text, given, *theirs])
            times = [int(found) for found in _GUNICORN_TIMEOUT.findall(whole)]
            if _COMPUTES_IN_THREADS.search(whole):
                yield f"{path} lets gunicorn kill a worker", 0, place  # its main thread gives signs of life meanwhile
            elif not times and "timeout" not in whole.lower():
                yield f"{path} starts gunicorn without a timeout: it kills a worker", _GUNICORN_DEFAULT, place
            else:
                yield f"{path} lets gunicorn kill a worker", min(times, default=0), place
        if "proxy_pass" in text:
            found = _READ_TIMEOUT.findall(text)
            line = next((n for n, row in enumerate(text.splitlines(), 1) if "proxy_read_timeout" in row), 1)
            limits = [float(n) * {"ms": 0.001, "m": 60, "h": 3600}.get(unit, 1) for n, unit in found]
            yield f"{path} lets nginx give up", min(limits, default=_NGINX_DEFAULT), f"{place}:{line}"


@check(
    "SP116",
    "No worker was killed for taking its time",
    symptom='502, or "WORKER TIMEOUT" in the log, before 60 s are over',
    platform="waits 60 s for an answer (15 min and more where it is asynchronous)",
    fix="gunicorn --timeout 65 ...",
    stage=RUN,
    roles=SERVING,
    mark="U",
    limit="only what the payload takes is waited for, unless `--hold 55` holds its workers for so long",
)
def no_worker_was_killed(subject: Subject) -> Iterator[Finding]:
    run = running(subject)
    if payload(subject):
        with suppress(HttpError):  # SP115 says so
            invoke_payload(subject)
    if subject.options.hold:
        subject.lab.say(f"holding its workers for {subject.options.hold:g} s, as a long prediction would")
        held = hold(run, known_payload(subject), subject.options.hold)
        if held.gave_up:
            yield fail(
                f"{held.gave_up} after {held.seconds:.0f} s, while an answer was computed",
                Evidence("in front of the workers", ", ".join(held.fronts)),
                Evidence("log", run.log_tail(6)),
            )
            return
    lines = [line for line in run.log().splitlines() if "WORKER TIMEOUT" in line or "upstream timed out" in line]
    if lines:
        yield fail("a worker was killed while it computed an answer", Evidence("log", "\n".join(lines[:5])))


@check(
    "SP015",
    "An invocation is answered in time",
    row=15,
    symptom='ModelError with status 0: "Your invocation timed out while waiting for a response from container primary"',
    platform="waits 60 s for the whole answer (8 min where it is streamed)",
    fix="Use asynchronous inference (up to 60 min), stream the answer, or a larger instance.",
    stage=RUN,
    roles=("realtime", "serverless", "multi-model", "pipeline"),
    mark="D",
    sources="sdk#1119, #2574; yolov8-on-sagemaker#21",
)
def invocation_is_in_time(subject: Subject) -> Iterator[Finding]:
    limit = subject.options.invocation_seconds
    try:
        first = invoke_payload(subject)
    except HttpError as error:
        if error.kind != "timeout":
            return
        yield from _too_long(subject, limit)
        return
    if first.total_seconds > limit / 2:
        yield warn(f"one invocation took {first.total_seconds:.1f} s of {limit:g}", *_asked(subject))


def _too_long(subject: Subject, limit: float) -> Iterator[Finding]:
    """No whole answer came in time: one that is streamed may take longer, and any other fails."""
    most = min(subject.options.stream_seconds, limit + subject.options.patience)
    try:
        parts = stream_payload(subject, most)
    except HttpError:
        parts = None
    if parts is None or not parts.chunked:
        yield fail(f"no whole answer came within {limit:g} s", *_asked(subject))
    elif parts.times[-1] <= most:
        cause = f"the answer comes in parts, and takes more than {limit:g} s: only a caller that streams it gets it"
        yield warn(cause, *_asked(subject), fix="runtime.invoke_endpoint_with_response_stream(...)")
    elif most >= subject.options.stream_seconds:
        yield fail(f"the answer comes in parts, and more than {most:g} s were not enough", *_asked(subject))
    else:
        raise Unchecked(
            f"the answer still came in parts after {most:g} s",
            next_step=f"--patience {subject.options.stream_seconds:g} waits as long as the platform does.",
        )


@check(
    "SP020",
    "Bodies as large as the platform passes on are taken",
    row=20,
    symptom="413, or ModelError with OriginalStatusCode 413",
    platform="passes bodies of up to 25 MB on (6 MB by default in batch); nginx takes 1 MB unless told otherwise",
    fix="client_max_body_size 30m;          # nginx\nSAGEMAKER_MAX_PAYLOAD_IN_MB=30     # multi-model-server",
    stage=RUN,
    roles=("realtime", "async", "batch", "multi-model", "pipeline"),
    mark="D",
    sources="ex#245, #4485, #2793; sdk#171, #703, #1951, #4271; text-embeddings-inference#433",
)
def large_bodies_are_taken(subject: Subject) -> Iterator[Finding]:
    run, known = running(subject), payload(subject)
    content_type = known.content_type if known else "text/csv"
    try:
        if known:
            invoke_payload(subject)
    except HttpError as error:
        if error.kind != "timeout":
            raise Unchecked("the payload itself has no answer; see SP115", blocks=False) from error
    subject.lab.say("sending bodies of 1, 6 and 25 MB")
    for number, unit, size in _SIZES:
        # Blanks: no row and no JSON, so that it is refused for what it says, not for its size, and nothing is computed.
        try:
            reply = run.invoke(b" " * size, content_type, timeout=subject.options.invocation_seconds)
        except HttpError as error:
            if error.kind == "timeout":
                continue
            told = Evidence("request", f"POST /invocations, {content_type}, {size:,} bytes")
            cause = f"a body of {number} {unit} breaks the connection off: {describe_problem(error)}"
            yield fail(cause, told) if number < 25 else warn(cause, told)
            return
        if refused_for_size(reply):
            told = Evidence("reply", f"{reply.status}  {reply.body[:200].decode('utf-8', 'replace')}")
            cause = f"a body of {number} {unit} is refused with {reply.status}"
            yield fail(cause, told) if number < 25 else warn(f"{cause}, and the platform passes it on", told)
            return


def refused_for_size(reply: Reply) -> bool:
    """Whether a body was refused for its size, and not for what it says."""
    return reply.status == 413 or (400 <= reply.status < 500 and bool(_TOO_LARGE.search(reply.body[:4096])))


@check(
    "SP037",
    "It gets along with the disk that it has",
    row=37,
    symptom="`No space left on device`",
    platform="gives 5 GB on serverless endpoints, and the volume asked for on others; caches of pip and HF fill it",
    fix="ENV HF_HOME=/tmp/hf PIP_NO_CACHE_DIR=1        # and put what is downloaded into the image",
    stage=RUN,
    roles=SERVING,
    mark="U",
    sources="sdk#4665; pytorch-inference#112",
    limit="nobody gets more than half of what is free on this machine: who would is said to be unchecked",
)
def disk_is_enough(subject: Subject) -> Iterator[Finding]:
    started = startup(subject)
    seen = started.first or started
    if seen.kind == "stopped" and "wrote" in seen.why_stopped:
        if subject.lab.disk < subject.options.disk:
            raise Unchecked(
                f"{seen.why_stopped}; the platform has {subject.options.disk / MB:,.0f} MiB",
                next_step="Make room on this machine.",
            )
        yield fail(f"it writes without end: {seen.why_stopped}", *seen.evidence())
    elif found := _FULL.search(seen.log):
        yield fail("the disk was full", Evidence("it said", found[0]))
    elif started.run is not None and started.run.wrote() > subject.options.disk / 2:
        wrote = f"{started.run.wrote() / MB:,.0f} MiB"
        yield warn(f"it has written {wrote} of {subject.options.disk / MB:,.0f} MiB before its first request")


@check(
    "SP137",
    "It does not print without end",
    symptom="a bill for CloudWatch, and logs in which nothing is found",
    platform="stores every line in CloudWatch",
    fix="Log at INFO, and not per record.",
    stage=RUN,
    roles=SERVING,
    mark="I",
)
def log_is_bounded(subject: Subject) -> Iterator[Finding]:
    started = startup(subject)
    seen = started.first or started
    if seen.kind == "stopped" and "printed" in seen.why_stopped:
        yield fail(f"{seen.why_stopped} before it was healthy, and was stopped", *seen.evidence())


def _asked(subject: Subject) -> list[Evidence]:
    known = payload(subject)
    if known is None:
        return []
    shown = known.body[:200].decode("utf-8", "replace")
    return [Evidence("request", f"POST /invocations, {known.content_type}, {len(known.body):,} bytes: {shown}")]


def _configuration(subject: Subject) -> Iterator[tuple[str, str]]:
    """Text files that configure a server: the programs themselves, and what lies beside them."""
    files, config = subject.files(), subject.config()
    paths = [found.chosen[0] for found in programs(subject) if found.chosen and found.verb == "serve"]
    folders = {config.workdir, "/opt/program"} - {"/"}
    if subject.target.image:
        paths += ["/etc/nginx/nginx.conf"]
    for folder in folders:
        for number, entry in enumerate(files.walk(folder)):
            name = entry.path.rpartition("/")[2]
            suffix = f".{name.rpartition('.')[2]}" if "." in name else ""
            if number > 400:
                break
            if entry.is_file and suffix in _CONFIGURATION and 0 < entry.size < _SCRIPT_LIMIT:
                paths.append(entry.path)
    for path in dict.fromkeys(paths):
        data = files.read(path, _SCRIPT_LIMIT)
        if data and b"\0" not in data:
            text = data.decode("utf-8", "replace")
            if path == "/etc/nginx/nginx.conf" and "proxy_pass" not in text:
                continue
            yield path, text
