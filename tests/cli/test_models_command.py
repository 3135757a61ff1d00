"""`seaproof models` and `models simulate` as a user runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SEAPROOF = [sys.executable, "-m", "seaproof.cli"]
PNG = b"\x89PNG\r\n\x1a\n"
CONTAINER = Path(__file__).parent.parent / "invocations" / "model_container.py"


def run(folder, *args, check=True, **environ):
    done = subprocess.run(
        [*SEAPROOF, *args],
        cwd=folder,
        env={**os.environ, "SEAPROOF_DRIVER": "process", "SEAPROOF_PORT": "0", **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr
    if check:
        assert done.returncode == 0, done.stderr
    return done


def a_trace(folder, *rows):
    path = folder / "trace.csv"
    path.write_text("\n".join(rows) + "\n")
    return path.name


def size_of(picture):
    """Width and height of a PNG."""
    data = picture.read_bytes()
    assert data.startswith(PNG)
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def test_a_trace_without_sizes_is_drawn_against_a_number_of_models(tmp_path):
    trace = a_trace(tmp_path, "time,model", *(f"{n},m{n % 3}" for n in range(30)))

    done = run(tmp_path, "models", "simulate", trace, "--memory", "2", "-o", "a.png")

    assert done.stdout.splitlines() == [
        "30 requests for 3 models, 3 models together",
        "hit rate 0.0% with 2 models",
        "hit rate 90.0% at best, with room for all",
        "3 models give 90 % of that, 3 models give 99 %",
        "drawn in a.png",
    ]
    assert size_of(tmp_path / "a.png") == (1152, 691)


def test_sizes_come_from_the_trace_or_a_file_and_json_has_the_curve(tmp_path):
    trace = a_trace(tmp_path, "model,bytes", *["a,1000", "b,3000"] * 10)
    (tmp_path / "sizes.csv").write_text("model,bytes\na,10\nb,20\nc,30\n")

    own = json.loads(run(tmp_path, "models", "simulate", trace, "--json", "--memory", "4kB").stdout)
    given = json.loads(run(tmp_path, "models", "simulate", trace, "--json", "--sizes", "sizes.csv").stdout)

    assert (own["unit"], own["total"], own["memory"], own["hit_rate"], own["best"]) == ("bytes", 4000, 4000, 0.9, 0.9)
    assert own["curve"] == [{"memory": 0, "hit_rate": 0.0}, {"memory": 4000, "hit_rate": 0.9}]
    assert given["total"] == 30
    assert size_of(tmp_path / "hit-rate.png")


@pytest.mark.parametrize(
    ("rows", "options", "says"),
    [
        (["name", "a"], [], "there is no column 'model', only: name (trace.csv, line 1)"),
        (["model"], [], "the trace has no requests"),
        (["model,bytes", "a,x"], [], "bytes is 'x', no whole number (trace.csv, line 2)"),
        (["model,bytes", "a,", "b,2"], [], "model 'a' has no bytes, and others have"),
        (["model", "a"], ["--memory", "2GB"], "is in bytes, and the trace has no bytes"),
        (["model", "a"], ["--memory", "much"], "is no amount of memory"),
        (["model", "a"], ["-o", "nowhere/a.png"], "the picture cannot be written"),
    ],
)
def test_what_cannot_be_drawn_is_said_with_its_place(tmp_path, rows, options, says):
    done = run(tmp_path, "models", "simulate", a_trace(tmp_path, *rows), *options, check=False)

    assert done.returncode == 1
    assert says in done.stderr


def test_without_matplotlib_it_says_what_to_install(tmp_path):
    (tmp_path / "stands-in-front").mkdir()
    (tmp_path / "stands-in-front" / "matplotlib.py").write_text("raise ImportError('it is not installed')\n")
    path = os.pathsep.join(filter(None, [str(tmp_path / "stands-in-front"), os.environ.get("PYTHONPATH", "")]))

    done = run(tmp_path, "models", "simulate", a_trace(tmp_path, "model", "a"), check=False, PYTHONPATH=path)

    assert done.returncode == 1
    assert 'pip install "seaproof[plots]"' in done.stderr


def test_models_lists_what_an_endpoint_has_loaded_and_its_trace_can_be_drawn(tmp_path):
    from seaproof.api.client import find
    from seaproof.dashboard.pages import page
    from seaproof.errors import ServiceError
    from seaproof.storage.local import LocalStorage
    from seaproof.storage.storage import Address

    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "serve").write_text(f"#!{sys.executable}\n{CONTAINER.read_text()}")
    (tmp_path / "many" / "serve").chmod(0o755)
    (tmp_path / "seaproof.toml").write_text(
        '[settings]\nmodel_trace = true\n[images.many]\nfolder = "many"\naccept_bind_to_port = true\n'
    )
    storage = LocalStorage(tmp_path / ".seaproof" / "s3")
    for target in ("a.tar.gz", "b.tar.gz", "c.tar.gz"):
        (tmp_path / "weights").write_text(target)
        subprocess.run(["tar", "-czf", "model.tar.gz", "weights"], cwd=tmp_path, check=True)
        storage.upload(tmp_path / "model.tar.gz", Address("bucket", f"models/{target}"))
    run(tmp_path, "up")
    try:
        client = find(tmp_path / ".seaproof")
        container = {
            "Image": "many",
            "Mode": "MultiModel",
            "ModelDataUrl": "s3://bucket/models/",
            "Environment": {"MODELS_AT_MOST": "2"},
        }
        role = "arn:aws:iam::000000000000:role/any"
        client.call("CreateModel", {"ModelName": "m", "ExecutionRoleArn": role, "PrimaryContainer": container})
        variant = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        client.call("CreateEndpointConfig", {"EndpointConfigName": "c", "ProductionVariants": [variant]})
        client.call("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"})
        while client.call("DescribeEndpoint", {"EndpointName": "e"})["EndpointStatus"] == "Creating":
            continue
        (tmp_path / "row.csv").write_text("1")

        said = [
            run(tmp_path, "predict", "row.csv", "--target-model", f"{name}.tar.gz").stdout for name in ("a", "b", "c")
        ]
        with pytest.raises(ServiceError, match="target model header") as nameless:
            client.invoke("e", b"1")
        rows = run(tmp_path, "models", "--json").stdout
        text = run(tmp_path, "models", "--endpoint", "e").stdout
        nothing = run(tmp_path, "models", "--endpoint", "f").stdout
        shown = page(client, "/_seaproof/pages/endpoint", "name=e")[1]
        drawn = run(tmp_path, "models", "simulate", ".seaproof/traces/e.csv", "--memory", "1")
        client.close()
    finally:
        run(tmp_path, "down")

    assert said == [f"{name}.tar.gz:1:{name}.tar.gz" for name in ("a", "b", "c")]
    counts = {row["model"]: (len(row["loaded"]), row["loads"], row["evictions"]) for row in json.loads(rows)}
    assert counts == {"a.tar.gz": (0, 1, 1), "b.tar.gz": (1, 1, 0), "c.tar.gz": (1, 1, 0)}
    assert {row["memory"] for row in json.loads(rows)} == {None, 4096}
    assert text.splitlines()[0].split()[:3] == ["ENDPOINT", "MODEL", "LOADED"]
    assert len(text.splitlines()) == 4
    assert "4.0 KiB" in text
    assert "<td>a.tar.gz</td>" in shown
    assert "seaproof predict rows.csv --endpoint e --target-model NAME.tar.gz" in shown
    assert "`seaproof predict --target-model NAME.tar.gz`" in nameless.value.next_step
    assert nothing.strip() == "no model of f was asked for yet; endpoints with models: e"
    assert drawn.stdout.startswith("3 requests for 3 models, 24 B together")
