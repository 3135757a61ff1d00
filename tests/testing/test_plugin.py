"""The pytest plugin as a user has it: real test files, run by pytest in a process of its own."""

import os
import subprocess
import sys
import textwrap

SUITE = """
    import json

    import boto3
    import pytest
    from botocore.exceptions import ClientError


    def test_functions_are_served_in_this_process(sagemaker):
        seen = []

        def predict_fn(data, model):
            seen.append(data)
            return [value * model for row in data for value in row]

        endpoint = sagemaker.deploy(model_fn=lambda folder: 10, predict_fn=predict_fn)

        answer = sagemaker.runtime.invoke_endpoint(
            EndpointName=endpoint, Body=b"1,2", ContentType="text/csv", Accept="application/json"
        )
        assert json.loads(answer["Body"].read()) == [10.0, 20.0]
        assert len(seen) == 1


    def test_nothing_is_left_of_the_test_before(sagemaker):
        assert sagemaker.sagemaker.list_endpoints()["Endpoints"] == []
        assert sagemaker.sagemaker.list_endpoint_configs()["EndpointConfigs"] == []
        assert sagemaker.sagemaker.list_models()["Models"] == []


    def test_a_fitted_model_answers_as_it_does_itself(sagemaker):
        from sklearn.datasets import load_iris
        from sklearn.linear_model import LogisticRegression

        rows, labels = load_iris(return_X_y=True)
        model = LogisticRegression(max_iter=500).fit(rows, labels)
        endpoint = sagemaker.deploy(model_fn=lambda folder: model)
        body = "\\n".join(",".join(map(str, row)) for row in rows[:50])
        answer = json.loads(sagemaker.invoke(endpoint, body, Accept="application/json"))
        assert answer == model.predict(rows[:50]).tolist()


    def test_an_error_of_the_function_is_a_model_error(sagemaker):
        def transform_fn(model, data, content_type, accept):
            raise ValueError("no column x")

        endpoint = sagemaker.deploy(transform_fn=transform_fn)
        with pytest.raises(ClientError, match="no column x") as caught:
            sagemaker.invoke(endpoint, "1,2")
        assert caught.value.response["OriginalStatusCode"] == 500


    def test_parts_are_streamed(sagemaker):
        def transform_fn(model, data, content_type, accept):
            yield "one"
            yield "two"

        async def stream(model, data, content_type, accept):
            async def parts():
                yield "three"
            return parts()

        for function, parts in ((transform_fn, [b"one", b"two"]), (stream, [b"three"])):
            endpoint = sagemaker.deploy(transform_fn=function)
            answer = sagemaker.runtime.invoke_endpoint_with_response_stream(EndpointName=endpoint, Body=b"")
            assert b"".join(event["PayloadPart"]["Bytes"] for event in answer["Body"]) == b"".join(parts)


    def test_a_model_folder_is_served_by_the_container(sagemaker, tmp_path):
        (tmp_path / "code").mkdir()
        (tmp_path / "factor").write_text("3")
        (tmp_path / "code" / "inference.py").write_text(
            "from pathlib import Path\\n"
            "def model_fn(folder): return float((Path(folder) / 'factor').read_text())\\n"
            "def predict_fn(data, model): return [row[0] * model for row in data]\\n"
        )
        endpoint = sagemaker.deploy(tmp_path)
        assert sagemaker.invoke(endpoint, "2\\n4", Accept="text/csv").split() == [b"6.0", b"12.0"]


    def test_asynchronous_endpoints_and_buckets(sagemaker):
        output = {"OutputConfig": {"S3OutputPath": "s3://bucket/out"}}
        endpoint = sagemaker.deploy(
            transform_fn=lambda model, data, content_type, accept: data.upper(), config={"AsyncInferenceConfig": output}
        )
        uri = sagemaker.put("s3://bucket/in.txt", "abc")
        assert sagemaker.client("s3").get_object(Bucket="bucket", Key="in.txt")["Body"].read() == b"abc"
        accepted = sagemaker.runtime.invoke_endpoint_async(
            EndpointName=endpoint, InputLocation=uri, ContentType="text/plain"
        )
        assert sagemaker.get(accepted["OutputLocation"]) == b"ABC"


    def test_a_model_that_does_not_load_says_why(sagemaker):
        def model_fn(folder):
            raise RuntimeError("no such weights")

        with pytest.raises(Exception, match="no such weights"):
            sagemaker.deploy(model_fn=model_fn, predict_fn=lambda data, model: data)
        with pytest.raises(TypeError, match="has no predict"):
            sagemaker.deploy(predict=lambda: 1)


    @pytest.mark.parametrize("number", range(4))
    def test_names_do_not_collide(sagemaker, number):
        endpoint = sagemaker.deploy(predict_fn=lambda data, model: [number])
        assert json.loads(sagemaker.invoke(endpoint, "1", Accept="application/json")) == [number]
        client = boto3.client(
            "sagemaker", endpoint_url=sagemaker.url, region_name="us-east-1",
            aws_access_key_id="x", aws_secret_access_key="x",
        )
        names = [found["EndpointName"] for found in client.list_endpoints(StatusEquals="InService")["Endpoints"]]
        client.close()
        assert endpoint in names
"""


def pytest_run(folder, *arguments):
    """pytest as its user starts it, in a folder of its own; warnings are errors, so that nothing is left open."""
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "SEAPROOF", "AWS"))}
    environ["PYTEST_DEBUG_TEMPROOT"] = str(folder)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)


def test_a_suite_of_a_user_passes(tmp_path):
    (tmp_path / "test_user.py").write_text(textwrap.dedent(SUITE))

    done = pytest_run(tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 passed" in done.stdout


def test_runs_side_by_side_do_not_meet(tmp_path):
    (tmp_path / "test_user.py").write_text(textwrap.dedent(SUITE))

    done = pytest_run(tmp_path, "-n", "2", "-k", "collide or streamed")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout


def test_a_project_deploys_its_own_image(tmp_path):
    image = tmp_path / "echo"
    image.mkdir()
    (image / "inference.py").write_text("def transform_fn(model, data, content_type, accept): return data\n")
    (tmp_path / "seaproof.toml").write_text(
        f'[images.echo]\nfolder = "echo"\nserve = ["{sys.executable}", "-m", "seaproof.container", "serve"]\n'
        "accept_bind_to_port = true\n"
    )
    (tmp_path / "test_user.py").write_text(
        "def test_it(sagemaker):\n"
        "    endpoint = sagemaker.deploy(image='echo')\n"
        "    assert sagemaker.invoke(endpoint, 'x', 'text/plain') == b'x'\n"
    )

    done = pytest_run(tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


def test_those_who_do_not_use_it_do_not_pay_for_it(tmp_path):
    (tmp_path / "test_user.py").write_text(
        "import sys\n"
        "def test_nothing_of_it_is_loaded():\n"
        "    ours = {name for name in sys.modules if name.startswith('seaproof')}\n"
        "    assert ours == {'seaproof', 'seaproof.testing', 'seaproof.testing.plugin'}\n"
        "    assert not {'boto3', 'botocore', 'uvloop', 'httptools'} & set(sys.modules)\n"
    )

    used = pytest_run(tmp_path)
    without = pytest_run(tmp_path, "-p", "no:seaproof")

    assert used.returncode == 0, used.stdout + used.stderr
    assert "1 failed" in without.stdout  # as nothing of it is there then


def test_what_is_missing_is_named(tmp_path):
    (tmp_path / "boto3.py").write_text("raise ImportError('no boto3 here')\n")
    (tmp_path / "test_user.py").write_text("def test_it(sagemaker): pass\n")

    done = pytest_run(tmp_path)

    assert "pip install 'seaproof[testing]' (no boto3 here)" in done.stdout
    assert "Traceback" not in done.stdout
