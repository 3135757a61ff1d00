"""Between the bytes of a request or reply and Python values, one module per format, chosen by media type.

Nothing here needs a library outside the standard one to be imported; formats that cannot work in an image (npy without
numpy) are not offered there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from seaproof.contract.http import MediaType, parse_media_type
from seaproof.errors import RequestError
from seaproof.serving.codecs import arrow, csv, json, jsonlines, multipart, npy, npz, octets, recordio
from seaproof.serving.codecs.libraries import is_there, preload
from seaproof.serving.codecs.record import Record, Tensor
from seaproof.serving.codecs.shapes import Unfit
from seaproof.serving.codecs.table import Table, concatenate

__all__ = [
    "DECODERS",
    "ENCODERS",
    "Record",
    "Table",
    "Tensor",
    "concatenate",
    "decode",
    "encode",
    "first_choice",
    "preload",
]

Decoder = Callable[[bytes, MediaType], Any]
Encoder = Callable[[Any, MediaType], bytes]


def _decode_multipart(body: bytes, media: MediaType) -> Any:
    return multipart.decode(body, media, decode)


DECODERS: dict[str, Decoder] = {
    csv.TYPE: csv.decode,
    json.TYPE: json.decode,
    jsonlines.TYPE: jsonlines.decode,
    jsonlines.ALIAS: jsonlines.decode,
    octets.TYPE: octets.decode,
    multipart.TYPE: _decode_multipart,
}
"""By essence: what makes a value of a body."""

ENCODERS: dict[str, Encoder] = {
    csv.TYPE: csv.encode,
    json.TYPE: json.encode,
    jsonlines.TYPE: jsonlines.encode,
    jsonlines.ALIAS: jsonlines.encode,
    octets.TYPE: octets.encode,
}
"""By essence: what makes a body of a value."""

if is_there("numpy"):
    DECODERS.update({npy.TYPE: npy.decode, npz.TYPE: npz.decode, recordio.TYPE: recordio.decode})
    ENCODERS.update({npy.TYPE: npy.encode, npz.TYPE: npz.encode, recordio.TYPE: recordio.encode})
if is_there("pyarrow"):
    DECODERS.update({arrow.PARQUET: arrow.decode_parquet, arrow.STREAM: arrow.decode_stream})
    ENCODERS.update({arrow.PARQUET: arrow.encode_parquet, arrow.STREAM: arrow.encode_stream})


def decode(body: bytes, media: MediaType) -> Any:
    """The value of a body of this media type.

    RequestError 415 for a type that is not known, listing those that are; 400 for a body that is malformed, with row
    and column in `where` where the format has them. No other exception, whatever the bytes.
    """
    decoder = DECODERS.get(media.essence)
    if decoder is None:
        raise RequestError(
            415,
            f"content type {media.essence[:100] or '(none)'} is not supported",
            where="Content-Type",
            next_step=f"Send one of: {', '.join(DECODERS)}.",
        )
    try:
        return decoder(body, media)
    except RequestError as error:
        error.where = error.where or "body"
        raise


def encode(value: Any, accept: list[MediaType], default: str) -> tuple[bytes, str]:
    """The body of a value and its exact content type, by the caller's Accept ranges (best first, as parsed).

    No range, or `*/*`, means `default`; for bytes, which go out as they are in any type, application/octet-stream.
    A range that the value has no form in gives way to the next. RequestError 406 where none is left, listing the types
    there are; 500 where nothing was asked for and the value has no form at all.
    """
    refused: dict[str, str] = {}
    is_bytes = isinstance(value, (bytes, bytearray, memoryview))
    for media in _candidates(accept, _parsed(octets.TYPE if is_bytes else default)):
        if is_bytes:
            return bytes(value), content_type(media)
        try:
            return ENCODERS[media.essence](value, media), content_type(media)
        except Unfit as error:
            refused[media.essence] = str(error)
    raise _unacceptable(accept, refused)


_parsed = lru_cache(parse_media_type)


def first_choice(accept: list[MediaType], default: str) -> MediaType | None:
    """The type that `encode` tries first for a value that is not bytes; None where there is none."""
    return next(_candidates(accept, _parsed(default)), None)


def _candidates(accept: list[MediaType], preferred: MediaType) -> Iterator[MediaType]:
    """The types to try, in order; those that are not there are left out."""
    for media in accept or [MediaType("*/*")]:
        if media.essence in ENCODERS:
            yield media
        elif "*" in media.essence:
            if media.matches(preferred.essence) and preferred.essence in ENCODERS:
                yield preferred
            yield from (MediaType(essence) for essence in ENCODERS if media.matches(essence))


def content_type(media: MediaType) -> str:
    """The Content-Type of a reply in this type: the parameters that its encoder follows, and no others."""
    kept = [f"; {name}={value}" for name, value in media.parameters if name in ("charset", "header")]
    return media.essence + "".join(kept) if kept else media.essence


def _unacceptable(accept: list[MediaType], refused: dict[str, str]) -> RequestError:
    types = ", ".join(ENCODERS)
    if not refused:
        asked = ", ".join(media.essence for media in accept)[:200]
        return RequestError(
            406, f"no reply of type {asked} can be made", where="Accept", next_step=f"Accept one of: {types}."
        )
    why = "; ".join(f"{essence}: {reason}" for essence, reason in refused.items())
    status = 406 if accept and all("*" not in media.essence for media in accept) else 500
    return RequestError(
        status,
        f"the prediction cannot be sent as {why}",
        where="Accept",
        next_step=f"Accept another of: {types}; or let the function return numbers, text, lists, dicts or arrays.",
    )
