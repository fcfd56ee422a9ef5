"""The client with a real server: it reconnects where it may, and raises the reason where it may not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from lab.tap.tap import Tap

from server import serve
from server.client import Client, ClientError, ClosedError, LoginError, RefusedError, State
from tests.server.client.scripted import FAST, ScriptedConnection, client, refuses, scripted, stays, texts
from tests.server.counting import until
from tests.server.people import DEADLINE, chat
from tests.server.recipients import bearer

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("code", [4003, 4004])
async def test_a_final_close_code_ends_the_client(code: int) -> None:
    """Its loops and unconfirmed messages raise an error with the code and the reason; it does not reconnect."""

    async def closes_for_good(connection: ScriptedConnection) -> None:
        await connection.welcome()
        await connection.receive("join")
        await connection.websocket.close(code, "because of this")

    with serve(scripted(closes_for_good)) as server:
        async with client(server) as ana:
            with pytest.raises(RefusedError, match=f"{code}: because of this; ") as refused:
                await texts(ana.room("lobby"), 1)
            assert (refused.value.code, refused.value.reason) == (code, "because of this")
            with pytest.raises(RefusedError):
                await ana.say("lobby", "hello?")
            assert ana.error is refused.value
            assert ana.state is State.STOPPED


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 1012, 1013, 4002, 4008])
async def test_any_other_close_code_makes_the_client_reconnect(code: int) -> None:
    """A connection that is lost without a close frame does so as well."""

    async def ends(connection: ScriptedConnection) -> None:
        await connection.welcome()
        if code == 1006:
            connection.websocket.scope["extensions"]["test"]["transport"].abort()
        else:
            await connection.websocket.close(code)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        # the transport, so that a script can take it away without a close frame
        scope.setdefault("extensions", {})["test"] = {"transport": getattr(send.__self__, "transport", None)}
        await script(scope, receive, send)

    script = scripted(ends, stays)
    with serve(app, lifespan="off") as server:
        async with client(server) as ana:
            await until(lambda: ana.statistics().connections == 2)
            assert ana.last_disconnect is not None
            assert ana.last_disconnect.code == code
            assert ana.state is State.OPEN


@pytest.mark.parametrize(("status", "error"), [(401, LoginError), (403, RefusedError), (404, RefusedError)])
async def test_a_refused_handshake_raises_on_entering(status: int, error: type[RefusedError]) -> None:
    """The error has the status and the server's reason."""
    with serve(scripted(refuses(status, "not you"))) as server:
        with pytest.raises(error, match=f"{status}: not you; ") as refused:
            async with client(server):
                pass
        assert refused.value.code == status


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_a_temporary_status_is_tried_again(status: int) -> None:
    """Entering the block waits until the server accepts."""
    with serve(scripted(refuses(status), refuses(status), stays)) as server:
        async with client(server) as ana:
            assert ana.statistics().connections == 1


async def test_a_server_that_sends_no_welcome_is_tried_again() -> None:
    """The handshake alone is not enough, although the client has sent its joins."""

    async def silent(connection: ScriptedConnection) -> None:
        await connection.websocket.accept()
        await connection.until_closed()

    with serve(scripted(silent, silent, stays)) as server:
        options = replace(FAST, open_timeout=0.2)
        async with asyncio.timeout(DEADLINE), Client(server.http(), token="t", options=options) as ana:
            assert ana.statistics().connections == 1
            assert ana.last_disconnect is None


@pytest.mark.parametrize("first", [{"type": "presence", "room": "lobby", "count": 1}, {"type": "sparkles"}])
async def test_a_first_message_that_is_no_welcome_ends_the_client(first: dict[str, Any]) -> None:
    """Another program answers at the address."""

    async def other(connection: ScriptedConnection) -> None:
        await connection.websocket.accept()
        await connection.send(**first)
        await connection.until_closed()

    with serve(scripted(other)) as server, pytest.raises(ClientError, match="not a welcome; look at the address"):
        async with client(server):
            pass


@pytest.mark.usefixtures("short_sessions")
async def test_an_expired_session_is_renewed() -> None:
    """After 4001 the client gets a new token; with a fixed token it ends."""
    with chat() as room:
        server = room.server
        tokens = iter([bearer("ana"), bearer("ana", seconds=3_600)])

        async def get_token() -> str:
            return next(tokens)["Authorization"].removeprefix("Bearer ")

        async with client(server, token=get_token) as ana, client(server, "ben") as ben:
            with pytest.raises(LoginError, match=r"4001: the session has expired.*; pass a token"):
                await texts(ben.room("lobby"), 1)
            await until(lambda: ana.statistics().connections == 2)
            await ana.say("lobby", "still here")


async def test_a_new_token_that_is_refused_ends_the_client() -> None:
    """Otherwise a client would get tokens forever."""
    asked = []

    def get_token() -> str:
        asked.append(1)
        return "no-good"

    with chat() as room:
        server = room.server
        with pytest.raises(LoginError, match="401"):
            async with client(server, token=get_token):
                pass
    assert len(asked) == 1


async def test_the_demo_login_takes_a_name() -> None:
    """A demo server forgets its key when it restarts, and with it the session; the client logs in again."""
    with chat(key=None, demo_login=True) as first:
        async with Client(first.server.http(), name="ana", options=FAST) as ana:
            assert ana.user == "ana"
            await asyncio.to_thread(first.server.stop)
            with chat(port=first.server.port, key=None, demo_login=True):
                async with asyncio.timeout(30):
                    await until(lambda: ana.statistics().connections == 2)
                    await ana.say("lobby", "again")


async def test_a_server_without_a_demo_login_says_so() -> None:
    """The error says what to do instead."""
    with chat() as room:
        server = room.server
        with pytest.raises(RefusedError, match="no demo login"):
            async with Client(server.http(), name="ana", options=FAST):
                pass


async def test_closing_ends_everything_at_once() -> None:
    """Loops end, unconfirmed messages raise, and no task is left."""
    before = asyncio.all_tasks()
    with chat() as room, Tap(room.server) as tap:
        server = room.server
        async with client(server, url=tap.http("/")) as ana:
            reading = asyncio.create_task(texts(ana.room("lobby"), 1))
            await ana.say("hall", "hello")
            tap.cut("server")
            sending = asyncio.create_task(ana.say("hall", "is anybody there?"))
            await asyncio.sleep(0)
            leaving = asyncio.create_task(ana.__aexit__())
            assert await reading == []
            with pytest.raises(ClosedError, match="closed before"):
                await sending
            await leaving
            with pytest.raises(ClosedError, match="not open"):
                await ana.say("hall", "too late")
        assert asyncio.all_tasks() == before


async def test_a_client_that_is_not_entered_raises() -> None:
    """Otherwise its loop would wait forever."""
    ana = Client("http://127.0.0.1:8000", token="t")
    with pytest.raises(ClosedError, match="async with"):
        await texts(ana.room("lobby"), 1)


async def test_a_client_is_entered_once() -> None:
    """A second block would share the state of the first."""
    with serve(scripted(stays)) as server:
        async with client(server) as ana:
            with pytest.raises(ClientError, match="make a new one"):
                await ana.__aenter__()


async def test_an_announcement_reaches_the_callback() -> None:
    """It belongs to no room; a client without a callback ignores it."""

    async def announces(connection: ScriptedConnection) -> None:
        await connection.welcome()
        await connection.send(type="announcement", text="a break of five minutes")
        await connection.until_closed()

    with serve(scripted(announces)) as server:
        heard: list[str] = []
        async with client(server) as ana, client(server, on_announcement=heard.append):
            await until(lambda: heard == ["a break of five minutes"])
            assert ana.error is None
