"""The chat on real sockets: what is said and heard, what is refused and how, and every limit."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.frames import Opcode
from websockets.sync.client import connect

import server.app
from server import serve
from server.app import create_app
from server.chat import expiring
from server.manager import Connection, Manager, ManagerStatistics
from server.messages import ChatMessage, CloseCode
from server.outbox import Outbox
from server.settings import Settings
from server.tickets import Session, issue_session
from tests.server.people import DEADLINE, KEY, Chat, Person, Silent, chat

STATIC = Path(server.app.__file__).parent / "static"
NOTHING = ManagerStatistics(connections=0, users=0, rooms=0)
LOBBY_OF_TWO = {"type": "presence", "room": "lobby", "count": 2}


@pytest.fixture
def room() -> Iterator[Chat]:
    """The chat with its defaults."""
    with chat() as open_chat:
        yield open_chat


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


# what is said


def test_first_of_all_you_are_told_who_you_are(room: Chat) -> None:
    """The name from the token and the device from the address."""
    with Person(room.server, "ana", device="phone", room=None) as ana:
        assert ana.next() == {"type": "welcome", "user": "ana", "device": "phone"}


def test_two_people_meet_talk_and_part(room: Chat) -> None:
    """Each sees the other come, speak and go; the speaker hears its own words with its own id."""
    with Person(room.server, "ana") as ana:
        with Person(room.server, "ben", room=None) as ben:
            ben.send(type="join", room="lobby")
            assert ben.hear("presence") == LOBBY_OF_TWO | {"users": ["ana", "ben"]}
            assert ana.hear("presence") == LOBBY_OF_TWO | {"joined": ["ben"]}
            ben.say("hello", id=7)
            said = {"type": "message", "room": "lobby", "user": "ben", "text": "hello", "id": 7}
            assert ana.hear("message") == ben.hear("message") == said
        assert ana.hear("presence") == {"type": "presence", "room": "lobby", "count": 1, "left": ["ben"]}


def test_a_room_is_heard_by_its_members_only(room: Chat) -> None:
    """Not by those who are elsewhere, and not by those who have left."""
    with Person(room.server, "ana") as ana, Person(room.server, "ben", room="kitchen") as ben:
        ana.say("in the lobby")
        ben.send(type="say", room="kitchen", text="in the kitchen")
        assert ana.hear("message")["text"] == "in the lobby"
        assert ben.hear("message")["text"] == "in the kitchen"
        ben.send(type="join", room="lobby")
        ben.hear("presence")
        ben.send(type="leave", room="lobby")
        ana.say("has he gone?")
        ben.send(type="say", room="kitchen", text="I have")
        assert ben.hear("message")["text"] == "I have"


@pytest.mark.parametrize("message", [{"type": "say", "text": "x"}, {"type": "typing"}])
def test_whoever_is_not_in_a_room_cannot_speak_there(room: Chat, message: dict[str, Any]) -> None:
    """The error names the field and the id, nobody hears it, and the connection lives."""
    with Person(room.server, "ana") as ana, Person(room.server, "ben", room="kitchen") as ben:
        ben.send(room="lobby", id=3, **message)
        assert ben.hear("error") == {
            "type": "error",
            "field": "room",
            "expected": "a room that you have joined",
            "id": 3,
        }
        ben.send(type="say", room="kitchen", text="still here")
        assert ben.hear("message")["text"] == "still here"
        ana.say("quiet here")
        assert ana.hear("message")["text"] == "quiet here"


def test_typing_is_shown_to_the_others(room: Chat) -> None:
    """Not to whoever types, on no device."""
    with (
        Person(room.server, "ana") as ana,
        Person(room.server, "ben", device="a") as ben,
        Person(room.server, "ben", device="b") as other_ben,
    ):
        ben.send(type="typing", room="lobby")
        assert ana.hear("typing") == {"type": "typing", "room": "lobby", "user": "ben"}
        ben.say("done")
        for person in (ben, other_ben):
            while (message := person.next())["type"] != "message":
                assert message["type"] != "typing"


def test_any_route_can_push() -> None:
    """The app's manager is at hand for the rest of the app."""
    app = create_app(Settings(key=SecretStr(KEY)))
    inner: Manager = app.state.manager

    outer = FastAPI()

    @outer.post("/push/{user}")
    async def push(user: str) -> int:
        return inner.to_user(user, ChatMessage(room="news", user="server", text="ding"))

    outer.mount("/", app)
    with serve(outer) as server, Person(server, "ana") as ana:
        assert httpx.post(server.http("/push/ana"), trust_env=False).json() == 1
        assert httpx.post(server.http("/push/ben"), trust_env=False).json() == 0
        assert ana.hear("message")["text"] == "ding"


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
def test_what_cannot_be_used_gets_an_error(room: Chat, junk: str | bytes, field: str | None, expected: str) -> None:
    """The error names the field and what was expected there, and the connection lives."""
    with Person(room.server, "ana") as ana:
        ana.socket.send(junk)
        error = ana.hear("error")
        assert error.get("field") == field
        assert error["expected"].startswith(expected)
        assert ana.answers()
        assert not [record for record in room.server.log if record.exc_info]


@pytest.mark.parametrize("bound", [True, False], ids=["by uvicorn", "by the app"])
def test_a_message_that_is_too_big_closes_with_1009(bound: bool) -> None:
    """The protocol has no answer to it but the end; up to the limit it is read."""
    with chat(message_bytes=500, bound=bound) as room, Person(room.server, "ana") as ana:
        ana.say("x" * 400)
        assert ana.hear("message")["text"] == "x" * 400
        ana.socket.send("ä" * 250)
        assert ana.hear("error")["expected"].startswith("JSON")
        ana.socket.send("ä" * 250 + "x")
        assert ana.end()[0] == CloseCode.MESSAGE_TOO_BIG


@pytest.mark.parametrize(
    ("opcode", "payload", "mask", "code"),
    [
        (Opcode.TEXT, b"\xff\xfe", True, CloseCode.INVALID_DATA),
        (Opcode.TEXT, b"{}", False, CloseCode.PROTOCOL_ERROR),
    ],
    ids=["wrong UTF-8", "unmasked"],
)
def test_what_breaks_the_protocol_closes(
    room: Chat, opcode: Opcode, payload: bytes, mask: bool, code: CloseCode
) -> None:
    """RFC 6455 leaves no choice; the code says which rule it was."""
    with Silent(room.server, "sid") as sid:
        sid.send(opcode, payload, mask=mask)
        frames = sid.read_all()
        assert code.to_bytes(2, "big") in frames[-80:]
        room.hall.until_handlers(0)
        assert room.manager.statistics() == NOTHING


# limits


def test_too_many_messages_close_with_4002() -> None:
    """A burst is allowed; junk counts like a message; and the others are not touched."""
    with (
        chat(messages_per_second=0.01, message_burst=10) as room,
        Person(room.server, "ben") as ben,
        Person(room.server, "ana") as ana,
    ):
        for number in range(9):  # the first of ten was the join
            ana.socket.send("junk" if number % 2 else b"junk")
        assert [ana.hear("error")["type"] for _ in range(9)] == ["error"] * 9
        ana.socket.send("one too many")
        assert ana.end() == (CloseCode.KICKED_FOR_SPAM, "more than 0.01 messages per second")
        assert ben.answers()


def test_coming_back_gives_no_new_bucket() -> None:
    """Whoever was closed for spam is closed again, until some time has passed."""
    with chat(messages_per_second=0.01, message_burst=2) as room:
        with Person(room.server, "ana") as ana:
            ana.say("1")
            ana.say("2")
            assert ana.end()[0] == CloseCode.KICKED_FOR_SPAM
        with Person(room.server, "ana", room=None) as ana:
            ana.say("3")
            assert ana.end()[0] == CloseCode.KICKED_FOR_SPAM


def test_a_full_server_refuses_in_words() -> None:
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
def test_the_oldest_goes_when_a_user_has_too_many(limit: str, devices: list[str], reason: str) -> None:
    """It is closed with 4004, the others live, and another user is not touched."""
    limits: dict[str, Any] = {limit: 2}
    with chat(**limits) as room, Person(room.server, "ben") as ben, ExitStack() as stack:
        oldest, *others = [stack.enter_context(Person(room.server, "ana", device=device)) for device in devices]
        assert oldest.end() == (CloseCode.REPLACED, reason)
        assert all(person.answers() for person in (*others, ben))


def test_a_device_has_a_short_name(room: Chat) -> None:
    """What a client makes up does not get into the server at any length."""
    with pytest.raises(InvalidStatus, match="HTTP 400"):
        Person(room.server, "ana", device="x" * 65)
    with Person(room.server, "ana", device="x" * 64) as ana:
        assert ana.answers()


def test_one_connection_is_in_so_many_rooms() -> None:
    """One more is an error; leaving makes room, and a room that it is in counts once."""
    with chat(rooms_per_connection=2) as room, Person(room.server, "ana") as ana:
        for name in ("b", "b", "c"):
            ana.send(type="join", room=name, id=name)
        assert ana.hear("error") == {
            "type": "error",
            "field": "room",
            "expected": "at most 2 rooms at once, leave one first",
            "id": "c",
        }
        ana.send(type="leave", room="b")
        ana.send(type="join", room="c")
        assert ana.hear("presence")["room"] == "c"


@pytest.mark.parametrize("outbox", [{"outbox_messages": 20}, {"outbox_bytes": 40_000}, {"send_seconds": 0.2}])
def test_whoever_does_not_read_is_closed(outbox: dict[str, Any]) -> None:
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
        assert [ana.hear("message")["id"] for _ in range(200)] == list(range(200))


def test_an_idle_client_is_closed_with_1008() -> None:
    """After the deadline of the setting; by default a client may listen for ever."""
    with chat(idle_seconds=0.2) as room, Person(room.server, "ana") as ana:
        assert ana.end() == (CloseCode.POLICY_VIOLATION, "no message for 0.2 s")
    assert Settings().idle_seconds is None


def test_a_session_that_ends_closes_its_connections_with_4001(room: Chat) -> None:
    """In the middle of the connection; another session of the same user goes on."""
    with Person(room.server, "ana") as other, Person(room.server, "ana", room=None, seconds=2) as ana:
        assert ana.end() == (CloseCode.AUTH_REQUIRED, "the session has expired, log in again")
        assert other.answers()


def test_the_timer_of_a_session_goes_with_its_connection() -> None:
    """Nothing of it is left to hold the connection in memory or to end it twice."""

    async def scenario() -> None:
        outbox = Outbox()
        with expiring(Session(user="ana", expires=time.time() + 0.01), Connection("ana", "", outbox)):
            pass
        await asyncio.sleep(0.05)  # timers run in order, so the other one would have run by then
        outbox.put("it lives")
        assert len(outbox) == 1

    asyncio.run(scenario())


# rooms


def test_a_room_may_be_closed_to_somebody() -> None:
    """The hook is asked for each user and room; a refusal is an error, not an end."""
    asked = []

    def may_join(user: str, name: str) -> bool:
        asked.append((user, name))
        return name != "board" or user == "ana"

    with chat(may_join=may_join) as room, Person(room.server, "ben") as ben:
        ben.send(type="join", room="board", id=1)
        assert ben.hear("error") == {
            "type": "error",
            "field": "room",
            "expected": "a room that is open to you",
            "id": 1,
        }
        ben.send(type="say", room="board", text="I am in")
        assert ben.hear("error")["expected"] == "a room that you have joined"
        assert ben.answers()
        with Person(room.server, "ana", room="board") as ana:
            ana.send(type="say", room="board", text="only me")
            assert ana.hear("message")["text"] == "only me"
    assert asked == [("ben", "lobby"), ("ben", "board"), ("ana", "board")]


def test_the_hook_may_wait() -> None:
    """For a database, say; meanwhile everybody else goes on."""
    gate = asyncio.Event()

    async def may_join(user: str, name: str) -> bool:
        if name == "board":
            await gate.wait()
        return True

    with chat(may_join=may_join) as room, Person(room.server, "ben") as ben, Person(room.server, "ana") as ana:
        ben.send(type="join", room="board")
        assert ana.answers()
        room.hall.tasks[0].get_loop().call_soon_threadsafe(gate.set)
        while (presence := ben.hear("presence"))["room"] != "board":
            pass
        assert presence["users"] == ["ben"]


def test_a_hook_that_fails_ends_only_its_own_connection() -> None:
    """1011 for whoever asked, an exception in the log, and nothing for the others."""

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
    """Within the grace time, presence says nothing about it to anybody else."""
    with chat(grace_seconds=30) as room, Person(room.server, "ana") as ana:
        with Person(room.server, "ben"):
            assert ana.hear("presence")["joined"] == ["ben"]
        with Person(room.server, "ben") as ben:
            assert ben.answers()
            heard = ana.next()
            assert (heard["type"], heard["user"]) == ("message", "ben")


def test_a_server_that_stops_says_1012_and_forgets(room: Chat) -> None:
    """Every client is told to come back, and nothing of them is left."""
    with Person(room.server, "ana") as ana, Person(room.server, "ben") as ben:
        room.server.stop()
        assert ana.end()[0] == ben.end()[0] == CloseCode.SERVICE_RESTART
        assert room.manager.statistics() == NOTHING


def test_an_app_that_is_served_again_has_no_ghosts() -> None:
    """Whoever was in the grace time when the server stopped is not present in its next life."""
    app = create_app(Settings(key=SecretStr(KEY), grace_seconds=30, message_burst=2, messages_per_second=0.001))
    with serve(app) as server, Person(server, "ana") as ana:
        ana.say("my last word")
        server.stop()
    with serve(app) as server, Person(server, "ben", room=None) as ben, Person(server, "ana") as ana:
        ben.send(type="join", room="lobby")
        assert ben.hear("presence")["users"] == ["ana", "ben"]
        assert ana.hear("presence")["joined"] == ["ben"]


# the page


def test_the_page_is_served_with_its_files(room: Chat) -> None:
    """Everything that it names is there, and nothing of it comes from anywhere else or stands in the page itself."""
    with httpx.Client(base_url=room.server.http(), trust_env=False) as client:
        page = client.get("/").text
        assert page == (STATIC / "index.html").read_text()
        names = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert names
        for name in names:
            assert not re.match("/|[a-z]+:", name), "behind a proxy the page is in a folder"
            assert client.get(f"/{name}").status_code == 200
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", page)


def test_the_page_keeps_others_out() -> None:
    """Other people's scripts, frames, guesses at types, and the address of the page at theirs."""
    with chat(origins=("https://lab.example",)) as room:
        headers = httpx.get(room.server.http(), trust_env=False).headers
    policy = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'self' https://lab.example"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-cache"


def test_the_page_trusts_no_text() -> None:
    """What people write is text for a browser, and never markup."""
    for script in STATIC.glob("*.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script.read_text())


def test_a_websocket_on_another_path_is_refused(room: Chat) -> None:
    """The files of the page do not answer it with an exception."""
    with pytest.raises(InvalidStatus, match="HTTP 403"):
        connect(room.server.url("/else"), proxy=None).__enter__()
    assert not [record for record in room.server.log if record.exc_info]
