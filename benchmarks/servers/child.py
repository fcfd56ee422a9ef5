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

__all__ = ["run", "serve_asgi", "serve_granian", "serve_hypercorn"]

BACKLOG = 4096


def run(serve: Callable[[socket.socket], Awaitable[None]], *, listens: bool = True) -> None:
    """Serve on the socket whose descriptor is the first argument, until standard input ends.

    Without `listens`, `serve` closes the socket and binds its port anew: it is ready when somebody answers there.
    """
    listener = socket.socket(fileno=int(sys.argv[1]))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(serve, listener, listens))


async def _serve(serve: Callable[[socket.socket], Awaitable[None]], listener: socket.socket, listens: bool) -> None:
    if listens:
        print("ready", flush=True)  # a client that connects too early waits in the backlog of the socket
        await serve(listener)
        return
    _, port = listener.getsockname()
    async with asyncio.TaskGroup() as group:
        group.create_task(_say_when_ready(port))
        await serve(listener)


async def _say_when_ready(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            print("ready", flush=True)
            return


def serve_asgi(app: Any, **options: Any) -> None:
    """Serve an ASGI app with uvicorn's defaults, apart from its log and the pings that would disturb the counting."""

    async def serve(listener: socket.socket) -> None:
        quiet: dict[str, Any] = {"log_level": "error", "access_log": False, "ws_ping_interval": None}
        await uvicorn.Server(uvicorn.Config(app, **(quiet | options))).serve(sockets=[listener])

    run(serve)


def serve_hypercorn(app: Any) -> None:
    """Serve an ASGI app with Hypercorn's defaults, apart from its log."""
    from hypercorn.asyncio import serve  # noqa: PLC0415  # each server imports its own software only
    from hypercorn.config import Config  # noqa: PLC0415

    async def serve_on(listener: socket.socket) -> None:
        config = Config()
        config.bind = [f"fd://{listener.detach()}"]
        config.backlog = BACKLOG
        config.errorlog = None
        await serve(app, config)

    run(serve_on)


def serve_granian(app: Any) -> None:
    """Serve an ASGI app with Granian's defaults, apart from its log, on the loop of this process."""
    from granian.constants import Interfaces  # noqa: PLC0415
    from granian.server.embed import Server  # noqa: PLC0415

    async def serve_on(listener: socket.socket) -> None:
        _, port = listener.getsockname()
        listener.close()  # it takes no socket, so it binds the port anew
        server = Server(app, port=port, interface=Interfaces.ASGI, backlog=BACKLOG, log_enabled=False)
        await server.serve()

    run(serve_on, listens=False)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    if os.environ.get("BENCH_LOOP", "asyncio") == "asyncio":
        return asyncio.new_event_loop
    import uvloop  # noqa: PLC0415  # not everybody has it

    return uvloop.new_event_loop


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)  # also when a handler blocks the loop
