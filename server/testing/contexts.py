"""What the fixtures start, as context managers: for a test without pytest, or a fixture of another scope."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

from websockets.sync.client import connect

from ..run.background import BackgroundServer
from ..run.background import serve as start_server
from .deadline_client import DEADLINE, DeadlineClient
from .fault_proxy import FaultProxy
from .target import Served, Target

__all__ = ["OpenTap", "Serve", "WebsocketTo", "serving", "tapping", "websockets_open"]

OPEN_DEADLINE = 5.0  # seconds that a handshake may take
CLOSE_DEADLINE = 1.0  # seconds that a client's close() waits for the server's answer
QUICK_CLOSE = 0.2  # the same when the test is over


class Serve(Protocol):
    """The type of the fixture `serve`."""

    def __call__(self, app: Any, *, port: int = 0, **options: Any) -> BackgroundServer:
        """Start a server, as `server.serve` does."""


class OpenTap(Protocol):
    """The type of the fixture `tap`."""

    def __call__(self, target: Target) -> FaultProxy:
        """Put a proxy in front of `target`."""


class WebsocketTo(Protocol):
    """The type of the fixture `websocket`."""

    def __call__(
        self, target: Served | str, path: str = "/ws", *, deadline: float = DEADLINE, **options: Any
    ) -> DeadlineClient:
        """Connect to `path` of `target`."""


@contextmanager
def serving() -> Iterator[Serve]:
    """Start servers with what this block gives, and stop all of them at its end."""
    with ExitStack() as stopping:

        def started(app: Any, *, port: int = 0, **options: Any) -> BackgroundServer:
            return stopping.enter_context(start_server(app, port=port, **options))

        yield started


@contextmanager
def tapping() -> Iterator[OpenTap]:
    """Start proxies with what this block gives, and stop all of them at its end."""
    with ExitStack() as stopping:

        def opened(target: Target) -> FaultProxy:
            return stopping.enter_context(FaultProxy(target))

        yield opened


@contextmanager
def websockets_open() -> Iterator[WebsocketTo]:
    """Connect clients with what this block gives, and close all of them at its end."""
    with ExitStack() as closing:

        def connected(
            target: Served | str, path: str = "/ws", *, deadline: float = DEADLINE, **options: Any
        ) -> DeadlineClient:
            url = target if isinstance(target, str) else target.url(path)
            defaults = {
                "proxy": None,
                "compression": None,
                "ping_interval": None,
                "open_timeout": OPEN_DEADLINE,
                "close_timeout": CLOSE_DEADLINE,
            }
            connecting = connect(url, create_connection=DeadlineClient, **(defaults | options))
            client = closing.enter_context(connecting)
            assert isinstance(client, DeadlineClient)
            client.deadline = deadline
            closing.callback(_be_quick, client)
            return client

        yield connected


def _be_quick(client: DeadlineClient) -> None:
    """Wait less for the answer to a close: the test is over."""
    client.close_timeout = QUICK_CLOSE
