"""Every limit of the chat on real sockets: what happens to a client that exceeds it, and not to others."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from typing import Any

import pytest
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from server import serve
from server.access.tokens import Session, issue_session
from server.app import create_app
from server.app.chat import close_on_expiry
from server.broadcasting import PortableOutbox
from server.manager import Connection
from server.messages import CloseCode
from server.settings import Settings
from tests.server.people import DEADLINE, KEY, Chat, Person, Silent, chat

pytestmark = pytest.mark.anyio


def refused(chat: Chat, name: str, **options: Any) -> str:
    """How a newcomer is refused: an HTTP status, or a code after accepting."""
    headers = {"Authorization": f"Bearer {issue_session(name, key=KEY, seconds=60)}"}
    try:
        with connect(chat.server.url("/ws"), additional_headers=headers, proxy=None, **options) as websocket:
            return str(websocket.recv(timeout=DEADLINE))
    except InvalidStatus as answer:
        return f"HTTP {answer.response.status_code} {(answer.response.body or b'').decode()}"
    except ConnectionClosedError as closed:
        return f"closed {closed.rcvd.code} {closed.rcvd.reason}" if closed.rcvd else "closed 1006"


@pytest.mark.parametrize("bound", [True, False], ids=["by uvicorn", "by the app"])
def test_a_message_that_is_too_big_closes_with_1009(bound: bool) -> None:
    """The protocol has no answer to it but the end; up to the limit it is read."""
    with chat(message_bytes=500, bound=bound) as room, Person(room.server, "ana") as ana:
        ana.say("x" * 400)
        assert ana.receive("message")["text"] == "x" * 400
        ana.socket.send("ä" * 250)
        assert ana.receive("error")["expected"].startswith("JSON")
        ana.socket.send("ä" * 250 + "x")
        assert ana.end()[0] == CloseCode.MESSAGE_TOO_BIG


def test_too_many_messages_close_with_4002() -> None:
    """A burst is allowed; junk counts like a message; and the others are not touched."""
    with (
        chat(messages_per_second=0.01, message_burst=10) as room,
        Person(room.server, "ben") as ben,
        Person(room.server, "ana") as ana,
    ):
        for number in range(10):  # a join is counted apart
            ana.socket.send("junk" if number % 2 else b"junk")
        assert [ana.receive("error")["type"] for _ in range(10)] == ["error"] * 10
        ana.socket.send("one too many")
        assert ana.end() == (CloseCode.KICKED_FOR_SPAM, "more than 0.01 messages per second")
        assert ben.answers()


def test_joins_have_a_limit_of_their_own() -> None:
    """What the server allows in number it allows at once; beyond that, joining and leaving is spam as well."""
    limits: dict[str, Any] = {"rooms_per_connection": 5, "connections_per_user": 2, "joins_per_second": 0.01}
    with chat(message_burst=1, **limits) as room, Person(room.server, "ana", room=None) as ana:
        for number in range(12):
            ana.send(type="join", room=f"r{number % 5}")
        assert [ana.receive("joined")["room"] for _ in range(12)] == [f"r{number % 5}" for number in range(12)]
        ana.send(type="leave", room="r0")
        assert ana.end() == (CloseCode.KICKED_FOR_SPAM, "more than 0.01 joins per second")


def test_reconnecting_does_not_reset_the_rate_limit() -> None:
    """Whoever was closed for spam is closed again, until some time has passed."""
    with chat(messages_per_second=0.01, message_burst=1) as room:
        with Person(room.server, "ana") as ana:
            ana.say("1")
            ana.say("2")
            assert ana.end()[0] == CloseCode.KICKED_FOR_SPAM
        with Person(room.server, "ana", room=None) as ana:
            ana.say("3")
            assert ana.end()[0] == CloseCode.KICKED_FOR_SPAM


def test_a_full_server_says_why_it_refuses() -> None:
    """A program reads HTTP 503, a page 1013, and when somebody has left there is room again."""
    with chat(connections=2) as room, Person(room.server, "ana") as ana:
        with Person(room.server, "ben"):
            words = "the server is full; try again later"
            assert refused(room, "cyd") == f'HTTP 503 {{"detail":"{words}"}}'
            origin: Any = room.server.http("")[:-1]
            assert refused(room, "cyd", origin=origin) == f"closed 1013 {words}"
            assert ana.answers()
        room.hall.until_handlers(1)
        assert refused(room, "cyd").startswith('{"type":"welcome"')


@pytest.mark.parametrize(
    ("limit", "devices", "reason"),
    [
        ("devices_per_user", ["a", "b", "c"], "more than 2 devices"),
        ("connections_per_user", ["a", "a", "a"], "more than 2 connections"),
    ],
)
def test_one_device_or_connection_too_many_closes_the_oldest(limit: str, devices: list[str], reason: str) -> None:
    """It is closed with 4004, the others live, and another user is not touched."""
    limits: dict[str, Any] = {limit: 2}
    with chat(**limits) as room, Person(room.server, "ben") as ben, ExitStack() as stack:
        oldest, *others = [stack.enter_context(Person(room.server, "ana", device=device)) for device in devices]
        assert oldest.end() == (CloseCode.REPLACED, reason)
        assert all(person.answers() for person in (*others, ben))


def test_a_long_device_name_is_refused() -> None:
    """What a client makes up does not get into the server at any length."""
    with chat() as room, Person(room.server, "ana", device="x" * 64) as ana:
        with pytest.raises(InvalidStatus, match="HTTP 400"):
            Person(room.server, "ana", device="x" * 65)
        assert ana.answers()


def test_one_room_too_many_gets_an_error() -> None:
    """One more is an error; leaving makes room, and a room that it is in counts once."""
    with chat(rooms_per_connection=2) as room, Person(room.server, "ana") as ana:
        for name in ("b", "b", "c"):
            ana.send(type="join", room=name, id=name)
        assert ana.receive("error") == {
            "type": "error",
            "field": "room",
            "expected": "at most 2 rooms at once, leave one first",
            "id": "c",
        }
        ana.send(type="leave", room="b")
        ana.send(type="join", room="c")
        assert ana.receive("presence")["room"] == "c"


@pytest.mark.parametrize("outbox", [{"outbox_messages": 20}, {"outbox_bytes": 40_000}, {"send_seconds": 0.2}])
def test_a_client_that_does_not_read_is_closed(outbox: dict[str, Any]) -> None:
    """By the length of the outbox, by its bytes, or by the seconds that a send waits; the others hear all."""
    with (
        chat(message_burst=1_000, **({"outbox_messages": 1_000} | outbox)) as room,
        Silent(room.server, "sid"),
        Person(room.server, "ana") as ana,
    ):
        for number in range(200):
            ana.say("x" * 2_000, id=number)
        room.hall.until_handlers(1)
        assert room.manager.users == ("ana",)
        assert [ana.receive("message")["id"] for _ in range(200)] == list(range(200))


def test_a_client_that_does_not_even_read_the_close_frame_is_aborted() -> None:
    """Otherwise its socket and buffers would stay forever, and no limit would count them."""
    settings = Settings(key=SecretStr(KEY), message_burst=1_000_000, outbox_messages=20, send_seconds=0.2)
    with (
        serve(create_app(settings), **settings.uvicorn_options) as server,
        Silent(server, "sid"),
        Person(server, "ana") as ana,
    ):
        for number in range(200):
            ana.say("x" * 2_000, id=number)
        deadline = time.monotonic() + DEADLINE
        while server.connections > 1 and ana.answers():
            assert time.monotonic() < deadline
        assert ana.answers()


def test_an_idle_client_is_closed_with_1008() -> None:
    """After the setting's deadline; by default a client may listen forever."""
    with chat(idle_seconds=0.2) as room, Person(room.server, "ana") as ana:
        assert ana.end() == (CloseCode.POLICY_VIOLATION, "no message for 0.2 s")
    assert Settings().idle_seconds is None


@pytest.mark.usefixtures("short_sessions")
def test_a_session_that_ends_closes_its_connections_with_4001() -> None:
    """In the middle of the connection; another session of the same user goes on."""
    with (
        chat() as room,
        Person(room.server, "ana", seconds=3_600) as other,
        Person(room.server, "ana", room=None) as ana,
    ):
        assert ana.end() == (CloseCode.AUTH_REQUIRED, "the session has expired, log in again")
        assert other.answers()


async def test_the_expiry_timer_is_cancelled_with_the_connection() -> None:
    """Nothing of it is left to hold the connection in memory or to end it twice."""
    outbox = PortableOutbox()
    with close_on_expiry(Session(user="ana", expires=time.time() + 0.01), Connection("ana", "", outbox)):
        pass
    await asyncio.sleep(0.05)  # timers run in order, so the other one would have run by then
    outbox.send_nowait("it lives")
    assert len(outbox) == 1
