"""A proxy that collects each HTTP answer before it passes it on: ``serve(buffering_proxy(app))``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["buffering_proxy"]

Part = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Part]]
Send = Callable[[Part], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]


def buffering_proxy(app: App) -> App:
    """Return an app that does what `app` does behind a proxy that buffers: ``serve(buffering_proxy(app))``.

    It keeps all parts of an HTTP answer, and sends them when the answer is complete; an answer that never ends is
    never sent. Frames of a WebSocket pass immediately, because after the handshake a proxy only copies bytes. Unlike
    nginx, it doesn't look at the header ``X-Accel-Buffering``.
    """

    async def proxied(scope: Any, receive: Receive, send: Send) -> None:
        await app(scope, receive, _Held(send).send if scope["type"] == "http" else send)

    return proxied


class _Held:
    """One HTTP answer, which is held until its last part has come."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._parts: list[Part] = []

    async def send(self, part: Part) -> None:
        """Keep this part; if it is the last one, send all of them."""
        self._parts.append(part)
        if part["type"] == "http.response.body" and not part.get("more_body"):
            for one in self._parts:
                await self._send(one)
