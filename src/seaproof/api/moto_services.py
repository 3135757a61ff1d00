"""STS, IAM, ECR, SNS and what else a program may call, answered by moto in this process.

moto is imported with the first such request (about a second), and is an extra: `pip install "seaproof[neighbours]"`.
What it keeps lives in memory and ends with the server. Ours is what the SageMaker SDKs ask before anything else, so
that they start without moto: GetCallerIdentity, and SimulatePrincipalPolicy, which allows. Any role is found by
GetRole, and ECR points at the registry of the settings.
"""

from __future__ import annotations

import logging
import threading
import uuid
from typing import Any
from urllib.parse import parse_qsl, urlencode
from xml.sax.saxutils import escape

from seaproof.api.client_environment import ROLE_NAME
from seaproof.http.message import Headers, Request, Response
from seaproof.settings import Settings

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
    """All services that moto has; `answer` is called in a thread, one call at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._stubber: Any = None

    def answer(self, service: str, request: Request) -> Response:
        """Answer one request that is signed for this service."""
        is_form = service in ("iam", "sts")
        form = dict(parse_qsl(request.body.decode("utf-8", "replace"))) if is_form else {}
        if service == "iam" and form.get("Action") == "SimulatePrincipalPolicy":
            return _allow_all(form)
        if service == "sts" and form.get("Action") == "GetCallerIdentity":
            return self._identity()
        with self._lock:
            try:
                if self._stubber is None:
                    from moto.core.botocore_stubber import BotocoreStubber

                    self._stubber = BotocoreStubber()
            except ImportError:
                return _refusal(request, service, 'it needs moto: pip install "seaproof[neighbours]"')
            try:
                return self._ask(service, request, form)
            except Exception as error:
                log.exception("moto failed on a request for %s", service)
                return _refusal(request, service, f"moto failed on this request: {error!r}", 500)

    def _identity(self) -> Response:
        """Whoever calls is the one role of this account: the SDKs take their execution role from it."""
        account = self._settings.account
        arn = f"arn:aws:sts::{account}:assumed-role/{ROLE_NAME}/{ROLE_NAME}"
        result = f"<Arn>{arn}</Arn><UserId>AROASEAPROOF:{ROLE_NAME}</UserId><Account>{account}</Account>"
        return _query_answer("GetCallerIdentity", _STS, result)

    def _ask(self, service: str, request: Request, form: dict[str, str]) -> Response:
        status, headers, body = self._send(service, request, request.body)
        if form.get("Action") == "GetRole" and status == 404:
            # Programs name a role of their account, which nobody has made here.
            role = {"RoleName": form.get("RoleName", ""), "AssumeRolePolicyDocument": _TRUST, "Path": "/"}
            create = urlencode({"Action": "CreateRole", "Version": _VERSION, **role}).encode()
            self._send(service, request, create)
            status, headers, body = self._send(service, request, request.body)
        if service == "ecr":
            body = body.replace(self._registry_of_aws().encode(), self._settings.registry.encode())
            body = body.replace(
                b"https://" + self._settings.registry.encode(), b"http://" + self._settings.registry.encode()
            )
        return Response(status, headers, body)

    def _send(self, service: str, request: Request, body: bytes) -> tuple[int, Headers, bytes]:
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
        answered = self._stubber.process_request(AWSPreparedRequest(request.method, url, headers, body, False))
        if answered is None:
            refusal = _refusal(request, service, "moto has no such service")
            return refusal.status, refusal.headers, bytes(refusal.body)  # type: ignore[arg-type]
        status, given, text = answered
        sent = [(str(name).encode(), str(value).encode()) for name, value in given.items() if name.lower() not in _HOP]
        return int(status), sent, text.encode() if isinstance(text, str) else bytes(text)

    def _registry_of_aws(self) -> str:
        return f"{self._settings.account}.dkr.ecr.{self._settings.region}.amazonaws.com"


def _allow_all(form: dict[str, str]) -> Response:
    """SimulatePrincipalPolicy: whatever is asked, nothing is forbidden on one's own machine."""
    actions = [value for name, value in form.items() if name.startswith("ActionNames.member.")]
    resource = form.get("ResourceArns.member.1", "*")
    results = "".join(
        f"<member><EvalActionName>{escape(action)}</EvalActionName><EvalResourceName>{escape(resource)}"
        "</EvalResourceName><EvalDecision>allowed</EvalDecision></member>"
        for action in actions
    )
    content = f"<IsTruncated>false</IsTruncated><EvaluationResults>{results}</EvaluationResults>"
    return _query_answer("SimulatePrincipalPolicy", _IAM, content)


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
