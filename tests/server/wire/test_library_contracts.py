"""What we use of websockets, h11 and Starlette without their promise: a new release says which of it has changed."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import h11
import pytest
from starlette.applications import Starlette
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketState
from websockets.client import ClientProtocol
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

HANDSHAKE = b"GET /ws HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"


def changed(library: str, name: str) -> str:
    """What a failure says."""
    return f"{library} changed {name} (this is {version(library)}); look at what server/ does with it"


def opened() -> tuple[ServerProtocol, ClientProtocol]:
    """The two ends of a connection, without a network."""
    server, client = ServerProtocol(), ClientProtocol(parse_uri("ws://x/"))
    client.send_request(client.connect())
    server.receive_data(b"".join(client.data_to_send()))
    (request,) = server.events_received()
    assert isinstance(request, Request), changed("websockets", "the event of a handshake")
    server.send_response(server.accept(request))
    client.receive_data(b"".join(server.data_to_send()))
    client.events_received()
    return server, client


def test_websockets_begins_open_and_keeps_the_close_frame_that_it_sent() -> None:
    """`FanoutProtocol` asks for the state, and `close_now` writes what `send_close` leaves to be sent."""
    server, _ = opened()
    states = [server.state]
    sent = [server.close_sent]
    server.send_close(4008, "too slow")
    states.append(server.state)
    assert states == [State.OPEN, State.CLOSING], changed("websockets", "the state of a connection")
    sent.append(server.close_sent)
    assert sent == [None, Close(4008, "too slow")], changed("websockets", "close_sent")
    expected = Frame(Opcode.CLOSE, b"\x0f\xa8too slow").serialize(mask=False)
    assert b"".join(server.data_to_send()) == expected, changed("websockets", "data_to_send")


def test_websockets_answers_a_ping_with_one_piece_to_send() -> None:
    """`handle_ping` keeps the last piece, and sends it when the peer reads again."""
    server, _ = opened()
    server.receive_data(Frame(Opcode.PING, b"1").serialize(mask=True) + Frame(Opcode.PING, b"2").serialize(mask=True))
    expected = [Frame(Opcode.PONG, payload).serialize(mask=False) for payload in (b"1", b"2")]
    assert server.data_to_send() == expected, changed("websockets", "the answer to a ping")


def test_websockets_tells_an_error_of_the_peer_by_a_close_frame() -> None:
    """`handle_parser_exception` sends the close frame that the library made, and reads its code."""
    server, _ = opened()
    server.receive_data(b"\xff" * 10)
    assert server.parser_exc is not None, changed("websockets", "parser_exc")
    assert server.close_sent is not None, changed("websockets", "close_sent after an error")
    assert server.close_sent.code == 1002, changed("websockets", "the code of a protocol error")


def test_websockets_makes_frames() -> None:
    """`Prepared.frame` is what a client reads as one text message, whatever its length."""
    for size in (0, 125, 126, 65_536):
        _, client = opened()
        client.receive_data(Frame(Opcode.TEXT, b"x" * size).serialize(mask=False))
        (frame,) = client.events_received()
        assert isinstance(frame, Frame), changed("websockets", "the event of a frame")
        assert (frame.opcode, frame.fin, len(frame.data)) == (Opcode.TEXT, True, size), changed("websockets", "Frame")


def test_h11_says_what_is_missing_of_a_request() -> None:
    """`DeadlineHttpProtocol` starts a deadline in the first two states, and counts what comes ahead in the third."""
    connection = h11.Connection(h11.SERVER)
    states = [connection.their_state]
    connection.receive_data(HANDSHAKE)
    assert isinstance(connection.next_event(), h11.Request)
    states.append(connection.their_state)
    connection.receive_data(b"hello" + b"GET /next")
    while isinstance(connection.next_event(), h11.Data):
        pass
    states.append(connection.their_state)
    assert states == [h11.IDLE, h11.SEND_BODY, h11.DONE], changed("h11", "their_state")
    assert connection.trailing_data == (b"GET /next", False), changed("h11", "trailing_data")


@pytest.mark.anyio
async def test_starlette_sends_the_failure_of_a_lifespan_while_it_handles_it() -> None:
    """`StartFailure` reads which exception it was, because the message has the traceback only."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        raise ConnectionError("away")
        yield

    seen: list[BaseException | None] = []

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        assert message["type"] == "lifespan.startup.failed", changed("starlette", "the message of a failed start")
        seen.append(sys.exc_info()[1])

    with pytest.raises(ConnectionError):
        await Starlette(lifespan=lifespan)({"type": "lifespan", "state": {}}, receive, send)
    assert [type(error) for error in seen] == [ConnectionError], changed("starlette", "where it sends the failure from")


@pytest.mark.anyio
async def test_starlette_passes_on_what_a_lifespan_yields() -> None:
    """`LimitedProtocol` reads the number of frames there."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, int]]:
        yield {"message_frames": 7}

    messages = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> dict[str, Any]:
        return {"type": next(messages)}

    async def send(message: Any) -> None:
        await asyncio.sleep(0)

    state: dict[str, Any] = {}
    await Starlette(lifespan=lifespan)({"type": "lifespan", "state": state}, receive, send)
    assert state == {"message_frames": 7}, changed("starlette", "the state of a lifespan")


@pytest.mark.anyio
async def test_starlette_keeps_both_states_of_a_websocket() -> None:
    """`closing` sends a close frame only if both sides are connected, and lets a late one pass as RuntimeError."""
    incoming = iter([{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1001, "reason": ""}])

    async def receive() -> Any:
        return next(incoming)

    async def send(message: Any) -> None:
        await asyncio.sleep(0)

    websocket = WebSocket({"type": "websocket", "headers": []}, receive, send)
    states = [(websocket.client_state, websocket.application_state)]
    await websocket.accept()
    states.append((websocket.client_state, websocket.application_state))
    await websocket.receive()
    states.append((websocket.client_state, websocket.application_state))
    connecting, connected, gone = WebSocketState.CONNECTING, WebSocketState.CONNECTED, WebSocketState.DISCONNECTED
    expected = [(connecting, connecting), (connected, connected), (gone, connected)]
    assert states == expected, changed("starlette", "the states of a WebSocket")
    await websocket.close()
    with pytest.raises(RuntimeError):
        await websocket.close()


def test_starlette_calls_the_methods_that_we_override() -> None:
    """Those of the page's static files, by name and with the same arguments."""
    for name, expected in {
        "lookup_path": ("self", "path"),
        "file_response": ("self", "full_path", "stat_result", "scope", "status_code"),
    }.items():
        method = getattr(StaticFiles, name, None)
        assert method is not None, changed("starlette", f"StaticFiles.{name}")
        assert tuple(inspect.signature(method).parameters) == expected, changed("starlette", f"StaticFiles.{name}")
