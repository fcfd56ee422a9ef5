"""A seat in the class, taken in a notebook: it hears, says, shows what is solved, and comes back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import classroom
from lab.classroom import Said, Seat, _url_of, join
from lab.progress import remember
from websockets.sync.client import ClientConnection, connect

from server import BackgroundServer, serve, stop_all
from server.app import create_app
from server.cell import entered
from server.client import ClientError, ClosedError, RefusedError
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
        """What the next message tells about this one; None when the student is not there."""
        while (told := json.loads(self.websocket.recv(timeout=5)))["type"] != "class":
            pass
        return next((one for one in told["students"] if one["user"] == user), None)

    def until(self, user: str, done: Callable[[Any], Any]) -> dict[str, Any]:
        """Wait until that is so."""
        deadline = time.monotonic() + 8
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
    deadline = time.monotonic() + 5
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_class(server: BackgroundServer, teacher: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Students hear each other and the teacher, who sees what they share, cuts one off and sends one out."""
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "kept.json"))
    monkeypatch.setattr(classroom, "SHARE_SECONDS", 0.05)
    ana, ben = join(server.http("/join"), name="ana"), join(f"127.0.0.1:{server.port}", name="ben")
    assert repr(ana) == f"<ana's seat at {server.http().rstrip('/')}>"
    assert set(entered(Seat)) == {ana, ben}
    ben.say("hello")
    teacher.say("broadcast", text="attention")
    eventually(lambda: set(ana.messages) >= {Said("ben", "hello"), Said("the teacher", "attention")})

    assert teacher.until("ana", bool)["progress"] is None
    ana.share_progress()
    remember("lab.checks.echo", "check_shout")
    there = teacher.until("ana", lambda one: one["progress"] and one["progress"].get("02-echo"))
    assert there["progress"]["02-echo"] == {"check_shout": True}
    assert teacher.student("ben")["progress"] is None  # type: ignore[index]

    teacher.say("cut", id=there["id"])
    teacher.until("ana", lambda one: one and one["id"] != there["id"])
    ana.say("here again")
    eventually(lambda: Said("ana", "here again") in ben.messages)

    teacher.say("kick", id=teacher.until("ben", bool)["id"])
    teacher.until("ben", lambda one: one is None)
    eventually(lambda: not ben._thread.is_alive())
    with pytest.raises(RefusedError, match="4002"):
        ben.say("may I?")
    ana.leave()
    ana.leave()
    with pytest.raises(ClosedError, match="join again"):
        ana.say("one more thing")


def test_what_a_student_meets_is_said(
    server: BackgroundServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that the class refuses, a server that holds no class, and an address where nobody is."""
    with pytest.raises(RefusedError, match="choose another name"):
        join(server.http(), name="<ana>")
    with serve(create_app(Settings(**SETTINGS))) as other:
        seat = join(other.http(), name="ana")
        monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "kept.json"))
        with pytest.raises(RefusedError, match="is it a class"):
            seat.share_progress()
        monkeypatch.setenv("COURSE_PROGRESS", "")
        with pytest.raises(ClientError, match="nothing is remembered here"):
            seat.share_progress()
        stop_all()
        assert not entered(Seat)
    monkeypatch.setattr(classroom, "JOIN_SECONDS", 0.2)
    with pytest.raises(ConnectionError, match=r"no class answers at http://127\.0\.0\.1:9 within"):
        join("127.0.0.1:9", name="ana")
    assert not entered(Seat)


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
    """As the teacher's screen has it, or as somebody types it."""
    assert _url_of(address) == url
