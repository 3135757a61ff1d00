"""Each point that is wrong in hazal, and how it is here."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from gateway_lab import Container, echo, gateway, reply

from seaproof.drivers.driver import Exit
from seaproof.http.message import Request, Response
from seaproof.settings import Settings

CSV = "text/csv; charset=utf-8"


def _takes_only(kind: str, answer: Response):
    def invoke(request: Request) -> Response:
        return answer if request.header(b"content-type") == kind else reply(b"no", "text/plain", 415)

    return invoke


def test_the_callers_type_and_each_replys_type_are_passed_on_exactly_as_given():
    first = Container("pre", _takes_only("application/json;v=1", reply(b"1,2\n", CSV)))
    second = Container("inf", _takes_only(CSV, reply(b"0.5\n", "TEXT/csv ;x=Y")))
    with gateway(first, second) as front:
        got = front.post("", b"{}", Content_Type="application/json;v=1", Accept="text/csv")

    assert (got.status, got.body, got.headers["content-type"]) == (200, b"0.5\n", "TEXT/csv ;x=Y")
    assert [request.header(b"content-type") for request in (*first.asked, *second.asked)] == [
        "application/json;v=1",
        CSV,
    ]
    assert second.asked[0].header(b"accept") == "text/csv"


def test_hazals_own_content_type_is_sent_where_it_is_asked_for():
    form = "application/x-www-form-urlencoded"
    first, second = Container("pre", lambda _: reply(b"{}", CSV)), Container("inf", echo, multi=True)
    with gateway(first, second, hazal_headers=True) as front:
        got = front.post("?model=m&trace=1", b"{}", Content_Type="text/csv", Accept="text/csv")

    assert [r.header(b"content-type") for r in (first.asked[0], second.asked[1])] == [form, form]
    assert first.asked[0].header(b"accept") == second.asked[1].header(b"accept") == ""
    assert [step["sent_type"] for step in got.json["steps"]] == [form, form]


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (reply(b"0.5,0.7\n0.1,0.2\n", "text/csv"), "0.5,0.7\n0.1,0.2\n"),
        (reply(b"0.5\n", "text/csv"), "0.5\n"),
        (reply(b"", ""), ""),
        (reply(b"<p>\xc3\xa9", "text/html"), "<p>é"),
        (reply(b"[NaN]", "application/json"), "[NaN]"),
    ],
)
def test_a_reply_that_is_not_json_is_answered(answer: Response, shown: str):
    with gateway(Container("pre", lambda _: answer), replies="all") as front:
        got = front.post()

    assert (got.status, got.json) == (200, {"pre": shown})


def test_a_reply_that_is_no_text_is_base64_and_says_so():
    with gateway(Container("pre", lambda _: reply(b"\xff\x00", "application/x-npy")), replies="all") as front:
        entry = front.post().json["pre"]

    assert (entry["base64"], entry["content_type"]) == ("/wA=", "application/x-npy")
    assert "base64" in entry["note"]


def test_an_html_500_is_answered_with_the_step_its_status_bytes_latency_and_log():
    second = Container("inf", lambda _: reply(b"<h1>Oops</h1>", "text/html", 500), log="Traceback\nKeyError: 'x'\n")
    with gateway(Container("pre"), second, Container("post")) as front:
        got = front.post("", b"abc", Content_Type="text/csv")

    body = got.json
    assert (got.status, got.headers["content-type"]) == (502, "application/problem+json")
    assert (body["step"]["number"], body["step"]["name"]) == (2, "inf")
    assert body["received"] == {
        "status": 500, "content_type": "text/html", "bytes": 13, "first_bytes": "<h1>Oops</h1>"
    }  # fmt: skip
    assert body["sent"] == {"content_type": "text/csv", "bytes": 3, "first_bytes": "abc"}
    assert body["seconds"] > 0
    assert body["log"] == ["Traceback", "KeyError: 'x'"]
    assert "KeyError" in front.reports[0].problem


def test_a_refused_connection_is_answered():
    container = Container("pre", exit=Exit(137), log="Killed")
    with gateway(container) as front:
        front.stop(container)
        got = front.post()

    assert (got.status, got.json["step"]["name"]) == (502, "pre")
    assert "137" in got.json["detail"]


def test_a_reply_that_does_not_come_is_answered():
    with gateway(Container("slow", lambda _: _sleeps()), settings=Settings(invocation_timeout=0.3)) as front:
        got = front.post()

    assert (got.status, got.json["cause"]) == (504, "timeout")


async def _never() -> Response:
    import asyncio

    await asyncio.sleep(60)
    return reply()


def _sleeps() -> Response:
    return _never()  # type: ignore[return-value]


@pytest.mark.parametrize("query", ["", "?model=", "?model=..", "?model=a%0Ab", "?model=a&model=b&model=c"])
def test_a_bad_model_name_is_answered(query: str):
    container = Container("inf", multi=True)
    with gateway(Container("pre"), container) as front:
        got = front.post(query)

    assert (got.status, got.headers["content-type"]) == (400, "application/problem+json")
    assert "model=NAME" in got.json["next_step"] or "one for each" in got.json["next_step"]
    assert container.asked == []


@pytest.mark.parametrize("model", ["all seeing/eye?", "é", "a%2e", "x" * 300])
def test_any_other_model_name_reaches_the_container_whole(model: str):
    from urllib.parse import quote

    container = Container("inf", multi=True, needs_load=False)
    with gateway(container) as front:
        got = front.post(f"?model={quote(model, safe='')}")

    assert got.status == 200
    assert json.loads(container.asked[0].body)["model_name"] == model
    assert container.asked[1].path == f"/models/{model}/invoke"


@pytest.mark.parametrize("status", [201, 204, 301, 400, 404, 500, 503])
def test_a_status_that_is_not_2xx_stops_the_chain_although_its_body_is_json(status: int):
    last = Container("inf")
    body = b"" if status in (204, 301) else b'{"error": "no"}'
    with gateway(Container("pre", lambda _: reply(body, status=status)), last) as front:
        got = front.post()

    assert (got.status, len(last.asked)) == ((200, 1) if status < 300 else (got.json["status"], 0))
    assert got.status < 300 or got.json["received"]["status"] == status


def test_every_multi_model_container_is_loaded_before_any_container_is_invoked():
    order: list[str] = []

    def noting(name: str):
        def note(request: Request) -> Response:
            order.append(f"{name} {request.path}")
            return reply(b"{}")

        return note

    first = Container("a", noting("a"), multi=True, load=noting("a"))
    second = Container("b", noting("b"))
    third = Container("c", noting("c"), multi=True, load=noting("c"))
    with gateway(first, second, third) as front:
        assert [front.post("?model=eye").status for _ in range(2)] == [200, 200]

    calls = ["a /models/eye/invoke", "b /invocations", "c /models/eye/invoke"]
    assert order == ["a /models", "c /models", *calls, *calls]
    assert json.loads(first.asked[0].body) == {"model_name": "eye", "url": "/opt/ml/models/eye/model"}


def test_each_multi_model_container_may_have_a_model_of_its_own():
    first, second = Container("a", multi=True), Container("b", multi=True)
    with gateway(first, Container("x"), second) as front:
        assert front.post("?model=one&model=two").status == 200

    assert (first.paths, second.paths) == (["/models", "/models/one/invoke"], ["/models", "/models/two/invoke"])


@pytest.mark.parametrize("status", [200, 409])
def test_200_and_409_are_loaded(status: int):
    container = Container("inf", multi=True, load=lambda _: reply(status=status), needs_load=False)
    with gateway(container) as front:
        assert [front.post("?model=m").status for _ in range(3)] == [200, 200, 200]

    assert container.paths.count("/models") == 1


@pytest.mark.parametrize("status", [201, 202, 400, 404, 500, 503])
def test_every_other_answer_to_a_load_is_a_failure_with_its_reason(status: int):
    pre = Container("pre")
    load = lambda _: reply(b'{"error": "bad archive"}', status=status)  # noqa: E731
    with gateway(pre, Container("inf", multi=True, load=load), hazal=True) as front:
        got = [front.post("?model=m") for _ in range(2)]

    assert got[0].status in (502, 503)
    assert (got[0].json["model"], got[0].json["step"]["name"], got[0].json["step"]["number"]) == ("m", "inf", 2)
    assert got[0].json["received"]["status"] == status
    assert "bad archive" in got[0].json["received"]["first_bytes"]
    assert got[1].status == got[0].status
    assert pre.asked == []


def test_a_load_that_answers_507_is_404_in_hazals_words():
    with gateway(Container("inf", multi=True, load=lambda _: reply(status=507)), hazal=True) as front:
        got = front.post("?model=allseeingeye")

    assert (got.status, got.body) == (404, b"Model allseeingeye not found!")


def test_a_load_that_answers_507_is_404_and_explained_elsewhere():
    with gateway(Container("inf", multi=True, load=lambda _: reply(status=507))) as front:
        got = front.post("?model=m")

    assert (got.status, got.json["title"], got.json["cause"]) == (404, "Model m not found!", "model-not-found")


def test_a_load_that_is_refused_is_answered():
    container = Container("inf", multi=True)
    with gateway(Container("pre"), container) as front:
        front.stop(container)
        got = front.post("?model=m")

    assert (got.status, got.json["model"], got.json["step"]["path"]) == (503, "m", "/models")


def test_a_404_on_invoke_triggers_one_reload_and_one_retry():
    container = Container("inf", multi=True)
    with gateway(container) as front:
        assert front.post("?model=m").status == 200
        container.loaded.clear()
        got = front.post("?model=m&trace=1")

    assert got.status == 200
    assert container.paths == ["/models", "/models/m/invoke", "/models/m/invoke", "/models", "/models/m/invoke"]
    assert [load["model"] for load in got.json["loads"]] == ["m"]


def test_a_404_that_stays_is_told_after_one_retry():
    container = Container("inf", lambda _: reply(b"no such row", "text/plain", 404), multi=True)
    with gateway(container) as front:
        got = front.post("?model=m")

    assert (got.status, got.json["received"]["status"]) == (502, 404)
    assert container.paths.count("/models/m/invoke") == 2


def test_a_reload_that_fails_is_told_with_its_reason():
    container = Container("inf", multi=True)
    with gateway(container) as front:
        assert front.post("?model=m").status == 200
        container.loaded.clear()
        container.load = lambda _: reply(b"disk full", "text/plain", 500)
        got = front.post("?model=m")

    assert (got.status, got.json["received"]["first_bytes"]) == (502, "disk full")


def test_loads_are_forgotten_when_the_container_is_started_again():
    from seaproof.gateway.seats import Place

    container = Container("inf", multi=True)
    with gateway(container) as front:
        assert front.post("?model=m").status == 200
        container.loaded.clear()
        seat = front.seats[0]
        assert seat.place is not None
        seat.filled(Place(seat.place.host, seat.place.port, "second"))
        assert front.post("?model=m").status == 200

    assert container.paths == ["/models", "/models/m/invoke"] * 2


def test_requests_that_want_the_same_model_wait_for_one_load():
    arrived = threading.Event()

    def load(request: Request) -> Response:
        arrived.set()
        return _after(0.3)

    container = Container("inf", multi=True, load=lambda r: load(r), needs_load=False)
    container.handle = _patient(container)  # type: ignore[method-assign]
    with gateway(container) as front, ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: front.post("?model=m").status, range(8)))

    assert got == [200] * 8
    assert container.paths.count("/models") == 1


def _patient(container: Container):
    """A program whose loads take a while."""

    def handle(request: Request) -> Response:
        if request.path != "/models" or request.method == "GET":
            return Container.handle(container, request)
        container.asked.append(request)
        return _after(0.3)

    return handle


def _after(seconds: float) -> Response:
    async def wait() -> Response:
        import asyncio

        await asyncio.sleep(seconds)
        return reply(b"{}")

    return wait()  # type: ignore[return-value]


@pytest.mark.parametrize("size", [8 * 1024 + 1, 3 * 1024 * 1024])
def test_bodies_of_over_8_kib_are_passed(size: int):
    body = bytes(range(256)) * (size // 256)
    with gateway(Container("a"), Container("b")) as front:
        got = front.post("", body, Content_Type="application/octet-stream")

    assert got.body == body


@pytest.mark.parametrize(
    "body",
    [
        b'{"n": 9007199254740993, "a": null, "Z": 1, "b": 1e2, "t": 1.10}',
        '{"é": "\\u00e9 é 日本"}'.encode(),
        b'{"b": 1, "a": 2, "b": 3}\n',
        b"[123456789012345678901234567890" + b"1" * 5000 + b"]",
        b"null",
    ],
)
@pytest.mark.parametrize("replies", ["last", "all"])
def test_numbers_nulls_key_order_and_spelling_come_back_byte_for_byte(body: bytes, replies: str):
    with gateway(Container("a"), Container("b"), replies=replies) as front:
        got = front.post("", body, Content_Type="application/json")

    assert got.body == (body if replies == "last" else b'{"a": ' + body + b', "b": ' + body + b"}")


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/pipeline", 405),
        ("PUT", "/pipeline", 405),
        ("DELETE", "/pipeline", 405),
        ("POST", "/ping", 405),
        ("POST", "/", 405),
        ("POST", "/pipelines", 404),
        ("POST", "/pipeline/", 404),
        ("GET", "/invocations", 404),
        ("GET", "/ping", 200),
        ("GET", "/", 200),
    ],
)
def test_only_post_to_pipeline_runs_the_pipeline(method: str, target: str, status: int):
    container = Container("a")
    with gateway(container) as front:
        got = front.send(method, target)

    assert got.status == status
    assert container.asked == []
    assert status == 200 or (got.headers["content-type"], got.json["status"]) == ("application/problem+json", status)


def test_ping_is_200_when_all_containers_answer_and_names_those_that_do_not():
    first, second = Container("a"), Container("b")
    with gateway(first, second) as front:
        well = front.send("GET", "/ping")
        front.stop(second)
        ill = front.send("GET", "/ping")

    assert (well.status, well.json["containers"]) == (200, {"a": "200", "b": "200"})
    assert (ill.status, ill.json["containers"]) == (503, {"a": "200", "b": "refused"})


def test_the_reply_of_every_container_has_its_entry_in_order():
    first = Container("sagemaker-pre", lambda _: reply(b'{"x": 1}'))
    second = Container("sagemaker-inf", lambda _: reply(b'{"y": 2}'))
    with gateway(first, second, replies="all", hazal=True) as front:
        got, last = front.post(), front.post("?replies=last")

    assert got.body == b'{"sagemaker-pre": {"x": 1}, "sagemaker-inf": {"y": 2}}'
    assert got.headers["content-type"] == "application/json"
    assert last.body == b'{"y": 2}'


def test_a_trace_tells_of_every_step_and_its_reply():
    with gateway(Container("a", lambda _: reply(b"1,2", CSV)), Container("b", multi=True)) as front:
        got = front.post("?trace=1&model=m", b"{}", Content_Type="application/json").json

    first, second = got["steps"]
    assert (first["name"], first["sent_type"], first["sent_bytes"]) == ("a", "application/json", 2)
    assert (first["status"], first["reply_type"], first["reply_bytes"]) == (200, CSV, 3)
    assert 0 < first["first_byte"] <= first["total"] <= got["seconds"]
    assert first["connect"] > 0
    assert (second["name"], second["sent_type"]) == ("b", CSV)
    assert got["replies"] == {"a": "1,2", "b": "1,2"}
    assert got["loads"][0]["container"] == "b"


def test_a_container_that_came_back_on_another_port_is_found_again():
    container = Container("a", moves_to=Container("a"))
    with gateway(Container("pre"), container) as front:
        front.stop(container)
        got = front.post("", b"abc", Content_Type="text/plain")

    assert (got.status, got.body) == (200, b"abc")


def test_a_container_that_is_not_there_is_named_and_nothing_is_sent():
    first, second = Container("a"), Container("b")
    with gateway(first, second) as front:
        front.seats[1].emptied("container b is not running: exited, exit code 1")
        got = front.post()

    assert (got.status, got.json["step"]["name"], got.json["cause"]) == (503, "b", "not-ready")
    assert "exit code 1" in got.json["detail"]
    assert first.asked == []


def test_the_page_says_what_runs_and_how_to_call_it():
    with gateway(Container("a"), Container("b", multi=True)) as front:
        assert front.post("?model=m").status == 200
        page = front.send("GET", "/").json

    assert [container["name"] for container in page["containers"]] == ["a", "b"]
    assert page["containers"][1]["loaded"] == ["m"]
    assert f"curl '127.0.0.1:{front.port}/pipeline?model=NAME'" in page["call"]["POST /pipeline?model=NAME"]


@pytest.mark.parametrize("query", ["?replies=some", "?trace=1&replies=", "?trace=maybe"])
def test_a_query_that_means_nothing_is_refused(query: str):
    with gateway(Container("a")) as front:
        assert front.post(query).status == 400
