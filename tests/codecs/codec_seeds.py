"""Well-formed bodies of every type, to be mutated by the fuzz tests."""

from __future__ import annotations

import numpy as np

from seaproof.contract.http import parse_accept
from seaproof.serving.codecs import ENCODERS, Table, encode

FORM = "multipart/form-data; boundary=xx"
TABLE = Table([[1, 2, 3], [0.5, float("nan"), 1.5], ["a", None, 'b,"c"']], ["n", "x", "t"])
MIXED = b'n,x,t\n1,0.5,a\n2,,"b,""c"""\n'
TREE = b'{"a": [1, 2.5, null, "\\u00e4"]}'


def _encoded(content_type: str) -> list[bytes]:
    values = [TABLE, np.arange(6.0).reshape(2, 3), np.array([[1, 2]], np.int32)]
    bodies = []
    for value in values:
        if content_type in ENCODERS and not (value is TABLE and content_type.startswith("application/x-np")):
            bodies.append(encode(value, parse_accept(content_type), content_type)[0])
    return bodies


def seeds() -> dict[str, list[bytes]]:
    """Content type -> bodies that its decoder reads."""
    part = b'Content-Disposition: form-data; name="%s"\r\n%s\r\n'
    form = b"--xx\r\n" + part % (b"a", b"") + b"x\r\n--xx\r\n" + part % (b"b", b"Content-Type: text/csv\r\n") + b"1,2"
    tensors = np.array([[1.5, 2.5]], np.float32)
    return {
        "text/csv": [MIXED, b"1,2.5\r\n-3,4e5\r\n", b"1,2\n" * 200, b"a,b\n" + b"1,2\n" * 200],
        "text/csv; header=present": [b'"n",x\n1,\n2,y\n'],
        "text/csv; charset=utf-16": ["a,1\nb,2\n".encode("utf-16")],
        "application/json": [TREE, b"[[1,2],[3,4]]", b"[" + b"[1,2],\n" * 700 + b"[3,4.5]]"],
        "application/jsonlines": [b'{"a": 1}\n{"a": 2}\n', b"[1,2]\n[3,4]\n"],
        "application/x-npy": _encoded("application/x-npy"),
        "application/x-npz": _encoded("application/x-npz"),
        "application/x-recordio-protobuf": [encode(tensors, parse_accept("application/x-recordio-protobuf"), "")[0]],
        "application/x-parquet": _encoded("application/x-parquet"),
        "application/vnd.apache.arrow.stream": _encoded("application/vnd.apache.arrow.stream"),
        "application/octet-stream": [b"\x00"],
        FORM: [form + b"\r\n--xx--\r\n"],
    }
