"""Many real clients at once: what they received, how they ended, and that they stop in time."""

from __future__ import annotations

import asyncio
import threading

import pytest
from fastapi import FastAPI, WebSocket
from lab.clients.crowd import Crowd
from lab.observe.server_loop import run_on_server
from websockets.exceptions import ConnectionClosed

from server import BackgroundServer, serve


def _chat(server_side: list[WebSocket]) -> FastAPI:
    app = FastAPI()

    @app.websocket("/ws")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        server_side.append(websocket)
        async for message in websocket.iter_text():
            if message == "go":
                await websocket.close(4002, "enough")
                return
            for member in list(server_side):
                await member.send_text(message)

    return app


def test_crowd_receives_what_the_server_sends_to_everyone() -> None:
    """One message of one client reaches each of 300."""
    with serve(_chat([])) as server:
        with Crowd(server.url("/ws"), 300) as crowd:
            crowd.send(7, "hi")
            crowd.wait(lambda crowd: crowd.statistics().least == 1)
            assert crowd.received == [["hi"]] * 300
            statistics = crowd.statistics()
            assert (statistics.clients, statistics.connected, statistics.received, statistics.most) == (
                300,
                300,
                300,
                1,
            )
            assert statistics.closed == {}
        assert not any(thread.name.startswith("crowd-") for thread in threading.enumerate())


def test_crowd_tells_how_connections_ended() -> None:
    """The code and the reason of each client whose connection the server closed are kept."""
    with serve(_chat([])) as server, Crowd(server.url("/ws"), 3) as crowd:
        crowd.send(1, "go")
        crowd.wait(lambda crowd: crowd.closed)
        assert crowd.closed == {1: (4002, "enough")}
        assert crowd.statistics().closed == {4002: 1}
        assert crowd.statistics().connected == 2
        with pytest.raises(ConnectionClosed):
            crowd.send(1, "again")


def _sent_until_stuck(server: BackgroundServer, server_side: list[WebSocket], kind: int) -> int:
    """Bytes that the server could send to the client before it had to wait."""
    sent = 0

    async def fill() -> None:
        nonlocal sent
        try:
            while sent < 4_000_000:
                await asyncio.wait_for(server_side[kind].send_text("x" * 10_000), 0.5)
                sent += 10_000
        except TimeoutError:
            pass

    run_on_server(server, fill(), timeout=30)
    return sent


def test_crowd_with_a_silent_client_makes_the_server_wait_soon() -> None:
    """A silent client lets the server send some 150 kB, not the megabytes that loopback would take."""
    server_side: list[WebSocket] = []
    with serve(_chat(server_side)) as server, Crowd(server.url("/ws"), 1, silent=1) as crowd:
        assert 10_000 <= _sent_until_stuck(server, server_side, 0) < 1_000_000
        assert crowd.received == [[]]


def test_crowd_with_a_slow_client_reads_on() -> None:
    """A slow client is behind the others, and gets everything in the end."""
    with serve(_chat([])) as server, Crowd(server.url("/ws"), 3, slow=1, pause=0.02) as crowd:
        for n in range(10):
            crowd.send(0, str(n))
        crowd.wait(lambda crowd: len(crowd.received[0]) == 10)
        assert crowd.slow == range(2, 3)
        crowd.wait(lambda crowd: crowd.statistics().least == 10)
        assert crowd.received[2] == [str(n) for n in range(10)]


@pytest.mark.parametrize("silent", [0, 50])
def test_crowd_stops(silent: int) -> None:
    """Also when the server waits for clients that never read."""
    server_side: list[WebSocket] = []
    with serve(_chat(server_side)) as server:
        with Crowd(server.url("/ws"), 50, silent=silent) as crowd:
            if silent:
                _sent_until_stuck(server, server_side, 0)
        crowd.stop()


def test_crowd_that_cannot_connect_says_why() -> None:
    """A refusal ends the start with the number of the client and the cause, and leaves no thread."""
    with serve(FastAPI()) as server:
        crowd = Crowd(server.url("/nowhere"), 3)
        with pytest.raises(RuntimeError, match=r"client \d of 3 could not connect: InvalidStatus: .*HTTP 403"):
            crowd.start()
        assert not any(thread.name.startswith("crowd-") for thread in threading.enumerate())


def test_crowd_wait_tells_the_statistics_when_it_gives_up() -> None:
    """A wait that ends without its condition shows what there was instead."""
    text = r"not true within 0\.01 s; CrowdStatistics\(clients=2, connected=2,"
    with (
        serve(_chat([])) as server,
        Crowd(server.url("/ws"), 2) as crowd,
        pytest.raises(TimeoutError, match=text),
    ):
        crowd.wait(lambda crowd: crowd.statistics().received, timeout=0.01)


def test_crowd_keeps_the_last_messages_only() -> None:
    """A long lesson does not fill the memory: the count goes on, the oldest messages are dropped."""
    with serve(_chat([])) as server, Crowd(server.url("/ws"), 1, keep=2) as crowd:
        for text in "abc":
            crowd.send(0, text)
        crowd.wait(lambda crowd: crowd.statistics().received == 3)
        assert crowd.received == [["b", "c"]]


def test_crowd_refuses_impossible_numbers() -> None:
    """More slow and silent clients than there are is refused at once."""
    with pytest.raises(ValueError, match="2 slow and 2 silent of 3 clients is impossible"):
        Crowd("ws://127.0.0.1:1/ws", 3, slow=2, silent=2)


def test_each_client_of_a_crowd_can_have_a_path_of_its_own() -> None:
    """Where the address has ``{number}``, the client's own number stands."""
    app = FastAPI()

    @app.websocket("/ws/{name}")
    async def greet(websocket: WebSocket, name: str) -> None:
        await websocket.accept()
        await websocket.send_text(name)
        await websocket.receive()

    with serve(app) as server, Crowd(server.url("/ws/guest{number}"), 3) as crowd:
        crowd.wait(lambda crowd: crowd.statistics().least == 1)
        assert crowd.received == [["guest0"], ["guest1"], ["guest2"]]
