"""Loads and unloads of models against a real container: one load for all, room by LRU, what fails and why."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from model_lab import SETTINGS, Lab, poll

from seaproof.errors import ServiceError
from seaproof.http.client import Client, Reply
from seaproof.http.message import Request
from seaproof.invocations import routing, send
from seaproof.invocations.flow import invocation, takes_stream

MakeLab = Callable[..., Lab]


@pytest.fixture
def make_lab(tmp_path: Path) -> Iterator[MakeLab]:
    made: list[Lab] = []

    def make(at_most: int = 1000, **options) -> Lab:
        made.append(Lab(tmp_path / str(len(made)), at_most, **options))
        return made[-1]

    yield make
    for lab in made:
        lab.close()


@pytest.fixture
def go(tmp_path: Path) -> Path:
    """The file that what waits for it waits for."""
    return tmp_path / "go"


def answer(target: str) -> str:
    return f"{target}:1:{target}"


def test_a_model_is_fetched_unpacked_loaded_under_a_hash_and_asked_with_its_header(make_lab: MakeLab):
    lab = make_lab()
    lab.put("eu/a.tar.gz", "weights of a")

    assert lab.ask("eu/a.tar.gz") == "weights of a:1:eu/a.tar.gz"
    assert lab.ask("/eu/a.tar.gz") == "weights of a:1:/eu/a.tar.gz"

    [(name, (url, _))] = lab.container.models.items()
    assert url == str(lab.folder / "ml" / "models" / name / "model")
    assert set(name) <= set("0123456789abcdef")
    assert len(name) == 32
    assert Path(url).is_dir()
    assert not list(Path(url).parent.glob("*.tar.gz"))
    counts = lab.tally.snapshot()["eu/a.tar.gz"]
    assert (counts.loads, counts.invocations, counts.hits, counts.evictions, counts.bytes) == (1, 2, 1, 0, 12)
    assert lab.records == [("eu/a.tar.gz", 12)] * 2


def test_64_callers_of_one_cold_model_are_one_load(make_lab: MakeLab):
    lab = make_lab()
    lab.put("a", slow="0.3")

    answers = lab.all_at_once(["a"] * 64)

    assert answers == [answer("a")] * 64
    assert lab.statistics()["loads"] == {"a": 1}


def test_quick_models_do_not_wait_for_a_slow_one(make_lab: MakeLab, go: Path):
    lab = make_lab()
    lab.put("slow", slow=str(go))
    for number in range(20):
        lab.put(f"quick-{number}")
    slow: list[str] = []
    thread = threading.Thread(target=lambda: slow.append(lab.ask("slow")))
    thread.start()
    poll(lambda: lab.container.loading)
    quick = lab.all_at_once([f"quick-{number}" for number in range(20)])
    meanwhile = list(slow)
    go.touch()
    thread.join()

    assert quick == [answer(f"quick-{number}") for number in range(20)]
    assert (meanwhile, slow) == ([], [answer("slow")])


def test_where_memory_is_full_the_least_recently_used_goes(make_lab: MakeLab):
    lab = make_lab(at_most=2)
    for target in ("a", "b", "c"):
        lab.put(target)
    for target in ("a", "b", "a", "c"):
        assert lab.ask(target) == answer(target)

    assert lab.loader.loaded() == ["a", "c"]
    assert {target: counts.evictions for target, counts in lab.tally.snapshot().items()} == {"a": 0, "b": 1, "c": 0}


def test_a_model_in_use_is_not_unloaded_under_its_callers(make_lab: MakeLab, go: Path):
    lab = make_lab(at_most=1)
    lab.put("a")
    lab.put("b")
    answers: dict[str, str] = {}
    held = f"until {go}"
    busy = threading.Thread(target=lambda: answers.update(a=lab.ask("a", held.encode())))
    waits = threading.Thread(target=lambda: answers.update(b=lab.ask("b")))
    busy.start()
    poll(lambda: lab.loader.loaded() == ["a"] and lab.instance.outstanding)
    waits.start()
    poll(lambda: lab.statistics()["refused"])
    unloaded, answered = lab.statistics()["unloads"], dict(answers)
    go.touch()
    busy.join()
    waits.join()

    assert (unloaded, answered) == (0, {})
    assert answers == {"a": f"a:{held}:a", "b": answer("b")}


def test_where_none_is_left_to_unload_the_caller_gets_the_507(make_lab: MakeLab):
    lab = make_lab(at_most=0)
    lab.put("a")
    lab.put("b")

    errors = lab.all_at_once(["a", "b", "a", "b"])

    assert all(isinstance(error, ServiceError) and error.code == "ModelError" for error in errors)
    assert {error.members["OriginalStatusCode"] for error in errors if isinstance(error, ServiceError)} == {507}


def test_a_load_that_fails_fails_all_who_wait_with_its_reason_and_is_tried_again_by_the_next(make_lab: MakeLab):
    lab = make_lab()
    lab.put("a", broken="no such layer", slow="0.2")

    errors = lab.all_at_once(["a"] * 8)
    lab.put("a", "mended")

    assert {str(error.message).partition(". See")[0] for error in errors if isinstance(error, ServiceError)} == {
        'Received server error (500) from primary with message "{"message": "no such layer"}"'
    }
    assert len(errors) == 8
    assert lab.statistics()["loads"] == {"a": 1}
    assert lab.ask("a") == "mended:1:a"
    assert lab.tally.snapshot()["a"].failures == 1


def test_what_is_not_in_storage_or_no_archive_is_a_validation_error(make_lab: MakeLab):
    lab = make_lab()
    lab.put("model-10")
    path = lab.folder / "s3" / "bucket" / "models" / "text"
    path.write_text("no archive")

    absent, text = lab.refusal("model-1"), lab.refusal("text")

    assert (absent.code, absent.status, text.code) == ("ValidationError", 400, "ValidationError")
    assert absent.message.startswith("Failed to download model data(bucket: bucket, key: models/model-1). Please")
    assert text.message.startswith('Failed to extract model data archive for target model "text"')
    assert "not gzip" in text.message
    assert list((lab.folder / "ml" / "models").iterdir()) == []


@pytest.mark.parametrize(
    "target", ["../secret", "a/../../secret", "a//b", "a/", "./a", "//etc/passwd", "a\x7f", "x" * 1025]
)
def test_no_target_model_leads_out_of_the_prefix(make_lab: MakeLab, target: str):
    lab = make_lab()
    lab.put("a")
    (lab.folder / "s3" / "bucket" / "secret").write_text("secret")

    error = lab.refusal(target)

    assert (error.code, error.status) == ("ValidationError", 400)
    assert "names no object below" in error.message
    assert lab.statistics()["loads"] == {}


def test_a_request_needs_the_header(make_lab: MakeLab):
    error = make_lab().refusal("")

    assert (error.code, error.status) == ("ValidationError", 400)
    assert "is missing a target model header" in error.message


def test_a_caller_waits_so_long_and_the_load_goes_on(make_lab: MakeLab, go: Path):
    lab = make_lab(patience=0.3)
    lab.put("a", slow=str(go))

    error = lab.refusal("a")
    go.touch()
    poll(lambda: lab.loader.loaded() == ["a"])

    assert (error.code, error.status) == ("ModelNotReadyException", 429)
    assert lab.ask("a") == answer("a")
    assert lab.statistics()["loads"] == {"a": 1}


def test_a_load_is_given_up_after_its_time(make_lab: MakeLab):
    lab = make_lab(load_timeout=0.3)
    lab.put("a", slow="60")

    error = lab.refusal("a")

    assert (error.code, error.members["ErrorCode"]) == ("ModelError", "MODEL_INVOCATION_TIMEOUT")


def test_a_container_that_lost_its_models_is_given_them_again_once(make_lab: MakeLab):
    lab = make_lab()
    lab.put("a")
    lab.put("b")
    lab.ask("a")
    lab.ask("b")
    lab.sender.request("127.0.0.1", lab.container.server_address[1], "POST", "/forget")

    answers = lab.all_at_once(["a"] * 16 + ["b"] * 16)

    assert answers == [answer("a")] * 16 + [answer("b")] * 16
    assert lab.statistics()["loads"] == {"a": 2, "b": 2}


def test_a_large_body_goes_to_a_loaded_model_while_it_comes_and_a_lost_model_is_loaded_first(make_lab: MakeLab):
    lab, parts, sent = make_lab(), [b"x" * 200_000] * 2, []
    lab.put("a")
    headers = [(b"x-amzn-sagemaker-target-model", b"a"), (b"content-length", b"400000")]

    async def body() -> AsyncIterator[bytes]:
        for part in parts:
            sent.append(lab.container.counts["loads"]["a"])
            yield part

    def ask() -> bytes:
        request = Request("POST", "/endpoints/e/invocations", headers=headers, stream=body())
        assert takes_stream(lab.routes, "e", request)
        return lab.sender.invoke(invocation(lab.routes, "e", request, SETTINGS)).body

    answers = [ask()]
    lab.sender.request("127.0.0.1", lab.container.server_address[1], "POST", "/forget")
    answers.append(ask())

    assert answers == [b"a:" + b"".join(parts) + b":a"] * 2
    assert sent == [1, 1, 2, 2]  # loads before each part was sent


def test_a_404_of_the_model_itself_is_its_answer(make_lab: MakeLab):
    lab = make_lab()
    lab.put("a")

    error = lab.refusal("a", b"404")

    assert (error.code, error.members["OriginalStatusCode"]) == ("ModelError", 404)
    assert lab.ask("a") == answer("a")


def test_without_the_cache_each_call_loads_and_unloads(make_lab: MakeLab):
    lab = make_lab(stay=False)
    lab.put("a")

    for number in range(1, 4):
        assert lab.ask("a") == answer("a")
        poll(lambda number=number: lab.statistics()["unloads"] == number)

    assert lab.statistics()["loads"] == {"a": 3}
    assert lab.tally.snapshot()["a"].evictions == 0


def test_the_disk_is_bounded_and_the_least_recently_used_folder_goes(make_lab: MakeLab):
    lab = make_lab(at_most=2, disk_bytes=3000)
    for number in range(6):
        lab.put(f"m{number}", "x" * 900)

    for number in (0, 1, 2, 0, 3, 4, 5):
        lab.ask(f"m{number}")

    kept = {path.name for path in (lab.folder / "ml" / "models").iterdir()}
    shelf = {lab.loader._shelf.name(f"m{number}"): number for number in range(6)}
    assert {shelf[name] for name in kept} == {3, 4, 5}
    assert lab.loader.disk_bytes == 2700


def test_a_model_larger_than_the_disks_bound_is_refused_and_evicts_nobody(make_lab: MakeLab):
    lab = make_lab(disk_bytes=3000)
    lab.put("small")
    lab.put("large", "x" * 5000)
    lab.ask("small")

    error = lab.refusal("large")

    assert error.code == "ValidationError"
    assert "models_disk" in error.message
    assert lab.loader.loaded() == ["small"]
    assert lab.loader.disk_bytes == 5


def test_a_changed_object_is_not_read_again_while_its_model_is_loaded(make_lab: MakeLab):
    lab = make_lab(at_most=1)
    lab.put("a", "old")
    lab.put("b")
    assert lab.ask("a") == "old:1:a"
    lab.put("a", "new")

    assert lab.ask("a") == "old:1:a"
    lab.ask("b")

    assert lab.ask("a") == "new:1:a"


def test_a_new_loader_finds_what_is_loaded_and_on_disk_and_can_make_room(make_lab: MakeLab):
    lab = make_lab(at_most=2)
    for target in ("a", "b", "c"):
        lab.put(target)
    lab.ask("a")
    lab.ask("b")
    (lab.folder / "ml" / "models" / "half").mkdir()

    lab.loader.close()
    lab.loader = lab.a_loader()

    assert lab.loader.disk_bytes == 2
    assert lab.ask("a") == answer("a")
    assert lab.ask("c") == answer("c")
    assert lab.ask("b") == answer("b")
    assert lab.statistics()["most"] == 2
    assert not (lab.folder / "ml" / "models" / "half").exists()


def test_when_the_instance_is_stopped_its_loads_end_and_new_ones_are_for_another_to_take(make_lab: MakeLab, go: Path):
    lab = make_lab(at_most=1)
    lab.put("a")
    lab.put("b")
    found: list[str | ServiceError] = []
    held = f"until {go}"
    busy = threading.Thread(target=lambda: found.append(lab.ask("a", held.encode())))
    waits = threading.Thread(target=lambda: found.append(lab.refusal("b")))
    busy.start()
    poll(lambda: lab.loader.loaded() and lab.instance.outstanding)
    waits.start()
    poll(lambda: lab.statistics()["refused"])
    lab.loader.close()
    waits.join()
    found.append(lab.refusal("b"))
    go.touch()
    busy.join()

    assert found[2] == f"a:{held}:a"
    assert [error.code for error in found[:2] if isinstance(error, ServiceError)] == ["ServiceUnavailable"] * 2


def test_a_caller_that_goes_away_gives_its_lease_back_and_the_load_goes_on(make_lab: MakeLab, go: Path):
    lab = make_lab(at_most=1)
    lab.put("a", slow=str(go))
    lab.put("b")

    async def go_away(client: Client) -> None:
        task = asyncio.ensure_future(send.invoke(client, lab.steps("a")))
        while not lab.container.loading:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])

    lab.sender.run(go_away)
    go.touch()
    poll(lambda: lab.loader.loaded() == ["a"])

    assert lab.instance.outstanding == 0
    assert lab.ask("b") == answer("b")


def test_in_a_series_the_model_is_the_business_of_its_container_alone(make_lab: MakeLab):
    lab = make_lab()
    lab.put("a")
    model = lab.instance.containers[0]
    plain = routing.Container("container-1", "127.0.0.1", 1)
    series = routing.Instance("i-2", (plain, model))
    lab.routes.publish(routing.Routing("e", (routing.Variant("v", 1.0, (series,)),)))
    steps = lab.steps("a", b"raw")

    first = next(steps)
    waited = steps.send(Reply(200, [(b"content-type", b"text/csv")], b"prepared"))
    waited.future.result()
    second = steps.send(None)

    assert (first.port, first.target, first.body) == (1, "/invocations", b"raw")
    name = next(iter(lab.container.models))
    assert (second.port, second.target, second.body) == (model.port, f"/models/{name}/invoke", b"prepared")
    steps.close()
    assert series.outstanding == 0


def test_many_callers_of_many_models_with_little_room_get_their_own_answers(make_lab: MakeLab):
    lab = make_lab(at_most=3)
    targets = [f"m{number}" for number in range(12)]
    for target in targets:
        lab.put(target)

    for _ in range(4):
        answers = lab.all_at_once(targets * 3)
        assert answers == [answer(target) for target in targets * 3]

    counted = lab.statistics()
    assert counted["most"] <= 3
    assert counted["wrong"] == 0
    assert sum(counts.evictions for counts in lab.tally.snapshot().values()) == counted["unloads"]


def loads_of(lab: Lab) -> int:
    with lab.container.lock:
        return sum(lab.container.counts["loads"].values())


def test_with_little_memory_little_disk_and_a_forgetful_container_everybody_gets_an_answer(make_lab: MakeLab):
    lab = make_lab(at_most=2, disk_bytes=500)
    targets = [f"m{number:02d}" for number in range(20)]
    for number, target in enumerate(targets):
        lab.put(target, **({"slow": "0.02"} if number % 3 == 0 else {}))

    def forget(loads: int) -> None:
        """Once, in the middle: a call is repeated once for a lost model, and a second loss would rightly be told."""
        poll(lambda: loads_of(lab) >= loads)
        with lab.container.lock:
            lab.container.models.clear()

    answers = []
    for _ in range(4):
        thread = threading.Thread(target=forget, args=(loads_of(lab) + 10,))
        thread.start()
        answers.append(lab.all_at_once(targets * 3))
        thread.join()

    assert answers == [[answer(target) for target in targets * 3]] * 4
    assert lab.loader.disk_bytes <= 500
    assert lab.statistics()["most"] == 2
