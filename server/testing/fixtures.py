"""The fixtures `serve`, `tap` and `websocket`; pytest loads them with ``pytest_plugins = ["server.testing"]``.

PYTEST_DONT_REWRITE: there is no assertion in here.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .contexts import OpenTap, Serve, WebsocketTo, serving, tapping, websockets_open

__all__ = ["serve", "tap", "websocket"]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a real server on a free port of 127.0.0.1.

    ``server = serve(app)`` returns when the server accepts. Options go on to uvicorn, see `server.serve`. Call it
    again for a second server. All are stopped when the test ends. If the test fails, pytest shows what they have
    logged, with the traceback of each handler that failed.

    Raises:
        StartError: the app's lifespan failed, or `app` is not an ASGI app.
        StopError: at the end of the test, if a handler blocks the server's loop.
    """
    with serving() as started:
        yield started


@pytest.fixture
def tap() -> Iterator[OpenTap]:
    """Put a cable between a server and its clients that you can break.

    After ``cable = tap(server)``, connect clients with ``websocket(cable, "/ws")``. Then ``cable.cut()`` holds every
    byte back, ``cable.stall("server")`` makes a client that doesn't read, and ``cable.reset()`` tears its connection
    down. `FaultProxy` has the details. All are stopped when the test ends.
    """
    with tapping() as opened:
        yield opened


@pytest.fixture
def websocket() -> Iterator[WebsocketTo]:
    """Connect a client whose waits have a deadline.

    ``ana = websocket(server, "/ws")`` returns an open connection. `server` may be a server, a tap, or a URL, which
    has its own path. Every wait of the client ends after `deadline` seconds, see `DeadlineClient`. Options go to
    websockets' ``connect``, such as ``additional_headers={…}``. A proxy that this machine's environment names is not
    used. The client sends no pings and compresses nothing, so that only what the test says goes over the wire. All
    clients are closed when the test ends.

    Raises:
        InvalidStatus: the server refused the handshake; ``error.response.status_code`` says how.
    """
    with websockets_open() as connected:
        yield connected
