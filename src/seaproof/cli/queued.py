"""`seaproof predict --async`: the payload into a bucket, the request into the queue, and the answer from its bucket."""

from __future__ import annotations

import io
import time
import uuid

from seaproof.api.client import Client
from seaproof.cli.answer import Answer
from seaproof.cli.app import WorkloadFailed
from seaproof.cli.session import Session, show_json
from seaproof.contract.limits import ASYNCHRONOUS_INLINE
from seaproof.errors import NoSuchObject, SeaproofError
from seaproof.ship.requests import BUCKET
from seaproof.storage.local import LocalStorage
from seaproof.storage.storage import parse_address

POLL_SECONDS = 0.1


def send(
    session: Session, client: Client, to: Answer, body: bytes, members: dict[str, str | None], *, wait: bool
) -> None:
    """Queue it and show where the answer will be, or wait for it and show it. WorkloadFailed where it failed."""
    storage = LocalStorage(session.state / "s3")
    if len(body) > ASYNCHRONOUS_INLINE.value:
        where = f"s3://{BUCKET}/{session.project.name}/async/{uuid.uuid4()}"
        storage.write(parse_address(where), io.BytesIO(body))
        members, body = {**members, "input_location": where}, b""
    accepted = client.invoke_async(to.endpoint, body, **members)
    if not wait:
        if to.as_json:
            show_json({"endpoint": to.endpoint, **accepted})
        else:
            print(accepted["OutputLocation"])
        return
    about = {"inference_id": accepted["InferenceId"], "output_location": accepted["OutputLocation"]}
    to.whole(_wait(client, storage, to.endpoint, accepted), about)


def _wait(client: Client, storage: LocalStorage, endpoint: str, accepted: dict[str, str]) -> bytes:
    while True:
        answer = _read(storage, accepted["OutputLocation"])
        if answer is not None:
            return answer
        failure = _read(storage, accepted.get("FailureLocation", ""))
        if failure is None:
            # Nothing is written of a failure where the configuration has no S3FailurePath.
            failure = _told(client, endpoint, accepted["InferenceId"])
        if failure is not None:
            next_step = f"`seaproof endpoints describe {endpoint}` says more."
            raise WorkloadFailed(failure.decode("utf-8", "replace"), next_step=next_step)
        time.sleep(POLL_SECONDS)


def _told(client: Client, endpoint: str, inference_id: str) -> bytes | None:
    """The event that says of this invocation that it failed."""
    for event in client.events("endpoint", endpoint):
        if event["type"] == "async-failed" and inference_id in event["message"]:
            return str(event["message"]).encode()
    return None


def _read(storage: LocalStorage, uri: str) -> bytes | None:
    if not uri:
        return None
    try:
        with storage.open(parse_address(uri)) as file:
            return file.read()
    except NoSuchObject:
        return None
    except OSError as error:
        raise SeaproofError(f"the answer cannot be read: {error}", where=uri) from error
