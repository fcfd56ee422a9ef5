"""python-socketio on uvicorn: an event that comes is emitted to everybody: `… FD [URL of Redis or Valkey]`."""

from __future__ import annotations

import sys
from typing import Any

import socketio  # type: ignore[import-untyped]  # it has no types

from benchmarks.servers.child import serve_asgi

manager: Any = socketio.AsyncRedisManager(sys.argv[2]) if len(sys.argv) > 2 else None
sio: Any = socketio.AsyncServer(async_mode="asgi", client_manager=manager, ping_interval=3600, ping_timeout=3600)


@sio.event  # type: ignore[untyped-decorator]
async def say(sid: str, text: str) -> None:
    """Send what comes to everybody."""
    await sio.emit("message", text)


if __name__ == "__main__":
    serve_asgi(socketio.ASGIApp(sio))
