"""STS, IAM, ECR, SNS and what else a program may call, answered by moto in this process.

moto is imported with the first such request (about a second), and is an extra: `pip install "seaproof[neighbours]"`.
What it keeps lives in memory, and is made again from a journal (`moto_journal`). Ours is what the SageMaker SDKs ask
before anything else, so that they start without moto: GetCallerIdentity, and SimulatePrincipalPolicy, which allows.
Any role is found by GetRole, and ECR points at the registry of the settings.
"""

from __future__ import annotations

import logging
import re
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode
from xml.sax.saxutils import escape

from seaproof.api.client_environment import ROLE_NAME
from seaproof.api.moto_journal import Journal
from seaproof.http.message import Headers, Request, Response
from seaproof.settings import Settings

_MISSING = 'it needs moto: pip install "seaproof[neighbours]"'

log = logging.getLogger("seaproof.api")

_HOSTS = {"ecr": "api.ecr", "monitoring": "monitoring", "iam": "iam"}
"""Where a service's host does not begin with the name that it is signed for."""
_GLOBAL = ("iam",)
_IAM = "https://iam.amazonaws.com/doc/2010-05-08/"
_STS = "https://sts.amazonaws.com/doc/2011-06-15/"
_VERSION = "2010-05-08"
_TRUST = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sagemaker.amazonaws.com"},'
    '"Action":"sts:AssumeRole"}]}'
)
_FORM = "application/x-www-form-urlencoded"
_HOP = ("host", "connection", "expect", "transfer-encoding", "content-length")


class MotoServices:
    """All services that moto has; usable from any thread but an event loop's, one call at a time."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._journal = Journal(folder / "moto.jsonl")
        self._lock = threading.Lock()
        self._stubber: Any = None

    def answer(self, service: str, request: Request) -> Response:
        """Answer one request that is signed for this service."""
        is_form = service in ("iam", "sts")
        form = dict(parse_qsl(request.body.decode("utf-8", "replace"))) if is_form else {}
        for of, action, ours in OURS:
            if (service, form.get("Action")) == (of, action):
                return ours(self._settings, form)
        with self._lock:
            try:
                self._open()
            except ImportError:
                return _refusal(request, service, _MISSING)
            try:
                return self._ask(service, request, form)
            except Exception as error:
                log.exception("moto failed on a request for %s", service)
                return _refusal(request, service, f"moto failed on this request: {error!r}", 500)

    def publish(self, topic: str, message: str) -> str:
        """Publish a message to an SNS topic: "", or why that was not possible."""
        form = urlencode({"Action": "Publish", "Version": "2010-03-31", "TopicArn": topic, "Message": message})
        region = (topic.split(":") + [""] * 4)[3] or self._settings.region
        scope = f"AWS4-HMAC-SHA256 Credential=any/20000101/{region}/sns/aws4_request, SignedHeaders=host, Signature=0"
        headers = [(b"content-type", _FORM.encode()), (b"authorization", scope.encode())]
        answer = self.answer("sns", Request("POST", "/", "", headers, form.encode()))
        if answer.status < 400:
            return ""
        assert isinstance(answer.body, bytes)
        said = re.search(rb"<Message>(.*?)</Message>", answer.body, re.DOTALL)
        return said[1].decode("utf-8", "replace").strip() if said else f"SNS answered {answer.status}"

    def _open(self) -> None:
        if self._stubber is None:
            from moto.core.botocore_stubber import BotocoreStubber

            self._stubber = BotocoreStubber()
            self._journal.replay(lambda service, request: self._pass(service, request)[0])

    def _ask(self, service: str, request: Request, form: dict[str, str]) -> Response:
        status, headers, body = self._send(service, request)
        if form.get("Action") == "GetRole" and status == 404:
            # Programs name a role of their account, which nobody has made here.
            role = {"RoleName": form.get("RoleName", ""), "AssumeRolePolicyDocument": _TRUST, "Path": "/"}
            create = urlencode({"Action": "CreateRole", "Version": _VERSION, **role}).encode()
            self._send(service, replace(request, body=create))
            status, headers, body = self._send(service, request)
        if service == "ecr":
            body = body.replace(self._registry_of_aws().encode(), self._settings.registry.encode())
            body = body.replace(
                b"https://" + self._settings.registry.encode(), b"http://" + self._settings.registry.encode()
            )
        return Response(status, headers, body)

    def _send(self, service: str, request: Request) -> tuple[int, Headers, bytes]:
        """As `_pass`; what it changes outlives the server."""
        return self._journal.send(service, request, lambda: self._pass(service, request))

    def _pass(self, service: str, request: Request) -> tuple[int, Headers, bytes]:
        """Give one request to moto."""
        from botocore.awsrequest import AWSPreparedRequest
        from botocore.compat import HTTPHeaders

        region = "" if service in _GLOBAL else f".{self._settings.region}"
        headers = HTTPHeaders()
        for name, value in request.headers:
            if name.decode("latin-1") not in _HOP:
                headers[name.decode("latin-1")] = value.decode("latin-1")
        headers["x-moto-account-id"] = self._settings.account
        query = f"?{request.query}" if request.query else ""
        url = f"https://{_HOSTS.get(service, service)}{region}.amazonaws.com{request.path}{query}"
        answered = self._stubber.process_request(AWSPreparedRequest(request.method, url, headers, request.body, False))
        if answered is None:
            refusal = _refusal(request, service, "moto has no such service")
            return refusal.status, refusal.headers, bytes(refusal.body)  # type: ignore[arg-type]
        status, given, text = answered
        sent = [(str(name).encode(), str(value).encode()) for name, value in given.items() if name.lower() not in _HOP]
        return int(status), sent, text.encode() if isinstance(text, str) else bytes(text)

    def _registry_of_aws(self) -> str:
        return f"{self._settings.account}.dkr.ecr.{self._settings.region}.amazonaws.com"


def _get_caller_identity(settings: Settings, form: dict[str, str]) -> Response:
    """Whoever calls is the one role of this account: the SDKs take their execution role from it."""
    account = settings.account
    arn = f"arn:aws:sts::{account}:assumed-role/{ROLE_NAME}/{ROLE_NAME}"
    result = f"<Arn>{arn}</Arn><UserId>AROASEAPROOF:{ROLE_NAME}</UserId><Account>{account}</Account>"
    return _query_answer("GetCallerIdentity", _STS, result)


def _simulate_principal_policy(settings: Settings, form: dict[str, str]) -> Response:
    """Whatever is asked, nothing is forbidden on one's own machine."""
    results = "".join(
        f"<member><EvalActionName>{escape(action)}</EvalActionName><EvalResourceName>{escape(resource)}"
        "</EvalResourceName><EvalDecision>allowed</EvalDecision></member>"
        for action in _listed(form, "ActionNames")
        for resource in _listed(form, "ResourceArns") or ["*"]
    )
    content = f"<IsTruncated>false</IsTruncated><EvaluationResults>{results}</EvaluationResults>"
    return _query_answer("SimulatePrincipalPolicy", _IAM, content)


OURS: tuple[tuple[str, str, Callable[[Settings, dict[str, str]], Response]], ...] = (
    ("sts", "GetCallerIdentity", _get_caller_identity),
    ("iam", "SimulatePrincipalPolicy", _simulate_principal_policy),
)
"""Service, operation, and what answers it in moto's place."""


def _listed(form: dict[str, str], name: str) -> list[str]:
    """The members of a list as the query protocol writes them."""
    return [value for key, value in form.items() if key.startswith(f"{name}.member.")]


def _query_answer(action: str, namespace: str, result: str) -> Response:
    """An answer of the query protocol."""
    body = (
        f'<{action}Response xmlns="{namespace}"><{action}Result>{result}</{action}Result>'
        f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata></{action}Response>"
    )
    return Response(200, [(b"Content-Type", b"text/xml")], body.encode())


def _refusal(request: Request, service: str, why: str, status: int = 501) -> Response:
    """An error in the form that the caller's protocol has."""
    code = "UnknownOperationException" if status == 501 else "InternalFailure"
    message = f"seaproof cannot answer for {service}: {why}."
    if request.header(b"content-type").startswith(_FORM):
        body = f"<ErrorResponse><Error><Code>{code}</Code><Message>{escape(message)}</Message></Error></ErrorResponse>"
        return Response(status, [(b"Content-Type", b"text/xml")], body.encode())
    from seaproof.api import wire
    from seaproof.errors import ServiceError

    return wire.json_error(ServiceError(code, message, status=status))
