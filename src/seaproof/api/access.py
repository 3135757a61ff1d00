"""Who may call a server that others can reach: signatures of AWS held against configured keys, and one token.

On loopback nobody is asked. On another address (`--host`), or where access keys are configured, each request must be
signed (Signature Version 4; for presigned addresses of S3 also the older kind) with one of the keys, or carry the
token that lies, readable by the owner only, in the state folder: that is how the command line calls.
Source: AWS General Reference, "Create a signed AWS API request"; botocore.auth for the older kind.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

from seaproof.api.client import TOKEN_HEADER
from seaproof.errors import ProjectError, ServiceError
from seaproof.http.message import Request
from seaproof.settings import Settings

KEYS_FILE = "access-keys"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]+)"
)
_OLDER = re.compile(r"AWS ([^:\s]+):(\S+)")
_SKEW = timedelta(minutes=15)
_UNSIGNED = "UNSIGNED-PAYLOAD"


class Guard:
    """Lets in who has a key or the token."""

    def __init__(self, keys: Mapping[str, str], token: str) -> None:
        self._keys = dict(keys)
        self.token = token

    def check(self, request: Request) -> None:
        """ServiceError (403) for a request that is not allowed in, which says why."""
        token = request.header(TOKEN_HEADER.lower().encode())
        if token and hmac.compare_digest(token, self.token):
            return
        query = dict(parse_qsl(request.query, keep_blank_values=True))
        signed = _AUTHORIZATION.fullmatch(request.header(b"authorization"))
        if signed:
            self._check_v4(request, query, signed[1], signed[2], signed[3], request.header(b"x-amz-date"))
        elif "X-Amz-Signature" in query:
            scope, headers = query.get("X-Amz-Credential", ""), query.get("X-Amz-SignedHeaders", "")
            self._check_v4(request, query, scope, headers, query["X-Amz-Signature"], query.get("X-Amz-Date", ""))
        elif "Signature" in query and "AWSAccessKeyId" in query:
            self._check_v2(request, query["AWSAccessKeyId"], query["Signature"], query.get("Expires"))
        elif older := _OLDER.fullmatch(request.header(b"authorization")):
            self._check_v2(request, older[1], older[2], None)
        else:
            raise _denied(
                "MissingAuthenticationToken",
                "This server asks for a signature or its token. Sign with the keys that `seaproof env` prints"
                " on its machine.",
            )

    def _secret(self, key: str) -> str:
        secret = self._keys.get(key)
        if secret is None:
            raise _denied("InvalidClientTokenId", f"The access key {key[:40]!r} is none that this server knows.")
        return secret

    def _check_v4(
        self, request: Request, query: Mapping[str, str], credential: str, names: str, signature: str, date: str
    ) -> None:
        key, _, scope = credential.partition("/")
        day, _, rest = scope.partition("/")
        region, _, rest = rest.partition("/")
        service, _, ending = rest.partition("/")
        if ending != "aws4_request" or "host" not in names.split(";"):
            raise _denied("IncompleteSignature", "The signature's scope or its signed headers are incomplete.")
        _check_time(date, day, fresh="X-Amz-Signature" not in query)
        canonical = canonical_request(request, query, names, service)
        text = "\n".join(("AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()))
        made = f"AWS4{self._secret(key)}".encode()
        for part in (day, region, service, "aws4_request", text):
            made = hmac.new(made, part.encode(), hashlib.sha256).digest()
        if not hmac.compare_digest(made.hex(), signature):
            code = "SignatureDoesNotMatch" if service == "s3" else "InvalidSignatureException"
            raise _denied(code, "The request signature we calculated does not match the signature you provided.")

    def _check_v2(self, request: Request, key: str, signature: str, expires: str | None) -> None:
        from botocore.auth import HmacV1Auth
        from botocore.compat import HTTPHeaders
        from botocore.credentials import Credentials

        headers = HTTPHeaders()
        for name, value in request.headers:
            headers[name.decode("latin-1")] = value.decode("latin-1")
        path = quote(request.path, safe="/~")
        # That of a bucket alone is signed with a slash at its end, and sent without.
        paths = [path, f"{path}/"] if path.count("/") == 1 else [path]
        signer = HmacV1Auth(Credentials(key, self._secret(key)))
        date = expires or request.header(b"date")
        signer._get_date = lambda: date  # it would take the time of now
        made = [
            signer.get_signature(request.method, urlsplit(f"http://host{one}?{request.query}"), headers)
            for one in paths
        ]
        if not any(hmac.compare_digest(one, signature) for one in made):
            raise _denied("SignatureDoesNotMatch", "The request signature we calculated does not match yours.")


def canonical_request(request: Request, query: Mapping[str, str], names: str, service: str) -> str:
    """The request as both sides write it down before they sign it."""
    path = quote(request.path, safe="/~")
    if service != "s3":
        path = quote(path, safe="/~")  # every service but S3 encodes twice
    pairs = sorted(
        (quote(name, safe="~"), quote(value, safe="~")) for name, value in query.items() if name != "X-Amz-Signature"
    )
    lines = []
    for name in names.split(";"):
        values = [value.decode("latin-1") for own, value in request.headers if own.decode("latin-1") == name]
        lines.append(f"{name}:{','.join(' '.join(value.split()) for value in values)}\n")
    payload = request.header(b"x-amz-content-sha256")
    if not payload:
        in_query = "X-Amz-Signature" in query and service == "s3"
        payload = _UNSIGNED if in_query else hashlib.sha256(request.body).hexdigest()
    elif request.stream is None and len(payload) == 64 and payload != hashlib.sha256(request.body).hexdigest():
        raise _denied("XAmzContentSHA256Mismatch", "The body is not the one that was signed.")
    query_text = "&".join(f"{name}={value}" for name, value in pairs)
    return "\n".join((request.method, path, query_text, "".join(lines), names, payload))


def make_guard(settings: Settings, state: Path) -> Guard | None:
    """The guard that these settings ask for; None where only this machine can call and no keys are configured."""
    if is_loopback(settings.host) and not settings.access_keys:
        return None
    return Guard(keys(settings, state), secrets.token_urlsafe(32))


def keys(settings: Settings, state: Path) -> dict[str, str]:
    """Access key -> secret: those of the settings, else a pair that is made once and kept in the state folder."""
    given = settings.access_keys
    path = state / KEYS_FILE
    if not given:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(f"seaproof:{secrets.token_urlsafe(30)}\n", encoding="utf-8")
        given = path.read_text(encoding="utf-8").strip()
    found = {}
    for pair in given.split(","):
        key, colon, secret = pair.strip().partition(":")
        if not (key and colon and secret):
            raise ProjectError(
                "access_keys are not of the form ID:SECRET,ID:SECRET", where="setting access_keys, SEAPROOF_ACCESS_KEYS"
            )
        found[key] = secret
    return found


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    return host in ("localhost", "::1") or host.startswith("127.")


def _check_time(date: str, day: str, *, fresh: bool) -> None:
    """A signature is of its day, and one in a header of the last minutes; presigned addresses name their end."""
    try:
        moment = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        raise _denied("IncompleteSignature", f"The date of the signature is {date[:40]!r}, which is none.") from None
    if date[:8] != day or (fresh and abs(datetime.now(timezone.utc) - moment) > _SKEW):
        raise _denied("RequestTimeTooSkewed", "The signature is too old, or the clocks of both machines differ.")


def _denied(code: str, message: str) -> ServiceError:
    return ServiceError(code, message, status=403)
