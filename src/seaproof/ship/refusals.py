"""What AWS says no with, in plain words: what it means, and what to do. No credential is ever part of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from seaproof.errors import SeaproofError, ServiceError
from seaproof.ship.secrecy import masked

_ABSENT = {
    "404",
    "ImageNotFoundException",
    "LifecyclePolicyNotFoundException",
    "NoSuchBucket",
    "NoSuchEntity",
    "NoSuchKey",
    "NotFound",
    "ObjectNotFoundException",
    "RepositoryNotFoundException",
    "ResourceNotFound",
    "ResourceNotFoundException",
}
_ABSENT_WORDS = ("could not find", "requested resource not found", "does not exist")

_LONGEST = 600
"""Characters of a message that are shown."""

CAPACITY = {"CapacityError", "InsufficientInstanceCapacity", "ResourceLimitExceeded"}
"""Codes, and first words of a FailureReason, that mean: not now."""

_DENIED = "AccessDenied|AccessDeniedException|UnauthorizedOperation|403"

_TABLE: tuple[tuple[str, str, str], ...] = (
    # code, words of the message (a regular expression), what to do
    (
        _DENIED,
        "",
        "These credentials may not do that. `seaproof role --policy shipping` prints what whoever ships needs.",
    ),
    (
        "ExpiredToken|ExpiredTokenException|RequestExpired",
        "",
        "The session of these credentials is over: log in again (`aws sso login`), then say the same command.",
    ),
    (
        "UnrecognizedClientException|InvalidClientTokenId|InvalidAccessKeyId|SignatureDoesNotMatch|AuthFailure",
        "",
        "These credentials are not valid. `aws sts get-caller-identity` shows whether others are.",
    ),
    (
        "Throttling|ThrottlingException|TooManyRequestsException|RequestLimitExceeded|SlowDown",
        "",
        "AWS takes no more calls just now, although it was asked several times. Say the same command in a minute.",
    ),
    (
        "ResourceLimitExceeded",
        "",
        "The account's quota of them is used up or zero: ask for more under Service Quotas, or take another type.",
    ),
    (
        "CapacityError|InsufficientInstanceCapacity",
        "",
        "There are no such instances now: --retry N asks again; another instance_type or region may have some.",
    ),
    (
        "ValidationException",
        "instance ?type|member must satisfy enum value set",
        "This region may not have that instance type; choose another in seaproof.toml.",
    ),
    (
        "ValidationException",
        "could not (assume|access) .*role|role .* (is invalid|cannot be assumed)",
        "SageMaker must be allowed to take on the role: `seaproof role` prints the trust document.",
    ),
    (
        "ValidationException",
        "manifest",
        "SageMaker takes one manifest, no index: `seaproof build`, or --provenance=false --sbom=false.",
    ),
    (
        "ImageTagAlreadyExistsException",
        "",
        "Tags of this repository are immutable and this one has another image; commit your change, and the tag is new.",
    ),
    ("NoSuchBucket", "", "Name a bucket that is there under [ship] bucket, or leave it out and one is made."),
)


def means_absent(error: ServiceError) -> bool:
    """Whether an error says that what was asked for is not there."""
    if error.code in _ABSENT:
        return True
    return error.code == "ValidationException" and any(words in error.message.lower() for words in _ABSENT_WORDS)


def is_denied(error: ServiceError) -> bool:
    """Whether an error says that these credentials may not do that."""
    return error.code in _DENIED.split("|")


def _plain(message: str) -> str:
    """A message on one line, without credentials; of a page of HTML, its words."""
    return masked(" ".join(re.sub(r"<[^<>]*>", " ", message).split()))[:_LONGEST]


def next_step(code: str, message: str) -> str:
    """What to do about an error of AWS; empty where nothing more is known."""
    for codes, words, advice in _TABLE:
        if code in codes.split("|") and (not words or re.search(words, message, re.IGNORECASE)):
            return advice
    return ""


@contextmanager
def in_plain_words(service: str, operation: str) -> Iterator[None]:
    """Errors of botocore and boto3 inside the block as ours: ServiceError for a refusal, else SeaproofError."""
    from boto3.exceptions import Boto3Error
    from botocore import exceptions as found
    from botocore.parsers import ResponseParserError

    where = ":".join(filter(None, (service, operation)))
    try:
        yield
    except found.ClientError as error:
        said = error.response.get("Error", {})
        code, message = str(said.get("Code", "")), _plain(str(said.get("Message", ""))) or "no message was given"
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400))
        members = {name: value for name, value in error.response.items() if name not in ("Error", "ResponseMetadata")}
        advice = next_step(code, message)
        raise ServiceError(
            code, f"{where} was refused: {message}", status=status, members=members, next_step=advice
        ) from None
    except Boto3Error as error:  # uploads say it a second time: the code stands in the text
        code = (re.search(r"\((\w+)\)", str(error)) or [""])[-1]
        raise ServiceError(
            code, f"{where} failed: {_plain(str(error))}", next_step=next_step(code, str(error))
        ) from None
    except (found.NoCredentialsError, found.PartialCredentialsError, found.CredentialRetrievalError) as error:
        raise SeaproofError(
            f"there are no credentials for AWS: {error}",
            where=where,
            next_step="Log in (`aws configure`, `aws sso login`), or say --profile; --target local needs none.",
        ) from None
    except found.ProfileNotFound as error:
        raise SeaproofError(str(error), next_step="`aws configure list-profiles` shows those there are.") from None
    except found.NoRegionError:
        raise SeaproofError("no region is chosen", where=where, next_step="Say --region.") from None
    except (found.EndpointConnectionError, found.ConnectionError, found.HTTPClientError) as error:
        raise SeaproofError(
            f"AWS cannot be reached: {error}",
            where=where,
            next_step="Check the network, the region's name, and AWS_ENDPOINT_URL where it is set.",
        ) from None
    except ResponseParserError as error:
        raise SeaproofError(
            f"what answered does not speak as AWS does: {_plain(str(error))}",
            where=where,
            next_step="A proxy may stand in between; check AWS_ENDPOINT_URL and HTTPS_PROXY where they are set.",
        ) from None
    except found.BotoCoreError as error:  # a request that does not fit its shape, a broken configuration file
        raise SeaproofError(f"the call cannot be made: {_plain(str(error))}", where=where) from None
