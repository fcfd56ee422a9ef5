"""A reader gives every message once and in order, and reports what is lost for good."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from lab.tap.tap import Tap

from server import BackgroundServer, serve
from server.access.tokens import issue_session
from server.broker import Position
from server.client import Client, ClosedError, State
from server.messages import ChatMessage
from tests.server.client.scripted import FAST, NO_LIMITS, ScriptedConnection, client, position, scripted, texts
from tests.server.counting import until
from tests.server.people import DEADLINE, KEY, Person, chat

pytestmark = pytest.mark.anyio


async def test_a_new_loop_continues_where_the_last_one_stopped() -> None:
    """Messages in between are not lost, although the client leaves the room meanwhile."""
    with chat(**NO_LIMITS) as room:
        server = room.server
        async with client(server) as ana, client(server, "ben") as ben:
            reader = ben.room("lobby", last=1)
            await ana.say("lobby", "1")
            assert await texts(reader, 1) == ["1"]
            for text in "234":
                await ana.say("lobby", text)
            assert await texts(reader, 2) == ["2", "3"]
            assert reader.position is not None
            assert await texts(ben.room("lobby", after=reader.position), 1) == ["4"]


async def test_a_loop_survives_a_restart_of_the_server(tmp_path: Path) -> None:
    """Nothing is missed; the loop does not even notice."""
    limits = NO_LIMITS | {"broker": f"sqlite:{tmp_path / 'log.sqlite'}"}

    def say(server: BackgroundServer, *words: str) -> None:
        with Person(server, "eve") as eve:
            for word in words:
                eve.say(word)
            for word in words:
                assert eve.receive("message")["text"] == word

    with chat(**limits) as first:
        port = first.server.port
        async with client(first.server, buffer=2) as ben:
            reading = asyncio.create_task(texts(ben.room("lobby", last=1), 4))
            await ben.say("lobby", "1")
            await asyncio.to_thread(first.server.stop)
            with chat(port=port, **limits) as second:
                await asyncio.to_thread(say, second.server, "2", "3")
                await ben.say("lobby", "4")
                assert await reading == ["1", "2", "3", "4"]
                assert ben.statistics().connections == 2
                assert ben.last_disconnect is not None
                assert ben.last_disconnect.code == 1012


async def test_a_lost_log_is_reported() -> None:
    """A server that restarts empty has another epoch: the reader gets a `LostMessages` between the messages."""
    with chat() as first:
        async with client(first.server) as ana:
            reader = ana.room("lobby", last=1)
            await ana.say("lobby", "before")
            reading = asyncio.create_task(texts(reader, 3))
            await until(lambda: reader.position is not None)
            await asyncio.to_thread(first.server.stop)
            with chat(port=first.server.port):
                await until(lambda: ana.statistics().connections == 2)
                await ana.say("lobby", "after")
                assert await reading == ["before", "lost", "after"]


async def test_a_busy_loop_makes_the_server_wait() -> None:
    """The client stops reading while its buffer is full; then everything comes, in order."""
    sent = 0

    async def script(connection: ScriptedConnection) -> None:
        nonlocal sent
        await connection.welcome()
        join = await connection.receive("join")
        await connection.send(type="joined", room="lobby", position=position(0), id=join["id"])
        for offset in range(1, 2_001):
            text = f"{offset} {10_000 * 'x'}"
            await connection.send(type="message", room="lobby", user="ben", text=text, position=position(offset))
            sent = offset
        await connection.until_closed()

    async def until_still() -> None:
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.2)  # nothing says that nothing happens

    with serve(scripted(script)) as server:
        async with client(server, buffer=4) as ana:
            offsets: list[int] = []
            async for message in ana.room("lobby"):
                assert isinstance(message, ChatMessage)
                if not offsets:
                    await until_still()
                    assert sent < 1_900  # twenty megabytes find no room in the buffers of two sockets
                offsets.append(int(message.text.split()[0]))
                if len(offsets) == 2_000:
                    break
            assert offsets == list(range(1, 2_001))
            assert ana.statistics().connections == 1


async def test_a_client_joins_without_waiting_for_the_welcome() -> None:
    """That saves a round trip before the first message."""

    async def lost(connection: ScriptedConnection) -> None:
        await connection.welcome()
        join = await connection.receive("join")
        await connection.send(type="joined", room="lobby", position=position(3), id=join["id"])
        await connection.receive("ack")
        await connection.websocket.close(1012)

    async def late_welcome(connection: ScriptedConnection) -> None:
        await connection.websocket.accept()
        join = await connection.receive("join")
        assert join["after"] == position(3)
        ack = await connection.receive("ack")
        await connection.send(type="welcome", user="ana", device="")
        await connection.send(type="joined", room="lobby", position=position(3), id=join["id"])
        await connection.send(type="read", position=ack["position"], unread=0, newest=ack["position"])
        await connection.send(type="message", room="lobby", user="ben", text="4", position=position(4))
        await connection.until_closed()

    with serve(scripted(lost, late_welcome)) as server:
        async with client(server) as ana:
            reader = ana.room("lobby")
            reading = asyncio.create_task(texts(reader, 1))
            await until(lambda: reader.position is not None)
            await ana.ack(Position("e", 3))
            assert await reading == ["4"]
            assert ana.statistics().connections == 2


async def test_a_second_reader_of_a_room_replaces_the_first() -> None:
    """The loop of the first raises."""
    with chat() as room:
        server = room.server
        async with client(server) as ana:
            first = ana.room("lobby")
            reading = asyncio.create_task(texts(first, 1))
            await until(lambda: first.position is not None)
            second = asyncio.create_task(texts(ana.room("lobby"), 1))
            with pytest.raises(ClosedError, match="another reader reads 'lobby'"):
                await reading
            await ana.say("lobby", "hi")
            assert await second == ["hi"]


async def test_a_second_loop_over_a_reader_ends_the_first() -> None:
    """Each message goes to one loop."""
    with chat() as room:
        async with client(room.server) as ana:
            reader = ana.room("lobby")
            first = asyncio.create_task(texts(reader, 1))
            await until(lambda: reader.position is not None)
            second = asyncio.create_task(texts(reader, 1))
            with pytest.raises(ClosedError, match="another loop reads 'lobby'"):
                await first
            await ana.say("lobby", "hi")
            assert await second == ["hi"]


async def test_a_dead_connection_is_noticed() -> None:
    """No error tells that the cable is cut; a ping without an answer does, and the client reconnects."""
    with chat() as room, Tap(room.server) as tap:
        server = room.server
        options = replace(FAST, ping_interval=0.1)
        token = issue_session("ana", key=KEY, seconds=60)
        async with asyncio.timeout(DEADLINE), Client(tap.http("/"), token=token, options=options) as ana:
            reading = asyncio.create_task(texts(ana.room("lobby", last=2), 2))
            await ana.say("lobby", "before")
            tap.cut()
            await until(lambda: ana.state is not State.OPEN)
            async with client(server, "ben") as ben:
                await ben.say("lobby", "meanwhile")
            tap.mend()
            assert await reading == ["before", "meanwhile"]
