"""The client of the tests waits for a while, and says what it waited for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI, WebSocket

from server import BackgroundServer, serve
from server.testing import eventually
from server.testing.contexts import WebsocketTo

pytest_plugins = ["server.testing"]


@pytest.fixture
def server() -> Iterator[BackgroundServer]:
    """One that sends back whatever comes, and closes with 4000 after "bye"."""
    app = FastAPI()

    @app.websocket("/ws")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            if text == "bye":
                await websocket.close(4000)
                return
            await websocket.send_text(text)

    with serve(app) as server:
        yield server


def test_json_goes_both_ways(server: BackgroundServer, websocket: WebsocketTo) -> None:
    """As text messages."""
    ana = websocket(server)
    ana.send_json({"type": "say", "text": "ü"})
    assert ana.recv_json() == {"type": "say", "text": "ü"}
    with pytest.raises(ValueError, match=r"not JSON compliant"):
        ana.send_json(float("nan"))


def test_recv_until_drops_what_comes_before(server: BackgroundServer, websocket: WebsocketTo) -> None:
    """Text is compared as text, everything else as JSON."""
    ana = websocket(server)
    for text in ("a", "b", "c"):
        ana.send(text)
    ana.recv_until("b")
    assert ana.recv() == "c"
    ana.send_json([1])
    ana.send_json([2])
    ana.recv_until([2])


def test_recv_until_says_what_came_instead(server: BackgroundServer, websocket: WebsocketTo) -> None:
    """The last message, or that there was none."""
    ana = websocket(server, deadline=0.1)
    with pytest.raises(TimeoutError, match=r"'b' did not come within 0.1 s; no message came"):
        ana.recv_until("b")
    ana.send("a")
    with pytest.raises(TimeoutError, match=r"'b' did not come within 0.1 s; the last message was 'a'"):
        ana.recv_until("b")


def test_end_returns_the_close_code(server: BackgroundServer, websocket: WebsocketTo) -> None:
    """Messages before it are dropped."""
    ana = websocket(server)
    ana.send("hello")
    ana.send("bye")
    assert ana.end() == 4000
    assert ana.end() == 4000


def test_end_that_does_not_come_is_an_error(server: BackgroundServer, websocket: WebsocketTo) -> None:
    """The error says that the connection is open, and for how long it waited."""
    with pytest.raises(TimeoutError, match=r"the connection is still open after 0.05 s"):
        websocket(server).end(0.05)


def test_loop_over_messages_has_the_deadline(server: BackgroundServer, websocket: WebsocketTo) -> None:
    """``for text in ana`` would otherwise wait for ever."""
    ana = websocket(server, deadline=0.05)
    ana.send("one")
    messages = iter(ana)
    assert next(messages) == "one"
    with pytest.raises(TimeoutError):
        next(messages)


# eventually


def test_eventually_returns_as_soon_as_the_values_are_equal() -> None:
    """It asks again until then."""
    values = iter([1, 2, 3, 4])
    eventually(next, values, equals=3)
    assert next(values) == 4


def test_eventually_names_both_values_when_the_time_is_over() -> None:
    """It fails as an assertion does."""

    def people(name: str) -> list[str]:
        return [name]

    with pytest.raises(AssertionError, match=r"people still returns \['ben'\] after 0.05 s, expected \[\]"):
        eventually(people, "ben", equals=[], timeout=0.05)
