"""Which calls for moto are kept: those that change something, whatever protocol they come in."""

import pytest

from seaproof.api.moto_journal import Journal, is_change
from seaproof.http.message import Request

FORM = [(b"content-type", b"application/x-www-form-urlencoded")]


def form(body):
    return Request("POST", "/", "", FORM, body)


def target(name):
    return Request("POST", "/", "", [(b"x-amz-target", name)], b"{}")


@pytest.mark.parametrize(
    ("request_", "changes"),
    [
        (form(b"Action=CreateRole&RoleName=a"), True),
        (form(b"Action=GetRole&RoleName=a"), False),
        (form(b"Action=Publish&Message=a"), False),
        (Request("GET", "/", "Action=DeleteTopic"), True),
        (Request("GET", "/", "Action=ListTopics"), False),
        (target(b"AmazonEC2ContainerRegistry_V20150921.CreateRepository"), True),
        (target(b"AmazonEC2ContainerRegistry_V20150921.BatchGetImage"), False),
        (target(b"AmazonSQS.SendMessage"), False),
        (target(b"AmazonSQS.DeleteMessageBatch"), False),
        (target(b"AmazonSQS.DeleteQueue"), True),
        (Request("POST", "/service/Some/operation/PutThing"), True),
        (Request("PUT", "/2015-03-31/functions/f"), True),
        (Request("GET", "/2015-03-31/functions"), False),
    ],
)
def test_a_call_is_kept_where_it_changes_something(request_, changes):
    assert is_change(request_) == changes


def test_what_was_refused_or_only_asked_is_not_kept_and_signatures_never_are(tmp_path):
    journal, path = Journal(tmp_path / "moto.jsonl"), tmp_path / "moto.jsonl"
    signed = [*FORM, (b"authorization", b"AWS4-HMAC-SHA256 Credential=a/b/c/iam/aws4_request, Signature=0123abcd")]
    create = Request("POST", "/", "", signed, b"Action=CreateRole")

    journal.send("iam", create, lambda: (409, [], b""))
    journal.send("iam", form(b"Action=GetRole"), lambda: (200, [], b""))
    assert not path.exists()
    journal.send("iam", create, lambda: (200, [], b""))
    seen = []
    Journal(path).replay(lambda service, request: seen.append((service, request)) or 200)

    ((service, request),) = seen
    assert (service, request.method, request.body) == ("iam", "POST", b"Action=CreateRole")
    assert b"Signature=0" in dict(request.headers)[b"authorization"]
    assert "0123abcd" not in path.read_text()
