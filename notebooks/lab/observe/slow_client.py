"""Two clients of one room, one of which reads nothing: ``with tunnel(app) as (server, tap, ana, ben)``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from websockets.sync.client import ClientConnection, connect

from server import BackgroundServer, serve

from ..tap.tap import Tap
from .endings import message_or_code

__all__ = ["PHOTO", "Tunnel", "TunnelResult", "count_received", "through_tunnel", "tunnel"]

PHOTO = "x" * 8_000_000
"""A message so large that it fills every buffer on the way: those of both systems, and of the server's transport."""

OPTIONS: dict[str, Any] = {"compression": None, "max_size": None, "close_timeout": 0.1, "proxy": None}
DEADLINE = 15.0  # seconds until Ana must have received what she has said
SILENCE = 0.6  # seconds without a message that count as the end


class Tunnel(NamedTuple):
    """Ana, and Ben, whose phone is in a tunnel; made by `tunnel`."""

    server: BackgroundServer
    tap: Tap
    """The tap in Ben's connection; ``tap.mend()`` lets him out of the tunnel."""
    ana: ClientConnection
    ben: ClientConnection


class TunnelResult(NamedTuple):
    """What Ben received; returned by `through_tunnel`."""

    tap: Tap
    received: list[str | bytes | int]
    """What Ben received after the photo, up to the last message or to his close code."""


@contextmanager
def tunnel(app: Any, **options: Any) -> Iterator[Tunnel]:
    """Serve a room, and stall one of its two clients.

    Example: ``with tunnel(app) as (server, tap, ana, ben): …``.

    `app` has a WebSocket at ``/ws`` that sends every message to every client. Ben connects first, through a tap, then
    Ana. The tap stops reading, as if Ben's phone were in a tunnel: his connection stays open and he reads nothing.
    Then Ana sends a `PHOTO` of 8 MB, which fills every buffer on the way to Ben, and receives it herself. After
    ``tap.mend()``, the first message that Ben receives is the photo. `options` go to `server.serve`.

    Raises:
        TimeoutError: Ana did not receive her own photo within 15 s.
    """
    with (
        serve(app, **options) as server,
        Tap(server) as tap,
        connect(tap.url("/ws"), **OPTIONS) as ben,
        connect(server.url("/ws"), **OPTIONS) as ana,
    ):
        tap.stall("server")
        ana.send(PHOTO)
        ana.recv(timeout=DEADLINE)
        yield Tunnel(server, tap, ana, ben)


def through_tunnel(app: Any, **options: Any) -> TunnelResult:
    """Let Ana say 1 to 10 while Ben is in the tunnel, then let him out.

    Example: ``tap, received = through_tunnel(app)``.

    `app` and `options` are those of `tunnel`. Ana sends each number when she has received the one before.

    Returns:
        The tap in Ben's connection, and what he received after the photo: texts, or his close code at the end.

    Raises:
        TimeoutError: Ana did not receive her own message, or Ben neither the last message nor a close, within 15 s.
    """
    with tunnel(app, **options) as (_, tap, ana, ben):
        for number in range(1, 11):
            ana.send(str(number))
            ana.recv(timeout=DEADLINE)
        tap.mend()
        received = [message_or_code(ben)]
        while received[-1] != "10" and not isinstance(received[-1], int):
            received.append(message_or_code(ben))
    return TunnelResult(tap, received[1:])


def count_received(client: ClientConnection, most: int) -> int:
    """Count the messages that a client receives: ``count_received(ana, 300)``.

    It stops at `most`, or when nothing has come for 0.6 s.
    """
    for count in range(most):
        try:
            client.recv(timeout=SILENCE)
        except TimeoutError:
            return count
    return most
