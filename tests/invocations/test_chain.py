"""The chain without a network: what each container is sent, what is traced, where it ends."""

from __future__ import annotations

import tracemalloc
from collections.abc import Generator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seaproof.errors import HttpError
from seaproof.http.message import Headers
from seaproof.invocations.chain import HEAD_BYTES, Call, Reply, Step, StepFailed, StepTrace, Trace, chain
from seaproof.invocations.tracing import Span

CSV: Headers = [(b"Content-Type", b"text/csv")]


@dataclass
class Answer:
    """What the test lets a container answer."""

    status: int = 200
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    connect_seconds: float = 0.0
    first_byte_seconds: float = 0.0


def steps(count: int) -> list[Step]:
    return [Step(f"container-{n + 1}", "127.0.0.1", n + 1) for n in range(count)]


def run(
    given: list[Step], answers: list[Answer | HttpError], headers: Headers = CSV, body: bytes = b"1", **more
) -> tuple[list[Call], Reply, Trace]:
    options = {"deadline": 60.0, "hop_limit": 10, "reply_limit": 20, "now": lambda: 0.0, **more}
    under_way = chain(given, headers, body, **options)
    calls, left = [], list(answers)
    try:
        calls.append(next(under_way))
        while True:
            answer = left.pop(0)
            calls.append(under_way.throw(answer) if isinstance(answer, HttpError) else under_way.send(answer))
    except StopIteration as end:
        assert not left
        return calls, *end.value


def failure(given: list[Step], answers: list[Answer | HttpError], **more) -> StepFailed:
    with pytest.raises(StepFailed) as caught:
        run(given, answers, **more)
    return caught.value


types = st.one_of(st.none(), st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1))


@given(st.lists(st.tuples(types, st.binary(max_size=50)), min_size=1, max_size=15))
def test_every_container_is_sent_exactly_the_body_and_type_that_the_one_before_it_gave(replies):
    answers = [
        Answer(200, [(b"content-type", kind.encode())] if kind is not None else [], body) for kind, body in replies
    ]

    calls, reply, trace = run(steps(len(replies)), answers)

    assert [call.body for call in calls] == [b"1", *(body for _, body in replies[:-1])]
    sent = [dict(call.headers).get(b"Content-Type") for call in calls]
    assert sent == [b"text/csv", *(kind.encode() if kind is not None else None for kind, _ in replies[:-1])]
    assert reply is answers[-1]
    assert [(step.sent_bytes, step.reply_bytes) for step in trace.steps] == [
        (len(call.body), len(answer.body)) for call, answer in zip(calls, answers, strict=True)
    ]


def test_only_the_last_container_hears_what_the_caller_accepts():
    headers = [*CSV, (b"Accept", b"application/json"), (b"X-Amzn-SageMaker-Custom-Attributes", b"a")]

    calls, _, _ = run(steps(3), [Answer(), Answer(), Answer()], headers)

    assert [dict(call.headers).get(b"Accept") for call in calls] == [None, None, b"application/json"]
    assert all((b"X-Amzn-SageMaker-Custom-Attributes", b"a") in call.headers for call in calls)


def test_the_trace_has_types_sizes_and_times_of_every_step():
    times = iter([0.0, 0.5, 1.0, 3.0])
    answers = [Answer(200, [(b"content-type", b"a/b; charset=utf-8")], b"four", 0.1, 0.2), Answer(201, [], b"x")]

    calls, _, trace = run(steps(2), answers, now=lambda: next(times), keep_replies=True)

    assert trace.steps == [
        StepTrace("container-1", "text/csv", 1, 200, "a/b; charset=utf-8", 4, 0.1, 0.2, 0.5),
        StepTrace("container-2", "a/b; charset=utf-8", 4, 201, "", 1, 0.0, 0.0, 2.0),
    ]
    assert trace.seconds == 2.5
    assert trace.replies == answers
    assert [call.timeout for call in calls] == [60.0, 59.0]
    assert [call.max_body for call in calls] == [10, 20]


@pytest.mark.parametrize("status", [199, 300, 404, 415, 500])
def test_the_first_reply_that_is_not_2xx_ends_the_chain_and_the_failure_knows_all_of_it(status: int):
    failed = failure(steps(3), [Answer(200, [], b"x" * 1000), Answer(status, [(b"content-type", b"text/html")], b"no")])

    assert (failed.kind, failed.number, failed.step.name) == ("status", 1, "container-2")
    assert (failed.at.status, failed.at.reply_type, failed.at.reply_bytes) == (status, "text/html", 2)
    assert (failed.at.sent_bytes, failed.sent) == (1000, b"x" * HEAD_BYTES)
    assert len(failed.trace.steps) == 2
    assert str(failed) == f"step 2, container-2: the reply has status {status} (127.0.0.1:2)"


@pytest.mark.parametrize("kind", ["refused", "timeout", "closed", "malformed", "oversize"])
def test_no_usable_answer_ends_the_chain_with_its_kind(kind: str):
    failed = failure(steps(2), [HttpError(kind, "it is gone")])

    assert (failed.kind, failed.number, failed.at.status, failed.reply) == (kind, 0, 0, None)
    assert failed.error is not None


def test_a_step_may_make_calls_of_its_own_before_its_reply():
    def load_first(call: Call) -> Generator[Call, Reply, Reply]:
        loaded = yield Call(call.host, call.port, [], b"{}", 60.0, 10, target="/models")
        assert loaded.status == 200
        return (yield call)

    middle = Step("multi", "127.0.0.1", 2, "/models/m/invoke", ((b"X-Model", b"m"),), load_first)
    first, last = steps(2)

    calls, _, trace = run([first, middle, last], [Answer(), Answer(body=b"loaded"), Answer(body=b"mm"), Answer()])

    assert [call.target for call in calls] == ["/invocations", "/models", "/models/m/invoke", "/invocations"]
    assert (b"X-Model", b"m") in calls[2].headers
    assert (b"X-Model", b"m") not in calls[3].headers
    assert calls[3].body == b"mm"
    assert [step.name for step in trace.steps] == ["container-1", "multi", "container-2"]


def test_every_container_is_told_of_the_trace_with_a_span_of_its_own():
    given = Span.given([(b"traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-00"), (b"tracestate", b"x=1")])
    assert given is not None

    calls, _, trace = run(steps(2), [Answer(), Answer()], span=given)
    begun, _, other = run(steps(2), [Answer(), Answer()], span=Span.new())

    parents = [dict(call.headers)[b"traceparent"].split(b"-") for call in calls]
    assert [parent[1] for parent in parents] == [b"a" * 32] * 2
    assert parents[0][2] != parents[1][2]
    assert all(parent[2] != b"b" * 16 and parent[3] == b"00" for parent in parents)
    assert all(dict(call.headers)[b"tracestate"] == b"x=1" for call in calls)
    assert trace.trace_id == "a" * 32
    assert other.trace_id != "a" * 32
    assert f"00-{other.trace_id}-" in dict(begun[0].headers)[b"traceparent"].decode()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"00-" + b"0" * 32 + b"-" + b"b" * 16 + b"-01",
        b"00-" + b"a" * 32 + b"-" + b"0" * 16 + b"-01",
        b"ff-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01",
        b"00-" + b"A" * 32 + b"-" + b"b" * 16 + b"-01",
        b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01-more",
        b"00-" + b"a" * 31 + b"-" + b"b" * 16 + b"-01",
    ],
)
def test_a_traceparent_that_is_none_is_left_alone(text: bytes):
    assert Span.given([(b"traceparent", text)]) is None


def test_a_later_version_of_the_traceparent_may_go_on():
    assert Span.given([(b"traceparent", b"01-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01-more")]) == Span("a" * 32)


def test_a_chain_holds_the_bodies_of_one_step_however_many_there_are():
    def peak(count: int) -> int:
        under_way = chain(steps(count), CSV, b"1", deadline=1e12, hop_limit=2**21, reply_limit=2**21)
        tracemalloc.start()
        next(under_way)
        try:
            while True:
                under_way.send(Answer(body=bytes(2**20)))
        except StopIteration:
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(15) < 2.5 * 2**20
    assert peak(15) < peak(2) + 100_000
