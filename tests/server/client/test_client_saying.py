"""What a client says: stored once, confirmed or refused, over any number of connections."""

from __future__ import annotations

import asyncio

import pytest
from lab.tap import Tap

from server import BackgroundServer, serve
from server.broker import Position
from server.client import Client, RefusedError, State, UnconfirmedError, Wires
from server.messages import ChatMessage
from server.tickets import issue_session
from tests.server.client.scripted import PLENTY, Line, client, position, scripted, texts
from tests.server.people import DEADLINE, KEY, chat


def test_what_is_said_is_stored_when_say_returns() -> None:
    """It returns the place in the room's log, and a reader gets it there."""

    async def talk(server: BackgroundServer) -> None:
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

    with chat() as room:
        asyncio.run(talk(room.server))


def test_what_was_said_on_a_lost_connection_is_stored_once() -> None:
    """The confirmation is lost with the cable; it is said again with the same key, and found in the log."""

    async def talk(server: BackgroundServer, tap: Tap) -> None:
        async with client(server, url=tap.http("/")) as ana:
            await ana.say("lobby", "before")
            tap.cut("server")
            saying = asyncio.create_task(ana.say("lobby", "once"))
            async with client(server, "ben") as ben:
                assert await texts(ben.room("lobby", last=1), 1) in (["once"], ["before"])
                tap.reset()
                tap.mend()
                place = await saying
                assert place.offset == 2
                assert await ana.say("lobby", "after") == Position(place.epoch, 3)
                assert await texts(ben.room("lobby", last=10), 3) == ["before", "once", "after"]

    with chat() as room, Tap(room.server) as tap:
        asyncio.run(talk(room.server, tap))


def test_what_is_not_confirmed_in_time_can_be_said_again() -> None:
    """The error has the key; with it, the message is stored once whatever became of the first."""

    async def talk(server: BackgroundServer, tap: Tap) -> None:
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

    with chat() as room, Tap(room.server) as tap:
        asyncio.run(talk(room.server, tap))


def test_a_refusal_comes_in_the_words_of_the_server() -> None:
    """For a reader and for who speaks; the client lives on."""

    async def talk(server: BackgroundServer) -> None:
        async with client(server) as ana:
            with pytest.raises(RefusedError, match="room: expected a room that is open to you"):
                await ana.say("secret", "hello")
            with pytest.raises(RefusedError, match="room: expected a room that is open to you"):
                await texts(ana.room("secret"), 1)
            with pytest.raises(RefusedError, match="text: string should have at most 2000"):
                await ana.say("lobby", 2_001 * "x")
            await ana.say("lobby", "hello")

    with chat(may_join=lambda user, room: room != "secret") as room:
        asyncio.run(talk(room.server))


def test_a_log_that_is_away_is_waited_for() -> None:
    """An error that names no field is about the server: join and say are asked again."""

    async def script(line: Line) -> None:
        await line.welcome()
        join = await line.hear("join")
        await line.say(type="error", expected="the server to reach its log", id=join["id"])
        again = await line.hear("join")
        assert again["id"] != join["id"]
        await line.say(type="joined", room="lobby", position=position(0), id=again["id"])
        say = await line.hear("say")
        await line.say(type="error", expected="the server to reach its log", id=say["id"])
        assert await line.hear("say") == say
        await line.say(type="message", room="lobby", user="ana", text="hi", position=position(1), id=say["id"])
        await line.until_left()

    async def talk(server: BackgroundServer) -> None:
        async with client(server) as ana:
            assert await ana.say("lobby", "hi") == Position("e", 1)

    with serve(scripted(script)) as server:
        asyncio.run(talk(server))


def test_a_loop_that_answers_each_message_does_not_lock_up() -> None:
    """A confirmation is behind messages for which there is no room: they are let go, and fetched again."""

    async def talk(server: BackgroundServer) -> None:
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

    with chat(**PLENTY) as room:
        asyncio.run(talk(room.server))


def test_who_says_much_is_not_closed_for_it() -> None:
    """A client keeps to what a server allows: what is too much waits on its side."""

    async def talk(server: BackgroundServer) -> None:
        wires = Wires(proxy=None, per_second=100, burst=5)
        async with asyncio.timeout(DEADLINE):
            async with Client(server.http(), token=issue_session("ana", key=KEY, seconds=60), wires=wires) as ana:
                await asyncio.gather(*(ana.say("lobby", str(number)) for number in range(40)))
                assert ana.statistics().connections == 1

    with chat(messages_per_second=100, message_burst=10) as room:
        asyncio.run(talk(room.server))
