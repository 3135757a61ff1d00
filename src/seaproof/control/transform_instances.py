"""The containers of a transform job: started like those of an endpoint, one seat for each instance, and asked.

A container that dies is replaced as in an endpoint, and what it was asked is asked again as long as the job's retries
allow. A busy one that does not answer its pings is left alone: only its end counts.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from seaproof.batch.payload import ChunkedBody, SendFailed
from seaproof.contract.http import ACCEPT, CONTENT_TYPE, EXECUTION_PARAMETERS, TARGET_MODEL
from seaproof.control.fleet import Adopted, Fleet, Plan, Seat
from seaproof.control.health import describe_exit
from seaproof.control.instances import occupy
from seaproof.control.plane import Plane
from seaproof.control.store import Body
from seaproof.control.transform_record import KIND
from seaproof.control.transform_request import client_config, container_environment, read_preferences
from seaproof.control.transform_stop import Stop
from seaproof.errors import HttpError, SeaproofError, ServiceError
from seaproof.http.message import Headers
from seaproof.invocations.chain import StepFailed, chain
from seaproof.invocations.flow import step_to
from seaproof.invocations.hop_body import HopBody
from seaproof.invocations.routing import Instance, Routes
from seaproof.invocations.send import drive

VERSION = "1"
"""Of the plan: a job has one for all its life."""
NONE: Mapping[str, Adopted] = MappingProxyType({})
_POLL = 0.2
_LONGEST_PAUSE = 1.0
"""A job waits for its container; its retries, and not pauses, are what ends the trying."""
_END_IS_SEEN = 1.0
"""Seconds within which the end of a container is known that left a request without an answer."""
_REPLY_LIMIT = 1024 * 1024 * 1024
_HOP_LIMIT = 128 * 1024 * 1024
_SHOWN = 2000


class NoInstance(SeaproofError):
    """The containers of the job did not become ready; `what` is the FailureReason."""


def variant(request: Body, number: int) -> Plan:
    """What one instance of the job runs, as the variant of an endpoint."""
    found = {**copy.deepcopy(request["_plan"]), "name": f"algo-{number + 1}"}
    told = container_environment(request)
    for container in found["containers"]:
        container["environment"] = {**container["environment"], **told}
    return found


def variants(request: Body) -> list[Plan]:
    """What each of its instances runs."""
    return [variant(request, number) for number in range(request["TransformResources"]["InstanceCount"])]


@contextmanager
def instances(
    plane: Plane, job: str, variants: list[Plan], stopped: Stop, adopted: Mapping[str, Adopted] = NONE
) -> Iterator[list[Place]]:
    """The instances of a job, ready to be asked, and cleared away afterwards. NoInstance where one cannot be had.

    `adopted` are those that live already, by the names of their variants. Where the coordinator shuts down all are
    left to the next one.
    """
    # Nobody waits for the job's container to answer pings while it predicts.
    patient = replace(plane, settings=replace(plane.settings, ping_failures=2**31))
    fleet = Fleet(job, Routes())
    seats = [
        Seat(job, found, VERSION, adopted.get(found["name"]), kind=KIND, longest_pause=_LONGEST_PAUSE)
        for found in variants
    ]
    try:
        occupy(patient, fleet, seats)
        # What the containers are busy with ends with them; there is no other end to a request under way.
        stopped.then(lambda: fleet.leave(seats, drain=0.0))
        while not stopped() and not fleet.wait_for(lambda: all(seat.settled for seat in seats), _POLL):
            if any(seat.failure for seat in seats):
                break
        failure = next((seat.failure for seat in seats if seat.failure), "")
        if failure:
            raise NoInstance(failure)
        yield [Place(plane, fleet, seat) for seat in seats]
    finally:
        fleet.leave(seats, drain=0.0)
        while not fleet.wait_for(lambda: all(seat.done for seat in seats), _POLL):
            if plane.closing.is_set():
                break


@dataclass(frozen=True)
class Place:
    """The seat of one instance, and whoever is in it."""

    plane: Plane
    fleet: Fleet
    seat: Seat

    def preferences(self) -> dict[str, Any]:
        """What GET /execution-parameters of its first container answers; nothing where it has no opinion."""
        instance = self.seat.instance
        if instance is None:
            return {}
        first = instance.containers[0]
        try:
            reply = self.plane.sender.request(
                first.host, first.port, "GET", EXECUTION_PARAMETERS, timeout=10.0, max_body=1024 * 1024
            )
        except HttpError:
            return {}
        return read_preferences(reply.body) if reply.status == 200 else {}

    def enter(self, timeout: float, stopped: Callable[[], bool]) -> Instance:
        """The living instance, waited for where it is being replaced. SendFailed where it does not come."""
        until = time.monotonic() + timeout
        while not stopped() and time.monotonic() < until:
            instance = self.seat.instance
            if instance is not None and instance.enter():
                return instance
            self.fleet.wait_for(lambda: self.seat.instance is not None, _POLL)
        raise SendFailed("Unable to get response from algorithm", detail="Its container ended and did not come back.")


@dataclass(frozen=True)
class Sender:
    """Sends payloads to one instance; usable from any thread."""

    place: Place
    headers: Headers
    timeout: float
    target_model: str
    stopped: Callable[[], bool]

    def __call__(self, body: bytes | ChunkedBody) -> bytes:
        """The answer; SendFailed in the platform's words where there is none or it is not 2xx."""
        plane = self.place.plane
        instance = self.place.enter(plane.settings.startup_timeout, self.stopped)
        try:
            steps = chain(
                [step_to(container, self.target_model) for container in instance.containers],
                self.headers,
                body if isinstance(body, bytes) else HopBody(aiter(body), None),
                deadline=time.monotonic() + self.timeout,
                hop_limit=_HOP_LIMIT,
                reply_limit=_REPLY_LIMIT,
            )
            reply, _ = plane.sender.run(lambda client: drive(client, steps))
            return reply.body
        except StepFailed as error:
            raise self._failed(error, instance) from error
        except (ServiceError, HttpError) as error:
            raise _not_loaded(error) from error
        finally:
            instance.leave()

    def _failed(self, error: StepFailed, instance: Instance) -> SendFailed:
        name, reply = error.step.name, error.reply
        who = "" if len(instance.containers) == 1 else f" from {name}"
        if error.kind == "status" and reply is not None:
            text = reply.body[:_SHOWN].decode("utf-8", "replace").strip()
            said = f"It answered {text[:200]!r}" if text else "Its answer has no text"
            if 400 <= reply.status < 500:
                return SendFailed(f"ClientError: {reply.status}{who}", status=reply.status, body=text, detail=said)
            what = f"Bad HTTP status received from algorithm: {reply.status}{who}"
            return SendFailed(what, status=reply.status, body=text, detail=said)
        exit = None
        if error.kind in ("refused", "closed", "malformed"):
            exit = self.place.fleet.end_of(instance.id, name, _END_IS_SEEN)
        detail = f"The container {name} ended: {describe_exit(exit)}" if exit else str(error.error)
        return SendFailed(f"Unable to get response from algorithm{who}", detail=detail)


def sender(place: Place, request: Body, target_model: str, stopped: Callable[[], bool]) -> Sender:
    """A sender for the requests of a job."""
    given, output = request["TransformInput"], request["TransformOutput"]
    headers: Headers = []
    if given.get("ContentType"):
        headers.append((CONTENT_TYPE.encode(), given["ContentType"].encode("latin-1", "replace")))
    if output.get("Accept"):
        headers.append((ACCEPT.encode(), output["Accept"].encode("latin-1", "replace")))
    if target_model:
        headers.append((TARGET_MODEL.encode(), target_model.encode("latin-1", "replace")))
    return Sender(place, headers, client_config(request)[0], target_model, stopped)


def _not_loaded(error: ServiceError | HttpError) -> SendFailed:
    """The model of a multi-model container could not be had."""
    refused = isinstance(error, ServiceError) and error.code == "ValidationError"
    what = (
        f"ClientError: {error.message}" if isinstance(error, ServiceError) and refused else "Unable to load the model"
    )
    return SendFailed(what, status=400 if refused else 0, detail=str(error))
