"""A transform job as a list of steps: Starting, Transforming, Completed.

TransformJobStatus   InProgress -> Completed | Failed;  InProgress -> Stopping -> Stopped

A coordinator that was killed is followed by one that goes on: it adopts the containers that live and starts those that
are missing, objects that are whole stay, and the one that was under way goes on after its last mark.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from seaproof.batch import work
from seaproof.batch.engine import Engine, ThreadEngine, Work
from seaproof.batch.payload import Outcome, Payload
from seaproof.batch.ray_engine import RayEngine
from seaproof.batch.transform import transform
from seaproof.batch.work import Send
from seaproof.control import transform_instances, transform_remote, transform_request, transform_unfinished
from seaproof.control.job_endings import COMPLETE, ENDED, STOP, STOPPING, Ending
from seaproof.control.job_record import explain
from seaproof.control.store import Body
from seaproof.control.transform_instances import NoInstance, Place
from seaproof.control.transform_log import Teller
from seaproof.control.transform_objects import StoredObject, find_objects
from seaproof.control.transform_reasons import reason
from seaproof.control.transform_record import Job
from seaproof.control.transform_request import Parameters
from seaproof.control.transform_stop import Stop
from seaproof.errors import ImageNotFound, SeaproofError, StorageError

_TRACE_LIMIT = 8000


def start(job: Job) -> None:
    """Run the job in a thread of its own, from where it is."""
    job.plane.spawn(f"transform job {job.name}", partial(run, job))


def run(job: Job) -> None:
    """Run the job to its end; return early where the coordinator shuts down."""
    try:
        ending = _transform(job)
    except Exception as error:
        ending = None if job.plane.closing.is_set() else _broken(job, error)
    if job.plane.closing.is_set():
        return
    _complete(job, ending or COMPLETE)


def _transform(job: Job) -> Ending | None:
    if job.is_stopping():
        return None
    body = job.body()
    try:
        objects = find_objects(job.plane.storage, body, job.folder, job.plane.settings.region)
    except StorageError as error:
        return Ending.failed(f"ClientError: {error}")
    gzipped = body["TransformInput"].get("CompressionType") == "Gzip"
    teller = Teller(job, len(objects), None if gzipped else sum(found.size for found in objects))
    stopped = Stop(job)
    try:
        if job.options.engine == "ray":
            _run_on_ray(job, body, objects, teller, stopped)
            return _verdict(job, teller, len(objects))
        variants = transform_instances.variants(body)
        with transform_instances.instances(job.plane, job.name, variants, stopped, job.adopted) as places:
            if stopped():
                return None
            job.update(lambda body: body.setdefault("TransformStartTime", time.time()))
            parameters = transform_request.resolve(body, places[0].preferences())
            teller.log(str(parameters))
            _run_lanes(job, body, objects, places, parameters, teller, stopped)
    except NoInstance as error:
        teller.log(error.what)
        return Ending.failed(f"AlgorithmError: {error.what}")
    except SeaproofError as error:
        kind = "ClientError" if isinstance(error, ImageNotFound) else "InternalServerError"
        return Ending.failed(f"{kind}: {explain(error)}")
    finally:
        stopped.close()
        teller.close()
        job.insist(
            partial(job.plane.store.add_event, job.kind, job.name, "numbers", str(teller), numbers=teller.numbers())
        )
    return _verdict(job, teller, len(objects))


def _run_on_ray(job: Job, body: Body, objects: Sequence[StoredObject], teller: Teller, stopped: Stop) -> None:
    """All objects in one lane, whose payloads are spread over the actors; each actor has an instance of its own."""
    engine = RayEngine(job.plane.settings.ray_address, stopped)
    with engine.open(transform_remote.elsewhere(job), body["TransformResources"]["InstanceCount"]) as map:
        job.update(lambda body: body.setdefault("TransformStartTime", time.time()))
        parameters = transform_request.resolve(body, next(map([transform_remote.PREFERENCES], 1), {}))
        teller.log(str(parameters))
        shared = transform_request.work(body, job.options, parameters)

        def with_work(payloads: Iterable[Payload], width: int) -> Iterator[Outcome]:
            return map(((shared, payload) for payload in payloads), width)

        cutting = transform_request.cutting(body, job.options, parameters)
        transform(objects, cutting, with_work, parameters.concurrent, teller, stopped)


def _run_lanes(
    job: Job,
    body: Body,
    objects: Sequence[StoredObject],
    places: Sequence[Place],
    parameters: Parameters,
    teller: Teller,
    stopped: Callable[[], bool],
) -> None:
    """Objects are dealt out to the instances, each with a lane of its own; or all share one lane."""
    options = job.options
    shared = transform_request.work(body, options, parameters)
    cutting = transform_request.cutting(body, options, parameters)
    senders = [transform_instances.sender(place, body, options.target_model, stopped) for place in places]
    engine: Engine = ThreadEngine()

    def lane(mine: Sequence[StoredObject], sends: Sequence[Send]) -> None:
        def opener(number: int) -> AbstractContextManager[Work]:
            return nullcontext(lambda payload: work.run(shared, sends[number], payload, stopped))

        with engine.open(opener, len(sends)) as map:
            transform(mine, cutting, map, parameters.concurrent, teller, stopped)

    if options.spread or len(places) == 1:
        lane(objects, senders)
        return
    _side_by_side([partial(lane, objects[n :: len(places)], [senders[n]]) for n in range(len(places))])


def _side_by_side(lanes: Sequence[Callable[[], None]]) -> None:
    """Run them all; raise what the first of them raised."""
    problems: list[BaseException] = []

    def run_one(lane: Callable[[], None]) -> None:
        try:
            lane()
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=run_one, args=(lane,), name="transform lane") for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]


def _verdict(job: Job, teller: Teller, objects: int) -> Ending | None:
    if teller.bad:
        job.tell("quarantine", f"{teller.bad:,} records were put aside, in files beside the output")
    if not teller.failures:
        return None
    job.set("_failed", {name: failure.reason for name, failure in teller.failures[:100]})
    return Ending.failed(reason(job.body(), teller.failures, objects))


def _complete(job: Job, ending: Ending) -> None:
    """Give the record its end, in one transaction: a StopTransformJob comes before it or too late."""

    def write() -> None:
        with job.plane.store.transaction():
            record = job.record()
            if record.status in ENDED:
                return
            last = STOP if record.status == STOPPING else ending
            job.plane.store.update(job.kind, job.name, partial(_finish, ending=last), status=last.status)

    job.insist(write)
    transform_unfinished.settle(job)


def _finish(body: Body, ending: Ending) -> None:
    body["TransformJobStatus"] = ending.status
    body["TransformEndTime"] = time.time()
    if ending.reason:
        body["FailureReason"] = ending.reason


def _broken(job: Job, error: Exception) -> Ending:
    """Something failed that no step expected: the job fails with it, the tool lives on."""
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    job.tell("internal-error", trace[-_TRACE_LIMIT:])
    return Ending.failed(f"InternalServerError: We encountered an internal error. Please try again. ({explain(error)})")
