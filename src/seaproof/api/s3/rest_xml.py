"""S3's wire, rest-xml: which operation a request is, its members, and answers and errors as headers and XML.

Pure functions; all that is known of the operations comes from botocore's model of `s3`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import formatdate, parsedate_to_datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, quote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from seaproof.api import spec
from seaproof.api.spec import Shape
from seaproof.errors import ServiceError
from seaproof.http.message import Headers, Request, Response

S3 = "s3"
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_ROOTS = {
    "ListObjects": "ListBucketResult",
    "ListObjectsV2": "ListBucketResult",
    "ListBuckets": "ListAllMyBucketsResult",
    "DeleteObjects": "DeleteResult",
    "CopyObject": "CopyObjectResult",
    "UploadPartCopy": "CopyPartResult",
    "CreateMultipartUpload": "InitiateMultipartUploadResult",
    "CompleteMultipartUpload": "CompleteMultipartUploadResult",
    "ListParts": "ListPartsResult",
    "ListMultipartUploads": "ListMultipartUploadsResult",
    "GetBucketTagging": "Tagging",
    "GetObjectTagging": "Tagging",
    "GetBucketVersioning": "VersioningConfiguration",
    "GetBucketAcl": "AccessControlPolicy",
    "GetObjectAcl": "AccessControlPolicy",
    "GetObjectAttributes": "GetObjectAttributesResponse",
}
"""Names of root elements, which the model leaves out; clients that are not made from it look for them."""
_PREFERRED = ("ListBuckets", "ListObjects", "GetBucketLifecycleConfiguration", "PutBucketLifecycleConfiguration")
"""Of operations that are asked for in the same way, the one that is meant."""


def operation_of(method: str, bucket: str, key: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str:
    """The operation of a request, by its method, path, query and headers; ServiceError where it is none."""
    found: tuple[int, bool, str] | None = None
    for name, subresources, wants in _operations(method, "key" if key else "bucket" if bucket else ""):
        if any(query.get(part) is None or (value and query[part] != value) for part, value in subresources.items()):
            continue
        if any(wanted not in (query if place == "querystring" else headers) for place, wanted in wants):
            continue
        rank = (2 * len(subresources) + len(wants), name in _PREFERRED, name)
        if found is None or rank > found:
            found = rank
    if found is None:
        raise ServiceError("MethodNotAllowed", f"S3 has no operation {method} here.", status=405)
    return found[2]


@cache
def _operations(method: str, level: str) -> list[tuple[str, dict[str, str], list[tuple[str, str]]]]:
    """Operations of a method on the service, a bucket or a key: name, fixed query, required query and headers."""
    found = []
    for name in spec.service(S3).operation_names:
        model = spec.service(S3).operation_model(name)
        path, _, query = model.http["requestUri"].partition("?")
        if model.http["method"] != method or path not in ("/", "/{Bucket}", "/{Bucket}/{Key+}"):
            continue
        if {"/": "", "/{Bucket}": "bucket", "/{Bucket}/{Key+}": "key"}[path] != level:
            continue
        fixed = dict(parse_qsl(query, keep_blank_values=True))
        fixed.pop("x-id", None)
        shape = model.input_shape
        required = [shape.members[member].serialization for member in shape.required_members] if shape else []
        wants = [
            (place["location"], place["name"] if place["location"] == "querystring" else place["name"].lower())
            for place in required
            if place.get("location") in ("querystring", "header")
        ]
        found.append((name, fixed, wants))
    return found


def members(
    operation: str, bucket: str, key: str, query: Mapping[str, str], headers: Mapping[str, str], body: Any
) -> dict[str, Any]:
    """The members of a request. `body` is bytes for operations that take a document, else passed on as it is."""
    shape = spec.input_shape(operation, S3)
    if shape is None:
        return {}
    given: dict[str, Any] = {}
    for name, member in shape.members.items():
        place = member.serialization
        location = place.get("location")
        if location == "uri":
            given[name] = bucket if name == "Bucket" else key
        elif location in ("querystring", "header"):
            source = query if location == "querystring" else headers
            text = source.get(place["name"] if location == "querystring" else place["name"].lower())
            if text is not None and (text or location == "querystring"):
                given[name] = _value(member, text, place["name"])
        elif location == "headers":
            prefix = place["name"].lower()
            found = {field[len(prefix) :]: text for field, text in headers.items() if field.startswith(prefix)}
            if found:
                given[name] = found
    payload = shape.serialization.get("payload")
    if payload:
        member = shape.members[payload]
        given[payload] = _document(member, body) if member.type_name == "structure" else body
        if given[payload] is None:
            del given[payload]
    for name in shape.required_members:
        if name not in given:
            raise ServiceError("MalformedXML" if name == payload else "InvalidArgument", f"The request lacks {name}.")
    return given


def takes_document(operation: str) -> bool:
    """Whether the body of a request is a document that is read whole, rather than an object's bytes."""
    shape = spec.input_shape(operation, S3)
    payload = shape.serialization.get("payload") if shape else None
    return not (payload and shape and shape.members[payload].type_name == "blob")


def _document(shape: Shape, body: bytes) -> Any:
    if not body.strip():
        return None
    try:
        if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
            raise ValueError("document types are refused")
        return _read(shape, ElementTree.fromstring(body))
    except (ElementTree.ParseError, ValueError) as error:
        what = f"The XML you provided was not well-formed or did not validate against our published schema: {error}"
        raise ServiceError("MalformedXML", what) from error


def _read(shape: Shape, element: ElementTree.Element) -> Any:
    kind = shape.type_name
    if kind == "structure":
        return _read_structure(shape, element)
    if kind == "list":
        return [_read(shape.member, child) for child in element]
    return _value(shape, element.text or "", element.tag)


def _read_structure(shape: Shape, element: ElementTree.Element) -> dict[str, Any]:
    children: dict[str, list[ElementTree.Element]] = {}
    for child in element:
        children.setdefault(child.tag.rpartition("}")[2], []).append(child)
    found: dict[str, Any] = {}
    for name, member in shape.members.items():
        is_flat = member.type_name == "list" and member.serialization.get("flattened")
        named = member.serialization.get("name") or (is_flat and member.member.serialization.get("name")) or name
        there = children.get(named)
        if there and is_flat:
            found[name] = [_read(member.member, child) for child in there]
        elif there:
            found[name] = _read(member, there[0])
    for name in shape.required_members:
        if name not in found:
            raise ValueError(f"{name} is missing")
    return found


def _value(shape: Shape, text: str, where: str) -> Any:
    """One value of a header, of the query, or between tags."""
    kind = shape.type_name
    try:
        if kind in ("integer", "long"):
            return int(text)
        if kind == "boolean":
            return text.strip().lower() == "true"
        if kind == "timestamp":
            return _time(text)
        if kind == "list":
            return [part.strip() for part in text.split(",")]
    except (ValueError, OverflowError) as error:
        raise ServiceError("InvalidArgument", f"{where} is {text[:100]!r}, which cannot be read: {error}") from error
    return text


def _time(text: str) -> float:
    if text[:1].isdigit():
        return datetime.fromisoformat(text.strip().replace("Z", "+00:00")).timestamp()
    return parsedate_to_datetime(text).timestamp()


def answer(operation: str, given: Mapping[str, Any], status: int | None = None) -> Response:
    """An answer: members in headers, the others as XML. A streamed `Body` is left to the caller."""
    model = spec.service(S3).operation_model(operation)
    shape = model.output_shape
    status = status or model.http.get("responseCode", 200)
    headers: Headers = [(b"x-amz-request-id", uuid.uuid4().hex[:16].upper().encode()), (b"Server", b"seaproof")]
    if shape is None:
        return Response(status, headers)
    inside: dict[str, Shape] = {}
    for name, member in shape.members.items():
        location = member.serialization.get("location")
        value = given.get(name)
        if location is None:
            inside[name] = member
        elif value is None:
            continue
        elif location == "headers":
            prefix = member.serialization["name"]
            headers += [(f"{prefix}{key}".encode(), _header_bytes(str(text))) for key, text in value.items()]
        else:
            headers.append((member.serialization["name"].encode(), _header_bytes(_header_text(member, value))))
    payload = shape.serialization.get("payload")
    if payload and shape.members[payload].type_name == "blob":
        # Whoever wrote the object is not this server: opened in a browser, its scripts must not reach the API.
        headers.append((b"Content-Security-Policy", b"sandbox"))
        return Response(status, headers)
    body = _answer_document(operation, shape, inside, given, payload)
    if body:
        headers.append((b"Content-Type", b"application/xml"))
    return Response(status, headers, body)


def _answer_document(
    operation: str, shape: Shape, inside: Mapping[str, Shape], given: Mapping[str, Any], payload: str | None
) -> bytes:
    if operation == "GetBucketLocation":  # the one answer that is a text
        content = escape(given.get("LocationConstraint") or "")
        return _declared("LocationConstraint", content)
    if payload:
        member = shape.members[payload]
        content = _written(member, given.get(payload) or {})
        return _declared(_ROOTS.get(operation, payload), content)
    if not inside:
        return b""
    content = "".join(_element(name, member, given[name]) for name, member in inside.items() if name in given)
    return _declared(_ROOTS.get(operation, shape.name), content)


def _declared(root: str, content: str) -> bytes:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{_NAMESPACE}">{content}</{root}>'
    return text.encode("utf-8", "xmlcharrefreplace")


def _element(name: str, shape: Shape, value: Any) -> str:
    if value is None:
        return ""
    named = shape.serialization.get("name", name)
    if shape.type_name == "list":
        each = shape.member.serialization.get("name") or ("member" if not shape.serialization.get("flattened") else "")
        if shape.serialization.get("flattened"):
            return "".join(_element(each or named, shape.member, part) for part in value)
        return f"<{named}>{''.join(_element(each, shape.member, part) for part in value)}</{named}>"
    attribute = ""
    if shape.type_name == "structure" and "Type" in value and "Type" in shape.members:
        kind = shape.members["Type"].serialization
        if kind.get("xmlAttribute"):
            uri = "http://www.w3.org/2001/XMLSchema-instance"
            attribute = f' xmlns:xsi="{uri}" xsi:type="{escape(str(value["Type"]))}"'
            value = {key: part for key, part in value.items() if key != "Type"}
    return f"<{named}{attribute}>{_written(shape, value)}</{named}>"


def _written(shape: Shape, value: Any) -> str:
    if shape.type_name == "structure":
        return "".join(_element(name, member, value.get(name)) for name, member in shape.members.items())
    if shape.type_name == "boolean":
        return "true" if value else "false"
    if shape.type_name == "timestamp":
        moment = datetime.fromtimestamp(value, timezone.utc)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"
    return escape(str(value))


def _header_text(shape: Shape, value: Any) -> str:
    if shape.type_name == "timestamp":
        if shape.serialization.get("timestampFormat") == "iso8601":
            return datetime.fromtimestamp(value, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        return formatdate(value, usegmt=True)
    if shape.type_name == "boolean":
        return "true" if value else "false"
    return str(value)


def _header_bytes(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return quote(text, safe=" !#$&'()*+,/:;=?@[]").encode()


def error(failure: ServiceError, request: Request) -> Response:
    """An error as S3 words it; one of a HEAD, and `not modified`, has no body."""
    identity = uuid.uuid4().hex[:16].upper()
    headers: Headers = [(b"x-amz-request-id", identity.encode()), (b"Server", b"seaproof")]
    if request.method == "HEAD" or failure.status == 304:
        return Response(failure.status, headers)
    parts = {"Code": failure.code, "Message": failure.message, **failure.members}
    parts |= {"Resource": request.path, "RequestId": identity}
    content = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in parts.items())
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{content}</Error>'
    headers.append((b"Content-Type", b"application/xml"))
    return Response(failure.status, headers, body.encode("utf-8", "xmlcharrefreplace"))
