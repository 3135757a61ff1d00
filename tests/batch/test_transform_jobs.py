"""Transform jobs end to end on a scripted model: requests as the platform makes them, output all or nothing."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

import pytest
from transform_lab import (
    MIB,
    Asked,
    Lab,
    close_plane,
    describe,
    get,
    log,
    make_model,
    open_plane,
    outputs,
    put,
    request,
    transform,
    until,
    zipped,
)

from seaproof.control.transform_jobs import create_transform_job, list_transform_jobs, stop_transform_job
from seaproof.errors import ServiceError
from seaproof.http.message import Response


def rows(count: int, width: int = 40) -> bytes:
    return b"".join(b"%0*d\n" % (width - 1, number) for number in range(count))


def test_a_job_turns_every_object_into_one_output_and_leaves_nothing_behind(lab: Lab) -> None:
    plane, asked = lab
    put(plane, "s3://b/in/a.csv", b"1,2\n3,4\n")
    put(plane, "s3://b/in/deep/b.csv", b"5,6")
    put(plane, "s3://b/in/empty.csv", b"")

    job = transform(plane, request("m"))

    assert job["TransformJobStatus"] == "Completed", job
    assert outputs(plane) == {"a.csv.out": b"1,2\n3,4\n", "deep/b.csv.out": b"5,6\n", "empty.csv.out": b""}
    assert asked.bodies == [b"1,2\n3,4\n", b"5,6"]
    assert dict(asked.requests[0].headers)[b"content-type"] == b"text/csv"
    assert dict(asked.requests[0].headers)[b"accept"] == b"text/csv"
    assert job["TransformStartTime"] <= job["TransformEndTime"]
    assert plane.driver.recover() == []
    assert not plane.store.handles()
    assert not list((plane.folder / "workloads").glob("*"))
    assert not list((plane.folder / "transforms").glob("*"))


def test_payloads_are_as_large_as_the_limit_allows_and_the_log_says_what_holds(lab: Lab) -> None:
    plane, asked = lab
    data = rows(3 * (MIB // 40))
    put(plane, "s3://b/in/a.csv", data)

    transform(plane, request("m", MaxPayloadInMB=1))

    assert b"".join(asked.bodies) == data == get(plane, "s3://b/out/a.csv.out")
    assert [len(body) for body in asked.bodies] == [MIB // 40 * 40] * 3
    assert log(plane).splitlines()[0] == "MaxConcurrentTransforms=1, MaxPayloadInMB=1, BatchStrategy=MULTI_RECORD"
    assert "b/in/a.csv: done: 78,642 records, 3.0 MB in 3 requests" in log(plane)


def test_order_is_kept_with_many_requests_under_way_and_no_more_than_allowed(lab: Lab) -> None:
    plane, asked = lab
    asked.answer = lambda body: time.sleep(0.02 * (int(body) % 3)) or body
    put(plane, "s3://b/in/a.csv", b"".join(b"%d\n" % number for number in range(40)))

    transform(plane, request("m", BatchStrategy="SingleRecord", MaxConcurrentTransforms=4, MaxPayloadInMB=1))

    assert get(plane, "s3://b/out/a.csv.out") == b"".join(b"%d\n" % number for number in range(40))
    assert 1 < asked.most <= 4


def test_what_the_container_prefers_comes_after_the_request_and_before_the_defaults(tmp_path: Path) -> None:
    preferred = b'{"MaxConcurrentTransforms": 8, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 2}'
    asked = Asked(parameters=preferred)
    plane = open_plane(tmp_path, {"m": asked})
    try:
        put(plane, "s3://b/in/a.csv", b"1\n2\n")
        transform(plane, request("m", "one"))
        transform(plane, request("m", "two", BatchStrategy="MultiRecord", MaxConcurrentTransforms=2, MaxPayloadInMB=3))

        assert log(plane, "one").splitlines()[0].endswith("=8, MaxPayloadInMB=2, BatchStrategy=SINGLE_RECORD")
        assert log(plane, "two").splitlines()[0].endswith("=2, MaxPayloadInMB=3, BatchStrategy=MULTI_RECORD")
        assert asked.bodies == [b"1\n", b"2\n", b"1\n2\n"] or asked.bodies == [b"2\n", b"1\n", b"1\n2\n"]
        one, two = asked.environments[0], asked.environments[-1]
        assert one["SAGEMAKER_BATCH"] == two["SAGEMAKER_BATCH"] == "true"
        assert "SAGEMAKER_BATCH_STRATEGY" not in one
        assert "SAGEMAKER_MAX_PAYLOAD_IN_MB" not in one
        assert two["SAGEMAKER_BATCH_STRATEGY"] == "MULTI_RECORD"
        assert two["SAGEMAKER_MAX_PAYLOAD_IN_MB"] == "3"
        assert two["SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"] == "2"
    finally:
        close_plane(plane)


def test_the_environment_of_the_job_comes_before_the_models(lab: Lab) -> None:
    plane, asked = lab
    make_model(plane, "named", {"Image": "m", "Environment": {"A": "model", "B": "model"}})
    put(plane, "s3://b/in/a.csv", b"1\n")

    transform(plane, request("named", Environment={"B": "job"}))

    assert (asked.environments[0]["A"], asked.environments[0]["B"]) == ("model", "job")


def test_one_failed_record_leaves_its_object_without_output_and_the_others_with(lab: Lab) -> None:
    plane, asked = lab
    asked.answer = lambda body: (400, b"row 2 is odd") if b"bad" in body else body
    for name, data in (("a", b"1\n"), ("b", b"1\nbad\n"), ("c", b"3\n")):
        put(plane, f"s3://b/in/{name}", data)

    job = transform(plane, request("m"))

    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: See job logs for more information. 1 of 3 objects failed;")
    assert "s3://b/in/b: ClientError: 400. It answered 'row 2 is odd'" in job["FailureReason"]
    assert "--quarantine" in job["FailureReason"]
    assert set(outputs(plane)) == {"a.out", "c.out"}
    assert "b/in/b: ClientError: 400\nb/in/b: \nb/in/b: Message:\nb/in/b: row 2 is odd\n" in log(plane)
    assert asked.bodies.count(b"1\nbad\n") == 1


def test_a_status_of_500_is_tried_again_as_often_as_the_job_says(lab: Lab) -> None:
    plane, asked = lab
    asked.answer = lambda body: (500, b"<h1>no</h1>") if len(asked.requests) < 3 else body
    put(plane, "s3://b/in/a", b"1\n")

    late = transform(plane, request("m", "late"))
    asked.answer = lambda body: (500, b"<h1>no</h1>")
    never = transform(plane, request("m", "never", ModelClientConfig={"InvocationsMaxRetries": 1}))

    assert late["TransformJobStatus"] == "Completed"
    assert never["FailureReason"].startswith("AlgorithmError: See job logs for more information. s3://b/in/a: Bad HTTP")
    assert len(asked.requests) == 3 + 2
    assert "b/in/a: Bad HTTP status received from algorithm: 500\n" in log(plane, "never")


def test_a_request_that_takes_too_long_fails_with_the_platforms_words(lab: Lab) -> None:
    plane, asked = lab
    over = threading.Event()
    asked.answer = lambda body: body if over.wait(60) else b""
    put(plane, "s3://b/in/a", b"1\n")
    config = {"InvocationsTimeoutInSeconds": 1, "InvocationsMaxRetries": 0}

    job = transform(plane, request("m", ModelClientConfig=config))
    over.set()

    assert "Unable to get response from algorithm" in job["FailureReason"]
    assert re.search(r"no reply within (1|0\.\d+) s", job["FailureReason"])


def test_a_record_over_the_limit_fails_its_object_and_says_which(lab: Lab) -> None:
    plane, _ = lab
    put(plane, "s3://b/in/a", b"1\n2\n" + b"x" * (MIB + 5) + b"\n3\n")

    job = transform(plane, request("m", MaxPayloadInMB=1))

    assert "a record of 1,048,582 bytes is over the 1,048,576 bytes" in job["FailureReason"]
    assert "from record 3, bytes 4 to 1,048,586" in job["FailureReason"]
    assert outputs(plane) == {}


def test_objects_are_divided_over_instances_by_key(tmp_path: Path) -> None:
    asked = Asked()
    plane = open_plane(tmp_path, {"m": asked})
    try:
        for number in range(6):
            put(plane, f"s3://b/in/{number}", b"%d\n" % number)
        job = transform(plane, request("m", TransformResources={"InstanceCount": 3}))

        assert job["TransformJobStatus"] == "Completed"
        assert outputs(plane) == {f"{number}.out": b"%d\n" % number for number in range(6)}
        streams = {path.name.split("-i-")[0] for path in (plane.folder / "logs/TransformJobs/job").glob("algo-*")}
        assert streams == {"algo-1", "algo-2", "algo-3"}
    finally:
        close_plane(plane)


def test_a_manifest_names_its_objects_and_gzip_is_unpacked_before_splitting(lab: Lab) -> None:
    plane, asked = lab
    put(plane, "s3://b/in/x/1.gz", zipped(rows(40_000)))
    put(plane, "s3://b/in/x/2.gz", zipped(b"2\n"))
    put(plane, "s3://b/in/x/3.gz", zipped(b"3\n"))
    put(plane, "s3://b/list", b'[{"prefix": "s3://b/in/"}, "x/3.gz", "x/1.gz"]')
    source = {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": "s3://b/list"}}

    given = request("m", TransformInput={"DataSource": source, "CompressionType": "Gzip"}, MaxPayloadInMB=1)
    job = transform(plane, given)

    assert job["TransformJobStatus"] == "Completed", job
    assert outputs(plane) == {"x/3.gz.out": b"3\n", "x/1.gz.out": rows(40_000)}
    assert len(asked.requests) == 3


def test_a_stopped_job_ends_soon_keeps_whole_objects_and_says_stopped(lab: Lab) -> None:
    plane, asked = lab
    gate = threading.Event()
    asked.answer = lambda body: body if body == b"1\n" else (gate.wait(30) and body) or body
    put(plane, "s3://b/in/a", b"1\n")
    put(plane, "s3://b/in/b", b"2\n")
    create_transform_job(plane, request("m"))
    until(lambda: len(asked.requests) == 2, "both are asked")

    stop_transform_job(plane, {"TransformJobName": "job"})
    until(lambda: describe(plane)["TransformJobStatus"] == "Stopped", "it is Stopped, though a request hangs")
    gate.set()

    assert set(outputs(plane)) == {"a.out"}
    with pytest.raises(ServiceError, match="in status Stopped"):
        stop_transform_job(plane, {"TransformJobName": "job"})


def test_a_container_that_never_answers_ping_fails_the_job_with_the_platforms_words(tmp_path: Path) -> None:
    plane = open_plane(tmp_path, {"m": Asked()}, startup_timeout=0.5)
    make_model(plane, "deaf", {"Image": "fake:serve,ping=500"})
    try:
        put(plane, "s3://b/in/a", b"1\n")
        job = transform(plane, request("deaf"))

        reason = (
            "AlgorithmError: Model container failed to respond to ping: Please ensure /ping endpoint is implemented"
        )
        assert job["FailureReason"].startswith(reason)
        assert plane.driver.recover() == []
    finally:
        close_plane(plane)


def test_no_objects_and_no_such_image_are_said_clearly(lab: Lab) -> None:
    plane, _ = lab
    make_model(plane, "missing", {"Image": "fake:missing"})
    nothing = transform(plane, request("m", "one"))
    put(plane, "s3://b/in/a", b"1\n")
    image = transform(plane, request("missing", "two"))

    assert nothing["FailureReason"].startswith('ClientError: No S3 objects found under S3 URL "s3://b/in/"')
    assert "The image of the primary container does not exist here." in image["FailureReason"]


def test_a_chain_of_containers_and_a_listing(tmp_path: Path) -> None:
    def shouts(run: object, request: object) -> Response:
        return Response(200, [(b"content-type", b"text/csv")], request.body.upper())  # type: ignore[attr-defined]

    last = Asked()
    plane = open_plane(tmp_path, {"first": shouts, "last": last})
    make_model(plane, "chain", {"Image": "first"}, {"Image": "last"})
    try:
        put(plane, "s3://b/in/a", b"a\nb\n")
        job = transform(plane, request("chain"))
        last.answer = lambda body: (415, b"no such type")
        failed = transform(plane, request("chain", "again"))

        assert job["TransformJobStatus"] == "Completed", job
        assert outputs(plane) == {"a.out": b"A\nB\n"}
        assert "ClientError: 415 from container-2" in failed["FailureReason"]
        found = list_transform_jobs(plane, {"SortBy": "Name", "SortOrder": "Ascending"})["TransformJobSummaries"]
        assert [(job["TransformJobName"], job["TransformJobStatus"]) for job in found] == [
            ("again", "Failed"),
            ("job", "Completed"),
        ]
    finally:
        close_plane(plane)
