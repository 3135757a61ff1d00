"""What AWS clients need to talk to the local server: variables, and the configuration file of the SageMaker SDKs.

The SDKs build the address of STS themselves, so that AWS_ENDPOINT_URL does not reach it. Their configuration file gives
them a default bucket and a role, and with those they do not ask STS; `seaproof run` mends the address itself.
Sources: shared contract of clients, boto3's `AWS_ENDPOINT_URL`, the SDKs' `sagemaker.config` and
SAGEMAKER_USER_CONFIG_OVERRIDE.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from seaproof.api import access
from seaproof.errors import SeaproofError
from seaproof.settings import Settings

SDK_CONFIG = "sagemaker-sdk.yaml"
ROLE_NAME = "seaproof"
KEY = "seaproof"
"""Access key and secret where none are configured: any pair does, but clients refuse to start without one."""
_PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
_UNSET = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
)
_OF_ONE_SERVICE = "AWS_ENDPOINT_URL_"


def unset(around: Mapping[str, str]) -> list[str]:
    """Variables of another account that would win over ours; `around` is the environment that a program starts in."""
    return [*_UNSET, *sorted(name for name in around if name.startswith(_OF_ONE_SERVICE))]


def role_arn(settings: Settings) -> str:
    """The role that programs can name; any other does as well."""
    return f"arn:aws:iam::{settings.account}:role/{ROLE_NAME}"


def default_bucket(settings: Settings) -> str:
    """The bucket that the SDKs would make for this account and region."""
    return f"sagemaker-{settings.region}-{settings.account}"


def variables(url: str, settings: Settings, state: Path, around: Mapping[str, str]) -> dict[str, str]:
    """The variables for a program that is to talk to the server at `url`; `around` is the environment it starts in."""
    key, secret = KEY, KEY
    if settings.access_keys or (state / access.KEYS_FILE).exists():
        key, secret = next(iter(access.keys(settings, state).items()))
    found = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": settings.region,
        "AWS_REGION": settings.region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(state / SDK_CONFIG),
        "SAGEMAKER_ROLE_ARN": role_arn(settings),
    }
    if settings.s3:
        found |= _external_s3(settings, around)
    if any(around.get(name) for name in _PROXIES):
        kept = around.get("NO_PROXY") or around.get("no_proxy") or ""
        found["NO_PROXY"] = found["no_proxy"] = ",".join(filter(None, (kept, "127.0.0.1", "localhost")))
    return found


def _external_s3(settings: Settings, around: Mapping[str, str]) -> dict[str, str]:
    """Clients go to the same S3 as the jobs, with the caller's own credentials, which the local server takes too."""
    address = f"https://s3.{settings.region}.amazonaws.com" if settings.s3 == "aws" else settings.s3
    found = {"AWS_ENDPOINT_URL_S3": address}
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        if around.get(name):
            found[name] = around[name]
    return found


def write_sdk_config(settings: Settings, state: Path) -> Path:
    """Write the SDKs' configuration file, and make the default bucket that it names."""
    if not settings.s3:
        (state / "s3" / default_bucket(settings)).mkdir(parents=True, exist_ok=True)
    role = role_arn(settings)
    text = f"""# Written by seaproof: defaults of the SageMaker Python SDK for the local server of this project.
SchemaVersion: "1.0"
SageMaker:
  PythonSDK:
    Modules:
      TelemetryOptOut: true
      Session:
        DefaultS3Bucket: {default_bucket(settings)}
  TrainingJob:
    RoleArn: {role}
  Model:
    ExecutionRoleArn: {role}
  ProcessingJob:
    RoleArn: {role}
"""
    path, part = state / SDK_CONFIG, state / f"{SDK_CONFIG}.{os.getpid()}.part"
    try:
        # Whole at any moment: programs of other commands may be reading it.
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise SeaproofError(f"the SDKs' configuration cannot be written: {error.strerror}", where=str(path)) from error
    return path
