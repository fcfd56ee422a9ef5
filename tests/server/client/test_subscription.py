"""Gaps, duplicates and lost messages in a subscription, whatever a server does."""

from __future__ import annotations

import random

import pytest

from server import serve
from server.broker import Position
from server.client import ClientError, LostMessages
from tests.server.client.scripted import ScriptedConnection, client, position, scripted, texts

pytestmark = pytest.mark.anyio


async def test_expired_messages_are_reported() -> None:
    """With the positions before and after them."""

    async def script(connection: ScriptedConnection) -> None:
        await connection.welcome()
        join = await connection.receive("join")
        assert join["after"] == position(1)
        await connection.send(type="joined", room="lobby", position=position(3), complete=False, id=join["id"])
        again = await connection.receive("join")
        assert again["after"] == position(3)
        await connection.send(type="joined", room="lobby", position=position(3), id=again["id"])
        await connection.send(type="message", room="lobby", user="ben", text="4", position=position(4))
        await connection.until_closed()

    with serve(scripted(script)) as server:
        async with client(server) as ana:
            reader = ana.room("lobby", after=Position("e", 1))
            async for item in reader:
                assert item == LostMessages("lobby", Position("e", 1), Position("e", 3))
                assert reader.position == Position("e", 3)
                break
            assert await texts(reader, 1) == ["4"]


async def test_a_gap_is_requested_again_and_a_duplicate_dropped() -> None:
    """The loop gets each message once and in order."""

    async def message(connection: ScriptedConnection, offset: int) -> None:
        await connection.send(type="message", room="lobby", user="ben", text=str(offset), position=position(offset))

    async def script(connection: ScriptedConnection) -> None:
        await connection.welcome()
        join = await connection.receive("join")
        await connection.send(type="joined", room="lobby", position=position(0), id=join["id"])
        for offset in (1, 2, 2, 1, 4, 5):
            await message(connection, offset)
        again = await connection.receive("join")
        assert again["after"] == position(2)
        await message(connection, 6)  # not yet an answer
        await connection.send(type="joined", room="lobby", position=position(2), id=again["id"])
        for offset in (3, 4, 5, 6):
            await message(connection, offset)
        await connection.until_closed()

    with serve(scripted(script)) as server:
        async with client(server) as ana:
            assert await texts(ana.room("lobby"), 6) == ["1", "2", "3", "4", "5", "6"]
            assert (ana.statistics().gaps, ana.statistics().duplicates) == (1, 2)


async def test_a_newer_server_may_send_more() -> None:
    """Unknown types and fields are ignored."""

    async def script(connection: ScriptedConnection) -> None:
        await connection.welcome()
        join = await connection.receive("join")
        await connection.send(type="sparkles", room="lobby")
        await connection.websocket.send_text("no JSON")
        await connection.send(type="joined", room="lobby", position=position(0), id=join["id"], mood="good")
        await connection.send(type="message", room="lobby", user="ben", text="hi", position=position(1), color="red")
        await connection.until_closed()

    with serve(scripted(script)) as server:
        async with client(server) as ana:
            assert await texts(ana.room("lobby"), 1) == ["hi"]


@pytest.mark.parametrize("seed", range(3))
async def test_a_careless_server_loses_nothing(seed: int) -> None:
    """It skips messages, repeats others, and closes in between: the loop gets each once, in order."""
    dice, count = random.Random(seed), 300

    async def send(connection: ScriptedConnection, offset: int) -> None:
        await connection.send(type="message", room="lobby", user="ben", text=str(offset), position=position(offset))

    async def script(connection: ScriptedConnection) -> None:
        await connection.welcome()
        while True:
            join = await connection.receive("join")
            last = join["after"]["offset"]
            await connection.send(type="joined", room="lobby", position=position(last), id=join["id"])
            while last < count:
                match dice.choices(("go on", "skip", "repeat", "close"), (80, 5, 5, 1))[0]:
                    case "go on":
                        last += 1
                        await send(connection, last)
                    case "repeat" if last:
                        await send(connection, dice.randint(1, last))
                    case "skip" if last + 2 <= count:
                        await send(connection, last + 2)
                        break  # until it is asked again
                    case "close":
                        await connection.websocket.close(1012)
                        return

    with serve(scripted(script)) as server:
        async with client(server, buffer=8) as ana:
            heard = await texts(ana.room("lobby", after=Position("e", 0)), count)
            assert heard == [str(number) for number in range(1, count + 1)]


async def test_a_message_without_a_position_ends_the_client() -> None:
    """Without positions there is no order, no gap and no resume."""

    async def old(connection: ScriptedConnection) -> None:
        await connection.welcome()
        await connection.send(type="message", room="lobby", user="ben", text="hi")
        await connection.until_closed()

    with serve(scripted(old)) as server:
        async with client(server) as ana:
            with pytest.raises(ClientError, match="without a position"):
                await texts(ana.room("lobby"), 1)


async def test_an_invalid_message_ends_the_client() -> None:
    """The error shows its beginning: the server has another version, or is another program."""

    async def script(connection: ScriptedConnection) -> None:
        await connection.welcome()
        join = await connection.receive("join")
        await connection.send(type="joined", room="lobby", id=join["id"])
        await connection.until_closed()

    with serve(scripted(script)) as server:
        async with client(server) as ana:
            with pytest.raises(ClientError, match="not a valid 'joined' message: position"):
                await texts(ana.room("lobby"), 1)
