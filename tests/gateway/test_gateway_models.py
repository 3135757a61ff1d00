"""A container whose memory is full: the gateway unloads what was used least recently, and nothing else."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from gateway_lab import Container, gateway, reply

from seaproof.http.message import Request, Response


def _unloads(container: Container) -> list[str]:
    return [request.path.rpartition("/")[2] for request in container.asked if request.method == "DELETE"]


def test_where_memory_is_full_the_least_recently_used_model_goes_and_the_load_is_tried_again():
    container = Container("inf", multi=True, room=2)
    with gateway(Container("pre"), container) as front:
        statuses = [front.post(f"?model={model}").status for model in ("a", "b", "a", "c", "a", "b")]
        page = front.send("GET", "/").json["containers"][1]

    assert statuses == [200] * 6
    assert _unloads(container) == ["b", "c"]
    assert page["loaded"] == ["a", "b"]
    assert {name: (m["invocations"], m["loads"], m["hits"], m["evictions"]) for name, m in page["models"].items()} == {
        "a": (3, 1, 2, 0),
        "b": (2, 2, 0, 1),
        "c": (1, 1, 0, 1),
    }


def test_models_that_were_there_before_the_gateway_make_room_first():
    container = Container("inf", multi=True, room=2, loaded={"old"})
    with gateway(container) as front:
        statuses = [front.post(f"?model={model}").status for model in ("a", "b", "c")]

    assert statuses == [200, 200, 200]
    assert _unloads(container) == ["old", "a"]


def test_a_model_that_is_loaded_already_is_not_loaded_again():
    container = Container("inf", multi=True, loaded={"m"})
    with gateway(container) as front:
        got = front.post("?model=m")

    assert (got.status, container.paths) == (200, ["/models/m/invoke"])


def test_one_that_does_not_exist_empties_the_container_once_and_not_again():
    def load(request: Request) -> Response:
        return reply(b"no such model", "text/plain", 507) if b"nobody" in request.body else reply(b"{}")

    container = Container("inf", multi=True, load=load)
    with gateway(container) as front:
        assert front.post("?model=a").status == 200
        first = front.post("?model=nobody")
        assert front.post("?model=a").status == 200
        again = front.post("?model=nobody")
        assert front.post("?model=a").status == 200

    assert (first.status, again.status) == (404, 404)
    assert _unloads(container) == ["a"]


def test_many_callers_of_more_models_than_there_is_room_for_get_their_own_answers():
    def named(request: Request) -> Response:
        return reply(request.path.encode(), "text/plain")

    container = Container("inf", named, multi=True, room=5)
    wanted = random.Random(7).choices([f"m{n}" for n in range(20)], [1 / n for n in range(1, 21)], k=300)
    with gateway(container) as front, ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda model: (model, front.post(f"?model={model}")), wanted))

    wrong = [(model, answer.status) for model, answer in got if answer.body != f"/models/{model}/invoke".encode()]
    assert wrong == []
    assert len(container.loaded) <= 5
    assert _unloads(container)


def _models(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "seaproof.cli", "models", *args], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_command_lists_the_models_behind_a_gateway_with_the_memory_that_the_container_tells():
    container = Container("inf", multi=True, room=1, memory=3_000_000)
    with gateway(Container("pre"), container) as front:
        before = _models("--gateway", f"127.0.0.1:{front.port}")
        assert [front.post(f"?model={model}").status for model in ("a", "b", "b")] == [200] * 3
        listed = _models("--gateway", f"http://127.0.0.1:{front.port}/", "--json")
        shown = _models("--gateway", f"127.0.0.1:{front.port}")

    rows = json.loads(listed.stdout)
    assert before.stdout == f"no model was asked for yet at the gateway 127.0.0.1:{front.port}\n"
    assert [(row["endpoint"], row["model"], len(row["loaded"]), row["memory"]) for row in rows] == [
        ("inf", "b", 1, 3_000_000),
        ("inf", "a", 0, None),
    ]
    assert [(row["invocations"], row["hits"], row["loads"], row["evictions"]) for row in rows] == [
        (2, 1, 1, 0),
        (1, 0, 1, 1),
    ]
    assert shown.stdout.splitlines()[0].split()[:3] == ["CONTAINER", "MODEL", "LOADED"]
    assert "2.9 MiB" in shown.stdout


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "no gateway answers at 127.0.0.1:1"),
        ("nonsense", "'nonsense' is no address of a gateway"),
        ("127.0.0.1:99999", "'127.0.0.1:99999' is no address of a gateway"),
    ],
)
def test_an_address_without_a_gateway_is_told(address: str, said: str):
    done = _models("--gateway", address)

    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert said in done.stderr


def test_a_server_that_is_no_gateway_is_told():
    with gateway(Container("pre")) as front:
        place = front.seats[0].place
        assert place is not None
        done = _models("--gateway", f"{place.host}:{place.port}")

    assert done.returncode == 1
    assert f"what answers at 127.0.0.1:{place.port} is no gateway" in done.stderr
