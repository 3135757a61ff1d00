"""Frames of event streams: what botocore reads is what was written, however the bytes are cut; damage is noticed."""

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from seaproof.api.event_frames import message, messages
from seaproof.errors import HttpError

HEADERS = st.dictionaries(st.text("abc:-", min_size=1, max_size=20), st.text(max_size=40), max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(HEADERS, st.binary(max_size=300)), max_size=4), st.integers(1, 64))
def test_messages_are_read_as_they_were_written_however_they_are_cut(written, size):
    wire = b"".join(message(headers, payload) for headers, payload in written)
    botocore, data, read = EventStreamBuffer(), bytearray(), []
    for start in range(0, len(wire), size):
        data += wire[start : start + size]
        read += messages(data)
    botocore.add_data(wire)

    assert read == written
    assert [(found.headers, found.payload) for found in botocore] == written
    assert not data


@pytest.mark.parametrize("place", range(0, 40, 3))
def test_a_damaged_message_is_no_message(place):
    wire = bytearray(message({":event-type": "PayloadPart"}, b"some payload"))
    wire[place] ^= 0x40

    with pytest.raises(HttpError, match=r"damaged|no event stream"):
        list(messages(wire))
