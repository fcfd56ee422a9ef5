"""The teacher's WebSocket on a real server: who gets in, what is seen, and what becomes of whom."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from server.app.classroom import teacher as endpoint
from server.messages import CloseCode
from tests.server.people import Person, chat

from .lesson import Lesson, TeacherClient, lesson


@pytest.fixture
def room() -> Iterator[Lesson]:
    """A class with room for little."""
    with lesson(outbox_messages=20) as open_lesson:
        yield open_lesson


def test_without_the_flag_there_is_no_classroom() -> None:
    """A server without the flag has no endpoint for a teacher."""
    with chat() as room, httpx.Client(base_url=room.server.http(), trust_env=False) as client:
        for path in ("/teacher", "/teacher.html", "/teacher.js", "/teacher.css", "/join", "/join.svg"):
            assert client.get(path).status_code == 404, path
        assert client.post("/classroom/progress", json={"lessons": {}}).status_code in (404, 405)
        with pytest.raises(InvalidStatus, match="403"):
            connect(room.server.url("/teacher/ws"), proxy=None).__enter__()


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ('{"type":"teacher","key":"a guess"}', CloseCode.FORBIDDEN),
        ('{"type":"teacher","key":"ü\\ud800"}', CloseCode.AUTH_REQUIRED),
        ('{"type":"kick","id":1}', CloseCode.AUTH_REQUIRED),
        ("junk", CloseCode.AUTH_REQUIRED),
        (None, CloseCode.AUTH_REQUIRED),
    ],
)
def test_a_wrong_or_missing_key_is_refused(
    room: Lesson, word: str | None, code: CloseCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong key and a missing one get different codes, and a silent client is closed after a timeout."""
    monkeypatch.setattr(endpoint, "KEY_TIMEOUT", 0.1)
    with TeacherClient(room.server, word) as stranger:
        assert stranger.end() == code


def test_a_foreign_page_stays_out(room: Lesson) -> None:
    """Even with the key."""
    word = json.dumps({"type": "teacher", "key": room.key})
    with TeacherClient(room.server, word, origin="https://elsewhere.example") as stranger:
        assert stranger.end() == CloseCode.FORBIDDEN


def test_connections_without_a_key_do_not_keep_the_teacher_out(room: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many closes the oldest, at once."""
    monkeypatch.setattr(endpoint, "MOST_WITHOUT_KEY", 1)
    with TeacherClient(room.server, None) as oldest, TeacherClient(room.server, None):
        assert oldest.end() == CloseCode.AUTH_REQUIRED
        with TeacherClient(room.server, json.dumps({"type": "teacher", "key": room.key})) as teacher:
            assert teacher.receive("class")["students"] == []


def test_every_connection_is_seen(room: Lesson) -> None:
    """With its user, its device and its rooms, in the order of their coming, until it goes."""
    with Person(room.server, "ana", device="phone") as ana, Person(room.server, "ben", room=None):
        view = room.teacher.until(lambda view: len(view["students"]) == 2)
        first, second = view["students"]
        assert (first["user"], first["device"], first["rooms"]) == ("ana", "phone", ["lobby"])
        assert (second["user"], second["rooms"]) == ("ben", [])
        assert (first["waiting"], first["bytes"], first["lag"], first["dropped"]) == (0, 0, 0, 0)
        assert first["slow"] is first["progress"] is None
        assert first["sent"] > 0
        assert view["join"] == room.server.http("/join")
        assert view["limits"] == {"messages": 20, "bytes": 1 << 20}
        ana.socket.close()
        assert room.teacher.ending("ana")["code"] == CloseCode.NORMAL


def test_a_kick_closes_with_4003(room: Lesson) -> None:
    """With 4003, after which a client stays away; the others stay connected."""
    with Person(room.server, "ana") as ana, Person(room.server, "ben") as ben:
        room.teacher.tell("kick", id=room.teacher.student("ben")["id"])
        assert ben.end() == (CloseCode.FORBIDDEN, "the teacher has removed you")
        assert room.teacher.ending("ben")["code"] == CloseCode.FORBIDDEN
        assert ana.answers()


def test_a_student_who_was_cut_resumes(room: Lesson) -> None:
    """The client gets no close frame, reconnects, and gets the messages that it missed."""
    with Person(room.server, "ana") as ana, Person(room.server, "ben") as ben:
        ana.say("before")
        seen = ben.receive("message")["position"]
        room.teacher.tell("cut", id=room.teacher.student("ben")["id"])
        assert ben.end() == (CloseCode.ABNORMAL, "")
        ending = room.teacher.ending("ben")
        assert (ending["code"], ending["reason"]) == (CloseCode.ABNORMAL, "cut by the teacher")
        ana.say("meanwhile")
        ana.receive("message")
        with Person(room.server, "ben", room=None) as back:
            back.send(type="join", room="lobby", after=seen)
            assert back.receive("message")["text"] == "meanwhile"


def test_a_slow_student_is_seen_and_in_the_end_closed(room: Lesson) -> None:
    """The queue grows, and its lag; at the bound comes 4008; the others hear everything."""
    with Person(room.server, "ana") as ana, Person(room.server, "ben") as ben:
        number = room.teacher.student("ben")["id"]
        room.teacher.tell("slow", id=number, bytes_per_second=1)
        room.teacher.until(lambda view: any(student["slow"] == 1 for student in view["students"]))
        for text in range(10):
            ana.say(str(text))
        view = room.teacher.until(
            lambda view: (
                [student["waiting"] > 7 for student in view["students"]] == [False, True]
                and view["students"][1]["lag"] > 0
            )
        )
        assert view["students"][0]["lag"] == 0
        assert view["students"][1]["waiting"] <= 10
        assert view["students"][1]["bytes"] > 0
        for text in range(10, 25):
            ana.say(str(text))
        assert [ana.receive("message")["text"] for _ in range(25)] == [str(text) for text in range(25)]
        code, reason = ben.end()
        assert code == CloseCode.TOO_SLOW
        assert 20 < int(reason.partition(" messages of ")[0]) <= 25
        assert room.teacher.ending("ben")["code"] == CloseCode.TOO_SLOW


def test_a_student_who_is_no_longer_slowed_has_lost_nothing(room: Lesson) -> None:
    """What waited comes, whole and in order; errors and pings were answered all the while."""
    with Person(room.server, "ana") as ana, Person(room.server, "ben") as ben:
        number = room.teacher.student("ben")["id"]
        room.teacher.tell("slow", id=number, bytes_per_second=1)
        room.teacher.until(lambda view: any(student["slow"] == 1 for student in view["students"]))
        ben.socket.send("junk")
        assert ben.receive("error")["expected"].startswith("JSON")
        for text in range(10):
            ana.say(str(text))
        room.teacher.until(lambda view: any(student["waiting"] > 5 for student in view["students"]))
        assert ben.socket.ping().wait(30)
        room.teacher.tell("slow", id=number, bytes_per_second=None)
        assert [ben.receive("message")["text"] for _ in range(10)] == [str(text) for text in range(10)]
        assert ben.answers()


def test_a_broadcast_reaches_everybody(room: Lesson) -> None:
    """Also who is in no room."""
    with Person(room.server, "ana") as ana, Person(room.server, "ben", room=None) as ben:
        room.teacher.until(lambda view: len(view["students"]) == 2)
        room.teacher.tell("broadcast", text="look here")
        for student in (ana, ben):
            assert student.receive("announcement") == {"type": "announcement", "text": "look here"}


@pytest.mark.parametrize(
    ("order", "field"),
    [
        ({"type": "kick", "id": 77}, "id"),
        ({"type": "slow", "id": 77, "bytes_per_second": 0}, "bytes_per_second"),
        ({"type": "broadcast", "text": ""}, "text"),
        ({"type": "freeze"}, "type"),
    ],
)
def test_a_command_that_cannot_be_carried_out_gets_an_error(room: Lesson, order: dict[str, object], field: str) -> None:
    """And the teacher stays connected."""
    room.teacher.socket.send(json.dumps(order))
    assert room.teacher.receive("error")["field"] == field
    assert room.teacher.receive("class")
