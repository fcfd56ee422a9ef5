"""python-socketio on uvicorn: an event that comes is emitted to everybody."""

from __future__ import annotations

from typing import Any

import socketio  # type: ignore[import-untyped]  # it has no types

from benchmarks.servers.child import serve_asgi

sio: Any = socketio.AsyncServer(async_mode="asgi", ping_interval=3600, ping_timeout=3600)


@sio.event  # type: ignore[untyped-decorator]
async def say(sid: str, text: str) -> None:
    """Send what comes to everybody."""
    await sio.emit("message", text)


if __name__ == "__main__":
    serve_asgi(socketio.ASGIApp(sio))
