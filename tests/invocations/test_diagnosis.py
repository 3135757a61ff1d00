"""The rules of diagnosis that need no real container, and that none of them ever fails itself."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seaproof.invocations.chain import Trace
from seaproof.invocations.diagnosis import Evidence, diagnose, listening_elsewhere
from seaproof.invocations.problem import members, paragraph, response, shown


def evidence(**more) -> Evidence:
    return Evidence(**{"step": "container-1", "number": 1, "where": "127.0.0.1:31000", **more})


@pytest.mark.parametrize(
    ("given", "cause", "words"),
    [
        ({"status": 413, "server": "nginx/1.22.1", "sent_bytes": 2_000_000}, "body-limit", "client_max_body_size"),
        ({"status": 413}, "body-limit", "SAGEMAKER_MAX_PAYLOAD_IN_MB"),
        ({"status": 502, "reply": b"<html>nginx"}, "behind-proxy", "is not there"),
        ({"status": 504}, "behind-proxy", "does not answer in time"),
        ({"status": 503}, "not-ready", "has no room for another request"),
        ({"status": 429}, "not-ready", "429"),
        ({"status": 405}, "wrong-container", "has no POST /invocations"),
        ({"status": 404, "target": "/models/m/invoke"}, "client-error", "404"),
        ({"status": 415}, "content-type-missing", "the caller gave none"),
        ({"status": 415, "given_by": "pre"}, "content-type-missing", "pre gave none"),
        (
            {"status": 500, "sent_type": "text/csv; charset=utf-8", "reply": b"Unsupported content type: text/csv"},
            "content-type-parameters",
            '"; charset=utf-8" makes it another type',
        ),
        ({"status": 400, "reply": b"no column x"}, "client-error", "400"),
        (
            {"status": 500, "log": "a\nMemoryError: Unable to allocate 8 GiB"},
            "out-of-memory",
            "Unable to allocate 8 GiB",
        ),
        ({"status": 400, "log": "MemoryError of an earlier request"}, "client-error", "400"),
        ({"status": 500, "log": "x\npkg.mod.KeyError: 'a'"}, "container-error", "pkg.mod.KeyError: 'a'"),
        ({"kind": "closed", "exit_code": 139}, "died", "by signal 11"),
        ({"kind": "closed", "exit_code": 137, "out_of_memory": True}, "out-of-memory", "was killed"),
        ({"kind": "refused", "exit_code": 1}, "died", "before it could take the request"),
        ({"kind": "closed", "sent_bytes": 6_000_000}, "closed", "a limit on bodies may have ended it"),
        ({"kind": "closed", "ping": "closed"}, "not-ready", "nothing in the container listens yet"),
        ({"kind": "closed", "ping": "refused"}, "closed", "without a complete answer"),
        ({"kind": "timeout", "what": "no connection within 5 s"}, "unreachable", "no connection within 5 s"),
        ({"kind": "timeout", "ping": "timeout"}, "timeout", "GET /ping gives: timeout"),
    ],
)
def test_each_cause_is_known_by_its_signs(given: dict[str, object], cause: str, words: str):
    found = diagnose(evidence(**given))

    assert found.cause == cause
    assert words in f"{found.summary} {found.next_step}"
    assert found.next_step


@pytest.mark.parametrize(
    ("log", "where"),
    [
        ("INFO:     Uvicorn running on http://0.0.0.0:8000 (Press CTRL+C to quit)", "port 8000"),
        (" * Running on http://127.0.0.1:5000/ (Press CTRL+C to quit)", "port 5000"),
        ("[INFO] Listening at: http://127.0.0.1:8080 (7)", "127.0.0.1:8080"),
        ("[INFO] Listening at: http://0.0.0.0:8080 (7)", ""),
        ("Listening on port 3000", "port 3000"),
        ("listening on port: 31000", ""),
        ("server started on port 9000\nrunning on port 9000", "port 9000"),
        ("fetching https://example.com/model, 5000 rows", ""),
        ("", ""),
    ],
)
def test_a_log_that_names_another_address_is_understood(log: str, where: str):
    assert listening_elsewhere(log, {8080, 31000}) == where


@given(
    st.builds(
        Evidence,
        step=st.text(),
        number=st.integers(1, 15),
        where=st.just("127.0.0.1:1"),
        kind=st.sampled_from(["status", "refused", "timeout", "closed", "malformed", "oversize"]),
        status=st.integers(0, 599),
        sent=st.binary(),
        reply=st.binary(),
        log=st.text(),
        sent_type=st.text(),
        exit_code=st.one_of(st.none(), st.integers(0, 255)),
        ping=st.sampled_from(["", "200", "refused", "closed"]),
    )
)
def test_whatever_is_known_gives_a_report(given: Evidence):
    diagnosis = diagnose(given)

    answer = response(given, diagnosis, Trace())

    assert diagnosis.cause in paragraph(given, diagnosis)
    assert 500 <= answer.status < 600
    assert isinstance(answer.body, bytes)
    body = json.loads(answer.body)
    assert body["detail"] == members(given, diagnosis)["detail"]
    assert body["status"] == answer.status


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"1,2\r\n\x00", "1,2\\r\\n\\x00"), ("ä€".encode(), "ä€"), (b"\xff\xfe", "\\xff\\xfe"), (b"x" * 300, "x" * 200)],
)
def test_the_first_bytes_are_shown_on_one_line(data: bytes, text: str):
    assert shown(data) == text


def test_a_character_cut_at_the_limit_is_left_out():
    assert shown(b"x" * 199 + "€".encode() + b"y") == "x" * 199
