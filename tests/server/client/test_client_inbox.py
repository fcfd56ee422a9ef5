"""A client and the inbox of its user."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from server import BackgroundServer, serve
from server.broker import Position
from server.client import (
    Client,
    Missed,
    RefusedError,
)
from server.messages import Notification
from tests.server.client.scripted import Line, client, position, scripted, texts
from tests.server.counting import until
from tests.server.people import chat
from tests.server.recipients import pusher


def push(server: BackgroundServer, *words: str, size: int = 0) -> None:
    """Push to ana, with so many bytes of data beside each word."""
    with pusher(server) as shop:
        for word in words:
            body = {"kind": "order", "text": word, "data": size * "x"}
            assert shop.post("/users/ana/notifications", json=body).status_code == 202


def test_notifications_reach_every_device_and_are_read_on_all() -> None:
    """What one device acknowledges is read on the other, and counted by the server."""

    async def talk(server: BackgroundServer) -> None:
        async with client(server, device="phone") as phone, client(server, device="laptop") as laptop:
            inboxes = [phone.inbox(last=10), laptop.inbox(last=10)]
            reading = [asyncio.create_task(texts(inbox, 2)) for inbox in inboxes]
            await until(lambda: phone.standing is not None and laptop.standing is not None)
            await asyncio.to_thread(push, server, "one", "two")
            assert await asyncio.gather(*reading) == [["one", "two"], ["one", "two"]]
            assert laptop.standing is not None
            assert laptop.standing.unread == 2
            kept = asyncio.create_task(texts(inboxes[1], 1))
            place = inboxes[0].position
            assert place is not None
            await phone.ack(place)
            await until(lambda: laptop.standing is not None and laptop.standing.unread == 0)
            await asyncio.to_thread(push, server, "three")
            assert await kept == ["three"]
            assert laptop.standing.unread == 1
            assert laptop.standing.read == place
            with pytest.raises(RefusedError, match="position: expected"):
                await phone.ack(Position("made up", 3))

    with chat() as room:
        asyncio.run(talk(room.server))


def test_an_acknowledgement_outlives_its_connection() -> None:
    """It is sent again until the server has stored it."""

    async def script(line: Line) -> None:
        await line.welcome()
        await line.hear("ack")
        await line.websocket.close(1012)

    async def better(line: Line) -> None:
        await line.welcome()
        ack = await line.hear("ack")
        await line.say(type="read", position=ack["position"], unread=0, newest=ack["position"])
        await line.until_left()

    async def talk(server: BackgroundServer) -> None:
        async with client(server) as ana:
            await ana.ack(Position("e", 3))

    with serve(scripted(script, better)) as server:
        asyncio.run(talk(server))


def test_a_lost_inbox_is_told_and_watched_again() -> None:
    """A `Reset` becomes a `Missed`, and the answer to the new question says what is unread."""

    async def script(line: Line) -> None:
        await line.welcome()
        watch = await line.hear("watch")
        await line.say(type="inbox", position=position(4), unread=4, newest=position(4), id=watch["id"])
        await line.say(type="reset", position=position(0, "f"))
        watch = await line.hear("watch")
        assert watch["after"] == position(0, "f")
        place = position(0, "f")
        await line.say(type="inbox", position=place, unread=0, newest=place, id=watch["id"])
        await line.say(type="notification", position=position(1, "f"), time=1.0, kind="k", text="new", id="1")
        await line.until_left()

    async def talk(server: BackgroundServer) -> None:
        async with client(server) as ana:
            items: list[Notification | Missed] = []
            async for item in ana.inbox():
                items.append(item)
                if isinstance(item, Notification):
                    break
            assert items[0] == Missed(None, Position("e", 4), Position("f", 0))
            assert ana.standing is not None
            assert ana.standing.unread == 1

    with serve(scripted(script)) as server:
        asyncio.run(talk(server))


def test_a_device_that_is_too_slow_is_closed_and_misses_nothing() -> None:
    """The server lets go of it (4008) while a fast one beside it notices nothing; then it comes back for the rest."""
    count = 400

    async def talk(server: BackgroundServer) -> None:
        async with client(server, device="fast") as fast, client(server, device="slow", buffer=4) as slow:
            everything = asyncio.create_task(texts(fast.inbox(last=1), count))
            heard: list[str] = []
            reading = asyncio.create_task(read_late(slow, heard, server))
            await until(lambda: fast.standing is not None and slow.standing is not None)
            await asyncio.to_thread(push, server, *map(str, range(count)), size=12_000)
            assert await everything == [str(number) for number in range(count)]
            await reading
            assert heard == await everything
            assert fast.statistics().connections == 1
            assert slow.statistics().connections == 2

    async def read_late(slow: Client, heard: list[str], server: BackgroundServer) -> None:
        async for item in slow.inbox(last=1):
            assert isinstance(item, Notification)
            heard.append(item.text)
            if len(heard) == 1:
                await until(lambda: server.connections == 1)
            if len(heard) == count:
                break

    limits: dict[str, Any] = {
        "outbox_messages": 32,
        "send_seconds": 0.2,
        "push_burst": count,
        "pushes_per_second": count,
    }
    with chat(**limits) as room:
        asyncio.run(talk(room.server))
