"""Gaps, duplicates and holes in a stream, whatever a server does."""

from __future__ import annotations

import asyncio
import random

import pytest

from server import BackgroundServer, serve
from server.broker import Position
from server.client import ClientError, Missed
from tests.server.client.scripted import Line, client, position, scripted, texts


def test_messages_that_are_kept_no_longer_are_told() -> None:
    """With the positions on both sides of the hole."""

    async def script(line: Line) -> None:
        await line.welcome()
        join = await line.hear("join")
        assert join["after"] == position(1)
        await line.say(type="joined", room="lobby", position=position(3), complete=False, id=join["id"])
        again = await line.hear("join")
        assert again["after"] == position(3)
        await line.say(type="joined", room="lobby", position=position(3), id=again["id"])
        await line.say(type="message", room="lobby", user="ben", text="4", position=position(4))
        await line.until_left()

    async def talk(server: BackgroundServer) -> None:
        async with client(server) as ana:
            reader = ana.room("lobby", after=Position("e", 1))
            async for item in reader:
                assert item == Missed("lobby", Position("e", 1), Position("e", 3))
                assert reader.position == Position("e", 3)
                break
            assert await texts(reader, 1) == ["4"]

    with serve(scripted(script)) as server:
        asyncio.run(talk(server))


def test_a_gap_is_asked_for_and_a_duplicate_dropped() -> None:
    """Whatever a server does, the loop sees each message once and in order."""

    async def message(line: Line, offset: int) -> None:
        await line.say(type="message", room="lobby", user="ben", text=str(offset), position=position(offset))

    async def script(line: Line) -> None:
        await line.welcome()
        join = await line.hear("join")
        await line.say(type="joined", room="lobby", position=position(0), id=join["id"])
        for offset in (1, 2, 2, 1, 4, 5):
            await message(line, offset)
        again = await line.hear("join")
        assert again["after"] == position(2)
        await message(line, 6)  # not yet an answer
        await line.say(type="joined", room="lobby", position=position(2), id=again["id"])
        for offset in (3, 4, 5, 6):
            await message(line, offset)
        await line.until_left()

    async def talk(server: BackgroundServer) -> None:
        async with client(server) as ana:
            assert await texts(ana.room("lobby"), 6) == ["1", "2", "3", "4", "5", "6"]
            assert (ana.statistics().gaps, ana.statistics().duplicates) == (1, 2)

    with serve(scripted(script)) as server:
        asyncio.run(talk(server))


def test_a_newer_server_may_say_more() -> None:
    """Kinds and fields that are unknown are passed over."""

    async def script(line: Line) -> None:
        await line.welcome()
        join = await line.hear("join")
        await line.say(type="sparkles", room="lobby")
        await line.websocket.send_text("no JSON")
        await line.say(type="joined", room="lobby", position=position(0), id=join["id"], mood="good")
        await line.say(type="message", room="lobby", user="ben", text="hi", position=position(1), color="red")
        await line.until_left()

    async def talk(server: BackgroundServer) -> None:
        async with client(server) as ana:
            assert await texts(ana.room("lobby"), 1) == ["hi"]

    with serve(scripted(script)) as server:
        asyncio.run(talk(server))


@pytest.mark.parametrize("seed", range(3))
def test_a_careless_server_is_read_like_any_other(seed: int) -> None:
    """It leaves messages out, repeats others, and closes in between: the loop sees each once, in order."""
    dice, count = random.Random(seed), 300

    async def tell(line: Line, offset: int) -> None:
        await line.say(type="message", room="lobby", user="ben", text=str(offset), position=position(offset))

    async def script(line: Line) -> None:
        await line.welcome()
        while True:
            join = await line.hear("join")
            last = join["after"]["offset"]
            await line.say(type="joined", room="lobby", position=position(last), id=join["id"])
            while last < count:
                match dice.choices(("go on", "skip", "repeat", "close"), (80, 5, 5, 1))[0]:
                    case "go on":
                        last += 1
                        await tell(line, last)
                    case "repeat" if last:
                        await tell(line, dice.randint(1, last))
                    case "skip" if last + 2 <= count:
                        await tell(line, last + 2)
                        break  # until it is asked again
                    case "close":
                        await line.websocket.close(1012)
                        return

    async def talk(server: BackgroundServer) -> None:
        async with client(server, buffer=8) as ana:
            heard = await texts(ana.room("lobby", after=Position("e", 0)), count)
            assert heard == [str(number) for number in range(1, count + 1)]

    with serve(scripted(script)) as server:
        asyncio.run(talk(server))


def test_a_message_that_cannot_be_read_ends_the_client() -> None:
    """With the beginning of it: that server is of another version, or none of ours."""

    async def script(line: Line) -> None:
        await line.welcome()
        join = await line.hear("join")
        await line.say(type="joined", room="lobby", id=join["id"])
        await line.until_left()

    async def talk(server: BackgroundServer) -> None:
        async with client(server) as ana:
            with pytest.raises(ClientError, match="is no Joined"):
                await texts(ana.room("lobby"), 1)

    with serve(scripted(script)) as server:
        asyncio.run(talk(server))
