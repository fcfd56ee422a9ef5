"""The client over a real server: it comes back where it may, and says why where it may not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from lab.tap import Tap

from server import BackgroundServer, serve
from server.client import (
    Client,
    ClientError,
    ClosedError,
    LoginError,
    RefusedError,
    State,
)
from tests.server.client.scripted import QUICK, Line, client, refuses, scripted, stays, texts
from tests.server.counting import until
from tests.server.people import chat
from tests.server.recipients import bearer


@pytest.mark.parametrize("code", [4002, 4003, 4004])
def test_a_code_that_says_no_ends_the_client(code: int) -> None:
    """Its loops and what is being said raise an error with the code and the reason; it does not connect again."""

    async def told_to_go(line: Line) -> None:
        await line.welcome()
        await line.hear("join")
        await line.websocket.close(code, "because of this")

    async def talk(server: BackgroundServer) -> None:
        async with client(server) as ana:
            with pytest.raises(RefusedError, match=f"{code}: because of this; ") as refused:
                await texts(ana.room("lobby"), 1)
            assert (refused.value.code, refused.value.reason) == (code, "because of this")
            with pytest.raises(RefusedError):
                await ana.say("lobby", "hello?")
            assert ana.error is refused.value
            assert ana.state is State.STOPPED

    with serve(scripted(told_to_go)) as server:
        asyncio.run(talk(server))


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 1012, 1013, 4008])
def test_any_other_code_means_come_back(code: int) -> None:
    """Also the lack of one."""

    async def goes(line: Line) -> None:
        await line.welcome()
        if code == 1006:
            line.websocket.scope["extensions"]["test"]["transport"].abort()
        else:
            await line.websocket.close(code)

    async def talk(server: BackgroundServer) -> None:
        async with client(server) as ana:
            await until(lambda: ana.statistics().connections == 2)
            assert ana.loss is not None
            assert ana.loss.code == code
            assert ana.state is State.OPEN

    async def app(scope: Any, receive: Any, send: Any) -> None:
        # the transport, so that a script can take it away without a close frame
        scope.setdefault("extensions", {})["test"] = {"transport": getattr(send.__self__, "transport", None)}
        await script(scope, receive, send)

    script = scripted(goes, stays)
    with serve(app, lifespan="off") as server:
        asyncio.run(talk(server))


@pytest.mark.parametrize(("status", "error"), [(401, LoginError), (403, RefusedError), (404, RefusedError)])
def test_a_refused_handshake_raises_on_entering(status: int, error: type[RefusedError]) -> None:
    """With the status and the server's words."""

    async def talk(server: BackgroundServer) -> None:
        with pytest.raises(error, match=f"{status}: not you; ") as refused:
            async with client(server):
                pass
        assert refused.value.code == status

    with serve(scripted(refuses(status, "not you"))) as server:
        asyncio.run(talk(server))


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_server_in_trouble_is_tried_again(status: int) -> None:
    """Entering waits for it."""

    async def talk(server: BackgroundServer) -> None:
        async with client(server) as ana:
            assert ana.statistics().connections == 1

    with serve(scripted(refuses(status), refuses(status), stays)) as server:
        asyncio.run(talk(server))


def test_a_session_that_ends_is_renewed() -> None:
    """4001 makes the client ask for a new token; one that is fixed ends it."""

    async def talk(server: BackgroundServer) -> None:
        tokens = iter([bearer("ana", seconds=3), bearer("ana")])

        async def get_token() -> str:
            return next(tokens)["Authorization"].removeprefix("Bearer ")

        async with client(server, token=get_token) as ana, client(server, "ben", seconds=3) as ben:
            with pytest.raises(LoginError, match=r"4001: the session has expired.*; pass a token"):
                await texts(ben.room("lobby"), 1)
            await until(lambda: ana.statistics().connections == 2)
            await ana.say("lobby", "still here")

    with chat() as room:
        asyncio.run(talk(room.server))


def test_a_new_token_that_is_no_good_is_the_last_word() -> None:
    """Otherwise a client would ask for tokens for ever."""
    asked = []

    def get_token() -> str:
        asked.append(1)
        return "no good"

    async def talk(server: BackgroundServer) -> None:
        with pytest.raises(LoginError, match="401"):
            async with client(server, token=get_token):
                pass

    with chat() as room:
        asyncio.run(talk(room.server))
    assert len(asked) == 1


def test_the_demo_login_takes_a_name() -> None:
    """A demo server forgets its sessions with its key: the client logs in again."""

    async def talk(first: Any) -> None:
        async with Client(first.server.http(), name="ana", wires=QUICK) as ana:
            assert ana.user == "ana"
            await asyncio.to_thread(first.server.stop)
            with chat(port=first.server.port, key=None, demo_login=True):
                async with asyncio.timeout(5):
                    await until(lambda: ana.statistics().connections == 2)
                    await ana.say("lobby", "again")

    with chat(key=None, demo_login=True) as room:
        asyncio.run(talk(room))


def test_a_server_without_a_demo_login_says_so() -> None:
    """With what to do instead."""

    async def talk(server: BackgroundServer) -> None:
        with pytest.raises(RefusedError, match="no demo login"):
            async with Client(server.http(), name="ana", wires=QUICK):
                pass

    with chat() as room:
        asyncio.run(talk(room.server))


def test_closing_ends_everything_at_once() -> None:
    """Loops end, what is being said raises, and no task is left."""

    async def talk(server: BackgroundServer, tap: Tap) -> None:
        async with client(server, url=tap.http("/")) as ana:
            reading = asyncio.create_task(texts(ana.room("lobby"), 1))
            await ana.say("hall", "hello")
            tap.cut("server")
            saying = asyncio.create_task(ana.say("hall", "is anybody there?"))
            await asyncio.sleep(0)
            leaving = asyncio.create_task(ana.__aexit__())
            assert await reading == []
            with pytest.raises(ClosedError, match="closed before"):
                await saying
            await leaving
            with pytest.raises(ClosedError, match="not open"):
                await ana.say("hall", "too late")
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with chat() as room, Tap(room.server) as tap:
        asyncio.run(talk(room.server, tap))


@pytest.mark.parametrize(
    ("url", "options", "error"),
    [
        ("127.0.0.1:8000", {"token": "t"}, ClientError),
        ("ws://127.0.0.1:8000", {"token": "t"}, ClientError),
        ("http://127.0.0.1:8000", {}, LoginError),
        ("http://127.0.0.1:8000", {"token": "t", "name": "ana"}, LoginError),
    ],
)
def test_a_client_that_cannot_work_is_refused_when_it_is_made(
    url: str, options: dict[str, str], error: type[ClientError]
) -> None:
    """Not when it first connects."""
    with pytest.raises(error):
        Client(url, **options)  # type: ignore[arg-type]


def test_a_client_is_used_inside_its_block() -> None:
    """Before it, nothing would ever answer."""

    async def talk() -> None:
        ana = Client("http://127.0.0.1:8000", token="t")
        with pytest.raises(ClosedError, match="async with"):
            await texts(ana.room("lobby"), 1)

    asyncio.run(talk())


def test_what_is_said_to_the_whole_class_is_heard_by_who_wants_it() -> None:
    """It is of no room; a client that did not ask passes it over."""

    async def announces(line: Line) -> None:
        await line.welcome()
        await line.say(type="announcement", text="a break of five minutes")
        await line.until_left()

    async def talk(server: BackgroundServer) -> None:
        heard: list[str] = []
        async with client(server) as ana, client(server, announced=heard.append):
            await until(lambda: heard == ["a break of five minutes"])
            assert ana.error is None

    with serve(scripted(announces)) as server:
        asyncio.run(talk(server))
