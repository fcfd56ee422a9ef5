"""A record that cannot be read, as one of another version, hides no other: it is skipped, with a gap and a log line."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from server import BackgroundServer, serve
from server.app import create_app
from server.broker import Broker, open_broker
from server.messages import ChatMessage
from server.settings import Settings
from tests.server.app.test_routes import poll, reader, stream
from tests.server.client.scripted import NO_LIMITS, client, texts
from tests.server.people import DEADLINE, KEY, Chat, Hall, Person
from tests.server.recipients import Device, push, pusher, written

pytestmark = pytest.mark.anyio

SECRET = "what-nobody-else-may-see"
FOREIGN = {
    "no JSON": f"{SECRET} \x00",
    "another model": f'{{"what": "{SECRET}"}}',
    "too deep": f'{{"kind":"k","text":"{SECRET}","id":"1","data":{"[" * 252}{"]" * 252}}}',
    "not a number": f'{{"kind":"k","text":"{SECRET}","id":"1","data":NaN}}',
    "another room": ChatMessage(room="other", user="ana", text=SECRET).encode(),
}


class House(Chat):
    """The chat, whose logs a test may write into."""

    def write(self, broker: Broker, topic: str, payload: str) -> None:
        """Store a record as another program could; somebody must be connected."""
        loop = self.hall.tasks[0].get_loop()
        asyncio.run_coroutine_threadsafe(broker.publish(topic, payload), loop).result(DEADLINE)


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings of the server; they contain no text of a user."""
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert SECRET not in caplog.text
    return lines


@contextmanager
def house(log_url: str) -> Iterator[tuple[House, Broker, Broker]]:
    """Serve the chat with its two logs, for messages and for notifications."""
    settings = Settings(key=KEY, broker=log_url, grace_seconds=0, **NO_LIMITS)  # type: ignore[arg-type]  # as in a file
    said = open_broker(settings.broker, limits=settings.broker_limits)
    inboxes = open_broker(settings.inbox_url, limits=settings.inbox_limits)
    app = create_app(settings, broker=said, inboxes=inboxes)
    hall = Hall(app)
    server: BackgroundServer
    with serve(hall, **settings.uvicorn_options) as server:
        yield House(server, hall, app.state.manager), said, inboxes


@pytest.mark.parametrize("kind", [kind for kind in FOREIGN if kind != "another room"])
async def test_an_inbox_with_an_unreadable_record_can_be_read(
    log_url: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By all ways, what was pushed before and after it; each says that something is missing in between."""
    with (
        house(log_url) as (room, _, inboxes),
        pusher(room.server) as shop,
        reader(room, "ana") as http,
        Device(room.server, "ana") as device,
    ):
        start = device.watch()["position"]
        push(shop, "ana", text="one")
        room.write(inboxes, "inbox:ana", FOREIGN[kind])
        end = push(shop, "ana", text="two")
        gap = {"type": "reset", "position": start | {"offset": 2}}

        heard = [device.next() for _ in range(3)]
        assert [one.get("text", one) for one in heard] == ["one", gap, "two"]
        assert device.watch(last=3)["unread"] == 3
        assert [device.next() for _ in range(3)] == heard
        page = poll(http, after=written(start))
        assert [one["text"] for one in page["notifications"]] == ["one", "two"]
        assert (page["complete"], page["position"], page["newest"]) == (False, end, end)
        page = poll(http, after=written(gap["position"]))
        assert ([one["text"] for one in page["notifications"]], page["complete"]) == (["two"], True)
        with stream(http, **{"Last-Event-ID": written(start)}) as events:
            events.message("inbox")
            assert [events.next()["event"] for _ in range(3)] == ["notification", "reset", "notification"]

        async with client(room.server, "ana") as ana:
            assert await texts(ana.inbox(last=3), 3) == ["one", "lost", "two"]
        device.ack(end)
        assert device.receive("read")["unread"] == 0
        assert {line.partition(" cannot")[0] for line in complaints(caplog)} == {"'inbox:ana': record 2"}


def test_an_unreadable_read_mark_is_skipped(log_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """The marks before it count, and a new one is taken."""
    with (
        house(log_url) as (room, _, inboxes),
        pusher(room.server) as shop,
        reader(room, "ana") as http,
        Device(room.server, "ana") as device,
    ):
        first, second = push(shop, "ana"), push(shop, "ana")
        device.watch()
        device.ack(first)
        assert device.receive("read")["unread"] == 1
        room.write(inboxes, "read:ana", FOREIGN["another model"])
        assert (poll(http)["unread"], device.watch()["unread"]) == (1, 1)
        device.ack(second)
        assert device.receive("read")["unread"] == 0
        assert {line.partition(" cannot")[0] for line in complaints(caplog)} == {"'read:ana': record 2"}


@pytest.mark.parametrize("kind", FOREIGN)
async def test_a_room_with_an_unreadable_record_can_be_read(
    log_url: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By a member, by a newcomer, and by a client that resumes; each learns that something is missing in between."""
    with house(log_url) as (room, said, _), Person(room.server, "ana", room=None) as ana:
        ana.send(type="join", room="lobby")
        start = ana.receive("joined")["position"]
        ana.say("one")
        assert ana.receive("message")["text"] == "one"
        room.write(said, "room:lobby", FOREIGN[kind])
        gap = {"type": "reset", "room": "lobby", "position": start | {"offset": 2}}
        assert ana.receive("reset") == gap
        ana.say("two")
        assert ana.receive("message")["text"] == "two"
        for wish in ({"last": 3}, {"after": start}):
            with Person(room.server, "ben", room=None) as ben:
                ben.send(type="join", room="lobby", **wish)
                assert ben.receive("joined")["position"] == start
                assert [ben.receive("message")["text"], ben.receive("reset"), ben.receive("message")["text"]] == [
                    "one",
                    gap,
                    "two",
                ]

        async with client(room.server, "cleo") as cleo:
            assert await texts(cleo.room("lobby", last=3), 3) == ["one", "lost", "two"]
        assert ana.answers()
        assert {line.partition(" cannot")[0] for line in complaints(caplog)} == {"'room:lobby': record 2"}


def test_an_unreadable_signal_is_skipped(log_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """As one of another version beside this one, which comes every few seconds: a line each, and no traceback."""
    with house(log_url) as (room, said, _), Person(room.server, "ana") as ana, Person(room.server, "ben") as ben:
        loop = room.hall.tasks[0].get_loop()
        asyncio.run_coroutine_threadsafe(said.signal("room:lobby", f'{{"type":"{SECRET}"}}'), loop).result(DEADLINE)
        ana.send(type="typing", room="lobby")
        assert ben.receive("typing")["user"] == "ana"
        assert [line.partition(" (")[0] for line in complaints(caplog)] == [
            "'room:lobby': a signal cannot be read and is skipped"
        ]
