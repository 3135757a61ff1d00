"""A target: an AWS account, or whatever answers for one at another address; and the one place that calls it.

The same botocore clients speak to AWS and to the local server. Errors leave as ServiceError in plain words.
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from seaproof.errors import SeaproofError, ServiceError
from seaproof.ship import refusals, secrecy

_ATTEMPTS = 5
"""Of one call; botocore waits longer from one to the next. Throttling is retried by it."""


@dataclass
class Target:
    """One account in one region, as one set of credentials sees it."""

    session: Any
    """A boto3.Session."""
    region: str
    name: str = "aws"
    """`aws` or `local`."""
    endpoint_url: str | None = None
    """Where all services answer, if not at AWS."""
    account: str = ""
    """Id, 12 digits."""
    clients: dict[str, Any] = field(default_factory=dict)
    """Service -> its botocore client, each made when it is first used."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def partition(self) -> str:
        """`aws`, `aws-cn`, `aws-us-gov`: the second part of every ARN."""
        return str(self.session.get_partition_for_region(self.region))

    @property
    def is_local(self) -> bool:
        """Whether this is the local server, which builds no images and has no roles."""
        return self.name == "local"

    def client(self, service: str) -> Any:
        """The botocore client of one service; made once."""
        from botocore.config import Config

        with self._lock:
            if service not in self.clients:
                with refusals.in_plain_words(service, ""):
                    secrecy.learn(self.session)
                    self.clients[service] = self.session.client(
                        service,
                        region_name=self.region,
                        endpoint_url=self.endpoint_url,
                        config=Config(retries={"mode": "standard", "total_max_attempts": _ATTEMPTS}),
                    )
            return self.clients[service]

    def call(self, service: str, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """One call, by its name in the API; ServiceError where it is refused, SeaproofError where it cannot be made."""
        from botocore import xform_name

        client = self.client(service)
        with refusals.in_plain_words(service, operation):
            answer: dict[str, Any] = getattr(client, xform_name(operation))(**request)
        answer.pop("ResponseMetadata", None)
        return answer

    def find(self, service: str, operation: str, request: Mapping[str, Any]) -> dict[str, Any] | None:
        """What a Describe or Get answers; None where there is no such thing."""
        try:
            return self.call(service, operation, request)
        except ServiceError as error:
            if refusals.means_absent(error):
                return None
            raise

    def lacks(self, service: str, operation: str, request: Mapping[str, Any]) -> bool:
        """Whether it is certain that there is no such thing; False where these credentials may not look."""
        try:
            return self.find(service, operation, request) is None
        except ServiceError as error:
            if refusals.is_denied(error):
                return False
            raise

    def pages(self, service: str, operation: str, request: Mapping[str, Any], member: str) -> list[dict[str, Any]]:
        """All that a List has under `member`, page after page."""
        from botocore import xform_name

        client = self.client(service)
        found: list[dict[str, Any]] = []
        with refusals.in_plain_words(service, operation):
            for page in client.get_paginator(xform_name(operation)).paginate(**request):
                found += page.get(member, [])
        return found

    def upload(self, path: str, bucket: str, key: str, metadata: Mapping[str, str]) -> None:
        """One file to S3, in parts where it is large."""
        client = self.client("s3")
        with refusals.in_plain_words("s3", "PutObject"):
            client.upload_file(path, bucket, key, ExtraArgs={"Metadata": dict(metadata)})

    def download(self, bucket: str, key: str, path: str) -> None:
        """One object of S3 to a file."""
        client = self.client("s3")
        with refusals.in_plain_words("s3", "GetObject"):
            client.download_file(bucket, key, path)


def aws(profile: str = "", region: str = "", *, ask: bool = True) -> Target:
    """The account of a profile (else of the environment), in a region; SeaproofError where either is not known.

    STS says which account it is; without `ask` it stays empty, for calls that need no account.
    """
    boto3 = _boto3()
    with refusals.in_plain_words("sts", "GetCallerIdentity"):
        session = boto3.Session(profile_name=profile or None, region_name=region or None)
    if not session.region_name:
        raise SeaproofError(
            "no region is chosen",
            next_step="Say --region, region = ... in [ship], or set AWS_DEFAULT_REGION or a region in the profile.",
        )
    check_region(session.region_name)
    target = Target(session, session.region_name)
    if ask:
        target.account = str(target.call("sts", "GetCallerIdentity", {})["Account"])
    return target


def check_region(region: str) -> None:
    """SeaproofError where the installed botocore knows no such region of AWS; it needs no credentials."""
    from botocore.session import Session

    known: set[str] = set()
    session = Session()
    for partition in session.get_available_partitions():
        # EC2 is everywhere, so that its regions are all there are.
        known.update(session.get_available_regions("ec2", partition))
    if region in known:
        return
    close = difflib.get_close_matches(region.lower(), sorted(known), n=2)
    guess = f"Did you mean {' or '.join(f'`{name}`' for name in close)}? " if close else ""
    raise SeaproofError(
        f"{region!r} is no region of AWS that the installed botocore knows",
        next_step=f"{guess}--region, and region under [ship], name one; a newer one is known after"
        " `pip install -U boto3`.",
    )


def local(url: str, region: str, account: str) -> Target:
    """The local server at `url`, which takes any credentials."""
    session = _boto3().Session(aws_access_key_id="seaproof", aws_secret_access_key="seaproof", region_name=region)
    return Target(session, region, name="local", endpoint_url=url, account=account)


def _boto3() -> Any:
    try:
        import boto3
    except ImportError as error:
        raise SeaproofError(
            "the Python package `boto3` is not installed", next_step="pip install 'seaproof[local,aws]'"
        ) from error
    return boto3
