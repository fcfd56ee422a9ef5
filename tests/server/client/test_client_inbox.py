"""A client and the inbox of its user."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from server import BackgroundServer, serve
from server.broker import Position
from server.client import Client, LostMessages, RefusedError
from server.messages import Notification
from tests.server.client.scripted import ScriptedConnection, client, position, scripted, texts
from tests.server.counting import until
from tests.server.people import chat
from tests.server.recipients import pusher

pytestmark = pytest.mark.anyio

ENDING = 50.0  # seconds until a slow device is disconnected; on a busy machine each of 400 pushes takes its time


def push(server: BackgroundServer, *words: str, size: int = 0) -> None:
    """Push each word to ana as a notification with `size` bytes of data."""
    with pusher(server) as shop:
        for word in words:
            body = {"kind": "order", "text": word, "data": size * "x"}
            assert shop.post("/users/ana/notifications", json=body).status_code == 202


async def test_notifications_reach_every_device_and_are_marked_read_on_all() -> None:
    """What one device acknowledges counts as read on the other, and on the server."""
    with chat() as room:
        server = room.server
        async with client(server, device="phone") as phone, client(server, device="laptop") as laptop:
            inboxes = [phone.inbox(last=10), laptop.inbox(last=10)]
            reading = [asyncio.create_task(texts(inbox, 2)) for inbox in inboxes]
            await until(lambda: phone.read_state is not None and laptop.read_state is not None)
            await asyncio.to_thread(push, server, "one", "two")
            assert await asyncio.gather(*reading) == [["one", "two"], ["one", "two"]]
            assert laptop.read_state is not None
            assert laptop.read_state.unread == 2
            kept = asyncio.create_task(texts(inboxes[1], 1))
            place = inboxes[0].position
            assert place is not None
            await phone.ack(place)
            await until(lambda: laptop.read_state is not None and laptop.read_state.unread == 0)
            await asyncio.to_thread(push, server, "three")
            assert await kept == ["three"]
            assert laptop.read_state.unread == 1
            assert laptop.read_state.read == place
            with pytest.raises(RefusedError, match="position: expected"):
                await phone.ack(Position("made up", 3))


async def test_an_acknowledgement_is_sent_again_after_a_disconnect() -> None:
    """The client repeats it until the server has stored it."""

    async def script(connection: ScriptedConnection) -> None:
        await connection.welcome()
        await connection.receive("ack")
        await connection.websocket.close(1012)

    async def better(connection: ScriptedConnection) -> None:
        await connection.welcome()
        ack = await connection.receive("ack")
        await connection.send(type="read", position=ack["position"], unread=0, newest=ack["position"])
        await connection.until_closed()

    with serve(scripted(script, better)) as server:
        async with client(server) as ana:
            await ana.ack(Position("e", 3))


async def test_a_lost_inbox_is_reported_and_watched_again() -> None:
    """A `Reset` becomes a `LostMessages`, and the answer to the new watch says what is unread."""

    async def script(connection: ScriptedConnection) -> None:
        await connection.welcome()
        watch = await connection.receive("watch")
        await connection.send(type="inbox", position=position(4), unread=4, newest=position(4), id=watch["id"])
        await connection.send(type="reset", position=position(0, "f"))
        watch = await connection.receive("watch")
        assert watch["after"] == position(0, "f")
        place = position(0, "f")
        await connection.send(type="inbox", position=place, unread=0, newest=place, id=watch["id"])
        await connection.send(type="notification", position=position(1, "f"), time=1.0, kind="k", text="new", id="1")
        await connection.until_closed()

    with serve(scripted(script)) as server:
        async with client(server) as ana:
            items: list[Notification | LostMessages] = []
            async for item in ana.inbox():
                items.append(item)
                if isinstance(item, Notification):
                    break
            assert items[0] == LostMessages(None, Position("e", 4), Position("f", 0))
            assert ana.read_state is not None
            assert ana.read_state.unread == 1


async def test_a_slow_device_is_disconnected_and_misses_nothing() -> None:
    """The server disconnects it (4008) and a fast device is not affected; it reconnects and gets the rest."""
    count = 400

    async def read_late(slow: Client, heard: list[str], server: BackgroundServer) -> None:
        async for item in slow.inbox(last=1):
            assert isinstance(item, Notification)
            heard.append(item.text)
            if len(heard) == 1:
                await until(lambda: server.connections == 1, ENDING)  # it comes back only when it is read again
            if len(heard) == count:
                break

    limits: dict[str, Any] = {
        "outbox_messages": 32,
        "send_seconds": 0.2,
        "push_burst": count,
        "pushes_per_second": count,
    }
    with chat(**limits) as room:
        server = room.server
        async with client(server, device="fast") as fast, client(server, device="slow", buffer=4) as slow:
            everything = asyncio.create_task(texts(fast.inbox(last=1), count))
            heard: list[str] = []
            reading = asyncio.create_task(read_late(slow, heard, server))
            await until(lambda: fast.read_state is not None and slow.read_state is not None)
            await asyncio.to_thread(push, server, *map(str, range(count)), size=12_000)
            assert await everything == [str(number) for number in range(count)]
            await reading
            assert heard == await everything
            assert fast.statistics().connections == 1
            assert slow.statistics().connections == 2
