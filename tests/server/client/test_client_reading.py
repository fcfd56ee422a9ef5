"""What a client reads: every message once and in order, and what is lost for good is said."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lab.tap import Tap

from server import BackgroundServer, serve
from server.client import Client, ClosedError, State
from server.messages import ChatMessage
from server.tickets import issue_session
from tests.server.client.scripted import PLENTY, QUICK, Line, client, position, scripted, texts
from tests.server.counting import until
from tests.server.people import DEADLINE, KEY, Person, chat


def test_a_loop_goes_on_where_it_was_left() -> None:
    """What is said in between is not lost, and the room is left meanwhile."""

    async def talk(server: BackgroundServer) -> None:
        async with client(server) as ana, client(server, "ben") as ben:
            reader = ben.room("lobby", last=1)
            await ana.say("lobby", "1")
            assert await texts(reader, 1) == ["1"]
            for text in "234":
                await ana.say("lobby", text)
            assert await texts(reader, 2) == ["2", "3"]
            assert reader.position is not None
            assert await texts(ben.room("lobby", after=reader.position), 1) == ["4"]

    with chat(**PLENTY) as room:
        asyncio.run(talk(room.server))


def test_a_restarted_server_is_found_again_and_nothing_is_missed(tmp_path: Path) -> None:
    """The loop does not even notice."""
    limits = PLENTY | {"broker": f"sqlite:{tmp_path / 'log.sqlite'}"}

    async def talk(first: Any, port: int) -> None:
        async with client(first.server, buffer=2) as ben:
            reading = asyncio.create_task(texts(ben.room("lobby", last=1), 4))
            await ben.say("lobby", "1")
            await asyncio.to_thread(first.server.stop)
            with chat(port=port, **limits) as second:
                await asyncio.to_thread(say, second.server, "2", "3")
                await ben.say("lobby", "4")
                assert await reading == ["1", "2", "3", "4"]
                assert ben.statistics().connections == 2
                assert ben.loss is not None
                assert ben.loss.code == 1012

    def say(server: BackgroundServer, *words: str) -> None:
        with Person(server, "eve") as eve:
            for word in words:
                eve.say(word)
            for word in words:
                assert eve.hear("message")["text"] == word

    with chat(**limits) as room:
        asyncio.run(talk(room, room.server.port))


def test_a_log_that_was_lost_is_told() -> None:
    """A server that comes back empty has another epoch: the reader gets a `Missed` between the messages."""

    async def talk(first: Any) -> None:
        async with client(first.server) as ana:
            reader = ana.room("lobby", last=1)
            await ana.say("lobby", "before")
            reading = asyncio.create_task(texts(reader, 3))
            await until(lambda: reader.position is not None)
            await asyncio.to_thread(first.server.stop)
            with chat(port=first.server.port):
                await until(lambda: ana.statistics().connections == 2)
                await ana.say("lobby", "after")
                assert await reading == ["before", "missed", "after"]

    with chat() as room:
        asyncio.run(talk(room))


def test_a_loop_that_does_not_take_stops_the_reading() -> None:
    """The server has to wait for a client whose loop is busy; then everything comes, in order."""
    sent = 0

    async def script(line: Line) -> None:
        nonlocal sent
        await line.welcome()
        join = await line.hear("join")
        await line.say(type="joined", room="lobby", position=position(0), id=join["id"])
        for offset in range(1, 2_001):
            text = f"{offset} {10_000 * 'x'}"
            await line.say(type="message", room="lobby", user="ben", text=text, position=position(offset))
            sent = offset
        await line.until_left()

    async def talk(server: BackgroundServer) -> None:
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

    async def until_still() -> None:
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.2)  # nothing says that nothing happens

    with serve(scripted(script)) as server:
        asyncio.run(talk(server))


def test_a_room_is_read_in_one_place() -> None:
    """A second reader takes over, and the first is told so."""

    async def talk(server: BackgroundServer) -> None:
        async with client(server) as ana:
            first = ana.room("lobby")
            reading = asyncio.create_task(texts(first, 1))
            await until(lambda: first.position is not None)
            second = asyncio.create_task(texts(ana.room("lobby"), 1))
            with pytest.raises(ClosedError, match="another reader reads 'lobby'"):
                await reading
            await ana.say("lobby", "hi")
            assert await second == ["hi"]

    with chat() as room:
        asyncio.run(talk(room.server))


def test_a_cable_that_is_dead_is_noticed() -> None:
    """Nobody says that it is cut; a ping that is not answered does, and the client makes a new connection."""

    async def talk(server: BackgroundServer, tap: Tap) -> None:
        wires = replace(QUICK, ping_seconds=0.1)
        token = issue_session("ana", key=KEY, seconds=60)
        async with asyncio.timeout(DEADLINE), Client(tap.http("/"), token=token, wires=wires) as ana:
            reading = asyncio.create_task(texts(ana.room("lobby", last=2), 2))
            await ana.say("lobby", "before")
            tap.cut()
            await until(lambda: ana.state is not State.OPEN)
            async with client(server, "ben") as ben:
                await ben.say("lobby", "meanwhile")
            tap.mend()
            assert await reading == ["before", "meanwhile"]

    with chat() as room, Tap(room.server) as tap:
        asyncio.run(talk(room.server, tap))
