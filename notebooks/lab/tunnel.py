"""Two clients of one room, one of whom takes nothing: ``with tunnel(app) as (server, tap, ana, ben)``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from websockets.sync.client import ClientConnection, connect

from server import BackgroundServer, serve

from .fate import fate
from .tap import Tap

__all__ = ["PHOTO", "Ride", "Tunnel", "count_heard", "ride", "tunnel"]

PHOTO = "x" * 8_000_000
"""More than the systems of both ends and the server's transport hold before the server has to wait."""

OPTIONS: dict[str, Any] = {"compression": None, "max_size": None, "close_timeout": 0.1, "proxy": None}
DEADLINE = 3.0  # seconds until Ana must have heard what she has said
SILENCE = 0.6  # seconds without a message that count as the end


class Tunnel(NamedTuple):
    """Ana, and Ben whose phone is in a tunnel."""

    server: BackgroundServer
    tap: Tap
    """In Ben's line; ``mend()`` lets him out."""
    ana: ClientConnection
    ben: ClientConnection


class Ride(NamedTuple):
    """What a ride through the tunnel came to."""

    tap: Tap
    heard: list[str | bytes | int]
    """What Ben heard after the photo, up to the last message or to his close code."""


@contextmanager
def tunnel(app: Any, **options: Any) -> Iterator[Tunnel]:
    """Serve a room at ``/ws`` and put Ben into a tunnel: connected, he takes nothing, and the way to him is full.

    Ben came first. The tap in his line stops reading, then Ana says a `PHOTO`, and hears it herself. The room
    must tell everybody what anybody says. Out of the tunnel, Ben begins with the photo. `options` go to
    `server.serve`.

    Raises:
        TimeoutError: Ana did not hear her own photo.
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


def ride(app: Any, **options: Any) -> Ride:
    """Let Ana say 1 to 10, each when she has heard the one before, while Ben is in the tunnel; then he comes out.

    Raises:
        TimeoutError: Ana did not hear herself, or Ben neither the last message nor an end.
    """
    with tunnel(app, **options) as (_, tap, ana, ben):
        for number in range(1, 11):
            ana.send(str(number))
            ana.recv(timeout=DEADLINE)
        tap.mend()
        heard = [fate(ben)]
        while heard[-1] != "10" and not isinstance(heard[-1], int):
            heard.append(fate(ben))
    return Ride(tap, heard[1:])


def count_heard(client: ClientConnection, most: int) -> int:
    """How many messages come, up to `most`, until nothing comes for 0.6 s."""
    for count in range(most):
        try:
            client.recv(timeout=SILENCE)
        except TimeoutError:
            return count
    return most
