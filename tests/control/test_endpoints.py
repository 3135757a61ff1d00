"""Endpoints on the fake driver: operations, states, failures."""

from __future__ import annotations

import io
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from endpoint_lab import (
    QUICK,
    a_config,
    an_archive,
    answers_with_its_name,
    close_plane,
    create,
    delete,
    describe,
    events,
    gate,
    in_service,
    invoke,
    nothing_is_left,
    open_plane,
    poll,
    refusal,
    settle,
    statuses,
)

from seaproof.control import endpoints
from seaproof.control.plane import Plane
from seaproof.control.recovery import delete_settled
from seaproof.control.store import Store
from seaproof.drivers.fake import FakeDriver, Program, Run
from seaproof.errors import ServiceError
from seaproof.storage.storage import Address


def test_an_endpoint_is_created_invoked_and_deleted(plane: Plane):
    found = in_service(plane, a_config(plane))

    response = invoke(plane, b"1,2", content_type="text/csv")

    assert found["EndpointArn"] == "arn:aws:sagemaker:us-east-1:000000000000:endpoint/e"
    assert [key for key in found if key.startswith("_")] == []
    assert (response.status, response.body) == (200, b"1,2")
    assert response.headers == [(b"Content-Type", b"text/csv"), (b"x-Amzn-Invoked-Production-Variant", b"v0")]
    delete(plane)
    assert nothing_is_left(plane)
    assert statuses(plane) == ["Creating", "InService", "Deleting", "Deleted"]
    with pytest.raises(ServiceError, match="Endpoint e of account 000000000000 not found"):
        invoke(plane)


class Held(Store):
    """Holds whoever has just made the name of an endpoint free, until it may go on."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.go_on = threading.Event()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """See Store.transaction."""
        with super().transaction() as db:
            yield db
        if (
            threading.current_thread().name == "delete e"
            and not db.in_transaction
            and self.get("endpoint", "e") is None
        ):
            self.go_on.wait(20)


def test_a_name_that_is_taken_in_the_moment_in_which_it_is_free_is_another_endpoint(tmp_path: Path):
    store = Held(tmp_path / "seaproof.db")
    first = open_plane(tmp_path / "state")
    first.store.close()
    plane = replace(first, store=store)
    try:
        in_service(plane, a_config(plane))
        delete(plane)
        in_service(plane, a_config(plane))
        store.go_on.set()
        poll(lambda: not any(thread.name == "delete e" for thread in list(plane.threads)))

        assert invoke(plane, b"1").body == b"1"
        assert describe(plane)["ProductionVariants"][0]["CurrentInstanceCount"] == 1
        delete(plane)
        assert nothing_is_left(plane)
    finally:
        store.go_on.set()
        close_plane(plane)


def test_an_endpoint_that_took_the_name_of_one_that_was_held_is_not_deleted_in_its_place(plane: Plane):
    held = in_service(plane, a_config(plane))["CreationTime"]
    delete(plane)
    other = in_service(plane, a_config(plane))["CreationTime"]

    delete_settled(plane, "e", held)
    assert describe(plane)["EndpointStatus"] == "InService"

    delete_settled(plane, "e", other)
    poll(lambda: plane.store.get("endpoint", "e") is None)


def test_describe_shows_variants_as_the_platform_does(plane: Plane):
    config = a_config(plane, {"InitialVariantWeight": 3.0, "InitialInstanceCount": 2}, {"InitialVariantWeight": 1.0})

    found = in_service(plane, config)

    first = found["ProductionVariants"][0]
    resolved = first["DeployedImages"][0].pop("ResolutionTime")
    assert isinstance(resolved, float)
    assert first == {
        "VariantName": "v0",
        "DeployedImages": [{"SpecifiedImage": "fake:serve", "ResolvedImage": "fake:serve"}],
        "CurrentWeight": 3.0,
        "DesiredWeight": 3.0,
        "CurrentInstanceCount": 2,
        "DesiredInstanceCount": 2,
    }
    assert found["EndpointConfigName"] == config
    assert found["CreationTime"] <= found["LastModifiedTime"]


def test_model_data_lies_unpacked_in_opt_ml_model(plane: Plane):
    plane.storage.write(Address("b", "m/model.tar.gz"), an_archive(**{"weights.bin": "1", "code/inference.py": "2"}))

    in_service(plane, a_config(plane, Image="shows", ModelDataUrl="s3://b/m/model.tar.gz"))

    assert invoke(plane).body == b"code,inference.py,weights.bin"


def test_a_container_gets_serve_and_its_environment_and_nothing_more(plane: Plane):
    in_service(plane, a_config(plane, Image="fake:serve,report", Environment={"A": "1"}))

    report = next((plane.folder / "workloads").glob("*/output/report.json")).read_text()

    assert report == '{"environment": {"A": "1"}, "arguments": ["serve"]}'


def test_an_endpoint_in_progress_refuses_update_and_delete(plane: Plane):
    config = a_config(plane, Image="gated")
    create(plane, config)

    for error in (
        refusal(endpoints.delete_endpoint, plane, EndpointName="e"),
        refusal(endpoints.update_endpoint, plane, EndpointName="e", EndpointConfigName=config),
    ):
        assert error.message == (
            'Cannot update in-progress endpoint "arn:aws:sagemaker:us-east-1:000000000000:endpoint/e".'
        )
    assert describe(plane)["ProductionVariants"][0]["VariantStatus"][0]["Status"] == "Creating"
    gate(plane.folder).touch()
    assert settle(plane)["EndpointStatus"] == "InService"


def test_what_is_missing_or_taken_is_refused_in_the_words_that_clients_look_for(plane: Plane):
    config = a_config(plane)
    in_service(plane, config)

    taken = refusal(endpoints.create_endpoint, plane, EndpointName="e", EndpointConfigName=config)
    missing = refusal(endpoints.describe_endpoint, plane, EndpointName="x")
    no_config = refusal(endpoints.create_endpoint, plane, EndpointName="y", EndpointConfigName="none")

    assert taken.message.startswith("Cannot create already existing endpoint")
    assert missing.message.startswith("Could not find endpoint ")
    assert no_config.message.startswith("Could not find endpoint configuration ")


def test_endpoints_are_listed(plane: Plane):
    for name in ("a", "b"):
        in_service(plane, a_config(plane), name)

    found = endpoints.list_endpoints(plane, {"NameContains": "b"})

    assert [(e["EndpointName"], e["EndpointStatus"]) for e in found["Endpoints"]] == [("b", "InService")]


NEVER_HEARD_OF = [
    "logs for this endpoint. Here that is: seaproof endpoints logs e.",
    "within 0.3 s",
    "refused",
    "either it has not finished loading",
    "on port 8080 of all interfaces ($SAGEMAKER_BIND_TO_PORT where that is set)",
]


@pytest.mark.parametrize(
    ("image", "settings", "expected"),
    [
        (
            "fake:say=no module named x,exit=3,after=0.1",
            {},
            [
                "did not pass the ping health check. Please check CloudWatch logs for this endpoint. Here",
                "ended before it answered /ping: exit code 3",
                "no module named x",
            ],
        ),
        ("fake:out_of_memory,after=0.1", {}, ["exit code 137, out of memory"]),
        ("fake:never_ready", {"startup_timeout": 0.3}, NEVER_HEARD_OF),
        ("fake:serve,ping=404", {"startup_timeout": 0.3}, ["GET /ping gave: ", " x 404", "has no route /ping"]),
        ("fake:serve,ping=502", {"startup_timeout": 0.3}, [" x 502", "the server behind it does not"]),
        ("fake:missing", {}, ["image of the primary container for production variant v0 does not exist"]),
        ("fake:start_fails", {}, ["could not be started"]),
    ],
)
def test_a_container_that_does_not_become_ready_fails_the_endpoint_with_the_cause(
    tmp_path: Path, image: str, settings: dict[str, float], expected: list[str]
):
    plane = open_plane(tmp_path / "state", replace(QUICK, **settings))
    try:
        patient = {"ContainerStartupHealthCheckTimeoutInSeconds": 60}
        create(plane, a_config(plane, patient, {"Image": image}))
        found = settle(plane)

        assert found["EndpointStatus"] == "Failed"
        assert "ProductionVariants" not in found
        for text in expected:
            assert text.replace("v0", "v1") in found["FailureReason"]
        assert nothing_is_left(plane)
        assert "died-before-ready" in [event["type"] for event in events(plane)]
        with pytest.raises(ServiceError, match="not found"):
            invoke(plane)
        refusal(endpoints.update_endpoint, plane, EndpointName="e", EndpointConfigName=a_config(plane))
        delete(plane)
    finally:
        close_plane(plane)


def test_a_failure_reason_has_at_most_1024_characters_and_the_event_has_all(plane: Plane):
    create(plane, a_config(plane, Image=f"fake:say={'first words ' + 'x' * 1500},exit=1"))

    found = settle(plane)

    assert len(found["FailureReason"]) == 1024
    event = events(plane, "died-before-ready")[0]
    assert len(event["message"]) > 1024
    assert "first words" in event["message"]
    assert "first words" not in found["FailureReason"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"this is no archive", "Failed to extract model data archive"),
        (an_archive(a="1" * 5000).getvalue()[:60], "Failed to extract model data archive"),
        (None, "Failed to download model data"),
    ],
    ids=["no archive", "half an archive", "nothing"],  # an archive holds its time, and workers name tests alike
)
def test_model_data_that_cannot_be_used_fails_the_endpoint(plane: Plane, content: bytes | None, expected: str):
    if content is not None:
        plane.storage.write(Address("b", "model.tar.gz"), io.BytesIO(content))
    create(plane, a_config(plane, ModelDataUrl="s3://b/model.tar.gz"))

    found = settle(plane)

    assert found["EndpointStatus"] == "Failed"
    assert found["FailureReason"].startswith(f'{expected} for container "primary" from URL: "s3://b/model.tar.gz".')
    assert nothing_is_left(plane)


def test_a_download_that_takes_longer_than_the_variant_allows_fails_the_endpoint(plane: Plane):
    plane.storage.write(Address("b", "model.tar.gz"), an_archive(a="1"))
    config = a_config(plane, {"ModelDataDownloadTimeoutInSeconds": 0}, ModelDataUrl="s3://b/model.tar.gz")
    create(plane, config)

    assert "longer than 0 seconds" in settle(plane)["FailureReason"]


def test_a_container_that_dies_after_ready_is_replaced_and_the_others_serve_on(plane: Plane):
    in_service(plane, a_config(plane, {"InitialInstanceCount": 2}))
    first = plane.driver.recover()[0]
    plane.driver.stop(first, 0)

    for _ in range(20):
        assert invoke(plane).status == 200
    poll(
        lambda: (
            describe(plane)["ProductionVariants"][0]["CurrentInstanceCount"] == 2 and events(plane, "died-after-ready")
        )
    )

    assert first.name not in {handle.name for handle in plane.driver.recover()}
    assert describe(plane)["EndpointStatus"] == "InService"
    assert len(plane.driver.recover()) == 2


def test_a_container_that_no_longer_answers_its_pings_is_replaced(tmp_path: Path):
    sick = threading.Event()
    driver = FakeDriver(
        tmp_path / "state",
        {"sick": Program(serve=answers_with_its_name, ping=lambda run: 500 if sick.is_set() else 200)},
    )
    plane = replace(open_plane(tmp_path / "state"), driver=driver)
    try:
        in_service(plane, a_config(plane, Image="sick"))
        first = plane.driver.recover()[0]
        sick.set()
        poll(lambda: events(plane, "unhealthy"))
        sick.clear()
        poll(lambda: describe(plane)["ProductionVariants"][0]["CurrentInstanceCount"] == 1)

        assert "3 x 500" in events(plane, "unhealthy")[0]["message"]
        assert first.name not in {handle.name for handle in plane.driver.recover()}
    finally:
        close_plane(plane)


def test_while_no_container_lives_the_endpoint_is_unavailable_and_comes_back(plane: Plane):
    gate(plane.folder).touch()
    in_service(plane, a_config(plane, Image="gated"))
    first = plane.driver.recover()[0]
    gate(plane.folder).unlink()
    plane.driver.stop(first, 0)

    poll(lambda: describe(plane)["ProductionVariants"][0]["CurrentInstanceCount"] == 0)
    with pytest.raises(ServiceError) as caught:
        invoke(plane)
    assert (caught.value.code, caught.value.status) == ("ServiceUnavailable", 503)
    gate(plane.folder).touch()
    poll(lambda: describe(plane)["ProductionVariants"][0]["CurrentInstanceCount"] == 1)
    assert invoke(plane).status == 200


def test_what_cannot_be_run_here_is_refused_by_name(plane: Plane):
    config = a_config(plane, {"ManagedInstanceScaling": {"Status": "ENABLED"}})

    error = refusal(endpoints.create_endpoint, plane, EndpointName="e", EndpointConfigName=config)

    assert error.message == "ManagedInstanceScaling of production variant v0 is not supported by seaproof yet."


def test_the_log_of_each_instance_is_kept_also_after_the_endpoint_is_gone(plane: Plane):
    in_service(plane, a_config(plane, {"InitialInstanceCount": 2}, Image="fake:serve,say=hello"))
    delete(plane)

    def logs() -> list[str]:
        return [path.read_text() for path in (plane.folder / "logs" / "Endpoints" / "e").glob("v0-i-0*.log")]

    assert poll(lambda: logs() == ["hello\n", "hello\n"])


def test_a_workload_is_what_the_platform_runs(tmp_path: Path):
    runs: list[Run] = []

    def ping(run: Run) -> int:
        runs.append(run)
        return 200

    folder = tmp_path / "state"
    plane = open_plane(folder, replace(QUICK, memory=512), FakeDriver(folder, {"seen": Program(ping=ping)}))
    try:
        config = a_config(plane, Image="seen", Environment={"A": "1"}, ContainerHostname="box")
        plane.store.update("model", f"{config}-model-0", lambda body: body.update(EnableNetworkIsolation=True))
        in_service(plane, config)
        workload = runs[0].workload
    finally:
        close_plane(plane)

    assert (workload.arguments, workload.port, workload.read_only) == (("serve",), 8080, ("model",))
    assert (workload.entrypoint, dict(workload.environment)) == (None, {"A": "1"})
    assert (workload.isolated, workload.hostname, workload.memory) == (True, "box", 512 * 1024 * 1024)
    assert workload.opt_ml == folder / "workloads" / workload.name


def test_an_uncompressed_prefix_is_copied_into_opt_ml_model(plane: Plane):
    for key in ("m/a.bin", "m/sub/b.bin", "other/c.bin"):
        plane.storage.write(Address("b", key), io.BytesIO(b"1"))
    source = {"S3DataSource": {"S3Uri": "s3://b/m/", "S3DataType": "S3Prefix", "CompressionType": "None"}}

    in_service(plane, a_config(plane, Image="shows", ModelDataSource=source))

    assert invoke(plane).body == b"a.bin,b.bin,sub"
