"""The flow without a network: what is called, what is passed on, and what each answer means."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seaproof.errors import HttpError, ServiceError
from seaproof.http.message import Headers, Request, Response
from seaproof.invocations.flow import Call, invocation
from seaproof.invocations.routing import Container, Instance, Routes, Routing, Variant
from seaproof.settings import Settings

SETTINGS = Settings()


@dataclass
class Reply:
    """What the test lets a container answer."""

    status: int = 200
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    connect_seconds: float = 0.0
    first_byte_seconds: float = 0.0


def an_instance(port: int = 1, *more: int) -> Instance:
    names = ["primary"] if not more else [f"container-{n + 1}" for n in range(1 + len(more))]
    ports = (port, *more)
    return Instance(f"i-{port}", tuple(Container(n, "127.0.0.1", p) for n, p in zip(names, ports, strict=True)))


def routes_to(*variants: Variant) -> Routes:
    routes = Routes()
    routes.publish(Routing("e", variants))
    return routes


def run(routes: Routes, request: Request, *replies: Reply | HttpError, **more) -> tuple[list[Call], Response]:
    """Drive the flow with these replies; the calls it made and the response."""
    settings = more.pop("settings", SETTINGS)
    steps = invocation(routes, more.pop("endpoint", "e"), request, settings, **more)
    calls, left = [], list(replies)
    try:
        calls.append(next(steps))
        while True:
            reply = left.pop(0)
            calls.append(steps.throw(reply) if isinstance(reply, HttpError) else steps.send(reply))
    except StopIteration as end:
        assert not left
        return calls, end.value


def failure(routes: Routes, request: Request, *replies: Reply | HttpError, **more) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        run(routes, request, *replies, **more)
    return caught.value


def a_request(body: bytes = b"1,2", **headers: str) -> Request:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request("POST", "/endpoints/e/invocations", headers=pairs, body=body)


def test_only_the_headers_of_the_contract_reach_the_container():
    routes = routes_to(Variant("v", 1.0, (an_instance(),)))
    request = a_request(
        content_type="text/csv",
        accept="application/json",
        authorization="AWS4",
        host="example.com",
        cookie="x=1",
        x_amzn_sagemaker_custom_attributes="trace=1",
        x_amzn_sagemaker_inference_id="id-1",
        x_amzn_sagemaker_session_id="NEW_SESSION",
        x_amzn_sagemaker_target_variant="v",
    )

    calls, _ = run(routes, request, Reply())

    assert calls[0].headers == [
        (b"Content-Type", b"text/csv"),
        (b"Accept", b"application/json"),
        (b"X-Amzn-SageMaker-Custom-Attributes", b"trace=1"),
        (b"X-Amzn-SageMaker-Inference-Id", b"id-1"),
        (b"X-Amzn-SageMaker-Session-Id", b"NEW_SESSION"),
    ]
    assert (calls[0].method, calls[0].target, calls[0].body) == ("POST", "/invocations", b"1,2")


def test_only_the_headers_of_the_contract_come_back_and_the_variant_is_named():
    routes = routes_to(Variant("v", 1.0, (an_instance(),)))
    replied = [
        (b"server", b"gunicorn"),
        (b"content-type", b"text/csv; charset=utf-8"),
        (b"x-amzn-sagemaker-custom-attributes", b"a"),
        (b"set-cookie", b"x"),
        (b"x-amzn-sagemaker-new-session-id", b"s; Expires=x"),
    ]

    _, response = run(routes, a_request(), Reply(201, replied, b"0.5"))

    assert response == Response(
        201,
        [
            (b"Content-Type", b"text/csv; charset=utf-8"),
            (b"X-Amzn-SageMaker-Custom-Attributes", b"a"),
            (b"X-Amzn-SageMaker-New-Session-Id", b"s; Expires=x"),
            (b"x-Amzn-Invoked-Production-Variant", b"v"),
        ],
        b"0.5",
    )


def test_what_the_caller_left_out_is_not_made_up():
    calls, _ = run(routes_to(Variant("v", 1.0, (an_instance(),))), a_request(), Reply())

    assert calls[0].headers == []


@pytest.mark.parametrize(
    ("status", "side", "code"),
    [
        (400, "client", "CLIENT_ERROR_FROM_MODEL"),
        (415, "client", "CLIENT_ERROR_FROM_MODEL"),
        (500, "server", "INTERNAL_FAILURE_FROM_MODEL"),
        (503, "server", "INTERNAL_FAILURE_FROM_MODEL"),
        (302, "server", "INTERNAL_FAILURE_FROM_MODEL"),
    ],
)
def test_an_error_of_the_container_is_a_model_error_with_its_status_and_body(status: int, side: str, code: str):
    error = failure(routes_to(Variant("v", 1.0, (an_instance(),))), a_request(), Reply(status, [], b"no column x"))

    assert (error.code, error.status) == ("ModelError", 424)
    assert error.message == (
        f'Received {side} error ({status}) from primary with message "no column x". '
        'See "seaproof endpoints logs e" in account 000000000000 for more information.'
    )
    assert error.members == {
        "ErrorCode": code,
        "LogStreamArn": "arn:aws:logs:us-east-1:000000000000:log-group:/aws/sagemaker/Endpoints/e",
        "OriginalMessage": "no column x",
        "OriginalStatusCode": status,
    }


def test_no_answer_in_time_is_a_model_error_with_status_0():
    error = failure(routes_to(Variant("v", 1.0, (an_instance(),))), a_request(), HttpError("timeout", "60 s"))

    assert (error.code, error.status, error.members["OriginalStatusCode"]) == ("ModelError", 424, 0)
    assert error.message.startswith(
        "Your invocation timed out while waiting for a response from container primary. Review the latency metrics"
    )
    assert "Here that is: seaproof endpoints logs e, " in error.message
    assert "had 60 s (SEAPROOF_INVOCATION_TIMEOUT); it may still be busy" in error.message


@pytest.mark.parametrize("kind", ["closed", "malformed"])
def test_an_answer_that_breaks_off_is_a_model_error_and_never_repeated(kind: str):
    routes = routes_to(Variant("v", 1.0, (an_instance(1), an_instance(2))))

    error = failure(routes, a_request(), HttpError(kind, "the connection was closed"))

    assert (error.code, error.members["OriginalStatusCode"]) == ("ModelError", 500)
    assert "the connection was closed" in error.message


def test_a_refused_connection_is_tried_on_every_other_instance():
    routes = routes_to(Variant("v", 1.0, tuple(an_instance(port) for port in (1, 2, 3))))
    refused = HttpError("refused", "connection refused")

    calls, response = run(routes, a_request(), refused, refused, Reply(body=b"done"))

    assert sorted(call.port for call in calls) == [1, 2, 3]
    assert response.body == b"done"


def test_where_every_instance_refuses_the_service_is_unavailable():
    routes = routes_to(Variant("v", 1.0, (an_instance(1), an_instance(2))))
    refused = HttpError("refused", "connection refused")

    error = failure(routes, a_request(), refused, refused)

    assert (error.code, error.status) == ("ServiceUnavailable", 503)


def test_an_endpoint_without_a_living_instance_is_unavailable_and_one_unknown_is_not_found():
    routes = routes_to(Variant("v", 1.0, ()))

    unavailable = failure(routes, a_request())
    unknown = failure(routes, a_request(), endpoint="other")

    assert (unavailable.code, unavailable.status) == ("ServiceUnavailable", 503)
    assert (unknown.code, unknown.status) == ("ValidationError", 400)
    assert unknown.message == "Endpoint other of account 000000000000 not found."


def test_a_request_goes_to_the_variant_it_names_whatever_the_weights():
    routes = routes_to(Variant("a", 1.0, (an_instance(1),)), Variant("b", 0.0, (an_instance(2),)))

    calls, _ = run(routes, a_request(x_amzn_sagemaker_target_variant="b"), Reply())
    error = failure(routes, a_request(x_amzn_sagemaker_target_variant="c"))

    assert calls[0].port == 2
    assert (error.code, error.message) == (
        "ValidationError",
        "Variant c of endpoint e of account 000000000000 not found.",
    )


@settings(deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=1, max_size=5), st.integers(0, 1000))
def test_traffic_is_shared_by_weight(weights: list[float], seed: int):
    variants = [Variant(str(n), weight, (an_instance(n + 1),)) for n, weight in enumerate(weights)]
    routes, chance, counts = routes_to(*variants), random.Random(seed), Counter[str]()
    total = sum(weights)
    if total == 0:
        assert failure(routes, a_request()).code == "ServiceUnavailable"
        return
    for _ in range(600):
        _, response = run(routes, a_request(), Reply(), chance=chance)
        counts[response.headers[-1][1].decode()] += 1

    for variant in variants:
        assert abs(counts[variant.name] / 600 - variant.weight / total) < 0.12


def test_the_instance_with_the_fewest_requests_under_way_is_chosen():
    first, second = an_instance(1), an_instance(2)
    routes = routes_to(Variant("v", 1.0, (first, second)))
    under_way = [invocation(routes, "e", a_request(), SETTINGS) for _ in range(6)]
    for steps in under_way:
        next(steps)

    assert (first.outstanding, second.outstanding) == (3, 3)
    for steps in under_way:
        steps.close()
    assert (first.outstanding, second.outstanding) == (0, 0)


def test_a_body_over_the_limit_is_refused_before_anything_is_called():
    routes = routes_to(Variant("v", 1.0, (an_instance(),)))
    limit = SETTINGS.profile.request_body.value

    error = failure(routes, a_request(bytes(limit + 1)))
    serverless = failure(routes, a_request(bytes(limit + 1)), settings=replace(SETTINGS, limits="serverless"))
    run(routes, a_request(bytes(limit)), Reply())

    assert (error.status, error.message) == (413, f"HTTP content length exceeded {limit} bytes.")
    assert serverless.code == "ValidationError"
    assert "has oversize body" in serverless.message


def test_the_answer_may_be_as_large_as_the_limit_says():
    routes = routes_to(Variant("v", 1.0, (an_instance(1, 2),)))

    calls, _ = run(routes, a_request(), Reply(), Reply(), settings=replace(SETTINGS, limits="6MB"))

    assert [call.max_body for call in calls] == [5 * 1024 * 1024, 6_291_456]


def test_custom_attributes_over_1024_characters_are_refused():
    routes = routes_to(Variant("v", 1.0, (an_instance(),)))

    error = failure(routes, a_request(x_amzn_sagemaker_custom_attributes="x" * 1025))

    assert error.code == "ValidationError"
    assert "customAttributes" in error.message


def test_a_target_model_is_refused_by_an_endpoint_that_is_not_multi_model():
    routes = routes_to(Variant("v", 1.0, (an_instance(),)))

    error = failure(routes, a_request(x_amzn_sagemaker_target_model="a.tar.gz"))

    assert error.code == "ValidationError"
    assert error.message == ("Endpoint e is not a multi-model endpoint and does not support target model header.")


def test_containers_in_series_hand_on_body_and_content_type_and_an_error_names_the_container():
    routes = routes_to(Variant("v", 1.0, (an_instance(1, 2, 3),)))
    request = a_request(content_type="text/csv", accept="application/json")
    first, second = Reply(200, [(b"content-type", b"a/b")], b"one"), Reply(200, [], b"two")

    calls, response = run(routes, request, first, second, Reply(body=b"three"))
    error = failure(routes, request, first, Reply(418, [], b"teapot"))

    assert [call.body for call in calls] == [b"1,2", b"one", b"two"]
    assert [dict(call.headers).get(b"Content-Type") for call in calls] == [b"text/csv", b"a/b", None]
    assert [dict(call.headers).get(b"Accept") for call in calls] == [None, None, b"application/json"]
    assert response.body == b"three"
    assert "from container-2 with message" in error.message


def test_the_deadline_holds_for_all_containers_together():
    routes = routes_to(Variant("v", 1.0, (an_instance(1, 2),)))
    times = iter([0.0, 10.0, 44.0, 45.0, 46.0])

    calls, _ = run(routes, a_request(), Reply(), Reply(), now=lambda: next(times))

    assert [call.timeout for call in calls] == [50.0, 15.0]


def test_a_closed_instance_takes_no_request_and_drains():
    old, new = an_instance(1), an_instance(2)
    routes = routes_to(Variant("v", 1.0, (old,)))
    under_way = invocation(routes, "e", a_request(), SETTINGS)
    next(under_way)
    routes.publish(Routing("e", (Variant("v", 1.0, (new,)),)))

    assert not old.drain(0.01)
    assert not old.enter()
    under_way.close()
    assert old.drain(0.01)


def test_a_request_that_meets_an_instance_being_closed_takes_another():
    closing, other = an_instance(1), an_instance(2)
    closing.close()
    routes = routes_to(Variant("v", 1.0, (closing, other)))

    calls, _ = run(routes, a_request(), Reply())

    assert [call.port for call in calls] == [2]


def a_direct_instance() -> Instance:
    containers = (Container("pre", "127.0.0.1", 1), Container("model", "127.0.0.1", 2))
    return Instance("i-1", containers, direct=True)


def test_a_direct_request_goes_to_the_container_it_names_alone():
    routes = routes_to(Variant("v", 1.0, (a_direct_instance(),)))
    request = a_request(x_amzn_sagemaker_target_container_hostname="model", accept="a/b")

    calls, response = run(routes, request, Reply(body=b"direct"))
    error = failure(routes, request, Reply(500, [], b"oh"))

    assert [(call.port, dict(call.headers)) for call in calls] == [(2, {b"Accept": b"a/b"})]
    assert response.body == b"direct"
    assert 'from model with message "oh"' in error.message


def test_a_direct_request_has_to_name_a_container_that_there_is():
    instance = a_direct_instance()
    routes = routes_to(Variant("v", 1.0, (instance,)))

    missing = failure(routes, a_request())
    unknown = failure(routes, a_request(x_amzn_sagemaker_target_container_hostname="other"))
    serial = failure(
        routes_to(Variant("v", 1.0, (an_instance(1, 2),))),
        a_request(x_amzn_sagemaker_target_container_hostname="pre"),
    )

    assert [error.code for error in (missing, unknown, serial)] == ["ValidationError"] * 3
    assert "is missing a target container hostname header. Its containers: pre, model." in missing.message
    assert "has no container with hostname other. Its containers: pre, model." in unknown.message
    assert "does not invoke its containers directly" in serial.message
    assert instance.outstanding == 0


def test_whoever_counts_is_told_of_every_instance_that_was_asked():
    routes = routes_to(Variant("v", 1.0, (an_instance(1, 2), an_instance(3, 4))))
    told = []

    run(routes, a_request(), HttpError("refused", "nothing listens"), Reply(), Reply(), report=told.append)
    failure(routes, a_request(), Reply(), HttpError("closed", "gone"), report=told.append)

    assert [(outcome.endpoint, outcome.variant) for outcome in told] == [("e", "v")] * 3
    assert [outcome.failed and outcome.failed.kind for outcome in told] == ["refused", None, "closed"]
    assert [len(outcome.trace.steps) for outcome in told] == [1, 2, 2]


def test_a_single_container_hears_of_a_trace_only_where_the_caller_has_one():
    routes = routes_to(Variant("v", 1.0, (an_instance(1),)))
    parent = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"

    without, _ = run(routes, a_request(), Reply())
    with_one, _ = run(routes, a_request(traceparent=parent), Reply())
    series, _ = run(routes_to(Variant("v", 1.0, (an_instance(1, 2),))), a_request(), Reply(), Reply())

    assert without[0].headers == []
    assert dict(with_one[0].headers)[b"traceparent"].startswith(b"00-" + b"a" * 32)
    assert all(b"traceparent" in dict(call.headers) for call in series)
