"""What is never shown: credentials, told by the name of a variable, by how a value looks, or by being those in use.

Plans, exports, records, errors and logs are shown through here. What is sent to AWS is sent as it is.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from seaproof.settings import inherited_environ

HIDDEN = "********"

_NAME = re.compile(r"secret|password|passwd|token|credential|(^|_)key$|access_key|api_?key", re.IGNORECASE)
_AUTHORS = ("Environment", "HyperParameters", "arguments")
"""Members whose keys are the author's own; `arguments` are those of an image's build."""
_SHAPES = re.compile(
    "|".join(
        (
            r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",  # AWS: the id of a key
            r"\b(?:IQoJ|FwoG)[A-Za-z0-9/+=]{64,}",  # AWS: the token of a session
            r"\bgh[pousr]_[A-Za-z0-9]{16,}",  # GitHub
            r"\bgithub_pat_[A-Za-z0-9_]{16,}",
            r"\bglpat-[A-Za-z0-9_-]{16,}",  # GitLab
            r"\bhf_[A-Za-z0-9]{16,}",  # Hugging Face
            r"(?<![A-Za-z0-9-])sk-(?:[a-z]+[0-9]*-)*[A-Za-z0-9_]{16,}[A-Za-z0-9_-]*",  # OpenAI, Anthropic, Stripe
            r"\bxox[a-z]-[A-Za-z0-9-]{10,}",  # Slack
            r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)",  # user:password in an address
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[^-]*-----END [A-Z ]*PRIVATE KEY-----)?",
        )
    )
)
_IN_USE = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
_SHORTEST = 16
"""Characters of the shortest key that AWS gives; anything shorter is a placeholder, and stands in ordinary words."""

_learned: set[str] = set()


def learn(session: Any) -> None:
    """Take note of the credentials that a boto3.Session has found, so that they are hidden from now on."""
    found = session.get_credentials()
    if found is not None:
        frozen = found.get_frozen_credentials()
        values = (frozen.access_key, frozen.secret_key, frozen.token)
        _learned.update(value for value in values if value and len(value) >= _SHORTEST)


def is_secret(name: str, value: Any = "") -> bool:
    """Whether a variable or hyperparameter is taken for a secret: by its name, or by its value."""
    return _NAME.search(name) is not None or (isinstance(value, str) and masked(value) != value)


def masked(text: str) -> str:
    """A text with what looks like a credential in it, or is one of those in use, hidden."""
    for value in _learned | _of_this_machine():
        text = text.replace(value, HIDDEN)
    return _SHAPES.sub(HIDDEN, text)


def without_secrets(value: Any, inside: bool = False, name: str = "") -> Any:
    """A request as it may be shown: variables and hyperparameters that are secret are hidden whole, others in part."""
    if isinstance(value, Mapping):
        return {
            key: without_secrets(inner, inside or key in _AUTHORS, str(key) if inside or key in _AUTHORS else "")
            for key, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [without_secrets(inner, inside, name) for inner in value]
    if inside and is_secret(name, value):
        return HIDDEN
    return masked(value) if isinstance(value, str) else value


def masked_within(value: Any) -> Any:
    """A document with every text in it masked."""
    if isinstance(value, Mapping):
        return {key: masked_within(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked_within(inner) for inner in value]
    return masked(value) if isinstance(value, str) else value


@cache
def _of_this_machine() -> frozenset[str]:
    """The keys in the environment and in the files of the AWS tools, of whichever profile."""
    environ = inherited_environ()
    found = {environ.get(name, "") for name in _IN_USE}
    home = Path(environ.get("HOME", "~")) / ".aws"
    for name, file in (("AWS_SHARED_CREDENTIALS_FILE", "credentials"), ("AWS_CONFIG_FILE", "config")):
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read(Path(environ.get(name) or home / file).expanduser(), encoding="utf-8")
        except (configparser.Error, OSError, UnicodeDecodeError):
            continue  # whoever uses that file is told by boto3
        found |= {value for section in parser.values() for key, value in section.items() if key.upper() in _IN_USE}
    return frozenset(value for value in found if len(value) >= _SHORTEST)
