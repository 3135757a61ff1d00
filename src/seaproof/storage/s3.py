"""An external S3 as storage: AWS's own, MinIO, or any that speaks its protocol, named by the setting `s3`.

Credentials and region come from the environment, as for any client of botocore. Objects over 64 MiB go up in parts,
which are joined at the end or thrown away, so that no reader ever sees half of one.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from seaproof.errors import NoSuchObject, StorageError
from seaproof.storage.storage import Address, Object

_PART = 64 * 1024 * 1024
_PIECE = 1024 * 1024
_ABSENT = ("NoSuchKey", "NoSuchBucket", "404", "NotFound")
AWS = "aws"
"""The value of the setting that means S3 itself rather than an address."""


class S3Storage:
    """The storage protocol over one S3. Safe to use from many threads."""

    def __init__(self, endpoint: str, region: str) -> None:
        """`endpoint` is the address of the service, or `aws`; StorageError where it is neither."""
        self.endpoint = endpoint
        config = Config(retries={"max_attempts": 4, "mode": "standard"}, connect_timeout=5, read_timeout=60)
        try:
            self._client: Any = Session().create_client(
                "s3", region_name=region, endpoint_url=None if endpoint == AWS else endpoint, config=config
            )
        except ValueError as error:
            raise StorageError(
                f"{endpoint!r} is no address of an S3",
                where="setting s3, SEAPROOF_S3",
                next_step=f"Say one such as http://127.0.0.1:9000, or {AWS}.",
            ) from error

    def list(self, prefix: Address) -> Iterator[Object]:
        """All objects whose key starts with the prefix, in UTF-8 byte order; none where there is no such bucket."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=prefix.bucket, Prefix=prefix.key)
        try:
            with _told(prefix):
                for page in pages:
                    for entry in page.get("Contents", []):
                        if not entry["Key"].endswith("/"):  # a folder that somebody made by name
                            modified = entry["LastModified"].timestamp()
                            yield Object(Address(prefix.bucket, entry["Key"]), entry["Size"], modified)
        except NoSuchObject:
            return

    def open(self, address: Address) -> BinaryIO:
        """Read one object as a stream; NoSuchObject where there is none."""
        with _told(address):
            body = self._client.get_object(Bucket=address.bucket, Key=address.key)["Body"]
        return io.BufferedReader(_Reading(body, address), _PIECE)

    def write(self, address: Address, source: BinaryIO) -> None:
        """Store the whole stream or nothing."""
        first = _read(source, _PART)
        with _told(address):
            if len(first) < _PART:
                self._put(address, first)
            else:
                self._write_parts(address, first, source)

    def download(self, address: Address, target: Path) -> None:
        """Copy one object to a file, whole or not at all; the parent folder is made."""
        with self.open(address) as source:
            partial = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with partial.open("xb") as file:
                    while piece := source.read(_PIECE):
                        file.write(piece)
                partial.replace(target)
            except OSError as error:
                raise StorageError(f"it cannot be written: {error.strerror or error}", where=str(target)) from error
            finally:
                with suppress(OSError):
                    partial.unlink()

    def upload(self, source: Path, address: Address) -> None:
        """Copy one file to an object, whole or not at all."""
        try:
            stream = source.open("rb")
        except OSError as error:
            raise StorageError(f"the file cannot be read: {error.strerror}", where=str(source)) from error
        with stream:
            self.write(address, stream)

    def move(self, source: Path, address: Address) -> None:
        """Make an object of one file, which is gone then; whole or not at all."""
        self.upload(source, address)
        source.unlink(missing_ok=True)

    def delete(self, address: Address) -> None:
        """Remove one object; one that is not there is passed over."""
        with suppress(NoSuchObject), _told(address):
            self._client.delete_object(Bucket=address.bucket, Key=address.key)

    def _put(self, address: Address, body: bytes) -> None:
        """Put one object; a bucket that is not there is made, as a folder would be."""
        try:
            self._client.put_object(Bucket=address.bucket, Key=address.key, Body=body)
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchBucket":
                raise
            self._make_bucket(address.bucket)
            self._client.put_object(Bucket=address.bucket, Key=address.key, Body=body)

    def _make_bucket(self, bucket: str) -> None:
        region = self._client.meta.region_name
        if region == "us-east-1":
            self._client.create_bucket(Bucket=bucket)
        else:
            self._client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})

    def _write_parts(self, address: Address, first: bytes, source: BinaryIO) -> None:
        named = {"Bucket": address.bucket, "Key": address.key}
        try:
            upload = self._client.create_multipart_upload(**named)["UploadId"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchBucket":
                raise
            self._make_bucket(address.bucket)
            upload = self._client.create_multipart_upload(**named)["UploadId"]
        parts: list[dict[str, Any]] = []
        try:
            piece = first
            while piece:
                number = len(parts) + 1
                stored = self._client.upload_part(**named, UploadId=upload, PartNumber=number, Body=piece)
                parts.append({"PartNumber": number, "ETag": stored["ETag"]})
                piece = _read(source, _PART)
            self._client.complete_multipart_upload(**named, UploadId=upload, MultipartUpload={"Parts": parts})
        except BaseException:
            with suppress(BotoCoreError, ClientError):
                self._client.abort_multipart_upload(**named, UploadId=upload)
            raise


class _Reading(io.RawIOBase):
    """The body of a reply as a raw stream, whose errors are ours."""

    def __init__(self, body: Any, address: Address) -> None:
        self._body = body
        self._address = address

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            piece = self._body.read(len(buffer))
        except (BotoCoreError, OSError) as error:
            raise StorageError(f"the object cannot be read to its end: {error}", where=str(self._address)) from error
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._body.close()
        super().close()


def _read(source: BinaryIO, size: int) -> bytes:
    """So many bytes, fewer only at the end."""
    parts, left = [], size
    while left:
        try:
            piece = source.read(min(left, _PIECE))
        except OSError as error:
            raise StorageError(f"the source cannot be read: {error.strerror or error}") from error
        if not piece:
            break
        parts.append(piece)
        left -= len(piece)
    return b"".join(parts)


@contextmanager
def _told(address: Address) -> Iterator[None]:
    """Errors of the client as ours; a third party's never cross this line."""
    try:
        yield
    except ClientError as error:
        code, message = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
        if code in _ABSENT:
            raise NoSuchObject("there is no such object", where=str(address)) from error
        raise StorageError(f"S3 refused it: {code}: {message}", where=str(address)) from error
    except BotoCoreError as error:
        raise StorageError(
            f"S3 cannot be reached: {error}", where=str(address), next_step="Look at SEAPROOF_S3 and your credentials."
        ) from error
