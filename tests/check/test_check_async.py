"""Checks of asynchronous inference, each with its bad example."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from containers import INVOKE, causes, folder, outcome, prove, server

from seaproof.check.check import FAILED, NOT_APPLICABLE, PASSED, UNCHECKED, WARNED

MIB = 1024 * 1024


def found(root: Path, id: str, program: str, **options: object) -> tuple[str, str]:
    folder(root, serve=program)
    report = prove(root, id, **{"roles": ("async",), "async_body": 40 * MIB, **options})
    return outcome(report, id), causes(report, id)


@pytest.mark.bad("SP140")
@pytest.mark.good("SP140")
def test_a_large_object_that_is_not_taken_is_found(tmp_path: Path):
    large = 'int(self.headers["Content-Length"]) > 30 << 20'
    small = server(invoke=f"if {large}: return self.answer(413)\n        " + INVOKE)
    hangs = server(invoke=f"if {large}: os._exit(3)\n        " + INVOKE)
    hungry = server(invoke="kept = b'x' * 2 * len(body); " + INVOKE)

    assert found(tmp_path, "SP140", small) == (FAILED, "a body of 41,943,040 bytes is refused with 413")
    assert found(tmp_path, "SP140", hangs) == (FAILED, "a body of 41,943,040 bytes ends the container")
    assert found(tmp_path, "SP140", hungry, memory=90 * MIB)[0] == WARNED  # the instance type has more
    assert found(tmp_path, "SP140", server())[0] == PASSED


@pytest.mark.bad("SP141")
@pytest.mark.good("SP141")
def test_what_gives_up_before_an_asynchronous_invocation_may_end_is_found(tmp_path: Path):
    serve = "#!/bin/sh\nexec gunicorn --timeout 65 -b 0.0.0.0:8080 app:app\n"

    assert "after 65 s, and 900 s are waited for" in found(tmp_path, "SP141", serve, fast=True)[1]
    assert found(tmp_path, "SP141", serve.replace("65", "3600"), fast=True)[0] == PASSED
    assert found(tmp_path, "SP141", server(), fast=True)[0] == NOT_APPLICABLE


def project(root: Path, **config: object) -> Path:
    """A project whose endpoint's configuration is asynchronous."""
    variant = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    output = {"S3OutputPath": "s3://b/o", "S3FailurePath": "s3://b/f"}
    given = {
        "EndpointConfigName": "e",
        "ProductionVariants": [variant],
        "AsyncInferenceConfig": {"OutputConfig": output, "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 6}},
        **config,
    }
    root.mkdir(parents=True, exist_ok=True)
    (root / "CreateEndpointConfig.json").write_text(json.dumps(given))
    (root / "seaproof.toml").write_text(
        '[project]\nimage = "it"\n[images.it]\nfolder = "."\n[check]\nrequests = ["CreateEndpointConfig.json"]\n'
    )
    return root


@pytest.mark.bad("SP142")
@pytest.mark.good("SP142")
def test_as_many_at_once_as_the_configuration_names_are_sent(tmp_path: Path):
    fragile = server(
        start="busy = threading.Semaphore(3)",
        invoke="if not busy.acquire(blocking=False): return self.answer(500, b'busy')\n"
        "        time.sleep(1); busy.release()\n        " + INVOKE,
    )

    state, told = found(project(tmp_path), "SP142", fragile)
    assert (state, "of 6 invocations at once" in told) == (FAILED, True)
    assert found(tmp_path, "SP142", server())[0] == PASSED
    assert found(tmp_path / "bare", "SP142", server())[0] == NOT_APPLICABLE


@pytest.mark.bad("SP143")
@pytest.mark.good("SP143")
def test_a_configuration_that_is_refused_is_told(tmp_path: Path):
    shadow = project(tmp_path / "a", ShadowProductionVariants=[{}]) / "CreateEndpointConfig.json"
    silent = {"OutputConfig": {"S3OutputPath": "s3://b/o"}}
    quiet = project(tmp_path / "b", AsyncInferenceConfig=silent) / "CreateEndpointConfig.json"
    good = project(tmp_path / "c") / "CreateEndpointConfig.json"

    assert causes(prove(shadow, "SP143"), "SP143") == "AsyncInferenceConfig does not go with shadow variants"
    assert "nobody is told where the error" in causes(prove(quiet, "SP143"), "SP143")
    assert outcome(prove(good, "SP143"), "SP143") == PASSED


def test_the_role_is_seen_from_the_configuration(tmp_path: Path):
    folder(project(tmp_path), serve=server())

    assert "async" in prove(tmp_path, "SP141", fast=True).roles
    assert UNCHECKED not in {r.outcome for r in prove(tmp_path, "SP143", fast=True).results}
