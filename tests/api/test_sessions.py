"""Stateful sessions with boto3: a session's requests go to the instance that keeps it, until it is closed or lost."""

import json
import time

import pytest
from botocore.exceptions import ClientError
from runtime_lab import a_lab, order, until


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with a_lab(tmp_path_factory.mktemp("sessions")) as lab:
        lab.endpoint = lab.deploy({"InitialInstanceCount": 3})
        yield lab


def ask(lab, session, **what):
    """The answer, and the instance that gave it."""
    answer = lab.aws("sagemaker-runtime").invoke_endpoint(
        EndpointName=lab.endpoint, SessionId=session, Body=order(**what)
    )
    return answer, json.loads(answer["Body"].read())["me"]


def new_session(lab, id, expires="2099-01-01T00:00:00Z"):
    said = f"{id}; Expires={expires}"
    answer, me = ask(lab, "NEW_SESSION", headers={"X-Amzn-SageMaker-New-Session-Id": said})
    assert answer["NewSessionId"] == said
    return me


def refusal(lab, session):
    with pytest.raises(ClientError) as caught:
        ask(lab, session)
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    return caught.value.response["Error"]["Message"]


def test_a_session_stays_where_it_was_opened_until_it_is_closed(lab):
    keeper = new_session(lab, "first")
    asked = {ask(lab, "first")[1] for _ in range(20)}
    others = {ask(lab, "NEW_SESSION")[1] for _ in range(40)}
    closing, last = ask(lab, "first", headers={"X-Amzn-SageMaker-Closed-Session-Id": "first"})

    assert asked == {keeper}
    assert len(others) == 3
    assert (closing["ClosedSessionId"], last) == ("first", keeper)
    assert "Session first of endpoint" in refusal(lab, "first")
    assert "Session nobody of endpoint" in refusal(lab, "nobody")
    assert "at 'sessionId' failed to satisfy constraint" in refusal(lab, "no good")


def test_a_session_whose_time_is_over_is_not_found(lab):
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    new_session(lab, "brief", moment)

    assert until(lambda: expired(lab, "brief"))


def expired(lab, session):
    try:
        ask(lab, session)
    except ClientError as error:
        return "has expired" in error.response["Error"]["Message"]
    return False


def test_sessions_outlive_the_coordinator_and_not_their_instance(lab):
    keeper = new_session(lab, "lasting")
    record = lab.root / ".seaproof" / "seaproof.db"
    until(lambda: b"lasting" in record.with_name("seaproof.db-wal").read_bytes() + record.read_bytes())
    lab.kill()
    lab.start()
    after = {ask(lab, "lasting")[1] for _ in range(10)}
    sagemaker = lab.aws("sagemaker")
    sagemaker.update_endpoint(EndpointName=lab.endpoint, EndpointConfigName=lab.config())
    lab.settle(lab.endpoint)

    assert after == {keeper}
    assert "its instance is gone" in refusal(lab, "lasting")
