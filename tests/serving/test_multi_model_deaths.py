"""Models whose process dies, and the end of their container, in good order or not."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from container_process import soon
from many_models import ECHO, SLOW, WAITS, ManyModels, connections, lives, says


def test_a_model_that_is_killed_fails_what_was_in_flight_and_is_brought_back(many: ManyModels) -> None:
    slow, other = many.add("slow", SLOW), many.add("other", says("other"))
    many.serve()
    many.load("slow", slow)
    many.load("other", other)
    first = many.pid("slow")
    with ThreadPoolExecutor() as pool:
        in_flight = pool.submit(many.invoke, "slow", "15")
        soon(lambda: connections(first) > 0)
        os.kill(first, signal.SIGKILL)

        reply = in_flight.result()
    assert reply.status == 503
    assert "ended before it answered: it was killed by SIGKILL" in reply.json["error"]
    assert "being loaded anew" in reply.json["next_step"]
    assert many.invoke("other").body == b"other"
    soon(lambda: many.invoke("slow", "0").body == b"0")
    assert many.pid("slow") != first
    assert "the process of the model 'slow' was killed by SIGKILL" in many.container.log


def test_a_model_that_keeps_dying_is_unloaded(many: ManyModels) -> None:
    dying = many.add("dying", "import os\n" + ECHO + "    os._exit(7)\n")
    many.serve()
    many.load("dying", dying)

    statuses = [soon(lambda: many.invoke("dying").status) for _ in range(4)]
    assert statuses[0] == 503
    soon(lambda: many.invoke("dying").status == 404)
    assert "it is unloaded, after 3 times in a row" in many.container.log
    assert many.names() == []
    assert many.load("dying", dying).status == 200


def test_a_model_that_cannot_be_brought_back_is_unloaded(many: ManyModels) -> None:
    folder = many.add("m", says("here"))
    many.serve()
    many.load("m", folder)
    Path(folder, "code", "inference.py").write_text("raise ValueError('gone bad')\n")
    os.kill(many.pid("m"), signal.SIGKILL)

    soon(lambda: many.names() == [])
    soon(lambda: "the model 'm' is not loaded: ValueError: gone bad" in many.container.log)


def test_sigterm_lets_requests_finish_and_leaves_nothing_behind(many: ManyModels) -> None:
    with many.under_way() as (pid, in_flight):
        assert many.container.stop() == 0
        assert in_flight.result().body == b"0.7"
    assert not Path(f"/proc/{pid}").exists()
    assert list(many.container.root.glob("seaproof-*")) == []


@pytest.mark.parametrize("who", ["front", "nursery"])
def test_the_container_does_not_live_without_its_front_or_its_nursery(many: ManyModels, who: str) -> None:
    folder = many.add("m", says("here"))
    many.serve(SAGEMAKER_MODEL_SERVER_WORKERS="2", TMPDIR=str(many.container.root))
    many.load("m", folder)
    assert many.container.process is not None
    before = sorted(path.name for path in many.container.root.iterdir())
    pids = [many.container.process.pid, *many.container.workers(), many.pid("m")]
    os.kill(many.container.workers()[0] if who == "front" else pids[0], signal.SIGKILL)

    assert many.container.wait() not in (0, None)
    soon(lambda: not any(lives(pid) for pid in pids))
    assert sorted(path.name for path in many.container.root.iterdir()) == before == ["log", "ml"]


def test_a_model_that_is_being_loaded_does_not_outlive_the_nursery(many: ManyModels) -> None:
    folder = many.add("m", WAITS)
    many.serve()
    assert many.container.process is not None
    with ThreadPoolExecutor() as pool:
        loading = pool.submit(many.load, "m", folder)
        (began,) = soon(lambda: list(Path(folder).glob("began-*")))
        many.container.process.kill()

        assert loading.result().status == 503
    soon(lambda: not lives(int(began.name.removeprefix("began-"))))


def test_a_container_whose_own_script_fails_ends_before_it_is_healthy(many: ManyModels) -> None:
    many.common("raise ValueError('broken image')\n")
    many.start()

    assert many.container.wait() == 1
    assert "ValueError: broken image" in many.container.log
