"""As much of the protobuf wire format as SageMaker's Record message needs: fields in, fields out.

Source: protobuf.dev, "Encoding". Every reader raises ValueError for bytes that are cut off or no protobuf.
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
_FIXED = {FIXED64: 8, FIXED32: 4}


def fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Number, wire type and value of each field: an int for a varint, bytes for everything else."""
    at, end = 0, len(data)
    while at < end:
        tag, at = varint(data, at)
        wire = tag & 7
        if wire == VARINT:
            number, at = varint(data, at)
            yield tag >> 3, wire, number
            continue
        if wire == LENGTH:
            size, at = varint(data, at)
        elif wire in _FIXED:
            size = _FIXED[wire]
        else:
            raise ValueError(f"wire type {wire} is not known")
        if size > end - at:
            raise ValueError("a field is cut off")
        yield tag >> 3, wire, data[at : at + size]
        at += size


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The unsigned number that begins at this offset, and the offset behind it."""
    number = shift = 0
    for byte in data[at : at + 10]:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number & 0xFFFFFFFFFFFFFFFF, at + shift // 7
    raise ValueError("a number is cut off or longer than 64 bits")


def varints(data: bytes) -> list[int]:
    """All numbers of a packed field."""
    numbers, at = [], 0
    while at < len(data):
        number, at = varint(data, at)
        numbers.append(number)
    return numbers


def field(number: int, data: bytes) -> bytes:
    """A field of bytes, text, a message or packed numbers."""
    return packed([number << 3 | LENGTH, len(data)]) + data


def packed(numbers: list[int]) -> bytes:
    """The numbers as varints; a negative one as its 64-bit two's complement."""
    out = bytearray()
    for number in numbers:
        number &= 0xFFFFFFFFFFFFFFFF
        while number > 0x7F:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)
    return bytes(out)
