"""What goes wrong in a transform job: disks, records, models; nothing is written half and nothing is lost."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transform_lab import (
    MIB,
    Asked,
    Lab,
    close_plane,
    get,
    log,
    make_model,
    open_plane,
    outputs,
    put,
    request,
    transform,
)

from seaproof.control.transform_jobs import create_transform_job
from seaproof.drivers.fake import Run
from seaproof.errors import ServiceError
from seaproof.http.message import Request, Response


def test_a_full_disk_fails_the_object_with_nothing_stored_and_the_job_goes_on_where_it_was(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a tmpfs; CI runs this test")
    folder = tmp_path / "state" / "transforms"
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=True)
    asked = Asked()
    plane = open_plane(tmp_path, {"m": asked})
    data = b"".join(b"%07d\n" % number for number in range(6 * MIB // 8))
    try:
        put(plane, "s3://b/in/a", data)
        failed = transform(plane, request("m", "one", MaxPayloadInMB=1))
        stored = outputs(plane)
        subprocess.run(["mount", "-o", "remount,size=64m", folder], check=True)
        sent = len(asked.requests)
        done = transform(plane, request("m", "two", MaxPayloadInMB=1, options={"resume": "one"}))

        assert failed["FailureReason"].startswith("InternalServerError: See job logs for more information. s3://b/in/a")
        assert "No space left on device" in failed["FailureReason"]
        assert "seaproof transform --resume one" in failed["FailureReason"]
        assert stored == {}
        assert done["TransformJobStatus"] == "Completed", done
        assert get(plane, "s3://b/out/a.out") == data
        assert 0 < len(asked.requests) - sent < 6
    finally:
        close_plane(plane)
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_failed_job_is_gone_on_with_and_what_was_done_is_not_asked_again(lab: Lab) -> None:
    plane, asked = lab
    lines = [b"%d\n" % number for number in range(30)]
    asked.answer = lambda body: (400, b"thirteen") if body == b"13\n" else body
    put(plane, "s3://b/in/a", b"".join(lines))
    put(plane, "s3://b/in/b", b"fine\n")

    transform(plane, request("m", "one", BatchStrategy="SingleRecord"))
    asked.answer = lambda body: body
    asked.requests.clear()
    transform(plane, request("m", "two", BatchStrategy="SingleRecord", options={"resume": "one"}))

    assert outputs(plane) == {"a.out": b"".join(lines), "b.out": b"fine\n"}
    assert b"13\n" in asked.bodies
    assert b"12\n" not in asked.bodies
    assert b"fine\n" not in asked.bodies


def test_what_a_failed_job_has_done_is_kept_until_nobody_can_or_needs_to_go_on_with_it(lab: Lab) -> None:
    plane, asked = lab
    folder = plane.folder / "transforms"
    asked.answer = lambda body: (400, b"no") if body == b"3\n" else body
    put(plane, "s3://b/in/a", b"1\n2\n3\n")
    put(plane, "s3://b/three/a", b"3\n")
    single = {"BatchStrategy": "SingleRecord"}
    three = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/three/"}}

    transform(plane, request("m", "begun", **single))
    transform(plane, request("m", "nothing-done", TransformInput={"DataSource": three}, **single))
    after_failures = sorted(path.name for path in folder.iterdir())
    transform(plane, request("m", "resumed", options={"resume": "begun"}, **single))
    after_resume = sorted(path.name for path in folder.iterdir())
    asked.answer = lambda body: body
    transform(plane, request("m", "anew", **single))

    assert after_failures == ["begun"]
    assert after_resume == ["resumed"]
    assert outputs(plane) == {"a.out": b"1\n2\n3\n"}
    assert not list(folder.iterdir())


def test_what_nobody_goes_on_with_is_removed_after_a_while(tmp_path: Path) -> None:
    asked = Asked(lambda body: (400, b"no") if body == b"3\n" else body)
    plane = open_plane(tmp_path, {"m": asked}, keep_unfinished=0.0)
    try:
        put(plane, "s3://b/in/a", b"1\n2\n3\n")
        transform(plane, request("m", "one", BatchStrategy="SingleRecord"))
        asked.answer = lambda body: body
        asked.requests.clear()
        done = transform(plane, request("m", "two", BatchStrategy="SingleRecord", options={"resume": "one"}))

        assert done["TransformJobStatus"] == "Completed"
        assert asked.bodies == [b"1\n", b"2\n", b"3\n"]
        assert not list((plane.folder / "transforms").iterdir())
    finally:
        close_plane(plane)


def test_an_input_that_changed_since_is_done_from_its_beginning(lab: Lab) -> None:
    plane, asked = lab
    asked.answer = lambda body: (400, b"") if body == b"3\n" else body
    put(plane, "s3://b/in/a", b"1\n2\n3\n")
    transform(plane, request("m", "one", BatchStrategy="SingleRecord"))

    put(plane, "s3://b/in/a", b"7\n8\n9\n10\n")
    transform(plane, request("m", "two", BatchStrategy="SingleRecord", options={"resume": "one"}))

    assert outputs(plane) == {"a.out": b"7\n8\n9\n10\n"}


def test_with_quarantine_good_records_keep_their_order_and_bad_ones_their_line_numbers(lab: Lab) -> None:
    plane, asked = lab
    asked.answer = lambda body: (400, b"no") if b"bad" in body else body
    lines = [b"bad %d\n" % n if n in (0, 5, 6, 77, 199) else b"%d\n" % n for n in range(200)]
    put(plane, "s3://b/in/a", b"".join(lines))
    options = {"quarantine": "true"}

    job = transform(plane, request("m", options=options, MaxConcurrentTransforms=3, MaxPayloadInMB=1))

    found = outputs(plane)
    assert job["TransformJobStatus"] == "Completed"
    assert found["a.out"] == b"".join(line for line in lines if b"bad" not in line)
    aside = [json.loads(line) for line in found["a.quarantine.jsonl"].splitlines()]
    assert [entry["line"] for entry in aside] == [1, 6, 7, 78, 200]
    assert aside[0] == {"line": 1, "reason": "ClientError: 400: no", "record": "bad 0\n"}


def test_records_over_the_limit_and_records_that_a_filter_does_not_fit_are_put_aside_too(lab: Lab) -> None:
    plane, _ = lab
    put(plane, "s3://b/in/a", b"1,2\n" + b"x" * (MIB + 1) + b"\nonly one\n3,4\n")
    options = {"quarantine": "true"}
    given = request("m", options=options, MaxPayloadInMB=1, DataProcessing={"InputFilter": "$[1]"})

    transform(plane, given)

    found = outputs(plane)
    assert found["a.out"] == b"2\n4\n"
    aside = [json.loads(line) for line in found["a.quarantine.jsonl"].splitlines()]
    assert [(entry["line"], entry["reason"][:30]) for entry in aside] == [
        (2, "a record of 1,048,578 bytes is"),
        (3, "there is no column 1: it has 1"),
    ]


def test_with_quarantine_a_row_that_is_taken_for_a_header_is_put_aside_and_not_lost(lab: Lab) -> None:
    plane, asked = lab

    def answer(body: bytes) -> bytes | tuple[int, bytes]:
        first, *others = body.splitlines(keepends=True)
        given = others if first.startswith(b"x") else [first, *others]
        return (400, b"no") if any(not line.strip().isdigit() for line in given) else b"".join(given)

    asked.answer = answer
    lines = [b"%d\n" % number for number in range(40)]
    lines[7], lines[20] = b"x,y\n", b"bad\n"
    put(plane, "s3://b/in/a", b"".join(lines))

    transform(plane, request("m", options={"quarantine": "true"}))

    found = outputs(plane)
    aside = [json.loads(line) for line in found["a.quarantine.jsonl"].splitlines()]
    assert [(entry["line"], entry["reason"]) for entry in aside] == [
        (8, "the container answered 0 lines to 1 record"),
        (21, "ClientError: 400: no"),
    ]
    assert found["a.out"] == b"".join(line for line in lines if line.strip().isdigit())


def test_with_quarantine_a_container_that_answers_nothing_fails_the_object_soon(lab: Lab) -> None:
    plane, asked = lab
    asked.answer = lambda body: (500, b"boom")
    put(plane, "s3://b/in/a", b"".join(b"%d\n" % number for number in range(1100)))

    job = transform(plane, request("m", options={"quarantine": "true"}, ModelClientConfig={"InvocationsMaxRetries": 1}))

    assert "10 records in a row fail, and 10 others of the request: it is the container" in job["FailureReason"]
    assert len(asked.requests) < 70
    assert outputs(plane) == {}


def test_with_quarantine_bad_records_at_the_beginning_are_no_broken_container(lab: Lab) -> None:
    plane, asked = lab
    asked.answer = lambda body: (400, b"no") if b"bad" in body else body
    lines = [b"bad %d\n" % n if n < 12 else b"%d\n" % n for n in range(200)]
    put(plane, "s3://b/in/a", b"".join(lines))

    transform(plane, request("m", options={"quarantine": "true"}))

    found = outputs(plane)
    assert found["a.out"] == b"".join(lines[12:])
    assert found["a.quarantine.jsonl"].count(b"\n") == 12


def test_a_job_with_other_options_of_what_the_output_is_cannot_take_over(lab: Lab) -> None:
    plane, asked = lab
    asked.answer = lambda body: (400, b"no") if body == b"3\n" else body
    put(plane, "s3://b/in/a", b"1\n2\n3\n")
    transform(plane, request("m", "one", BatchStrategy="SingleRecord"))

    other = {"resume": "one", "repeat-header": "true", "quarantine": "true"}
    with pytest.raises(ServiceError, match="one cannot be resumed: seaproof:repeat-header differ from that job's"):
        create_transform_job(plane, request("m", "two", BatchStrategy="SingleRecord", options=other))

    assert plane.store.get("transform-job", "two") is None


def test_with_more_bad_records_than_exceptions_the_object_fails(lab: Lab) -> None:
    plane, asked = lab
    asked.answer = lambda body: (400, b"no")
    put(plane, "s3://b/in/a", b"".join(b"%d\n" % number for number in range(1100)))
    given = request("m", options={"quarantine": "true"}, BatchStrategy="SingleRecord", MaxConcurrentTransforms=8)

    job = transform(plane, given | {"MaxPayloadInMB": 1})

    assert "more than 1,000 of its records failed" in job["FailureReason"]
    assert outputs(plane) == {}


def test_a_repeated_header_is_sent_with_each_payload_and_is_not_in_the_output(lab: Lab) -> None:
    plane, asked = lab
    asked.answer = lambda body: body  # a container that gives the header back
    rows = [b"%07d,%07d\n" % (number, number) for number in range(3 * MIB // 16)]
    put(plane, "s3://b/in/a", b"left,right\n" + b"".join(rows))

    transform(plane, request("m", options={"repeat-header": "true"}, MaxPayloadInMB=1))

    assert len(asked.requests) == 4
    assert all(body.startswith(b"left,right\n0") and len(body) <= MIB for body in asked.bodies)
    assert get(plane, "s3://b/out/a.out") == b"".join(rows)


def test_a_quoted_line_end_ends_neither_a_header_nor_a_record(lab: Lab) -> None:
    plane, asked = lab
    asked.answer = lambda body: (400, b"no") if b"bad" in body else body
    header, rows = b'"left\nside",right\n', [b'"%d\n",%d\n' % (number, number) for number in range(8)]
    rows[5] = b'"bad\n",5\n'
    put(plane, "s3://b/in/a", header + b"".join(rows))
    options = {"repeat-header": "true", "quoted-newlines": "true", "quarantine": "true"}

    job = transform(plane, request("m", options=options, MaxPayloadInMB=1))

    found = outputs(plane)
    assert job["TransformJobStatus"] == "Completed", job
    assert found["a.out"] == b"".join(row for row in rows if b"bad" not in row)
    assert json.loads(found["a.quarantine.jsonl"])["record"] == '"bad\n",5\n'
    assert "b/in/a: done: 8 records" in log(plane)


def test_requests_of_one_object_are_spread_over_instances_and_stay_in_order(lab: Lab) -> None:
    plane, asked = lab
    places = set()

    def serve(run: Run, given: Request) -> Response:
        places.add(run.workload.name)
        return asked(run, given)

    plane.driver.add("places", type(plane.driver._programs["m"])(serve=serve))  # type: ignore[attr-defined]
    make_model(plane, "places", {"Image": "places"})
    lines = [b"%d\n" % number for number in range(60)]
    put(plane, "s3://b/in/a", b"".join(lines))
    three = {"InstanceCount": 3}

    transform(
        plane, request("places", options={"spread": "true"}, BatchStrategy="SingleRecord", TransformResources=three)
    )

    assert get(plane, "s3://b/out/a.out") == b"".join(lines)
    assert len(places) == 3


def test_one_model_of_a_multi_model_container_is_loaded_and_asked(tmp_path: Path) -> None:
    seen: list[str] = []

    def serve(run: Run, given: Request) -> Response:
        seen.append(f"{given.method} {given.path}")
        if given.path == "/models":
            return Response(200, [], b"{}")
        if given.path.endswith("/invoke"):
            return Response(200, [(b"content-type", b"text/csv")], given.body.upper())
        return Response(404, [], b"")

    plane = open_plane(tmp_path, {"many": serve})
    try:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            tar.addfile(tarfile.TarInfo("weights"))
        put(plane, "s3://b/models/one.tar.gz", buffer.getvalue())
        make_model(plane, "mme", {"Image": "many", "Mode": "MultiModel", "ModelDataUrl": "s3://b/models/"})
        put(plane, "s3://b/in/a", b"row\n")

        job = transform(plane, request("mme", options={"target-model": "one.tar.gz"}))
        missing = transform(plane, request("mme", "two", options={"target-model": "two.tar.gz"}))

        assert job["TransformJobStatus"] == "Completed", job
        assert outputs(plane) == {"a.out": b"ROW\n"}
        assert "POST /models" in seen
        assert missing["TransformJobStatus"] == "Failed"
        assert "two.tar.gz" in missing["FailureReason"]
        with pytest.raises(ServiceError, match="seaproof:target-model says which model is asked"):
            create_transform_job(plane, request("mme", "three"))
    finally:
        close_plane(plane)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"MaxPayloadInMB": 101}, "MaxPayloadInMB is 101; it can be at most 100"),
        ({"MaxPayloadInMB": 20, "MaxConcurrentTransforms": 6}, "must not exceed 100: 6 * 20 = 120"),
        ({"TransformResources": {"InstanceCount": 101}}, "can be at most 100"),
        ({"DataProcessing": {"InputFilter": "id"}}, "DataProcessing.InputFilter: 'id' cannot be read at character 1"),
        ({"DataProcessing": {"JoinSource": "Input"}, "TransformOutput": {"Accept": "application/json"}}, "same format"),
        ({"DataProcessing": {"JoinSource": "Input"}, "TransformOutput": {"AssembleWith": "None"}}, "what SplitType is"),
        (
            {"DataProcessing": {"InputFilter": "$[0]"}, "TransformInput": {"ContentType": "image/png"}},
            "does not know TransformInput.ContentType 'image/png'",
        ),
        ({"TransformInput": {"SplitType": "None"}, "options": {"quarantine": "true"}}, "needs SplitType Line"),
        ({"options": {"repeat-headers": "true"}}, "There is no option seaproof:repeat-headers. Options are: seaproof:"),
        ({"options": {"engine": "spark"}}, "it can be threads or ray"),
        ({"options": {"resume": "never"}}, "never cannot be resumed: there is no such job"),
        ({"options": {"target-model": "x"}}, "has no multi-model container"),
        ({"model": "nothing"}, 'Could not find model "arn:aws:sagemaker'),
        ({"DataCaptureConfig": {"DestinationS3Uri": "s3://b/c"}}, "does not have this field of CreateTransformJob"),
        ({"TransformOutput": {"S3OutputPath": "https://b/out"}}, "is no s3:// address"),
    ],
)
def test_what_cannot_be_run_is_refused_when_it_is_asked_for(lab: Lab, more: dict[str, object], said: str) -> None:
    plane, _ = lab
    model = str(more.pop("model", "m"))

    with pytest.raises(ServiceError) as caught:
        create_transform_job(plane, request(model, **more))  # type: ignore[arg-type]

    assert caught.value.code == "ValidationException"
    assert said in caught.value.message
    assert plane.store.get("transform-job", "job") is None


def test_a_name_is_taken_once(lab: Lab) -> None:
    plane, _ = lab
    put(plane, "s3://b/in/a", b"1\n")
    transform(plane, request("m"))

    with pytest.raises(ServiceError, match="Job name must be unique") as caught:
        create_transform_job(plane, request("m"))

    assert caught.value.code == "ResourceInUse"


@settings(
    deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    rows=st.lists(st.text(alphabet="ab1 ", max_size=8), min_size=1, max_size=40),
    concurrent=st.integers(1, 8),
    single=st.booleans(),
    join=st.booleans(),
    fails=st.integers(0, 3),
)
def test_order_and_count_survive_any_concurrency_join_and_failures(
    lab: Lab, rows: list[str], concurrent: int, single: bool, join: bool, fails: int
) -> None:
    plane, asked = lab
    left = [fails]

    def answer(body: bytes) -> bytes | tuple[int, bytes]:
        if left[0]:
            left[0] -= 1
            return 500, b"not now"
        return b"".join(b"%d\n" % len(line) for line in body.splitlines())

    asked.answer = answer
    name = f"job-{len(asked.requests)}-{len(plane.store.records('transform-job'))}"
    text = "".join(f"{row},end\n" for row in rows)
    put(plane, "s3://b/in/a", text.encode())
    processing = {"JoinSource": "Input"} if join else {}
    strategy = "SingleRecord" if single else "MultiRecord"

    job = transform(
        plane,
        request(
            "m",
            name,
            MaxConcurrentTransforms=concurrent,
            MaxPayloadInMB=1,
            BatchStrategy=strategy,
            DataProcessing=processing,
        ),
    )

    lines = [f"{row},end" for row in rows]
    expected = [f"{line},{len(line)}" if join else str(len(line)) for line in lines]
    assert job["TransformJobStatus"] == "Completed", log(plane, name)
    assert get(plane, "s3://b/out/a.out").decode().splitlines() == expected
