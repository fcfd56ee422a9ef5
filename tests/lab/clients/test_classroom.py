"""A class joined from a notebook: it receives, says, shows what is solved, and reconnects."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.checks.progress import remember
from lab.clients import classroom
from lab.clients.classroom import ChatMessage, ClassroomClient, join, url_of
from websockets.sync.client import ClientConnection, connect

from server import BackgroundServer, serve, stop_all
from server.app import create_app
from server.client import ClientError, ClosedError, RefusedError
from server.run.registry import entered
from server.settings import Settings

SETTINGS: dict[str, Any] = {"demo_login": True}


class Teacher:
    """The teacher's connection."""

    def __init__(self, websocket: ClientConnection) -> None:
        self.websocket = websocket

    def say(self, kind: str, **fields: Any) -> None:
        """Do something to the class."""
        self.websocket.send(json.dumps({"type": kind} | fields))

    def student(self, user: str) -> dict[str, Any] | None:
        """Return what the next message says about this student; None when they are not there."""
        while (told := json.loads(self.websocket.recv(timeout=30)))["type"] != "class":
            pass
        return next((one for one in told["students"] if one["user"] == user), None)

    def until(self, user: str, done: Callable[[Any], Any]) -> dict[str, Any]:
        """Wait until that is so."""
        deadline = time.monotonic() + 30
        while not done(student := self.student(user)):
            assert time.monotonic() < deadline, student
        return student or {}


@pytest.fixture
def server() -> Iterator[BackgroundServer]:
    """A class."""
    settings = Settings(classroom=True, **SETTINGS)
    with serve(create_app(settings), **settings.uvicorn_options) as server:
        yield server


@pytest.fixture
def teacher(server: BackgroundServer) -> Iterator[Teacher]:
    """Who has the key."""
    with connect(server.url("/teacher/ws"), proxy=None) as websocket:
        websocket.send(json.dumps({"type": "teacher", "key": server.app.state.classroom.key}))
        yield Teacher(websocket)


def eventually(done: Callable[[], Any]) -> None:
    """Wait until that is so."""
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_class(server: BackgroundServer, teacher: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Students receive what others and the teacher say; the teacher sees progress, cuts one off, and removes one."""
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "kept.json"))
    monkeypatch.setattr(classroom, "SHARE_SECONDS", 0.05)
    ana, ben = join(server.http("/join"), name="ana"), join(f"127.0.0.1:{server.port}", name="ben")
    assert repr(ana) == f"<ana in the class at {server.http().rstrip('/')}>"
    assert set(entered(ClassroomClient)) == {ana, ben}
    ben.say("hello")
    teacher.say("broadcast", text="attention")
    eventually(lambda: set(ana.messages) >= {ChatMessage("ben", "hello"), ChatMessage("the teacher", "attention")})

    assert teacher.until("ana", bool)["progress"] is None
    ana.share_progress()
    remember("lab.checks.echo", "check_shout")
    there = teacher.until("ana", lambda one: one["progress"] and one["progress"].get("02-echo"))
    assert there["progress"]["02-echo"] == {"check_shout": True}
    assert teacher.student("ben")["progress"] is None  # type: ignore[index]

    teacher.say("cut", id=there["id"])
    teacher.until("ana", lambda one: one and one["id"] != there["id"])
    ana.say("here again")
    eventually(lambda: ChatMessage("ana", "here again") in ben.messages)

    teacher.say("kick", id=teacher.until("ben", bool)["id"])
    teacher.until("ben", lambda one: one is None)
    eventually(lambda: "classroom-ben" not in {thread.name for thread in threading.enumerate()})
    with pytest.raises(RefusedError, match="4003"):
        ben.say("may I?")
    ana.leave()
    ana.leave()
    with pytest.raises(ClosedError, match="join again"):
        ana.say("one more thing")


def test_what_a_student_meets_is_said(
    server: BackgroundServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that the class refuses, a server without a class, and an address where no server is."""
    with pytest.raises(RefusedError, match="choose another name"):
        join(server.http(), name="<ana>")
    with serve(create_app(Settings(**SETTINGS))) as other:
        me = join(other.http(), name="ana")
        monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "kept.json"))
        with pytest.raises(RefusedError, match="is it a class"):
            me.share_progress()
        monkeypatch.setenv("COURSE_PROGRESS", "")
        with pytest.raises(ClientError, match="nothing is remembered here"):
            me.share_progress()
        stop_all()
        assert not entered(ClassroomClient)
    monkeypatch.setattr(classroom, "JOIN_SECONDS", 0.2)
    with pytest.raises(ConnectionError, match=r"no class answers at http://127\.0\.0\.1:9 within"):
        join("127.0.0.1:9", name="ana")
    assert not entered(ClassroomClient)


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("teacher:8000", "http://teacher:8000"),
        ("teacher", "http://teacher:8000"),
        (" 192.168.1.5:80/join/ ", "http://192.168.1.5:80"),
        ("[fe80::1]", "http://[fe80::1]:8000"),
        ("http://teacher/", "http://teacher"),
        ("https://hub/user/t/proxy/8000/join", "https://hub/user/t/proxy/8000"),
    ],
)
def test_addresses(address: str, url: str) -> None:
    """As on the teacher's screen, or as a student types it."""
    assert url_of(address) == url


@pytest.mark.parametrize("address", ["", "  ", "teacher:99999", "teacher:class", "[::1", None, 8000, b"teacher"])
def test_an_address_that_cannot_be_one_is_refused_by_name(address: Any) -> None:
    """The message repeats what was typed, and says what to type instead."""
    with pytest.raises(ClientError, match="type what the teacher's screen shows") as refused:
        url_of(address)
    assert repr(address) in str(refused.value)


@pytest.mark.parametrize(("address", "name"), [("teacher:99999", "ben"), (None, "ben"), ("{server}", "half \ud83d")])
def test_a_mistyped_cell_does_not_close_the_connection(
    server: BackgroundServer, address: str | None, name: str
) -> None:
    """The student of an earlier run stays in the class when the new one can never join."""
    me = join(server.http(), name="ana")
    with pytest.raises(ClientError):
        join(server.http() if address == "{server}" else address, name=name)  # type: ignore[arg-type]
    me.say("still here")
    me.leave()
