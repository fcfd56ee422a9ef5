"""A proxy that buffers: an HTTP answer comes at its end, a frame of a WebSocket immediately."""

from __future__ import annotations

from typing import Any

import httpx
from fastapi import FastAPI, WebSocket
from lab.servers.buffering_proxy import buffering_proxy
from websockets.sync.client import connect

from server import serve

DEADLINE = 15.0


def test_an_answer_is_held_until_it_is_complete() -> None:
    """No part goes on before the last one has come; then all do, with status and headers."""
    passed_on: list[str] = []
    passed_before_the_end: list[list[str]] = []

    async def streaming(scope: Any, receive: Any, send: Any) -> None:
        start = {"type": "http.response.start", "status": 203, "headers": [(b"x-kept", b"yes")]}
        await send(start)
        await send({"type": "http.response.body", "body": b"one ", "more_body": True})
        await send({"type": "http.response.body", "body": b"two ", "more_body": True})
        passed_before_the_end.append(list(passed_on))
        await send({"type": "http.response.body", "body": b"three"})

    async def recorded(scope: Any, receive: Any, send: Any) -> None:
        async def record(part: Any) -> None:
            passed_on.append(part["type"])
            await send(part)

        await buffering_proxy(streaming)(scope, receive, record)

    with serve(recorded, lifespan="off") as server:
        answer = httpx.get(server.http("/"), timeout=DEADLINE)
    assert (answer.status_code, answer.headers["x-kept"], answer.text) == (203, "yes", "one two three")
    assert passed_before_the_end == [[]]
    assert passed_on == ["http.response.start", *["http.response.body"] * 3]


def test_a_websocket_passes() -> None:
    """A message arrives while its handler still waits for the client's next one."""
    app = FastAPI()

    @app.websocket("/ws")
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("first")
        await websocket.send_text(await websocket.receive_text())

    with serve(buffering_proxy(app)) as server, connect(server.url("/ws"), proxy=None) as client:
        assert client.recv(timeout=DEADLINE) == "first"
        client.send("second")
        assert client.recv(timeout=DEADLINE) == "second"


def test_two_answers_are_held_apart() -> None:
    """Each answer has its own parts, also on one connection, and the app starts and stops as without a proxy."""
    app = FastAPI()

    @app.get("/{word}")
    async def echo(word: str) -> str:
        return word

    with serve(buffering_proxy(app)) as server, httpx.Client(base_url=server.http(""), timeout=DEADLINE) as client:
        assert [client.get(f"/{word}").json() for word in ("a", "b")] == ["a", "b"]
