"""An external S3 as storage: the contract of every storage, against our own port and against moto's server."""

import os
from contextlib import contextmanager
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer
from wire_lab import local_server, service

from seaproof.errors import StorageError
from seaproof.storage.s3 import S3Storage
from seaproof.storage.storage import Address
from seaproof.testing.storage_contract import BUCKET, StorageContract


@pytest.fixture(scope="module", params=["ours", pytest.param("moto", marks=pytest.mark.slow)])
def external(request, tmp_path_factory):
    """The address of an S3."""
    with our_port(tmp_path_factory.mktemp("s3")) if request.param == "ours" else motos() as url:
        before = {name: os.environ.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        os.environ.update(AWS_ACCESS_KEY_ID="any", AWS_SECRET_ACCESS_KEY="any")
        yield url
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextmanager
def our_port(root):
    with local_server(root) as client:
        yield client.url


@contextmanager
def motos():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


class TestExternalS3(StorageContract):
    @pytest.fixture
    def storage(self, external):
        s3 = service("s3", external)
        for bucket in s3.list_buckets()["Buckets"]:
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket["Name"]):
                for entry in page.get("Contents", []):
                    s3.delete_object(Bucket=bucket["Name"], Key=entry["Key"])
        s3.create_bucket(Bucket=BUCKET)
        return S3Storage(external, "us-east-1")


def test_an_object_of_several_parts_is_whole_or_not_there(external, tmp_path: Path):
    storage, big = S3Storage(external, "us-east-1"), tmp_path / "big"
    with big.open("wb") as file:
        for number in range(65):
            file.write(bytes([number]) * 1024 * 1024)

    storage.upload(big, Address("parts", "big"))
    storage.download(Address("parts", "big"), tmp_path / "back")

    assert (tmp_path / "back").read_bytes() == big.read_bytes()
    assert "Uploads" not in service("s3", external).list_multipart_uploads(Bucket="parts")


def test_an_s3_that_is_not_there_is_named(tmp_path: Path):
    storage = S3Storage("http://127.0.0.1:9", "us-east-1")

    with pytest.raises(StorageError, match=r"S3 cannot be reached|Unable to locate credentials"):
        list(storage.list(Address("bucket", "")))


def test_a_server_with_an_external_s3_keeps_its_objects_there(external, tmp_path: Path):
    environ = {**os.environ, "SEAPROOF_S3": external}
    s3 = service("s3", external)
    s3.create_bucket(Bucket="models")
    s3.put_object(Bucket="models", Key="m.tar.gz", Body=b"")

    with local_server(tmp_path, env=environ) as client:
        container = {"Image": "any", "ModelDataUrl": "s3://models/m.tar.gz"}
        role = "arn:aws:iam::000000000000:role/any"
        sagemaker = service("sagemaker", client.url)
        sagemaker.create_model(ModelName="m", ExecutionRoleArn=role, PrimaryContainer=container)
        with pytest.raises(Exception, match="The objects of this project lie in the S3 at"):
            service("s3", client.url).list_buckets()

    assert not (tmp_path / ".seaproof" / "s3").exists()
