"""A listening socket, and a connection through a tap to it."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from lab.tap.tap import Tap

from tests.lab.tap.ends import HOST, Ends


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server's socket that waits for connections."""
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(30)
        yield listener


@pytest.fixture
def ends(listener: socket.socket) -> Iterator[Ends]:
    """Both ends of one connection through a tap."""
    with Tap(listener.getsockname()) as tap:
        ends = Ends(tap, listener)
        yield ends
        ends.close()
