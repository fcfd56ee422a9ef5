"""One handler on a server of its own, with the manager that its connections share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, WebSocket

from server import BackgroundServer, serve

__all__ = ["Handler", "host"]

Handler = Callable[[WebSocket, str, Any], Awaitable[None]]


def host(handler: Handler, manager: Any, **options: Any) -> BackgroundServer:
    """Serve one handler at ``/ws/{user}``, as in ``connect(host(talk, manager).url("/ws/ana"))``.

    For each client ``await handler(websocket, user, manager)`` is called, with the name from the address and
    with the same `manager` each time. `options` go to `server.serve`.
    """
    app = FastAPI()

    @app.websocket("/ws/{user}")
    async def endpoint(websocket: WebSocket, user: str) -> None:
        await handler(websocket, user, manager)

    return serve(app, **options)
