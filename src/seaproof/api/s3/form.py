"""Uploads from a form, as browsers send them to a presigned POST."""

from __future__ import annotations

import io
from collections.abc import Mapping
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from seaproof.api.s3.bodies import Checked
from seaproof.api.s3.objects import put_object
from seaproof.api.s3.shelf import Shelf
from seaproof.errors import ServiceError
from seaproof.http.message import Response

_FIELDS = {
    "content-type": "ContentType",
    "cache-control": "CacheControl",
    "content-disposition": "ContentDisposition",
    "content-encoding": "ContentEncoding",
}
_META = "x-amz-meta-"


def posted(method: str, bucket: str, key: str, headers: Mapping[str, str]) -> bool:
    """Whether a request is the POST of a form to a bucket."""
    return (
        method == "POST" and bool(bucket) and not key and headers.get("content-type", "").startswith("multipart/form")
    )


def post_object(shelf: Shelf, bucket: str, headers: Mapping[str, str], body: bytes) -> Response:
    """Store the file of a form under its `key`; 204, or what `success_action_status` says."""
    head = f"Content-Type: {headers['content-type']}\r\n\r\n".encode("latin-1")
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    fields: dict[str, str] = {}
    content: bytes | None = None
    name = ""
    for part in message.iter_parts() if message.is_multipart() else ():
        field = str(part.get_param("name", "", header="content-disposition")).lower()
        payload = part.get_payload(decode=True) or b""
        assert isinstance(payload, bytes)
        if field == "file":
            content, name = payload, part.get_filename() or ""
            break
        fields[field] = payload.decode("utf-8", "replace")
    if content is None or not fields.get("key"):
        raise ServiceError("InvalidArgument", "The form needs a field `key`, and behind all fields one `file`.")
    key = fields["key"].replace("${filename}", name)
    request: dict[str, Any] = {"Bucket": bucket, "Key": key, "Body": Checked(io.BytesIO(content), {})}
    request |= {_FIELDS[field]: value for field, value in fields.items() if field in _FIELDS}
    meta = {field[len(_META) :]: value for field, value in fields.items() if field.startswith(_META)}
    answer = put_object(shelf, request | ({"Metadata": meta} if meta else {}))
    status = fields.get("success_action_status", "204")
    headers_out = [(b"ETag", answer["ETag"].encode()), (b"Location", f"/{bucket}/{key}".encode())]
    return Response(int(status) if status in ("200", "201") else 204, headers_out)
