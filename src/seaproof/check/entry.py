"""How the container is entered: the program behind `train` and `serve`, found, executable, of this processor."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator

from seaproof.check.check import (
    COMPARE,
    RUN,
    STATIC,
    Evidence,
    Finding,
    NotApplicable,
    Unchecked,
    check,
    fail,
    warn,
)
from seaproof.check.files import find_program, follow
from seaproof.check.image import ImageConfig
from seaproof.check.options import ARM_FAMILIES
from seaproof.check.programs import SHELLS, elf_interpreter, elf_machine, first_line, programs
from seaproof.check.startup import first_training, startup
from seaproof.check.subject import Subject

ENTERED = ("realtime", "serverless", "async", "batch", "multi-model", "pipeline", "training")
_VERB_REFUSED = re.compile(
    r"(unrecognized arguments?:.*\b(?:train|serve)\b"
    r"|invalid choice: '(?:train|serve)'|No such command '(?:train|serve)'"
    r"|unknown (?:command|argument|option|shorthand)[^\n]*\b(?:train|serve)\b"
    r"|can't open file '[^'\n]*/(?:train|serve)'|Cannot find module '[^'\n]*/(?:train|serve)'"
    r"|Could not find or load main class (?:train|serve)|Unable to access jarfile (?:train|serve)\b"
    r"|unexpected (?:extra )?argument[^\n]*\b(?:train|serve)\b|No module named '(?:train|serve)'"
    r"|Import string \"(?:train|serve)\" must be|invalid option: \"(?:train|serve)\""
    r"|cannot open (?:file ')?(?:train|serve)\b|^(?:\S*/)?(?:ba|da)?sh: (?:\d+: )?(?:train|serve): No such file)",
    re.IGNORECASE | re.MULTILINE,
)
_OPTION_PARSER = re.compile(r"unrecognized arguments|invalid choice", re.IGNORECASE)
_INTERACTIVE = (*SHELLS, "python", "python3", "node", "R", "irb", "jshell")
"""What base images have as their CMD: a prompt for people."""


@check(
    "SP001",
    "The program behind `train` and `serve` is found",
    row=1,
    symptom='`exec: "train": executable file not found in $PATH`; tini FATAL "No such file"',
    platform="runs `docker run IMAGE train` or `serve`: without an ENTRYPOINT an executable so named must be on PATH",
    fix="COPY train serve /usr/local/bin/\nRUN chmod +x /usr/local/bin/train /usr/local/bin/serve",
    stage=STATIC,
    roles=ENTERED,
    mark="D",
    sources="sdk#222, #4113, #4191; ex#628, #3650; yolov5#6323",
)
def program_is_found(subject: Subject) -> Iterator[Finding]:
    config = subject.config()
    for found in programs(subject):
        if found.candidates or (found.verb == "serve" and not found.by_entrypoint and _has(subject, "train")):
            continue  # what cannot be seen as wrong here, or is a training image: SP050
        what = (
            f"the ENTRYPOINT's program `{found.word}`" if found.by_entrypoint else f"an executable named `{found.verb}`"
        )
        told = [Evidence("ENTRYPOINT", shlex.join(config.entrypoint) or "(none)")]
        if lost := "" if found.by_entrypoint else _lost_command(config):
            told.append(Evidence("CMD", lost))
        cause = f"{what} is not in the image" + (f", and its CMD is replaced by `{found.verb}`" if lost else "")
        fix = _named_after(found.verb, lost) if lost else ""
        if subject.files().complete:
            yield fail(cause, *told, Evidence("PATH", config.path), fix=fix)
        elif lost and _speaks_of_no(subject, found.verb):
            yield warn(f"{cause}, unless the base image {_base(subject)} has one", *told, fix=fix)
        else:
            raise Unchecked(
                f"before it is built nobody sees whether the base {_base(subject)} or a RUN brings `{found.word}`",
                next_step="Build the image, then: seaproof check IMAGE",
                blocks=False,
            )


def _speaks_of_no(subject: Subject, verb: str) -> bool:
    """Whether the Dockerfile has a CMD of its own, and nothing in it has the verb's name."""
    dockerfile = subject.target.dockerfile
    if dockerfile is None or not any(found.word == "CMD" for found in dockerfile.instructions):
        return False
    makes = [found.rest for found in dockerfile.instructions if found.word in ("RUN", "COPY", "ADD")]
    return not any(re.search(rf"\b{verb}\b", text) for text in makes)


def _lost_command(config: ImageConfig) -> str:
    """The CMD that was meant to be run, as a line of a shell; the platform replaces it. Empty where there is none."""
    words = config.command
    if not words or (len(words) == 1 and words[0] in _INTERACTIVE):
        return ""
    if len(words) == 3 and words[0] in SHELLS and words[1] == "-c":
        return words[2]
    return shlex.join(words)


def _named_after(verb: str, line: str) -> str:
    """Instructions that make a program of a shell's line, under the name that the platform calls."""
    before, found, last = re.fullmatch(r"(.*(&&|;)\s*|)(.*)", line, re.DOTALL).groups()  # type: ignore[union-attr]
    if found and re.search("[\"'`$\\\\]", line):  # it may stand between quotes: what is one command keeps them all
        before, last = "", line
    path = f"/usr/local/bin/{verb}"
    quoted = shlex.quote(f"{before}exec {last.removeprefix('exec ')}" if _is_one_command(last) else line)
    return f"RUN printf '%s\\n' '#!/bin/sh' {quoted} > {path} && chmod +x {path}"


def _is_one_command(line: str) -> bool:
    """Whether a shell would run one program for it, and nothing before or after."""
    try:
        return not {"&&", "||", ";", "|", "&", "(", ")"} & set(shlex.shlex(line, posix=True, punctuation_chars=True))
    except ValueError:
        return False


@check(
    "SP002",
    "The program may be executed",
    row=2,
    symptom="`exec train failed: Permission denied`, exit code 126",
    platform="executes the file itself, so it needs the execute bit in the image's layer",
    fix="RUN chmod +x /opt/program/train /opt/program/serve\n# or, in git: git update-index --chmod=+x train serve",
    stage=STATIC,
    roles=ENTERED,
    mark="U",
    sources="sdk#4678; ex#744",
)
def program_is_executable(subject: Subject) -> Iterator[Finding]:
    for found in programs(subject):
        if found.chosen and not found.chosen[1].executable:
            path, entry = found.chosen
            yield fail(
                f"{path} has no execute bit",
                Evidence("mode", f"{entry.mode & 0o7777:o}  {path}"),
                fix=f"RUN chmod +x {path}",
                place=subject.files().place(path),
            )


@check(
    "SP003",
    "The first line of a script names an interpreter that is there",
    row=3,
    symptom="exit code 127, or \"no such file\" though the file is there; `env: 'python\\r'`",
    platform="lets the kernel read the `#!` line, to which a carriage return belongs as any other letter",
    fix="sed -i 's/\\r$//' train serve\necho '* text eol=lf' >> .gitattributes",
    stage=STATIC,
    roles=ENTERED,
    mark="U",
    sources="ex#571, #969; sdk#5904",
)
def interpreter_is_there(subject: Subject) -> Iterator[Finding]:
    files = subject.files()
    for found in programs(subject):
        if not found.chosen:
            continue
        path = found.chosen[0]
        data = files.read(path)
        line = first_line(data)
        shown = Evidence(f"first line of {path}", repr(line.decode("utf-8", "replace")))
        if line.startswith(b"#!") and line.endswith(b"\r\n"):
            yield fail(
                f"{path} has Windows line ends: the kernel looks for an interpreter whose name ends in \\r",
                shown,
                fix=f"sed -i 's/\\r$//' {path.rpartition('/')[2]}",
                place=files.place(path),
            )
        elif line.startswith(b"#!"):
            missing = _missing_interpreter(subject, line)
            if missing:
                yield fail(
                    f"{path} names the interpreter {missing}, which is not there", shown, place=files.place(path)
                )
        elif (loader := elf_interpreter(data)) and files.complete and not follow(files, loader)[0]:
            yield fail(f"{path} needs the loader {loader}, which is not in the image (musl against glibc?)", shown)
        elif data and not data.startswith(b"\x7fELF") and not found.by_entrypoint:
            yield fail(
                f"{path} has no `#!` line and is no program: exec format error",
                shown,
                fix=f"sed -i '1i #!/usr/bin/env python3' {path.rpartition('/')[2]}",
                place=files.place(path),
            )


@check(
    "SP004",
    "Image and program are built for the instance's processor",
    row=4,
    symptom="`exec format error`",
    platform="starts x86-64 instances unless the type names Graviton; an image built on an ARM machine is arm64",
    fix="docker build --platform linux/amd64 -t IMAGE .",
    stage=COMPARE,
    roles=ENTERED,
    mark="U",
    sources="aws-samples/amazon-sagemaker-custom-container#3; deep-learning-containers#1157",
)
def architecture_fits(subject: Subject) -> Iterator[Finding]:
    wanted = "arm64" if subject.options.instance_type.startswith(ARM_FAMILIES) else "amd64"
    config = subject.config()
    if config.architecture and config.architecture != wanted:
        yield fail(
            f"the image is for {config.architecture}, and {subject.options.instance_type} is {wanted}",
            Evidence("Architecture", config.architecture),
            fix=f"docker build --platform linux/{wanted} -t IMAGE .",
        )
        return
    seen = False
    for found in programs(subject):
        machine = elf_machine(subject.files().read(found.chosen[0], 64)) if found.chosen else ""
        seen = seen or bool(machine)
        if machine and machine != wanted and found.chosen:
            yield fail(f"{found.chosen[0]} is a program for {machine}, and {subject.options.instance_type} is {wanted}")
    if not seen and not config.architecture:
        raise Unchecked("a folder of scripts has no architecture; the image has", blocks=False)


@check(
    "SP006",
    "ENTRYPOINT is in exec form",
    row=6,
    symptom="the job ignores `train`; SIGTERM is ignored, a stop takes 120 s, no checkpoint at a spot interruption",
    platform="appends `train` or `serve` to the ENTRYPOINT; in shell form /bin/sh drops it, and signals end there",
    fix='ENTRYPOINT ["python3", "/opt/program/main.py"]',
    stage=STATIC,
    roles=ENTERED,
    mark="D",
)
def entrypoint_is_in_exec_form(subject: Subject) -> Iterator[Finding]:
    config = subject.image_config()
    entry = config.entrypoint
    if len(entry) >= 2 and entry[0] in SHELLS and re.fullmatch(r"-[a-z]*c", entry[1]):
        if re.search(r"\$(?:\{?[01@*]|#)", " ".join(entry[2:3])):
            return  # the verb reaches the shell's command as $0, and as $1 after a word for $0
        dockerfile = subject.target.dockerfile
        inner = " ".join(entry[2:])
        meant = ", as it is no JSON (its words need double quotes)" if inner.startswith("[") else ""
        yield fail(
            f"ENTRYPOINT is in shell form{meant}: `train` and `serve` are dropped, and the shell is what gets SIGTERM",
            Evidence("ENTRYPOINT", inner),
            fix=_in_exec_form(inner, "train" if subject.roles == ("training",) else "serve"),
            place=f"{dockerfile.path}:{dockerfile.line_of('ENTRYPOINT')}" if dockerfile else "",
        )
    elif entry and entry[0].rpartition("/")[2] in ("tini", "dumb-init") and "--" not in entry:
        yield warn(
            f"{entry[0]} as ENTRYPOINT without `--`: the platform brings an init of its own, and forbids a second",
            Evidence("ENTRYPOINT", " ".join(entry)),
            fix="Remove it from ENTRYPOINT.",
        )


@check(
    "SP030",
    "The program takes the verb as its argument",
    row=30,
    symptom="`unrecognized arguments: train`",
    platform="gives `train` or `serve` as the first argument; a program with options of its own must expect it",
    fix='parser.add_argument("verb", nargs="?", choices=["train", "serve"])',
    stage=RUN,
    roles=ENTERED,
    mark="U",
    sources="tt#65",
)
def verb_is_taken(subject: Subject) -> Iterator[Finding]:
    logs = []
    if subject.serves():
        started = startup(subject)
        logs.append(("serve", started.log))
    if "training" in subject.roles and subject.options.channels:
        logs.append(("train", first_training(subject).log))
    if not logs:
        raise Unchecked("no training data was given", next_step="Give --channel NAME=FOLDER.", blocks=False)
    for verb, log in logs:
        if said := verb_refused(log):
            yield fail(
                f"it was started with the argument `{verb}`, which it does not take",
                Evidence("it said", said),
                fix=_wrapped_up(subject.config(), verb) if not _OPTION_PARSER.search(said) else "",
            )


def _wrapped_up(config: ImageConfig, verb: str) -> str:
    """Instructions for a server or interpreter that is not the user's own: a script calls it without the verb."""
    if not config.program:
        return ""
    return f"ENTRYPOINT []\n{_named_after(verb, shlex.join([*config.program, *config.command]))}"


def verb_refused(log: str) -> str:
    """What a program said that takes no `train` or `serve` as its argument; empty where it said nothing of the kind."""
    found = _VERB_REFUSED.search(log)
    return log[log.rfind("\n", 0, found.start()) + 1 :].partition("\n")[0].strip() if found else ""


@check(
    "SP050",
    "What is deployed has a server in it",
    row=50,
    symptom="an endpoint of a training image: it trains, or ends at once, and never answers /ping",
    platform="runs `serve` and expects a server that stays",
    fix="Deploy the serving image, or add an executable `serve` to this one.",
    stage=STATIC,
    roles=("realtime", "serverless", "async", "batch", "multi-model", "pipeline"),
    mark="U",
    sources="tt#92",
)
def has_a_server(subject: Subject) -> Iterator[Finding]:
    config, given = subject.config(), subject.target.program
    if config.program or (given and given.serve):
        raise NotApplicable("an entry point decides by its argument")
    if not _has(subject, "serve") and _has(subject, "train"):
        yield fail("there is a `train` and no `serve`: this is a training image", Evidence("PATH", config.path))


def _has(subject: Subject, verb: str) -> bool:
    config = subject.config()
    return bool(find_program(subject.files(), verb, config.path, config.workdir))


def _missing_interpreter(subject: Subject, line: bytes) -> str:
    """What the `#!` line names and the image does not have, or empty."""
    files, config = subject.files(), subject.config()
    words = line[2:].decode("utf-8", "replace").split()
    if not files.complete or not words:
        return ""
    if follow(files, words[0])[0] is None:
        return words[0]
    if words[0].endswith("/env"):
        named = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), "")
        if named and not find_program(files, named, config.path, config.workdir):
            return named
    return ""


def _in_exec_form(line: str, verb: str) -> str:
    """ENTRYPOINT of a shell's line; what only a shell understands becomes a program named after the verb."""
    if line.startswith("["):
        words = [word.strip().strip("'\"‘’“”") for word in line.strip("[] ").split(",")]
        return f"ENTRYPOINT {json.dumps([word for word in words if word])}"
    try:
        words = shlex.split(line.removeprefix("exec "))
    except ValueError:
        words = []
    if not words or re.search(r"[&|;<>$`*?(){}]", line):
        return f"ENTRYPOINT []\n{_named_after(verb, line)}"
    return f"ENTRYPOINT {json.dumps(words)}"


def _base(subject: Subject) -> str:
    return subject.target.dockerfile.base if subject.target.dockerfile else ""
