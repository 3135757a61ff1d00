"""What is told of an asynchronous invocation that has ended: through the endpoint's topics of SNS, and to a webhook.

The message is that of the developer guide, "Check prediction results" of asynchronous inference. A topic tells who has
subscribed to it on this server. `SEAPROOF_ASYNC_WEBHOOK` is told what SNS posts to a subscriber over HTTP, without one.
"""

from __future__ import annotations

import base64
import json
import logging
import time
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from seaproof.contract.http import CONTENT_TYPE
from seaproof.control.async_invocations import Accepted
from seaproof.control.containers import KIND as ENDPOINT
from seaproof.control.plane import Plane
from seaproof.http.message import Headers

ATTEMPTS = 3
PATIENCE = 5.0
"""Seconds for one attempt."""
INLINE_BYTES = 128 * 1024
"""Of an answer that may be in the message. Source: developer guide."""
_LOCAL = ("localhost", "127.0.0.1", "::1")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What a container answered, as far as it is told."""

    headers: Headers
    body: bytes | None
    """None where it has over INLINE_BYTES."""


Publish = Callable[[str, str], str]
"""Publishes a message to a topic of SNS: "", or why that was not possible."""


def send(plane: Plane, accepted: Accepted, ended: Answer | str, publish: Publish) -> None:
    """Tell how it ended: with an answer, or with a text that says why not. Never raises."""
    url = plane.settings.async_webhook
    record = plane.store.get(ENDPOINT, accepted.endpoint)
    config = record.body["_plan"].get("async") if record else None
    wanted = config["OutputConfig"].get("NotificationConfig") or {} if config else {}
    topic = wanted.get("ErrorTopic" if isinstance(ended, str) else "SuccessTopic", "")
    if not topic and (wanted or not url):
        return
    kind = "ERROR_NOTIFICATION_TOPIC" if isinstance(ended, str) else "SUCCESS_NOTIFICATION_TOPIC"
    inline = kind in (wanted.get("IncludeInferenceResponseIn") or [])
    text = json.dumps(message(plane, accepted, ended, inline=inline))
    if topic and (problem := publish(topic, text)):
        _tell_once(plane, accepted.endpoint, f"Nobody is told through {topic}: {problem}")
    if url:
        _post(plane, url, topic, text)


def message(plane: Plane, accepted: Accepted, ended: Answer | str, *, inline: bool) -> dict[str, Any]:
    """What SageMaker publishes; with the answer itself where that is `inline` and small enough."""
    request = {
        "contentType": accepted.members.get("ContentType"),
        "accept": accepted.members.get("Accept"),
        "endpointName": accepted.endpoint,
        "inputLocation": accepted.members.get("InputLocation"),
    }
    told: dict[str, Any] = {
        "awsRegion": plane.settings.region,
        "eventTime": _time(time.time()),
        "receivedTime": _time(accepted.received),
        "invocationStatus": "Failed" if isinstance(ended, str) else "Completed",
        "requestParameters": {name: value for name, value in request.items() if value},
        "inferenceId": accepted.inference_id,
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    if isinstance(ended, str):
        told["failureReason"] = ended
        answer: dict[str, Any] = {"outputLocation": accepted.failure} if accepted.failure else {}
    else:
        kind = next((v.decode("latin-1") for n, v in ended.headers if n == CONTENT_TYPE.encode()), "")
        answer = {"contentType": kind, "outputLocation": accepted.output}
        if inline and ended.body is not None:
            answer["responseBody"] = {"content": base64.b64encode(ended.body).decode(), "encoding": "BASE64"}
    return {**told, "responseParameters": answer} if answer else told


def _tell_once(plane: Plane, endpoint: str, text: str) -> None:
    if all(event.event["message"] != text for event in plane.store.events(ENDPOINT, endpoint)):
        plane.store.add_event(ENDPOINT, endpoint, "async-notice", text)


def _post(plane: Plane, url: str, topic: str, text: str) -> None:
    """As SNS posts a notification to a subscriber."""
    id = str(uuid.uuid4())
    envelope = {
        "Type": "Notification",
        "MessageId": id,
        "TopicArn": topic,
        "Message": text,
        "Timestamp": _time(time.time()),
    }
    request = urllib.request.Request(url, data=json.dumps(envelope).encode(), method="POST")
    request.add_header("Content-Type", "text/plain; charset=UTF-8")
    request.add_header("x-amz-sns-message-type", "Notification")
    request.add_header("x-amz-sns-message-id", id)
    request.add_header("x-amz-sns-topic-arn", topic)
    # A proxy of the environment does not know this machine.
    proxies = [urllib.request.ProxyHandler({})] if urlsplit(url).hostname in _LOCAL else []
    opener = urllib.request.build_opener(*proxies)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with opener.open(request, timeout=PATIENCE):
                return
        except (OSError, ValueError) as error:
            if attempt == ATTEMPTS:
                _log.warning("the webhook %s was not told: %s", url, error)
            plane.closing.wait(0.5 * attempt)


def _time(seconds: float) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds * 1000) % 1000:03d}Z"
