"""S3 on the local server's port, as boto3 calls it: what is stored, listed and refused, and where the files lie."""

import hashlib
import io
import os
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from wire_lab import KEYS, local_server, service, start, wait_until_up

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    root = tmp_path_factory.mktemp("s3")
    with local_server(root) as client:
        client.folder = root / ".seaproof" / "s3"
        yield client


@pytest.fixture
def bucket(server, request):
    """The name of a new bucket."""
    name = f"b{abs(hash(request.node.name)) % 10**9}-{os.getpid()}"
    service("s3", server.url).create_bucket(Bucket=name)
    return name


def refused(call, **request):
    """Code and status of the error that a call ends in."""
    with pytest.raises(ClientError) as refusal:
        call(**request)
    response = refusal.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def put_all(s3, bucket, *keys):
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())


def test_an_object_is_a_file_and_comes_back_with_all_that_was_said_of_it(server, bucket):
    s3 = service("s3", server.url)
    said = {"ContentType": "text/csv", "Metadata": {"Who": "me"}, "CacheControl": "no-store", "Tagging": "a=b&c=d"}
    etag = f'"{hashlib.md5(b"1,2").hexdigest()}"'

    put = s3.put_object(Bucket=bucket, Key="in/rows.csv", Body=b"1,2", **said)
    got = s3.get_object(Bucket=bucket, Key="in/rows.csv")

    assert (server.folder / bucket / "in" / "rows.csv").read_bytes() == b"1,2"
    assert put["ETag"] == got["ETag"] == etag
    assert got["Body"].read() == b"1,2"
    assert (got["ContentType"], got["CacheControl"], got["TagCount"]) == ("text/csv", "no-store", 2)
    assert got["Metadata"] == {"who": "me"}


def test_a_file_dropped_into_the_folder_is_an_object(server, bucket):
    s3 = service("s3", server.url)
    s3.put_object(Bucket=bucket, Key="kept.json", Body=b"{}", Metadata={"a": "b"})
    (server.folder / bucket / "kept.json").write_text("[1, 2]")
    (server.folder / bucket / "sub").mkdir()
    (server.folder / bucket / "sub" / "dropped.json").write_text("[]")

    listed = {entry["Key"]: entry for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    kept, dropped = (s3.head_object(Bucket=bucket, Key=key) for key in ("kept.json", "sub/dropped.json"))

    assert list(listed) == ["kept.json", "sub/dropped.json"]
    assert (kept["Metadata"], kept["ContentLength"]) == ({}, 6)
    assert dropped["ContentType"] == "application/json"
    assert listed["sub/dropped.json"]["ETag"] == dropped["ETag"]


@pytest.mark.parametrize(
    ("asked", "body", "shown"),
    [("bytes=1-3", b"ell", "bytes 1-3/5"), ("bytes=-2", b"lo", "bytes 3-4/5"), ("bytes=2-", b"llo", "bytes 2-4/5")],
)
def test_a_range_has_no_checksum_of_the_whole(server, bucket, asked, body, shown):
    s3 = service("s3", server.url)
    s3.put_object(Bucket=bucket, Key="k", Body=b"hello")

    got = s3.get_object(Bucket=bucket, Key="k", Range=asked)

    assert got["Body"].read() == body
    assert got["ContentRange"] == shown
    assert not [name for name in got if name.startswith("Checksum")]


def test_what_is_not_there_is_refused_in_s3s_words(server, bucket):
    s3 = service("s3", server.url)
    s3.put_object(Bucket=bucket, Key="k", Body=b"hello")

    assert refused(s3.get_object, Bucket=bucket, Key="none") == ("NoSuchKey", 404)
    assert refused(s3.head_object, Bucket=bucket, Key="none") == ("404", 404)
    assert refused(s3.list_objects_v2, Bucket="no-such-bucket") == ("NoSuchBucket", 404)
    assert refused(s3.get_object, Bucket=bucket, Key="k", Range="bytes=9-") == ("InvalidRange", 416)
    assert refused(s3.copy_object, Bucket=bucket, Key="c", CopySource=f"{bucket}/none") == ("NoSuchKey", 404)
    assert refused(s3.create_bucket, Bucket="Not_A_Bucket") == ("InvalidBucketName", 400)
    assert refused(s3.delete_bucket, Bucket=bucket) == ("BucketNotEmpty", 409)
    assert refused(s3.put_bucket_website, Bucket=bucket, WebsiteConfiguration={}) == ("NotImplemented", 501)


@pytest.mark.parametrize(
    "key", ["../../outside", "a/../../outside", "..", "./x", "a//b", ".seaproof-partial-x", "é" * 200]
)
def test_a_key_that_would_leave_its_folder_or_be_no_file_is_refused(server, bucket, key):
    s3 = service("s3", server.url)

    code, status = refused(s3.put_object, Bucket=bucket, Key=key, Body=b"1")

    assert status == 400
    assert code in ("InvalidArgument", "KeyTooLongError")
    assert list((server.folder / bucket).rglob("*")) == []


def test_a_link_out_of_the_bucket_is_not_followed(server, bucket, tmp_path):
    s3 = service("s3", server.url)
    (tmp_path / "secret").write_text("secret")
    (server.folder / bucket / "link").symlink_to(tmp_path / "secret")

    assert refused(s3.get_object, Bucket=bucket, Key="link")[1] == 400


def test_odd_keys_are_stored_listed_and_copied(server, bucket):
    s3 = service("s3", server.url)
    keys = ["a'b\"c<&>.txt", "plus+sign&=?#%25.txt", "sp ace/é \N{GRINNING FACE}.txt", "tilde~(1)*!.txt"]
    put_all(s3, bucket, *keys)

    listed = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": keys[1]})

    assert listed == sorted(keys, key=str.encode)
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == keys[1].encode()


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
def test_pages_are_complete_and_in_order_with_and_without_delimiter(server, bucket, operation):
    s3 = service("s3", server.url)
    keys = [*sorted(f"l/{number % 3}/{number:03}" for number in range(25)), "l/x-1", "l/x-2", "m"]
    put_all(s3, bucket, *keys)
    pages = s3.get_paginator(operation).paginate

    def found(**request):
        every = list(pages(Bucket=bucket, **request))
        named = [entry["Key"] for page in every for entry in page.get("Contents", [])]
        return named, [prefix["Prefix"] for page in every for prefix in page.get("CommonPrefixes", [])]

    assert found(PaginationConfig={"PageSize": 7}) == (keys, [])
    for size in (1, 2, 1000):
        config = {"PageSize": size}
        assert found(Prefix="l/", Delimiter="/", PaginationConfig=config) == (
            ["l/x-1", "l/x-2"],
            ["l/0/", "l/1/", "l/2/"],
        )
        assert found(Prefix="l/x", Delimiter="-", PaginationConfig=config) == ([], ["l/x-"])
        assert found(Delimiter="/", PaginationConfig=config) == (["m"], ["l/"])


def test_a_listing_can_start_behind_a_key(server, bucket):
    s3 = service("s3", server.url)
    put_all(s3, bucket, "a/1", "a/2", "a-b", "b")

    behind = s3.list_objects_v2(Bucket=bucket, StartAfter="a/1")

    assert [entry["Key"] for entry in behind["Contents"]] == ["a/2", "b"]


def test_large_objects_go_up_and_down_in_parts(server, bucket):
    s3 = service("s3", server.url)
    parts = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    data = os.urandom(16 * MIB + 7)

    s3.upload_fileobj(io.BytesIO(data), bucket, "big", Config=parts, ExtraArgs={"Metadata": {"x": "y"}})
    fetched = io.BytesIO()
    s3.download_fileobj(bucket, "big", fetched, Config=parts)

    about = s3.head_object(Bucket=bucket, Key="big")
    second = s3.get_object(Bucket=bucket, Key="big", PartNumber=2)
    assert fetched.getvalue() == data
    assert (about["Metadata"], about["ETag"][-3:]) == ({"x": "y"}, '-4"')
    assert (second["PartsCount"], second["Body"].read()) == (4, data[5 * MIB : 10 * MIB])
    assert list((server.folder / ".uploads").iterdir()) == []


def test_parts_by_hand_are_listed_copied_refused_and_aborted(server, bucket):
    s3 = service("s3", server.url)
    s3.put_object(Bucket=bucket, Key="source", Body=b"0123456789")
    named = {"Bucket": bucket, "Key": "m"}
    named["UploadId"] = s3.create_multipart_upload(**named)["UploadId"]
    first = s3.upload_part(**named, PartNumber=1, Body=b"small")
    source = {"CopySource": f"{bucket}/source", "CopySourceRange": "bytes=2-5"}
    second = s3.upload_part_copy(**named, PartNumber=2, **source)["CopyPartResult"]
    parts = [{"PartNumber": 1, "ETag": first["ETag"]}, {"PartNumber": 2, "ETag": second["ETag"]}]

    listed = s3.list_parts(**named)["Parts"]
    pending = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]

    assert [(part["PartNumber"], part["Size"]) for part in listed] == [(1, 5), (2, 4)]
    assert [upload["Key"] for upload in pending] == ["m"]
    complete = s3.complete_multipart_upload
    assert refused(complete, **named, MultipartUpload={"Parts": parts}) == ("EntityTooSmall", 400)
    assert refused(complete, **named, MultipartUpload={"Parts": parts[::-1]}) == ("InvalidPartOrder", 400)
    assert complete(**named, MultipartUpload={"Parts": parts[1:]})["ETag"].endswith('-1"')
    assert s3.get_object(Bucket=bucket, Key="m")["Body"].read() == b"2345"
    other = s3.create_multipart_upload(Bucket=bucket, Key="n")["UploadId"]
    s3.abort_multipart_upload(Bucket=bucket, Key="n", UploadId=other)
    assert refused(s3.list_parts, Bucket=bucket, Key="n", UploadId=other) == ("NoSuchUpload", 404)


def test_copies_keep_or_replace_what_was_said(server, bucket):
    s3 = service("s3", server.url)
    s3.put_object(Bucket=bucket, Key="k", Body=b"1", Metadata={"a": "1"}, Tagging="t=1")
    source = {"CopySource": {"Bucket": bucket, "Key": "k"}, "Bucket": bucket}

    s3.copy_object(**source, Key="same")
    s3.copy_object(**source, Key="new", MetadataDirective="REPLACE", Metadata={"b": "2"})

    assert s3.head_object(Bucket=bucket, Key="same")["Metadata"] == {"a": "1"}
    assert s3.head_object(Bucket=bucket, Key="new")["Metadata"] == {"b": "2"}
    assert s3.get_object_tagging(Bucket=bucket, Key="same")["TagSet"] == [{"Key": "t", "Value": "1"}]


def test_conditions_hold(server, bucket):
    s3 = service("s3", server.url)
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["ETag"]
    key = {"Bucket": bucket, "Key": "k"}

    assert refused(s3.get_object, **key, IfMatch='"other"') == ("PreconditionFailed", 412)
    assert refused(s3.head_object, **key, IfNoneMatch=etag) == ("304", 304)
    assert refused(s3.put_object, **key, Body=b"2", IfNoneMatch="*") == ("PreconditionFailed", 412)
    assert refused(s3.put_object, **key, Body=b"2", IfMatch='"other"') == ("PreconditionFailed", 412)
    assert s3.put_object(**key, Body=b"2", IfMatch=etag)["ETag"] != etag


def test_of_many_conditional_writes_one_wins(server, bucket):
    s3 = service("s3", server.url)

    def write(number):
        try:
            s3.put_object(Bucket=bucket, Key="lock", Body=str(number).encode(), IfNoneMatch="*")
            return number
        except ClientError:
            return None

    with ThreadPoolExecutor(8) as threads:
        winners = [number for number in threads.map(write, range(16)) if number is not None]

    assert len(winners) == 1
    assert s3.get_object(Bucket=bucket, Key="lock")["Body"].read() == str(winners[0]).encode()


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_checksums_are_kept_and_given_back(server, bucket, algorithm):
    s3 = service("s3", server.url)

    s3.put_object(Bucket=bucket, Key="k", Body=io.BytesIO(b"data"), ChecksumAlgorithm=algorithm)
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")

    assert got["Body"].read() == b"data"
    assert got[f"Checksum{algorithm}"]


def test_a_body_that_is_not_what_it_says_is_not_stored(server, bucket):
    s3 = service("s3", server.url)
    wrong = "A" * 43 + "="

    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"x", ChecksumSHA256=wrong)[0] == "BadDigest"
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"x", ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg==") == (
        "BadDigest",
        400,
    )
    assert refused(s3.head_object, Bucket=bucket, Key="k") == ("404", 404)


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_presigned_addresses_work_without_a_client_and_end(server, bucket, version):
    s3 = service("s3", server.url, signature_version=version)
    key = {"Bucket": bucket, "Key": "k"}

    def presigned(operation, **more):
        return s3.generate_presigned_url(operation, Params=key, **more)

    put = urllib.request.Request(presigned("put_object"), data=b"hello", method="PUT")
    urllib.request.urlopen(put).close()

    with urllib.request.urlopen(presigned("get_object")) as reply:
        assert reply.read() == b"hello"
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(presigned("get_object", ExpiresIn=-10))
    assert refusal.value.code == 403
    refusal.value.close()


def test_a_form_can_upload(server, bucket):
    form = service("s3", server.url).generate_presigned_post(bucket, "posted/${filename}")
    fields = "".join(
        f'--xx\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in form["fields"].items()
    )
    file = '--xx\r\nContent-Disposition: form-data; name="file"; filename="f.bin"\r\n\r\n'
    body = (fields + file).encode() + b"\x00\xff\r\n\r\n--xx--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=xx"}

    with urllib.request.urlopen(urllib.request.Request(form["url"], data=body, headers=headers)) as reply:
        assert reply.status == 204

    assert (server.folder / bucket / "posted" / "f.bin").read_bytes() == b"\x00\xff\r\n"


def test_folders_by_name_can_be_made_listed_and_removed(server, bucket):
    s3 = service("s3", server.url)
    s3.put_object(Bucket=bucket, Key="folder/")

    listed = s3.list_objects_v2(Bucket=bucket, Delimiter="/")

    assert (server.folder / bucket / "folder").is_dir()
    assert s3.head_object(Bucket=bucket, Key="folder/")["ContentLength"] == 0
    assert [prefix["Prefix"] for prefix in listed["CommonPrefixes"]] == ["folder/"]
    s3.delete_object(Bucket=bucket, Key="folder/")
    s3.delete_bucket(Bucket=bucket)


def test_many_are_deleted_at_once(server, bucket):
    s3 = service("s3", server.url)
    put_all(s3, bucket, "a", "b/c")
    resource = boto3.resource("s3", endpoint_url=server.url, **KEYS).Bucket(bucket)

    named = [{"Key": key} for key in ("a", "b/c", "never-was")]
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": named})
    resource.objects.delete()

    assert [entry["Key"] for entry in done["Deleted"]] == ["a", "b/c", "never-was"]
    assert not list(resource.objects.all())


def test_a_bucket_is_also_found_by_its_host_name(server, bucket):
    service("s3", server.url).put_object(Bucket=bucket, Key="a/b", Body=b"1")
    address = urllib.request.Request(f"{server.url}/a/b", headers={"Host": f"{bucket}.localhost:1"})

    with urllib.request.urlopen(address) as reply:
        assert reply.read() == b"1"


def test_objects_and_half_done_uploads_survive_a_kill(tmp_path):
    process = start(tmp_path)
    with wait_until_up(tmp_path, process) as client:
        s3 = service("s3", client.url)
        s3.create_bucket(Bucket="kept")
        s3.put_object(Bucket="kept", Key="k", Body=b"1", Metadata={"a": "b"})
        named = {
            "Bucket": "kept",
            "Key": "m",
            "UploadId": s3.create_multipart_upload(Bucket="kept", Key="m")["UploadId"],
        }
        part = s3.upload_part(**named, PartNumber=1, Body=b"part")
    process.kill()
    process.wait()
    with local_server(tmp_path) as client:
        s3 = service("s3", client.url)
        s3.complete_multipart_upload(**named, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})

        assert s3.head_object(Bucket="kept", Key="k")["Metadata"] == {"a": "b"}
        assert s3.get_object(Bucket="kept", Key="m")["Body"].read() == b"part"
