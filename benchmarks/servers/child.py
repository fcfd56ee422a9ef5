"""What every server of the table does alike: it takes its listening socket, says "ready", and ends with its parent."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

__all__ = ["run", "serve_asgi"]


def run(serve: Callable[[socket.socket], Awaitable[None]]) -> None:
    """Serve on the socket whose descriptor is the first argument, until standard input ends."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(serve, listener))


async def _serve(serve: Callable[[socket.socket], Awaitable[None]], listener: socket.socket) -> None:
    print("ready", flush=True)  # the socket listens already: who connects too early waits in its backlog
    await serve(listener)


def serve_asgi(app: Any, **options: Any) -> None:
    """Serve an ASGI app with uvicorn's defaults, apart from its log and the pings that would disturb the counting."""

    async def serve(listener: socket.socket) -> None:
        quiet: dict[str, Any] = {"log_level": "error", "access_log": False, "ws_ping_interval": None}
        await uvicorn.Server(uvicorn.Config(app, **(quiet | options))).serve(sockets=[listener])

    run(serve)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    if os.environ.get("BENCH_LOOP", "asyncio") == "asyncio":
        return asyncio.new_event_loop
    import uvloop  # noqa: PLC0415  # not everybody has it

    return uvloop.new_event_loop


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)  # also when a handler blocks the loop
