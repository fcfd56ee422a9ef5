"""A message is the same for its members whether its record was read or has just been written by this process."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from server.app.chat_requests import RoomEncoder, room_topic
from server.app.presence import PresenceTracker
from server.broker import LocalBroker, Position, Record
from server.messages import ChatMessage

TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)


MESSAGES = st.builds(
    ChatMessage,
    room=st.just("lobby"),
    user=TEXTS,
    text=TEXTS,
    id=st.none() | st.integers(-(1 << 63), 1 << 63) | TEXTS,
    position=st.none(),
    time=st.none(),
)
POSITIONS = st.builds(
    Position,
    epoch=st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    offset=st.integers(0, (1 << 53) - 1),
)


@given(message=MESSAGES, position=POSITIONS, time=st.floats(allow_nan=False, allow_infinity=False))
def test_own_record_is_what_anybody_reads(message: ChatMessage, position: Position, time: float) -> None:
    """Adding position and time to the stored text gives the message that parsing and encoding it gives."""
    encoder = RoomEncoder("lobby", PresenceTracker(LocalBroker(), room_topic))
    record = Record("room:lobby", position, message.encode(), time)
    assert json.loads(encoder.own_record(record).text) == json.loads(encoder.record(record).text)
