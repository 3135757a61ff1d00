"""Java servers: which JVM runs, and how it counts the processors that it has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from seaproof.check.check import RUN, SERVING, Evidence, Finding, NotApplicable, Unchecked, check, warn
from seaproof.check.startup import running
from seaproof.check.subject import Subject

_MENDED = {8: (8, 0, 372), 11: (11, 0, 17), 17: (17, 0, 5)}
"""First releases whose JVM does not take its share for a number of processors (JDK-8281181); all from 19 on."""
_FIRST_MENDED = 19


@check(
    "SP049",
    "A Java server sees all processors",
    row=49,
    symptom="a Java server is slow, or runs out of memory: it sees one CPU",
    platform="gives the container the whole instance, but a small share, which JVMs before 19 read as one CPU",
    fix="JAVA_TOOL_OPTIONS=-XX:-UseContainerSupport        # or: -XX:ActiveProcessorCount=4",
    stage=RUN,
    roles=SERVING,
    mark="C",
    sources="sagemaker-inference-toolkit; JDK-8281181",
    limit="shares are not set here: what a JVM makes of them is known from its release and its flags",
)
def java_sees_all_processors(subject: Subject) -> Iterator[Finding]:
    run = running(subject)
    if run.driver is None:
        raise Unchecked("the processes of a container that runs already are not seen", blocks=False)
    found = [(pid, words) for pid, words in run.processes() if words[0].rpartition("/")[2] == "java"]
    if not found:
        raise NotApplicable("no Java runs in it")
    options = subject.config().environment.get("JAVA_TOOL_OPTIONS", "")
    for pid, words in found:
        flags, release = " ".join([options, *words]), release_of(pid)
        counts = "-UseContainerSupport" in flags or "ActiveProcessorCount" in flags
        old = "+UseContainerCpuShares" in flags or not reads_all(release)
        if old and not counts:
            yield warn(
                "the JVM decides by its share how many processors it has",
                Evidence("command", " ".join(words)[:300]),
                Evidence("release", release or "(no file `release` beside it)"),
            )


def release_of(pid: int) -> str:
    """The release of the JVM that a process runs, such as `17.0.15`, from the file beside it; empty where none is."""
    with suppress(OSError):
        home = Path(f"/proc/{pid}/exe").readlink().parent.parent
        text = Path(f"/proc/{pid}/root", str(home).lstrip("/"), "release").read_text(encoding="utf-8")
        found = re.search(r'^JAVA_VERSION="([^"]+)"', text, re.MULTILINE)
        return found[1] if found else ""
    return ""


def reads_all(release: str) -> bool:
    """Whether a JVM of this release counts all processors, whatever its share: `17.0.5` does, `1.8.0_362` does not."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", release))
    if numbers[:1] == (1,):
        numbers = (numbers[1], *numbers[2:]) if len(numbers) > 1 else ()
    if not numbers:
        return False
    if numbers[0] >= _FIRST_MENDED:
        return True
    return numbers[0] in _MENDED and numbers >= _MENDED[numbers[0]]
