"""Workers and their master: shared load, deaths before and after ready, time-outs, and the end of a container."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from container_process import Container, reply_on, soon

PID = "import os\ndef transform_fn(model, data, content_type, accept):\n    return str(os.getpid())\n"

# A path is waited for; `path-begun` says that it is.
WAITS = """
import pathlib, time
def transform_fn(model, data, content_type, accept):
    if data.startswith("/"):
        pathlib.Path(data + "-begun").touch()
        while not pathlib.Path(data).exists():
            time.sleep(0.005)
    return data
"""


def test_two_workers_share_the_load_on_one_port(container: Container) -> None:
    container.serve(PID, SAGEMAKER_MODEL_SERVER_WORKERS="2")

    pids: set[int] = set()
    soon(lambda: pids.add(int(container.invoke("1").body)) or len(pids) == 2)

    assert pids == set(container.workers())


def test_the_number_of_workers_can_be_given_as_the_classic_containers_take_it(container: Container) -> None:
    container.serve(PID, SAGEMAKER_MODEL_SERVER_WORKERS="", MODEL_SERVER_WORKERS="3")

    assert len(container.workers()) == 3


def test_the_model_is_loaded_once_before_the_fork(container: Container) -> None:
    container.serve(
        "import os\ndef model_fn(model_dir):\n    return os.getpid()\n"
        "def predict_fn(data, model):\n    return [model, os.getpid()]\n"
    )

    loaded, predicted = container.invoke("1").json
    assert container.process is not None
    assert (loaded, [predicted]) == (container.process.pid, container.workers())


def test_what_was_loaded_before_the_fork_is_kept_from_the_collector(container: Container) -> None:
    container.serve(
        "import gc\nmodel = [[] for _ in range(50_000)]\ndef model_fn(model_dir):\n    return model\n"
        "def predict_fn(data, model):\n    return [gc.get_freeze_count()]\n"
    )

    assert container.invoke("1").json[0] > 50_000


@pytest.mark.parametrize("how", ["variable", "attribute", "async"])
def test_the_model_is_loaded_in_each_worker_where_the_author_says_so(container: Container, how: str) -> None:
    container.serve(
        ("load_after_fork = True\n" if how == "attribute" else "")
        + "import os\n"
        + ("async " if how == "async" else "")
        + "def model_fn(model_dir):\n    return os.getpid()\ndef predict_fn(data, model):\n    return [model]\n",
        **({"SEAPROOF_LOAD": "worker"} if how == "variable" else {}),
    )

    assert container.invoke("1").json == container.workers()


def test_a_quick_prediction_does_not_wait_for_a_slow_one_that_came_with_it(container: Container) -> None:
    container.serve(WAITS)
    first, last = container.root / "first", container.root / "last"
    busy = container.ask(str(first))
    soon(lambda: first.with_name("first-begun").exists())
    together = [container.ask(body) for body in ("0", "1", str(last))]  # all wait for the one that runs
    container.get("/ping")

    first.touch()
    assert [reply_on(connection).body for connection in (busy, *together[:2])] == [str(first).encode(), b"0", b"1"]
    last.touch()
    assert reply_on(together[2]).body == str(last).encode()


def test_functions_that_say_they_are_quick_run_on_the_event_loop(container: Container) -> None:
    script = (
        "import threading\ndef transform_fn(model, data, content_type, accept):\n"
        "    if data == 'fail':\n        raise ValueError('no')\n    return threading.current_thread().name\n"
    )
    container.serve("quick = True\n" + script)

    assert container.invoke("1").body == b"MainThread"
    assert container.invoke("fail").status == 500
    assert container.stop() == 0
    container.serve(script)
    assert container.invoke("1").body == b"predictions"


@pytest.mark.parametrize(("given", "seen"), [({}, "1"), ({"OMP_NUM_THREADS": "3"}, "3")])
def test_numeric_libraries_share_the_cpus_between_workers(
    container: Container, given: dict[str, str], seen: str
) -> None:
    script = (
        "import os\ndef transform_fn(model, data, content_type, accept):\n    return os.environ['OMP_NUM_THREADS']\n"
    )
    container.serve(script, SAGEMAKER_MODEL_SERVER_WORKERS=str(os.cpu_count()), **given)

    assert container.invoke("1").body.decode() == seen


@pytest.mark.parametrize("load", ["master", "worker"])
def test_what_was_loaded_is_never_searched_for_garbage_again(container: Container, load: str) -> None:
    container.serve(
        "import gc\nmodel = [[number] for number in range(50_000)]\n"
        "def transform_fn(model, data, content_type, accept):\n    return f'{len(gc.get_objects())}'\n",
        SEAPROOF_LOAD=load,
    )

    assert int(container.invoke("1").body) < 20_000


def test_ping_is_answered_at_once_while_a_prediction_runs(container: Container) -> None:
    container.serve(WAITS)
    end = container.root / "end"
    for _ in range(20):
        container.invoke("0")  # quick ones before it must not lead to a prediction on the event loop
    running = container.ask(str(end))
    soon(lambda: end.with_name("end-begun").exists())

    for _ in range(5):
        assert container.get("/ping").status == 200

    end.touch()
    assert reply_on(running).body == str(end).encode()


def test_predictions_run_one_at_a_time_in_each_worker(container: Container) -> None:
    container.serve(
        "import time\nrunning = 0\n"
        "def transform_fn(model, data, content_type, accept):\n"
        "    global running\n    running += 1\n    at_once = running\n    time.sleep(0.02)\n    running -= 1\n"
        "    return str(at_once)\n"
    )

    with ThreadPoolExecutor(8) as pool:
        bodies = list(pool.map(lambda _: container.invoke("1").body, range(16)))

    assert bodies == [b"1"] * 16


def test_a_prediction_over_the_time_limit_is_answered_504(container: Container) -> None:
    container.serve(WAITS, SAGEMAKER_MODEL_SERVER_TIMEOUT="0.4")
    end = container.root / "end"

    began = time.monotonic()
    reply = container.invoke(str(end))
    waited = time.monotonic() - began
    end.touch()

    assert reply.status == 504
    assert re.fullmatch(
        r"there was no prediction within 0.4 s; one has been running for \d+\.\d s in this worker", reply.json["error"]
    )
    assert "SAGEMAKER_MODEL_SERVER_TIMEOUT" in reply.json["next_step"]
    assert "SAGEMAKER_MODEL_SERVER_WORKERS" in reply.json["next_step"]
    assert waited > 0.35
    assert soon(lambda: container.invoke("0").status == 200)


ENDLESS_ASYNC = (
    "import time\ndef model_fn(model_dir):\n    return 0\n"
    "async def predict_fn(data, model):\n"
    "    time.sleep(float(data[0][0]))\n    return 1\n"
)


@pytest.mark.parametrize(
    ("script", "line"),
    [(WAITS, "time.sleep(0.005)"), (ENDLESS_ASYNC, "time.sleep(float(data[0][0]))")],
    ids=["plain", "async"],
)
def test_a_prediction_that_never_ends_costs_its_worker_and_no_more(
    container: Container, script: str, line: str
) -> None:
    container.serve(script, SAGEMAKER_MODEL_SERVER_TIMEOUT="0.4")
    endless = "600" if script is ENDLESS_ASYNC else str(container.root / "never")

    # Refused while the prediction still runs, by the worker where it does; that one ends 2 s later.
    while True:
        before = container.workers()
        assert container.invoke(endless).status == 504
        # What comes in the moment before the worker notices waits in vain, too; what comes later is refused at once.
        replies = iter(lambda: container.invoke("0"), None)
        waiting = next(reply for reply in replies if reply.status != 504)
        if waiting.status != 200:  # the next worker's answer: this process had no processor in between
            break

    assert waiting.status == 503
    assert re.match(
        r"a prediction has been running for \d\.\d s in this worker, over the limit of 0.4 s", waiting.json["error"]
    )
    assert "SAGEMAKER_MODEL_SERVER_TIMEOUT" in waiting.json["next_step"]
    assert "SAGEMAKER_MODEL_SERVER_WORKERS" in waiting.json["next_step"]
    soon(lambda: set(container.workers()) - set(before))
    assert soon(lambda: container.invoke("0").status == 200)
    assert "inference.py" in container.log.partition("It is at:")[2]
    assert line in container.log
    assert container.stop() == 0


def test_a_worker_that_is_killed_is_replaced(container: Container) -> None:
    container.serve(PID, SAGEMAKER_MODEL_SERVER_WORKERS="2")
    before = container.workers()

    os.kill(before[0], signal.SIGKILL)

    soon(lambda: len(container.workers()) == 2 and before[0] not in container.workers())
    assert before[1] in container.workers()
    assert soon(lambda: {int(container.invoke("1").body) for _ in range(32)} == set(container.workers()))
    assert "was killed by SIGKILL" in container.log


def test_a_script_that_kills_its_worker_again_and_again_slows_down_but_goes_on(container: Container) -> None:
    container.serve("import os\ndef transform_fn(model, data, content_type, accept):\n    os._exit(9)\n")

    for _ in range(4):
        assert container.invoke("1").status == 503
        soon(container.answers)

    assert "ended with exit code 9; it is replaced at once" in container.log
    assert "it is replaced in 0.8 s" in container.log
    assert container.stop() == 0


def test_a_worker_that_dies_before_it_is_ready_ends_the_container(container: Container) -> None:
    container.start("def model_fn(model_dir):\n    raise OSError('no such model')\n", SEAPROOF_LOAD="worker")

    assert container.wait() == 1
    assert 'inference.py", line 2, in model_fn' in container.log
    assert "before it was ready; the container ends" in container.log


def test_workers_that_can_no_longer_start_end_the_container(container: Container) -> None:
    flag = container.root / "flag"
    flag.touch()
    container.serve(
        "import pathlib\ndef model_fn(model_dir):\n"
        f"    pathlib.Path({str(flag)!r}).read_text()\n"
        "def predict_fn(data, model):\n    return [1]\n",
        SEAPROOF_LOAD="worker",
    )
    flag.unlink()
    os.kill(container.workers()[0], signal.SIGKILL)

    assert container.wait(30) == 1
    assert "no worker is left" in container.log


def test_sigterm_ends_an_idle_container_without_waiting_for_its_connections(container: Container) -> None:
    container.serve(PID, SAGEMAKER_MODEL_SERVER_WORKERS="2")
    with socket.create_connection(("127.0.0.1", container.port)) as idle:
        idle.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(100).startswith(b"HTTP/1.1 200")
        workers = container.workers()

        assert container.stop() == 0  # requests in flight would have longer than this waits

    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_sigterm_lets_requests_in_flight_finish(container: Container) -> None:
    begun = container.root / "begun"
    container.serve(
        "import pathlib, time\ndef transform_fn(model, data, content_type, accept):\n"
        "    pathlib.Path(data).touch()\n    time.sleep(0.7)\n    return 'done'\n"
    )
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(container.invoke, str(begun))
        soon(begun.exists)
        assert container.stop() == 0

        assert running.result().body == b"done"


def test_sigterm_while_the_model_loads_ends_the_container_at_once(container: Container) -> None:
    loading = container.root / "loading"
    container.start(
        "import pathlib, time\ndef model_fn(model_dir):\n"
        f"    pathlib.Path({str(loading)!r}).touch()\n    time.sleep(30)\n"
    )
    soon(loading.exists)

    assert container.stop() == 0  # which does not wait for as long as that sleeps


def test_sigterm_while_a_worker_is_forked_ends_the_container_as_at_any_time(container: Container) -> None:
    slow_fork = (
        "import os, pathlib, time\n"
        "def slow():\n    pathlib.Path('forked').touch()\n    time.sleep(0.5)\n"
        "os.register_at_fork(after_in_parent=slow)\n"
    )
    container.start(PID + slow_fork, SAGEMAKER_MODEL_SERVER_WORKERS="2")
    soon((container.root / "forked").exists)
    assert container.process is not None
    container.process.send_signal(signal.SIGTERM)

    assert container.process.wait(timeout=60) == 0
    assert "did not end in time" not in container.log
    assert "Traceback" not in container.log


def test_workers_end_when_their_master_is_killed(container: Container) -> None:
    container.serve(PID, SAGEMAKER_MODEL_SERVER_WORKERS="2")
    workers = container.workers()
    assert container.process is not None

    container.process.kill()

    soon(lambda: not any(_lives(pid) for pid in workers))


def test_a_port_in_use_is_one_paragraph(container: Container, tmp_path: Path) -> None:
    container.serve(PID)
    second = Container(tmp_path / "second", container.port)

    second.start(PID)

    assert second.wait() == 1
    assert second.log.startswith(f"seaproof-container: port {container.port} is in use by another program")
    assert len(second.log.splitlines()) == 1


def test_a_variable_that_cannot_be_read_is_one_paragraph(container: Container) -> None:
    container.start(PID, SAGEMAKER_MODEL_SERVER_WORKERS="many")

    assert container.wait() == 1
    assert container.log.startswith("seaproof-container: SAGEMAKER_MODEL_SERVER_WORKERS is 'many'")
    assert len(container.log.splitlines()) == 1


def test_requests_that_wait_for_a_dead_worker_are_served_by_the_next(container: Container) -> None:
    """The master keeps the sockets: who had connected but was not accepted yet finds the successor."""
    container.serve(PID)
    worker = container.workers()[0]
    os.kill(worker, signal.SIGSTOP)
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(container.invoke, "1") for _ in range(4)]
        soon(lambda: _established(container.port) >= 4)
        os.kill(worker, signal.SIGKILL)

        assert {int(reply.result().body) for reply in waiting} == set(container.workers())


def test_start_to_first_ping_is_quick(container: Container) -> None:
    container.serve(PID)
    assert container.process is not None

    # Of the processor, which is the same however many share the machine; 0.2 s where it is not short of memory.
    assert sum(map(_processor_seconds, [container.process.pid, *container.workers()])) < 1.5


def _processor_seconds(pid: int) -> float:
    """What the process has used of the processor so far."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _established(port: int) -> int:
    """How many connections to this port there are, accepted or waiting."""
    wanted = f":{port:04X}"
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return sum(1 for line in lines if line[1].endswith(wanted) and line[3] == "01")


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
