"""A fuzz of the wire: frames that no library sends, and messages that no page sends."""

from __future__ import annotations

import json
import socket
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.frames import Opcode as Op
from websockets.sync.client import ClientConnection

from .beside import beside
from .frames import answers, close_code, frame, odd_frame
from .target import DEADLINE, Target, read_all

QUICK = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
GOODBYES = {1000, 1001, 1002, 1003, 1005, 1006, 1007, 1009, 4002}  # 1006: the client was first

LENGTHS = st.sampled_from([None, None, None, None, 0, 125, 126, 65_535, 65_536, 1 << 31, (1 << 63) - 1, 1 << 63])
ODD = st.builds(
    odd_frame,
    st.integers(0, 255) | st.sampled_from([0x81, 0x01, 0x80, 0x00, 0x82, 0x88, 0x89, 0x8A, 0xC1]),
    st.binary(max_size=140) | st.sampled_from([b'{"type":"join","room":"lobby"}', b"\xff\xfe", b"\x03\xe8", b"\x03"]),
    masked=st.sampled_from([True] * 9 + [False]),
    length=LENGTHS,
)
WORDS = st.sampled_from(["join", "leave", "say", "typing", "watch", "ack", "type", "room", "text", "lobby", "id"])
TEXTS = WORDS | st.text(max_size=40) | st.sampled_from(["\0", "\u202egnp", "a" * 2_001, "🦊" * 500])
NUMBERS = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400), 1 << 53, 1e308, -0.0])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.dictionaries(
    st.sampled_from(["room", "text", "id", "key", "after", "last", "position"]) | TEXTS,
    VALUES | st.fixed_dictionaries({"epoch": TEXTS, "offset": NUMBERS}),
    max_size=5,
)
MESSAGES = st.builds(lambda kind, fields: json.dumps(fields | {"type": kind}), WORDS | VALUES, FIELDS)
ANY = (
    MESSAGES
    | VALUES.map(json.dumps)
    | st.text(max_size=50)
    | st.binary(max_size=50)
    | st.sampled_from(["[" * 8_000, '{"a":' * 2_000, '"\\ud800"', '{"type":"join","room":"\\udfff"}', "1" * 5_000])
)


def test_no_frames_break_the_server(target: Target) -> None:
    """Whatever frames a client sends, it gets an answer or a close frame; the server neither fails nor keeps them."""

    @QUICK
    @given(st.lists(ODD, min_size=1, max_size=6))
    def fuzz(frames: list[bytes]) -> None:
        with target.upgraded("eve") as raw:
            raw.settimeout(DEADLINE)
            try:
                raw.sendall(b"".join(frames))
                raw.shutdown(socket.SHUT_WR)
            except OSError:  # it was quicker
                pass
            code = close_code(received := read_all(raw))
        assert code in GOODBYES, (frames, received)

    with beside(target):
        fuzz()


def test_fragments_with_pings_between_them_are_one_message(patient: Target) -> None:
    """RFC 6455, 5.4: control frames may come in the middle of a fragmented message."""
    message = b'{"type":"leave","room":"nowhere","id":"' + b"x" * 20 + b'"}'

    @settings(QUICK, max_examples=20)
    @given(st.lists(st.integers(1, len(message) - 1), min_size=1, max_size=8, unique=True), st.binary(max_size=125))
    def fuzz(cuts: list[int], payload: bytes) -> None:
        edges = [0, *sorted(cuts), len(message)]
        pieces = [message[start:end] for start, end in pairwise(edges)]
        with patient.upgraded("eve") as raw:
            for number, piece in enumerate(pieces):
                opcode = Op.CONT if number else Op.TEXT
                raw.sendall(frame(opcode, piece, fin=number == len(pieces) - 1) + frame(Op.PING, payload))
            raw.sendall(frame(Op.TEXT, b"junk") + frame(Op.CLOSE, b"\x03\xe8"))
            received = list(answers(read_all(raw)))
        assert [data for opcode, data in received if opcode == Op.PONG] == [payload] * len(pieces)
        assert received[-1] == (Op.CLOSE, b"\x03\xe8")

    with beside(patient):
        fuzz()


def test_no_message_ends_a_connection(patient: Target) -> None:
    """Whatever a text or binary message says, the answer is an error at most, and the next is served."""

    def serves(client: ClientConnection, number: int) -> bool:
        client.send(json.dumps({"type": "join", "room": "open", "id": f"fuzz-{number}"}))
        while f"fuzz-{number}" not in str(client.recv(timeout=DEADLINE)):
            pass
        return True

    with beside(patient), patient.client("eve") as client:
        numbers = iter(range(1_000_000))

        @settings(QUICK, max_examples=150)
        @given(st.lists(ANY, min_size=1, max_size=5))
        def fuzz(messages: list[str | bytes]) -> None:
            for message in messages:
                client.send(message)
            assert serves(client, next(numbers))

        fuzz()
