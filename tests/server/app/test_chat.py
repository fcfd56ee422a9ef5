"""The chat on real sockets: rooms, presence, typing, and messages that are not valid."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.frames import Opcode

from server.manager import ManagerStatistics
from server.messages import CloseCode
from tests.server.people import DEADLINE, Chat, Person, Silent, chat

NOTHING = ManagerStatistics(connections=0, users=0, rooms=0)
LOBBY_OF_TWO = {"type": "presence", "room": "lobby", "count": 2}


@pytest.fixture
def room() -> Iterator[Chat]:
    """The chat with its defaults."""
    with chat() as open_chat:
        yield open_chat


# what is said


def test_the_first_message_is_a_welcome(room: Chat) -> None:
    """The name from the token and the device from the address."""
    with Person(room.server, "ana", device="phone", room=None) as ana:
        assert ana.next() == {"type": "welcome", "user": "ana", "device": "phone"}


def test_two_people_meet_talk_and_part(room: Chat) -> None:
    """Each sees the other join, speak and leave; the speaker gets its own message with its own id."""
    with Person(room.server, "ana") as ana:
        with Person(room.server, "ben", room=None) as ben:
            ben.send(type="join", room="lobby")
            assert ben.receive("presence") == LOBBY_OF_TWO | {"users": ["ana", "ben"]}
            assert ana.receive("presence") == LOBBY_OF_TWO | {"joined": ["ben"]}
            ben.say("hello", id=7)
            said = {"type": "message", "room": "lobby", "user": "ben", "text": "hello", "id": 7}
            heard = ana.receive("message")
            assert heard == ben.receive("message") == said | {key: heard[key] for key in ("position", "time")}
            assert heard["position"]["offset"] == 1
            assert abs(heard["time"] - time.time()) < DEADLINE
        assert ana.receive("presence") == {"type": "presence", "room": "lobby", "count": 1, "left": ["ben"]}


def test_only_members_of_a_room_get_its_messages(room: Chat) -> None:
    """Not by those who are elsewhere, and not by those who have left."""
    with Person(room.server, "ana") as ana, Person(room.server, "ben", room="kitchen") as ben:
        ana.say("in the lobby")
        ben.send(type="say", room="kitchen", text="in the kitchen")
        assert ana.receive("message")["text"] == "in the lobby"
        assert ben.receive("message")["text"] == "in the kitchen"
        ben.send(type="join", room="lobby")
        ben.receive("presence")
        ben.send(type="leave", room="lobby")
        ana.say("has he gone?")
        ben.send(type="say", room="kitchen", text="I have")
        assert ben.receive("message")["text"] == "I have"


@pytest.mark.parametrize("message", [{"type": "say", "text": "x"}, {"type": "typing"}])
def test_a_user_must_join_a_room_to_speak_there(room: Chat, message: dict[str, Any]) -> None:
    """The error names the field and the id, no one else gets it, and the connection stays open."""
    with Person(room.server, "ana") as ana, Person(room.server, "ben", room="kitchen") as ben:
        ben.send(room="lobby", id=3, **message)
        assert ben.receive("error") == {
            "type": "error",
            "field": "room",
            "expected": "a room that you have joined",
            "id": 3,
        }
        ben.send(type="say", room="kitchen", text="still here")
        assert ben.receive("message")["text"] == "still here"
        ana.say("quiet here")
        assert ana.receive("message")["text"] == "quiet here"


def test_typing_is_shown_to_the_others(room: Chat) -> None:
    """Not to the user who types, on any device."""
    with (
        Person(room.server, "ana") as ana,
        Person(room.server, "ben", device="a") as ben,
        Person(room.server, "ben", device="b") as other_ben,
    ):
        ben.send(type="typing", room="lobby")
        assert ana.receive("typing") == {"type": "typing", "room": "lobby", "user": "ben"}
        ben.say("done")
        for person in (ben, other_ben):
            while (message := person.next())["type"] != "message":
                assert message["type"] != "typing"


# rooms


def test_may_join_can_refuse_a_user() -> None:
    """The hook is asked for each user and room; a refusal is an error, not an end."""
    asked = []

    def may_join(user: str, name: str) -> bool:
        asked.append((user, name))
        return name != "board" or user == "ana"

    with chat(may_join=may_join) as room, Person(room.server, "ben") as ben:
        ben.send(type="join", room="board", id=1)
        assert ben.receive("error") == {
            "type": "error",
            "field": "room",
            "expected": "a room that is open to you",
            "id": 1,
        }
        ben.send(type="say", room="board", text="I am in")
        assert ben.receive("error")["expected"] == "a room that you have joined"
        assert ben.answers()
        with Person(room.server, "ana", room="board") as ana:
            ana.send(type="say", room="board", text="only me")
            assert ana.receive("message")["text"] == "only me"
    assert asked == [("ben", "lobby"), ("ben", "board"), ("ana", "board")]


def test_may_join_can_be_a_coroutine_function() -> None:
    """As for a database; the other connections continue in the meantime."""
    gate = asyncio.Event()

    async def may_join(user: str, name: str) -> bool:
        if name == "board":
            await gate.wait()
        return True

    with chat(may_join=may_join) as room, Person(room.server, "ben") as ben, Person(room.server, "ana") as ana:
        ben.send(type="join", room="board")
        assert ana.answers()
        room.hall.tasks[0].get_loop().call_soon_threadsafe(gate.set)
        while (presence := ben.receive("presence"))["room"] != "board":
            pass
        assert presence["users"] == ["ben"]


def test_a_failing_may_join_ends_only_its_own_connection() -> None:
    """1011 for the client that asked, an exception in the log, and nothing for the others."""

    def may_join(user: str, name: str) -> bool:
        if name == "cellar":
            raise RuntimeError("no database")
        return True

    with chat(may_join=may_join) as room, Person(room.server, "ben") as ben, Person(room.server, "ana") as ana:
        ben.send(type="join", room="cellar")
        assert ben.end() == (CloseCode.INTERNAL_ERROR, "")
        assert ana.answers()
    assert [str(record.exc_info[1]) for record in room.server.log if record.exc_info] == ["no database"]


# coming back


def test_a_page_that_reloads_in_time_neither_leaves_nor_joins() -> None:
    """Within the grace time, the other members get no presence message."""
    with chat(grace_seconds=30) as room, Person(room.server, "ana") as ana:
        with Person(room.server, "ben"):
            assert ana.receive("presence")["joined"] == ["ben"]
        with Person(room.server, "ben") as ben:
            assert ben.answers()
            heard = ana.next()
            assert (heard["type"], heard["user"]) == ("message", "ben")


def test_a_server_that_stops_says_1012_and_forgets(room: Chat) -> None:
    """Every client is closed with a code that makes it reconnect, and nothing of them is left."""
    with Person(room.server, "ana") as ana, Person(room.server, "ben") as ben:
        room.server.stop()
        assert ana.end()[0] == ben.end()[0] == CloseCode.SERVICE_RESTART
        assert room.manager.statistics() == NOTHING


# what is no message


@pytest.mark.parametrize(
    ("junk", "field", "expected"),
    [
        (b"\x00\x01", None, "a text message with a JSON object, not binary"),
        (b"", None, "a text message with a JSON object, not binary"),
        ("", None, "JSON, but: EOF"),
        ('{"type": "say", "text"', None, "JSON, but: EOF"),
        ('{"type": "say", "room": "lobby", "text": NaN}', None, "finite numbers, JSON has no NaN or Infinity"),
        ("[" * 10_000, None, "JSON, but: recursion limit exceeded"),
        ('{"a":' * 3_000, None, "JSON, but: recursion limit exceeded"),
        ('["say"]', None, "a JSON object"),
        ('{"text": "x"}', "type", "a value, the field is missing"),
        ('{"type": "shout"}', "type", "one of 'join', 'leave', 'say', 'typing'"),
        ('{"type": "say", "room": "lobby"}', "text", "a value, the field is missing"),
        ('{"type": "say", "room": "lobby", "text": 7}', "text", "a valid string"),
        ('{"type": "say", "room": "lobby", "text": ""}', "text", "a string with at least 1 character"),
        ('{"type": "join", "room": "no spaces"}', "room", "a string that matches"),
        ('{"type": "join", "room": "lobby", "colour": 1}', "colour", "no such field"),
        ('{"type": "welcome", "user": "x", "device": ""}', "type", "one of 'join', 'leave', 'say', 'typing'"),
    ],
    ids=[
        *["binary", "empty binary", "empty", "cut", "nan", "deep list", "deep object", "list", "no type"],
        *["unknown type", "missing", "wrong kind", "too short", "pattern", "extra", "the server's own"],
    ],
)
def test_an_invalid_message_gets_an_error(room: Chat, junk: str | bytes, field: str | None, expected: str) -> None:
    """The error names the field and what was expected there, and the connection lives."""
    with Person(room.server, "ana") as ana:
        ana.socket.send(junk)
        error = ana.receive("error")
        assert error.get("field") == field
        assert error["expected"].startswith(expected)
        assert ana.answers()
        assert not [record for record in room.server.log if record.exc_info]


@pytest.mark.parametrize(
    ("opcode", "payload", "mask", "code"),
    [
        (Opcode.TEXT, b"\xff\xfe", True, CloseCode.INVALID_DATA),
        (Opcode.TEXT, b"{}", False, CloseCode.PROTOCOL_ERROR),
    ],
    ids=["wrong UTF-8", "unmasked"],
)
def test_a_protocol_error_closes_the_connection(
    room: Chat, opcode: Opcode, payload: bytes, mask: bool, code: CloseCode
) -> None:
    """RFC 6455 leaves no choice; the code says which rule it was."""
    with Silent(room.server, "sid") as sid:
        sid.send(opcode, payload, mask=mask)
        frames = sid.read_all()
        assert code.to_bytes(2, "big") in frames[-80:]
        room.hall.until_handlers(0)
        assert room.manager.statistics() == NOTHING
