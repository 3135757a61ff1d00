"""Data capture, without I/O: what of a request and its answer is kept, as the platform writes it.

    {"captureData": {"endpointInput": {"observedContentType", "mode": "INPUT", "data", "encoding"},
                     "endpointOutput": {the same, "mode": "OUTPUT"}},
     "eventMetadata": {"eventId", "inferenceTime", "inferenceId"?, "customAttributes"?}, "eventVersion": "0"}

Source: developer guide, "Capture data from real-time endpoint"; API model, DataCaptureConfig.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

from seaproof.contract.http import CONTENT_TYPE, CUSTOM_ATTRIBUTES, INFERENCE_ID, parse_media_type
from seaproof.http.message import Headers

# Ids have to differ, not to be secret; a call of the operating system for each would cost more than the line.
_IDS = Random(secrets.randbits(128))
_ENCODED = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_CONTENT_TYPE = CONTENT_TYPE.lower().encode()
_INFERENCE_ID = INFERENCE_ID.lower().encode()
_CUSTOM_ATTRIBUTES = CUSTOM_ATTRIBUTES.lower().encode()


@dataclass(frozen=True)
class Capture:
    """A DataCaptureConfig that is enabled."""

    share: float
    """Of the requests, 0.0 to 1.0."""
    destination: str
    """The s3:// address below which the files are written."""
    modes: tuple[str, ...]
    """`INPUT`, `OUTPUT` or both."""
    csv: tuple[str, ...]
    """Media types that are kept as text, lower case and without parameters."""
    json: tuple[str, ...]


@dataclass(slots=True)
class Exchange:
    """A request of the caller's, and what it was answered."""

    variant: str
    seconds: float
    """Since the epoch: when it was answered."""
    request_headers: Headers
    request_body: bytes
    reply_headers: Headers
    reply_body: bytes


def read_capture(config: Mapping[str, Any] | None) -> Capture | None:
    """The capture that a DataCaptureConfig asks for; None where it asks for none."""
    if not config or not config.get("EnableCapture", True):
        return None
    modes: list[str] = []
    for option in config.get("CaptureOptions") or []:
        mode = option["CaptureMode"]
        modes += ["INPUT", "OUTPUT"] if mode == "InputAndOutput" else [mode.upper()]
    types = config.get("CaptureContentTypeHeader") or {}
    return Capture(
        share=float(config["InitialSamplingPercentage"]) / 100,
        destination=str(config["DestinationS3Uri"]).rstrip("/"),
        modes=tuple(mode for mode in ("INPUT", "OUTPUT") if mode in modes),
        csv=tuple(parse_media_type(text).essence for text in types.get("CsvContentTypes") or []),
        json=tuple(parse_media_type(text).essence for text in types.get("JsonContentTypes") or []),
    )


def line(capture: Capture, exchange: Exchange) -> str:
    """One line of a file, without its end.

    Put together by hand: a thread does this beside the event loop, and what it takes the answers of others wait for.
    """
    sides = []
    if "INPUT" in capture.modes:
        sides.append(_side(capture, "Input", exchange.request_headers, exchange.request_body))
    if "OUTPUT" in capture.modes:
        sides.append(_side(capture, "Output", exchange.reply_headers, exchange.reply_body))
    more = ""
    for name, value in exchange.request_headers:
        if name == _INFERENCE_ID and value:
            more += f',"inferenceId":{_ENCODED(value.decode("latin-1"))}'
        elif name == _CUSTOM_ATTRIBUTES and value:
            more += f',"customAttributes":[{_ENCODED(value.decode("latin-1"))}]'
    return (
        f'{{"captureData":{{{",".join(sides)}}},"eventMetadata":{{"eventId":"{_new_id()}",'
        f'"inferenceTime":"{_moment(int(exchange.seconds))}"{more}}},"eventVersion":"0"}}'
    )


def folder(capture: Capture, endpoint: str, exchange: Exchange) -> str:
    """The s3:// address below which the exchange belongs: a folder for every hour."""
    return f"{capture.destination}/{endpoint}/{exchange.variant}/{_hour(int(exchange.seconds) // 3600)}"


def file_name(seconds: float) -> str:
    """A new name for a file whose first exchange was then: minute, second and millisecond, and a UUID."""
    moment = time.strftime("%M-%S", time.gmtime(seconds))
    return f"{moment}-{int(seconds * 1000) % 1000:03d}-{uuid.uuid4()}.jsonl"


# Many lines are of the same second and the same type.


@lru_cache(8)
def _moment(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))


@lru_cache(8)
def _hour(hour: int) -> str:
    return time.strftime("%Y/%m/%d/%H", time.gmtime(hour * 3600))


@lru_cache(256)
def _essence(content_type: str) -> str:
    return parse_media_type(content_type).essence


@lru_cache(256)
def _opening(kind: str, direction: str) -> str:
    """A side up to its data."""
    observed = f'"observedContentType":{_ENCODED(kind)},' if kind else ""
    return f'"endpoint{direction}":{{{observed}"mode":"{direction.upper()}","data":'


def _side(capture: Capture, direction: str, headers: Headers, body: bytes) -> str:
    kind = _header(headers, _CONTENT_TYPE)
    data, encoding = _encoded(capture, _essence(kind), body)
    return f'{_opening(kind, direction)}{data},"encoding":"{encoding}"}}'


def _encoded(capture: Capture, essence: str, body: bytes) -> tuple[str, str]:
    """A text of JSON where the configuration names the type, else, and where it is no text, base64."""
    encoding = "CSV" if essence in capture.csv else "JSON" if essence in capture.json else ""
    if encoding:
        try:
            return _ENCODED(body.decode()), encoding
        except UnicodeDecodeError:
            pass
    return f'"{base64.b64encode(body).decode()}"', "BASE64"


def _new_id() -> str:
    """A UUID of version 4, as `uuid.uuid4` has it."""
    bits = f"{_IDS.getrandbits(128):032x}"
    variant = "89ab"[int(bits[16], 16) % 4]
    return f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-{variant}{bits[17:20]}-{bits[20:]}"


def _header(headers: Headers, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), "")
