"""Messages that a client sends: stored once, confirmed or refused, over any number of connections."""

from __future__ import annotations

import asyncio
import json

import pytest
from lab.tap.tap import Tap

from server import serve
from server.access.tokens import issue_session
from server.broker import Position
from server.client import Client, ClientError, ConnectOptions, RefusedError, State, UnconfirmedError
from server.messages import ChatMessage
from tests.server.client.scripted import NO_LIMITS, ScriptedConnection, client, position, scripted, stays, texts
from tests.server.counting import until
from tests.server.people import DEADLINE, KEY, chat

pytestmark = pytest.mark.anyio


async def test_a_message_is_stored_when_say_returns() -> None:
    """It returns the position in the room's log, where a reader gets the message."""
    with chat() as room:
        server = room.server
        async with client(server) as ana, client(server, "ben") as ben:
            assert ana.user == "ana"
            assert ana.state is State.OPEN
            first = await ana.say("lobby", "one")
            second = await ana.say("lobby", "two")
            assert (first.offset, second.offset) == (1, 2)
            async for message in ben.room("lobby", last=10):
                assert isinstance(message, ChatMessage)
                assert (message.user, message.position) in {("ana", first), ("ana", second)}
                if message.position == second:
                    break


async def test_a_message_on_a_lost_connection_is_stored_once() -> None:
    """The confirmation is lost; the client sends it again with the same key, and the server finds it in the log."""
    with chat() as room, Tap(room.server) as tap:
        server = room.server
        async with client(server, url=tap.http("/")) as ana:
            await ana.say("lobby", "before")
            tap.cut("server")
            sending = asyncio.create_task(ana.say("lobby", "once"))
            async with client(server, "ben") as ben:
                assert await texts(ben.room("lobby", last=1), 1) in (["once"], ["before"])
                tap.reset()
                tap.mend()
                place = await sending
                assert place.offset == 2
                assert await ana.say("lobby", "after") == Position(place.epoch, 3)
                assert await texts(ben.room("lobby", last=10), 3) == ["before", "once", "after"]


async def test_an_unconfirmed_message_can_be_sent_again() -> None:
    """The error has the key; with it, the message is stored once whatever happened to the first."""
    with chat() as room, Tap(room.server) as tap:
        server = room.server
        async with client(server, url=tap.http("/")) as ana:
            await ana.say("lobby", "before")
            tap.cut()
            with pytest.raises(UnconfirmedError) as unconfirmed:
                await ana.say("lobby", "once", seconds=0.05)
            tap.mend()
            place = await ana.say("lobby", "and then")
            assert unconfirmed.value.key
            assert await texts(ana.room("lobby", last=10), 3) == ["before", "once", "and then"]
            assert place.offset == 3


async def test_a_refusal_has_the_reason_of_the_server() -> None:
    """A reader and `say` raise it; the client stays connected."""
    with chat(may_join=lambda user, room: room != "secret") as room:
        server = room.server
        async with client(server) as ana:
            with pytest.raises(RefusedError, match="room: expected a room that is open to you"):
                await ana.say("secret", "hello")
            with pytest.raises(RefusedError, match="room: expected a room that is open to you"):
                await texts(ana.room("secret"), 1)
            with pytest.raises(RefusedError, match="text: string should have at most 2000"):
                await ana.say("lobby", 2_001 * "x")
            await ana.say("lobby", "hello")


async def test_a_log_that_cannot_be_reached_is_tried_again() -> None:
    """An error that names no field is about the server: the client repeats the join and the message."""

    async def script(connection: ScriptedConnection) -> None:
        await connection.welcome()
        join = await connection.receive("join")
        await connection.send(type="error", expected="the server to reach its log", id=join["id"])
        again = await connection.receive("join")
        assert again["id"] != join["id"]
        await connection.send(type="joined", room="lobby", position=position(0), id=again["id"])
        say = await connection.receive("say")
        await connection.send(type="error", expected="the server to reach its log", id=say["id"])
        assert await connection.receive("say") == say
        await connection.send(type="message", room="lobby", user="ana", text="hi", position=position(1), id=say["id"])
        await connection.until_closed()

    with serve(scripted(script)) as server:
        async with client(server) as ana:
            assert await ana.say("lobby", "hi") == Position("e", 1)


async def test_a_loop_that_answers_each_message_does_not_deadlock() -> None:
    """A confirmation comes behind messages that find no space: they are dropped, and requested again."""
    with chat(**NO_LIMITS) as room:
        server = room.server
        async with client(server, buffer=2) as bot, client(server, "ben") as ben:
            seen = []
            await asyncio.gather(*(ben.say("lobby", str(number)) for number in range(30)))
            async for message in bot.room("lobby", last=30):
                assert isinstance(message, ChatMessage)
                if message.user == "ben":
                    seen.append(message.text)
                    await bot.say("lobby", f"you said {message.text}")
                elif message.text == "you said 29":
                    break
            assert seen == [str(number) for number in range(30)]


async def test_a_client_that_sends_much_is_not_disconnected() -> None:
    """The client paces itself: what is over the limit of the server waits in the client."""
    with chat(messages_per_second=100, message_burst=10) as room:
        server = room.server
        options = ConnectOptions(proxy=None, messages_per_second=100, message_burst=5)
        async with asyncio.timeout(DEADLINE):
            async with Client(server.http(), token=issue_session("ana", key=KEY, seconds=60), options=options) as ana:
                await asyncio.gather(*(ana.say("lobby", str(number)) for number in range(40)))
                assert ana.statistics().connections == 1


async def test_a_key_is_used_by_one_message_at_a_time() -> None:
    """Two messages with one key would be stored as one."""
    with serve(scripted(stays)) as server:
        async with client(server) as ana:
            first = asyncio.create_task(ana.say("lobby", "one", key="k", seconds=0.1))
            await asyncio.sleep(0)
            with pytest.raises(ClientError, match="'k' is the key of a message that is not confirmed yet"):
                await ana.say("lobby", "two", key="k")
            with pytest.raises(UnconfirmedError):
                await first


async def test_a_message_that_is_too_big_is_not_sent_again() -> None:
    """It would end the next connection as well (1009); the client reconnects without it."""

    async def refuses_size(connection: ScriptedConnection) -> None:
        await connection.welcome()
        await connection.receive("join")
        await connection.websocket.close(1009, "over 16 bytes")

    with serve(scripted(refuses_size, stays)) as server:
        async with client(server) as ana:
            with pytest.raises(RefusedError, match="too big for the server, over 16 bytes"):
                await ana.say("lobby", "hello")
            await until(lambda: ana.statistics().connections == 2)


async def test_a_client_stays_in_the_rooms_of_its_last_messages() -> None:
    """It leaves the oldest, so that it never meets the server's limit on rooms by sending alone."""
    left: list[str] = []

    async def stores(connection: ScriptedConnection) -> None:
        await connection.welcome()
        while True:
            message = json.loads(await connection.websocket.receive_text())
            match message["type"]:
                case "join":
                    await connection.send(type="joined", room=message["room"], position=position(0), id=message["id"])
                case "say":
                    await connection.send(
                        type="message",
                        room=message["room"],
                        user="ana",
                        text="hi",
                        position=position(1),
                        id=message["id"],
                    )
                case "leave":
                    left.append(message["room"])

    with serve(scripted(stores)) as server:
        async with client(server) as ana:
            for number in range(12):
                await ana.say(f"room-{number}", "hi")
            await until(lambda: left == ["room-0", "room-1", "room-2", "room-3"])
