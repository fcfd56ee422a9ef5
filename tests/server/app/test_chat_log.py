"""The log of a room, on the wire: a client that resumes gets what it missed, and a repeated message is stored once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.server.people import Person, chat


def texts(person: Person, count: int) -> list[str]:
    """Return the next messages; nothing else may come in between."""
    heard = [person.next() for _ in range(count)]
    assert [message["type"] for message in heard] == ["message"] * count
    return [message["text"] for message in heard]


def join(person: Person, **wish: Any) -> dict[str, Any]:
    """Join the lobby with these fields; return the answer."""
    person.send(type="join", room="lobby", id="j", **wish)
    joined = person.receive("joined")
    assert joined["id"] == "j"
    return joined


def test_a_client_that_resumes_gets_what_it_missed() -> None:
    """In order, from right after its position, and then what comes."""
    with chat() as room, Person(room.server, "ana") as ana:
        with Person(room.server, "ben", room=None) as ben:
            seen = join(ben)["position"]
            ana.say("one")
            assert ben.receive("message")["position"] == seen | {"offset": 1}
        for text in ("two", "three"):
            ana.say(text)
        ana.answers()
        with Person(room.server, "ben", room=None) as ben:
            assert join(ben, after=seen | {"offset": 1})["position"] == seen | {"offset": 1}
            assert texts(ben, 3) == ["two", "three", "are you there?"]
            ana.say("four")
            assert texts(ben, 1) == ["four"]


def test_a_newcomer_can_ask_for_the_newest_messages() -> None:
    """Without asking it gets none."""
    with chat() as room, Person(room.server, "ana") as ana:
        for number in range(5):
            ana.say(str(number))
        ana.answers()
        with Person(room.server, "ben", room=None) as ben, Person(room.server, "eve") as eve:
            assert join(ben, last=3)["position"]["offset"] == 3
            assert texts(ben, 3) == ["3", "4", "are you there?"]
            ana.say("new")
            assert texts(ben, 1) == ["new"]
            assert eve.receive("message")["text"] == "new"


def test_joining_again_starts_anew() -> None:
    """A client that joins twice gets each later message once."""
    with chat() as room, Person(room.server, "ana") as ana:
        join(ana, last=10)
        join(ana)
        ana.say("once")
        assert texts(ana, 1) == ["once"]
        ana.say("again")
        assert texts(ana, 1) == ["again"]


def test_a_message_that_is_sent_twice_with_a_key_is_stored_once() -> None:
    """By the same user; another user's key is another key."""
    with chat() as room, Person(room.server, "ana") as ana, Person(room.server, "ben") as ben:
        for _ in range(2):
            ana.send(type="say", room="lobby", text="from ana", key="k", id="i")
        position = ana.receive("message")["position"]
        assert ana.receive("stored") == {"type": "stored", "room": "lobby", "position": position, "id": "i"}
        ana.answers()
        ben.send(type="say", room="lobby", text="from ben", key="k")
        assert [ben.receive("message")["text"] for _ in range(3)] == ["from ana", "are you there?", "from ben"]


@pytest.mark.parametrize(
    ("after", "field"),
    [
        ({"epoch": "", "offset": 1}, "after"),
        ({"epoch": "e" * 65, "offset": 1}, "after"),
        ({"epoch": "e", "offset": -1}, "after"),
        ({"epoch": "e", "offset": 1 << 53}, "after"),
        ({"epoch": "e", "offset": "1"}, "after.offset"),
        ({"epoch": "e"}, "after.offset"),
        (7, "after"),
    ],
)
def test_an_invalid_position_is_refused(after: Any, field: str) -> None:
    """With the field, and nothing is joined."""
    with chat() as room, Person(room.server, "ana", room=None) as ana:
        ana.send(type="join", room="lobby", after=after)
        assert ana.receive("error")["field"] == field
        assert room.manager.room("lobby") is None


@pytest.mark.parametrize("after", [{"epoch": "made up", "offset": 3}, {"offset": 99}])
def test_an_unknown_position_gets_everything_that_is_stored(after: dict[str, Any]) -> None:
    """The answer says that it may have missed something, and then come the oldest stored messages."""
    with chat(history_messages=2) as room, Person(room.server, "ana") as ana:
        for number in range(4):
            ana.say(str(number))
        ana.answers()
        with Person(room.server, "ben", room=None) as ben:
            epoch = join(ben)["position"]["epoch"]
            joined = join(ben, after={"epoch": epoch} | after)
            assert joined["complete"] is False
            assert joined["position"] == {"epoch": epoch, "offset": 3}
            assert texts(ben, 2) == ["3", "are you there?"]


def test_leaving_ends_the_messages() -> None:
    """A client gets nothing from a room that it left, and can rejoin at the same position."""
    with chat() as room, Person(room.server, "ana") as ana, Person(room.server, "ben", room=None) as ben:
        seen = join(ben)["position"]
        ben.send(type="leave", room="lobby")
        ben.say("I am gone")
        assert ben.receive("error")["field"] == "room"
        ana.say("missed")
        ana.answers()
        join(ben, after=seen)
        assert texts(ben, 2) == ["missed", "are you there?"]


def test_a_file_survives_the_server(tmp_path: Path) -> None:
    """With ``sqlite:…`` a position is good beyond a restart."""
    broker = f"sqlite:{tmp_path / 'log.sqlite'}"
    with chat(broker=broker) as room, Person(room.server, "ana", room=None) as ana:
        seen = join(ana)["position"]
        ana.say("before")
        ana.receive("message")
    with chat(broker=broker) as room, Person(room.server, "ana", room=None) as ana:
        assert join(ana, after=seen)["complete"]
        assert texts(ana, 1) == ["before"]


def test_a_log_far_longer_than_an_outbox_is_sent_whole() -> None:
    """A client that is a thousand messages behind is not thrown out for being slow: it is waited for."""
    with (
        chat(messages_per_second=1e6, message_burst=100_000, outbox_messages=32) as room,
        Person(room.server, "ana") as ana,
        Person(room.server, "ben", room=None) as ben,
    ):
        seen = join(ben)["position"]
        ben.send(type="leave", room="lobby")
        for number in range(900):
            ana.say(f"{number} " + 1_000 * "x")
            ana.receive("message")
        joined = join(ben, after=seen)
        assert joined["complete"]
        assert [int(text.split()[0]) for text in texts(ben, 900)] == list(range(900))
