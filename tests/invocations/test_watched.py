"""What is made of answers besides giving them: comparisons with a shadow's, captured lines, sessions."""

import base64
import json
import time

import pytest

from seaproof.http.message import Response
from seaproof.invocations.capture import Exchange, line, read_capture
from seaproof.invocations.comparison import compare
from seaproof.invocations.sessions import Sessions

CSV = [(b"Content-Type", b"text/csv")]


@pytest.mark.parametrize(
    ("production", "shadow", "verdict", "what", "largest"),
    [
        (Response(200, CSV, b"1,2"), Response(200, CSV, b"1,2"), "same", "", None),
        (Response(200, CSV, b"1,2"), Response(200, CSV, b"1,2.5"), "different", "numbers", 0.5),
        (Response(200, CSV, b'{"p": -1e-3}'), Response(200, CSV, b'{"p": 1e-3}'), "different", "numbers", 0.002),
        (Response(200, CSV, b"1,2"), Response(200, CSV, b"1,2,3"), "different", "body", None),
        (Response(200, CSV, b"a"), Response(200, CSV, b"b"), "different", "body", None),
        (Response(200, CSV, b"\xff1"), Response(200, CSV, b"\xff2"), "different", "body", None),
        (Response(200, CSV, b"1"), Response(200, [(b"Content-Type", b"text/plain")], b"1"), "different", "type", None),
        (Response(200, CSV, b"1"), Response(201, CSV, b"1"), "different", "status", None),
        (Response(200, CSV, b"1"), Response(500, [], b"oh"), "failed", "status", None),
        (Response(400, [], b"no"), Response(400, [], b"no"), "same", "", None),
        (Response(400, [], b"no"), Response(200, CSV, b"1"), "different", "status", None),
    ],
)
def test_two_answers_are_held_against_each_other(production, shadow, verdict, what, largest):
    found = compare(production, shadow)

    assert (found.verdict, found.what) == (verdict, what)
    assert found.largest == (largest if largest is None else pytest.approx(largest))


def test_a_captured_body_is_text_only_where_its_type_is_listed_and_it_is_text():
    config = {
        "InitialSamplingPercentage": 20,
        "DestinationS3Uri": "s3://b/p/",
        "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
    }
    capture = read_capture(config)
    json_type = [(b"content-type", b"Application/JSON; charset=utf-8")]
    exchange = Exchange("v", 1_700_000_000.5, json_type, b'{"a": 1}', CSV, b"\xff\xfe")
    found = json.loads(line(capture, exchange))["captureData"]

    assert (capture.share, capture.destination, capture.modes) == (0.2, "s3://b/p", ("INPUT", "OUTPUT"))
    assert (found["endpointInput"]["data"], found["endpointInput"]["encoding"]) == ('{"a": 1}', "JSON")
    assert found["endpointOutput"]["encoding"] == "BASE64"
    assert base64.b64decode(found["endpointOutput"]["data"]) == b"\xff\xfe"
    assert read_capture({**config, "EnableCapture": False}) is None


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (b"s; Expires=2099-01-01T00:00:00Z", True),
        (b"s;Expires=2099-01-01T00:00:00", True),
        (b"s", True),
        (b"s; Expires=whenever", True),
        (b"s; Expires=2001-01-01T00:00:00Z", False),
    ],
)
def test_a_session_is_kept_as_long_as_its_container_says(said, kept):
    sessions = Sessions()
    sessions.heard([(b"x-amzn-sagemaker-new-session-id", said)], "i-1")

    assert sessions.instance_of("s") == ("i-1" if kept else None)
    sessions.heard([(b"x-amzn-sagemaker-closed-session-id", b"s")], "i-1")
    assert sessions.instance_of("s") is None


def test_a_session_that_expires_is_forgotten():
    sessions = Sessions()
    sessions.load({"s": ("i-1", time.time() - 1), "t": ("i-2", time.time() + 60)})

    assert (sessions.instance_of("s"), sessions.instance_of("t")) == (None, "i-2")
    assert set(sessions.all()) == {"t"}
