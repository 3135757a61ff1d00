"""Memory, processors, GPU: what the instance has, and what the program takes for granted."""

from __future__ import annotations

import re
from collections.abc import Iterator

from seaproof.check.check import (
    COMPARE,
    RUN,
    SERVING,
    STATIC,
    Evidence,
    Finding,
    NotApplicable,
    Unchecked,
    check,
    fail,
    warn,
)
from seaproof.check.files import follow
from seaproof.check.options import GPU_FAMILIES, INSTANCE_MEMORY, instance_memory
from seaproof.check.startup import ends, running, startup
from seaproof.check.subject import Subject

MIB = 1024 * 1024
_DRIVER_PLACES = (
    "/usr/lib/x86_64-linux-gnu/libcuda.so.1",
    "/usr/lib64/libcuda.so.1",
    "/usr/lib/libcuda.so.1",
    "/usr/local/lib/libcuda.so.1",
    "/usr/local/nvidia/lib64/libcuda.so.1",
)
_COMPAT = "/usr/local/cuda/compat/libcuda.so.1"
_AMI_CUDA = {
    "al2-ami-sagemaker-inference-gpu-2": (12, 2),
    "al2-ami-sagemaker-inference-gpu-2-1": (12, 2),
    "al2-ami-sagemaker-inference-gpu-3-1": (12, 4),
    "al2023-ami-sagemaker-inference-gpu-4-1": (13, 0),
}
_DEFAULT_AMI = "al2-ami-sagemaker-inference-gpu-2"
CRASHES = {
    132: "an instruction that this processor does not have (SIGILL): built for a newer CPU",
    134: "it aborted itself (SIGABRT)",
    135: "a bus error (SIGBUS): often a full /dev/shm",
    136: "an arithmetic error (SIGFPE)",
    139: "a crash in native code (SIGSEGV)",
}
_RESERVE = 0.85
"""Share of an instance's memory that a container can count on."""


@check(
    "SP017",
    "It fits into the memory of the instance",
    row=17,
    symptom='"Worker was sent SIGKILL", exit code 137',
    platform="ends what takes more memory than the instance has: workers times model",
    fix="MODEL_SERVER_WORKERS=1, load the model before the fork, or take a larger instance type.",
    stage=RUN,
    roles=(*SERVING, "training"),
    mark="U",
    sources="ex#3148, #3407; sdk#134",
)
def memory_is_enough(subject: Subject) -> Iterator[Finding]:
    limit = subject.options.memory
    for verb, exit, log in ends(subject):
        killed = re.search(r"[^\n]*(?:was sent SIGKILL|OutOfMemoryError|MemoryError|Cannot allocate memory)[^\n]*", log)
        if exit is not None and (exit.out_of_memory or (exit.code == 137 and killed)):
            needs = _needed(subject) if verb == "serve" else ""
            yield fail(
                f"`{verb}` took more than the {limit / MIB:,.0f} MiB that it has here{needs}",
                Evidence("it ended", f"exit code {exit.code}, out of memory"),
                Evidence("log", "\n".join(log.splitlines()[-6:]) or "(it printed nothing)"),
            )
        elif killed and (exit is None or exit.code != 0):
            yield fail(f"`{verb}` ran out of memory", Evidence("log", killed[0]))


def _needed(subject: Subject) -> str:
    started = startup(subject)
    if started.lifted != "memory" or started.run is None:
        return ""
    return f"; it comes up with {started.run.memory() / MIB:,.0f} MiB"


@check(
    "SP018",
    "It does not crash in native code",
    row=18,
    symptom="exit code 139 or 132",
    platform="reports the exit code and nothing else",
    fix="Build wheels for the instance's CPU (no -march=native); `faulthandler.enable()` shows where it crashed.",
    stage=RUN,
    roles=(*SERVING, "training"),
    mark="U",
    sources="ex#842",
)
def no_native_crash(subject: Subject) -> Iterator[Finding]:
    for verb, exit, log in ends(subject):
        if exit is not None and exit.code in CRASHES:
            yield fail(
                f"`{verb}` ended with {exit.code}: {CRASHES[exit.code]}",
                Evidence("last lines of its log", "\n".join(log.splitlines()[-6:]) or "(it printed nothing)"),
            )


@check(
    "SP032",
    "The image's CUDA is one that the instance's driver knows",
    row=32,
    symptom="the endpoint stays in Creating, without a log",
    platform="brings the driver with the AMI (InferenceAmiVersion); a newer CUDA in the image does not come up",
    fix='"InferenceAmiVersion": "al2023-ami-sagemaker-inference-gpu-4-1"',
    stage=COMPARE,
    roles=SERVING,
    mark="U",
    sources="deep-learning-containers#6187; nim-deploy#104; sdk PR#6281",
)
def cuda_is_known(subject: Subject) -> Iterator[Finding]:
    environment = subject.config().environment
    required = re.search(r"cuda>=(\d+)\.(\d+)", environment.get("NVIDIA_REQUIRE_CUDA", ""))
    version = required or re.match(r"(\d+)\.(\d+)", environment.get("CUDA_VERSION", ""))
    if version is None:
        raise NotApplicable("the image has no CUDA")
    wanted = (int(version[1]), int(version[2]))
    variants = [v for r in subject.target.requests for v in r.body.get("ProductionVariants") or []]
    types = [str(v.get("InstanceType", "")) for v in variants] or [subject.options.instance_type]
    if not any(kind.startswith(GPU_FAMILIES) for kind in types):
        raise NotApplicable("no GPU instance type is asked for")
    given = [str(v["InferenceAmiVersion"]) for v in variants if v.get("InferenceAmiVersion")]
    for ami in given or [_DEFAULT_AMI]:
        has = _AMI_CUDA.get(ami)
        if has is None or wanted <= has or follow(subject.files(), _COMPAT)[0]:
            continue
        told = Evidence("image", f"CUDA {wanted[0]}.{wanted[1]}"), Evidence("driver", f"{ami}: CUDA {has[0]}.{has[1]}")
        cause = f"the image needs CUDA {wanted[0]}.{wanted[1]}, and the driver of {ami} has {has[0]}.{has[1]}"
        yield fail(cause, *told) if given else warn(f"{cause}, unless InferenceAmiVersion names another", *told)


@check(
    "SP033",
    "No GPU driver is baked into the image",
    row=33,
    symptom="`libcuda.so.1: cannot open`, or a driver that does not fit the instance's",
    platform="brings libcuda with the instance; an image carries the CUDA toolkit only",
    fix="RUN rm -f /usr/lib/x86_64-linux-gnu/libcuda.so*        # or start from an nvidia/cuda base image",
    stage=STATIC,
    roles=(*SERVING, "training"),
    mark="D",
    sources="ex#758; sdk#440",
)
def no_driver_in_the_image(subject: Subject) -> Iterator[Finding]:
    files = subject.files()
    if not subject.target.image and not subject.target.dockerfile and subject.target.program:
        raise Unchecked("a folder has no libraries of its own; the image has", blocks=False)
    for place in _DRIVER_PLACES:
        entry, path = follow(files, place)
        if entry is not None and entry.size > 0:
            yield fail(f"{place} is in the image", Evidence("file", f"{path}, {entry.size:,} bytes"))


@check(
    "SP133",
    "It starts on an instance without a GPU, where it is to run on one",
    symptom="`libcuda.so.1: cannot open shared object file`",
    platform="has no GPU and no libcuda on CPU instance types",
    fix="pip install torch --index-url INDEX    # PyTorch's own index of CPU builds; its site names it",
    stage=RUN,
    roles=(*SERVING, "training"),
    mark="U",
)
def gpu_is_not_needed(subject: Subject) -> Iterator[Finding]:
    if subject.options.instance_type.startswith(GPU_FAMILIES):
        raise Unchecked("there is no GPU here", blocks=False)
    for _, _, log in ends(subject):
        if found := re.search(r"[^\n]*(?:libcuda\.so|libnvidia-ml|No CUDA GPUs|CUDA driver)[^\n]*", log):
            told = Evidence("it said", found[0].strip())
            cause = f"it asks for a GPU, and {subject.options.instance_type} has none"
            alive = not subject.serves() or startup(subject).healthy
            yield (
                warn(f"{cause}; it goes on without", told)
                if alive and "cannot open" not in found[0]
                else fail(cause, told)
            )


@check(
    "SP105",
    "The instance type is large enough for what was measured",
    symptom="an endpoint that is killed under load, or takes longer to start than is allowed",
    platform="gives the memory of the instance type, and 8 min until /ping answers 200",
    fix="Take the next larger instance type: --instance-type says which.",
    stage=RUN,
    roles=SERVING,
    mark="I",
)
def instance_is_large_enough(subject: Subject) -> Iterator[Finding]:
    run, kind = running(subject), subject.options.instance_type
    if run.driver is None:
        raise Unchecked("the memory of a container that runs already is not seen", blocks=False)
    memory = max([run.memory(), *(seen for _, seen in run.memory_seen)])
    if not memory:
        raise Unchecked("its memory cannot be seen from here", blocks=False)
    subject.lab.learn("memory", list(run.memory_seen))
    fits = [
        name
        for name, gib in sorted(INSTANCE_MEMORY.items(), key=lambda item: item[1])
        if memory < gib * 1024 * MIB * _RESERVE
    ]
    ready, allowed = startup(subject).ready_seconds or 0.0, subject.options.startup_seconds
    subject.lab.notes.append(
        f"measured: {memory / MIB:,.0f} MiB of memory and {ready:.1f} of {allowed:g} s to the first 200; "
        f"the smallest instance type that holds it is {fits[0] if fits else 'larger than any that we know'}"
    )
    sizes = {kind: instance_memory(kind), "the serverless variant": subject.options.serverless_memory}
    for name, whole in sizes.items():
        if whole and memory > whole * _RESERVE:
            yield warn(f"it takes {memory / MIB:,.0f} MiB, and {name} has {whole / MIB:,.0f}")
