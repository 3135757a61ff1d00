"""Memory of a multi-model container: measured, given back, and 507 before the kernel kills."""

from __future__ import annotations

import os
import resource
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from container_process import Container, soon
from many_models import ECHO, ManyModels, resident, says

from seaproof.serving.memory import MIB, Memory, cgroups, family, size_on_disk

HEAVY = """
import os
def model_fn(model_dir):
    open(os.path.join(model_dir, "began"), "w").close()
    return b"x" * ({mib} << 20)
def transform_fn(model, data, content_type, accept):
    return str(len(model))
"""
GROWS = """
import time
def model_fn(model_dir):
    held = []
    while True:
        held.append(b"x" * (8 << 20))
        time.sleep(0.02)
def transform_fn(model, data, content_type, accept):
    return ""
"""
V1 = Path("/sys/fs/cgroup/memory")
V2 = Path("/sys/fs/cgroup")


@pytest.fixture
def cgroup(container: Container) -> Iterator[Path]:
    """A memory cgroup with a limit of 320 MiB, where this user may make one; it goes after the container."""
    is_v1 = V1.is_dir()
    folder = (V1 if is_v1 else V2) / f"seaproof-test-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / ("memory.limit_in_bytes" if is_v1 else "memory.max")).write_text(str(320 * MIB))
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}; the limit by variable is tested everywhere")
    yield folder
    if container.process is not None and container.process.poll() is None:
        container.process.kill()
        container.process.wait()
    soon(lambda: not (folder / "cgroup.procs").read_text())
    folder.rmdir()


def test_a_container_with_a_limit_answers_507_and_goes_on(many: ManyModels) -> None:
    folders = {f"m{number}": many.add(f"m{number}", HEAVY.format(mib=60)) for number in range(6)}
    many.serve(SEAPROOF_MEMORY_LIMIT_MB="300")

    fill_and_empty(many, folders)


def test_the_limit_of_a_cgroup_is_answered_with_507_before_the_kernel_kills(many: ManyModels, cgroup: Path) -> None:
    folders = {f"m{number}": many.add(f"m{number}", HEAVY.format(mib=60)) for number in range(7)}
    serve_in(cgroup, many)

    fill_and_empty(many, folders)
    assert kills(cgroup) == 0


def test_a_model_that_grows_without_end_is_stopped_before_the_kernel_kills(many: ManyModels, cgroup: Path) -> None:
    other, grows = many.add("other", says("other")), many.add("grows", GROWS)
    serve_in(cgroup, many)
    many.load("other", other)

    reply = many.load("grows", grows)
    assert reply.status == 507
    # As it is seen in time, or by the limit of the process where nobody could look for so long.
    assert "while it was loading" in reply.json["error"]
    assert kills(cgroup) == 0
    assert many.invoke("other").body == b"other"
    assert many.names() == ["other"]


def test_a_model_that_takes_all_at_once_is_507_before_the_kernel_kills(many: ManyModels, cgroup: Path) -> None:
    """Faster than anybody can look."""
    other, gulps = many.add("other", says("other")), many.add("gulps", HEAVY.format(mib=2048))
    serve_in(cgroup, many)
    many.load("other", other)
    before = many.pid("other")

    reply = many.load("gulps", gulps)

    assert reply.status == 507
    assert "it asked for more than there is while it was loading (MemoryError); of 320 MiB" in reply.json["error"]
    assert (many.invoke("other").body, many.pid("other")) == (b"other", before)
    assert many.names() == ["other"]
    assert kills(cgroup) == 0


def test_processes_that_end_while_they_are_looked_at_are_passed_over() -> None:
    for _ in range(100):
        process = subprocess.Popen(["true"])
        reaper = threading.Thread(target=process.wait)
        reaper.start()
        while process.returncode is None:
            assert family(process.pid) == [process.pid]
        reaper.join()


def test_compiled_code_that_ends_its_process_for_want_of_memory_is_507(many: ManyModels) -> None:
    aborts = (  # C++'s own `new`, whose exception nobody catches
        "import ctypes\ndef model_fn(model_dir):\n    print('loading', flush=True)\n"
        "    new = ctypes.CDLL('libstdc++.so.6')._Znwm\n    new.argtypes = [ctypes.c_size_t]\n    new(8 << 30)\n"
        "def transform_fn(model, data, content_type, accept):\n    return ''\n"
    )
    other, gulps = many.add("other", says("other")), many.add("gulps", aborts)
    many.serve(SEAPROOF_MEMORY_LIMIT_MB="300")
    many.load("other", other)

    reply = many.load("gulps", gulps)

    assert reply.status == 507
    assert "it asked for more than there is while it was loading" in reply.json["error"]
    assert "std::bad_alloc" in reply.json["error"]
    soon(lambda: "std::bad_alloc" in many.container.log)
    assert many.invoke("other").body == b"other"
    assert many.names() == ["other"]


def test_where_the_kernel_does_kill_it_is_507_and_no_other_falls_with_it(many: ManyModels, cgroup: Path) -> None:
    """What the limits of a process do not count: memory that is shared with others."""
    shared = (
        "import mmap\ndef model_fn(model_dir):\n    memory = mmap.mmap(-1, 2 << 30)\n"
        "    memory.madvise(14)\n    block = b'x' * (32 << 20)\n    for at in range(0, 2 << 30, 32 << 20):\n"
        "        memory[at : at + (32 << 20)] = block\n"
        "def transform_fn(model, data, content_type, accept):\n    return ''\n"
    )
    other, gulps = many.add("other", says("other")), many.add("gulps", shared)
    serve_in(cgroup, many)
    many.load("other", other)
    before = many.pid("other")

    assert many.load("gulps", gulps).status == 507
    assert (many.invoke("other").body, many.pid("other")) == (b"other", before)


def test_a_prediction_that_the_kernel_kills_for_want_of_memory_is_507(many: ManyModels, cgroup: Path) -> None:
    """Nobody limits what a model takes once it is loaded."""
    script = ECHO + "    return str(len(bytearray(b'x' * (1 << 30)))) if data == 'much' else data\n"
    other, gulps = many.add("other", says("other")), many.add("gulps", script)
    serve_in(cgroup, many)
    many.load("other", other)
    many.load("gulps", gulps)

    reply = many.invoke("gulps", "much")

    assert reply.status == 507
    assert "ended before it answered: it was killed by SIGKILL, as when memory runs out" in reply.json["error"]
    assert many.invoke("other").body == b"other"
    soon(lambda: many.invoke("gulps", "little").body == b"little")


def test_a_model_that_is_loaded_may_take_as_much_as_before(many: ManyModels) -> None:
    script = (
        "import resource\ndef model_fn(model_dir):\n    return resource.getrlimit(resource.RLIMIT_DATA)[0]\n"
        "def transform_fn(model, data, content_type, accept):\n"
        "    return f'{model} {resource.getrlimit(resource.RLIMIT_DATA)[0]}'\n"
    )
    many.serve(SEAPROOF_MEMORY_LIMIT_MB="300")
    many.load("m", many.add("m", script))

    while_loading, after = map(int, many.invoke("m").body.split())

    assert 300 * MIB < while_loading < 1200 * MIB
    assert after == resource.getrlimit(resource.RLIMIT_DATA)[0]


def test_a_model_that_grows_without_end_is_stopped_at_the_limit_of_the_variable(many: ManyModels) -> None:
    grows = many.add("grows", GROWS)
    many.serve(SEAPROOF_MEMORY_LIMIT_MB="200")

    reply = many.load("grows", grows)
    assert reply.status == 507
    assert "of 200 MiB" in reply.json["error"]
    assert many.container.workers() == many.container.workers()[:1]


def test_a_folder_larger_than_the_room_is_refused_before_it_is_loaded(many: ManyModels) -> None:
    folder = many.add("m", HEAVY.format(mib=1))
    with Path(folder, "weights.bin").open("wb") as weights:
        weights.truncate(400 * MIB)
    many.serve(SEAPROOF_MEMORY_LIMIT_MB="300")

    reply = many.load("m", folder)
    assert reply.status == 507
    assert "it needs about 400 MiB" in reply.json["error"]
    assert not Path(folder, "began").exists()


def test_what_earlier_models_took_is_expected_of_the_next(many: ManyModels) -> None:
    folders = [many.add(name, HEAVY.format(mib=120)) for name in ("a", "b")]
    many.serve(SEAPROOF_MEMORY_LIMIT_MB="270")

    assert many.load("a", folders[0]).status == 200
    reply = many.load("b", folders[1])
    assert reply.status == 507
    assert "there is no room for it; it needs about 1" in reply.json["error"]
    assert not Path(folders[1], "began").exists()


def test_of_two_that_load_at_once_one_is_refused_where_there_is_room_for_one(many: ManyModels) -> None:
    folders = [many.add(name, HEAVY.format(mib=150)) for name in ("a", "b")]
    many.serve(SEAPROOF_MEMORY_LIMIT_MB="300")

    with ThreadPoolExecutor() as pool:
        statuses = [reply.status for reply in pool.map(many.load, "ab", folders)]
    assert sorted(statuses) == [200, 507]
    assert len(many.names()) == 1


def test_memory_is_measured_and_given_back_when_a_model_is_unloaded(many: ManyModels) -> None:
    heavy, light = many.add("heavy", HEAVY.format(mib=100)), many.add("light", says("light"))
    many.serve()
    many.load("light", light)
    assert many.container.process is not None
    container = many.container.process.pid
    before = resident(family(container))
    many.load("heavy", heavy)

    measured = many.describe("heavy").json["workers"][0]["memoryUsage"]
    assert 100 * MIB < measured < 130 * MIB
    assert many.describe("light").json["workers"][0]["memoryUsage"] < 30 * MIB
    assert resident(family(container)) > before + 100 * MIB
    many.unload("heavy")
    assert resident(family(container)) < before + 2 * MIB
    assert "the model 'heavy' is loaded" in many.container.log
    assert f"takes {measured // MIB} MiB" in many.container.log


def test_a_prediction_without_memory_is_507_and_the_model_stays(many: ManyModels) -> None:
    script = ECHO + "    if data == 'gpu':\n        raise type('OutOfMemoryError', (RuntimeError,), {})('CUDA')\n"
    folder = many.add("m", script + "    return b'x' * int(data)\n")
    many.serve()
    many.load("m", folder)

    assert many.invoke("m", str(1 << 60)).status == 507
    assert many.invoke("m", "gpu").status == 507
    assert many.invoke("m", "3").body == b"xxx"


def test_idle_models_share_what_the_container_has_imported(many: ManyModels) -> None:
    many.common("import numpy, json\ndef transform_fn(model, data, content_type, accept):\n    return 'common'\n")
    folders = [many.add(f"m{number}") for number in range(20)]
    many.serve()
    assert many.container.process is not None
    before = resident(family(many.container.process.pid))
    for folder in folders:
        assert many.load(folder, folder).status == 200

    each = (resident(family(many.container.process.pid)) - before) / len(folders)
    assert each < 10 * MIB


def test_limits_are_read_from_cgroups_of_both_versions(tmp_path: Path) -> None:
    proc, root = tmp_path / "proc", tmp_path / "fs"
    for version, files in {
        "memory": {
            "memory.limit_in_bytes": "100",
            "memory.usage_in_bytes": "70",
            "memory.stat": "total_inactive_file 20",
        },
        "unified": {"memory.max": "200", "memory.current": "90", "memory.stat": "inactive_file 30\nother 1"},
    }.items():
        (root / version / "a" / "b").mkdir(parents=True)
        for name, text in files.items():
            (root / version / "a" / name).write_text(text + "\n")
    (root / "memory" / "a" / "b" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    (root / "unified" / "a" / "b" / "memory.max").write_text("max\n")

    for line, limit, left in (("4:cpu,memory:/a/b", 100, 50), ("0::/a/b", 200, 140)):
        proc.write_text(f"3:cpuset:/\n{line}\n")
        (group,) = cgroups(proc, root)
        assert (group.limit, group.left()) == (limit, left)


def test_a_container_that_sees_its_own_cgroup_as_the_root_finds_its_limit(tmp_path: Path) -> None:
    proc, root = tmp_path / "proc", tmp_path / "fs"
    root.mkdir()
    for name, text in {"memory.max": "500", "memory.current": "100", "memory.stat": "inactive_file 40"}.items():
        (root / name).write_text(text)
    for path in ("/", "/docker/abc", "/../../elsewhere"):
        proc.write_text(f"0::{path}\n")
        (group,) = cgroups(proc, root)
        assert (group.limit, group.left()) == (500, 440)


def test_without_any_limit_the_machine_is_the_limit() -> None:
    memory = Memory(groups=[])

    assert 256 * MIB < memory.limit < 1 << 50
    assert memory.room(0) < memory.limit
    assert Memory(128 * MIB, []).room(100 * MIB) == 28 * MIB - Memory(128 * MIB, []).reserve


def test_the_size_of_a_folder_is_that_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "one").write_bytes(b"x" * 1000)
    (tmp_path / "a" / "b" / "two").write_bytes(b"x" * 500)
    (tmp_path / "a" / "gone").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")

    assert size_on_disk(str(tmp_path)) == 1500


def fill_and_empty(many: ManyModels, folders: dict[str, str]) -> None:
    """Load until 507: what is loaded stays, nothing else is left behind, and unloading makes room."""
    statuses = [many.load(name, folder).status for name, folder in folders.items()]
    fitting = statuses.index(507)
    assert statuses == [200] * fitting + [507] * (len(folders) - fitting)
    assert 2 <= fitting < len(folders)
    names = list(folders)
    assert many.names() == names[:fitting]
    assert {many.invoke(name).body for name in names[:fitting]} == {str(60 * MIB).encode()}
    assert many.invoke(names[-1]).status == many.describe(names[-1]).status == 404
    assert many.container.get("/ping").status == 200

    assert many.unload(names[0]).status == 200
    assert many.load(names[-1], folders[names[-1]]).status == 200
    assert many.load(names[-2], folders[names[-2]]).status == 507
    assert many.names() == [*names[1:fitting], names[-1]]


def serve_in(cgroup: Path, many: ManyModels) -> None:
    """Start the container in the cgroup."""
    many.container.before = ("sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(cgroup))
    many.serve()


def kills(cgroup: Path) -> int:
    """How many processes the kernel has killed there."""
    path = cgroup / "memory.oom_control"
    text = (path if path.exists() else cgroup / "memory.events").read_text()
    return int(dict(line.split() for line in text.splitlines())["oom_kill"])
