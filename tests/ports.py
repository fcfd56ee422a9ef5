"""Ports for servers that have to be told theirs, because they can't say which one the system gave them."""

from __future__ import annotations

import os
import random
import socket

__all__ = ["free_ports"]

PORTS = range(12_000, 20_000)  # the system gives none of them to whoever asks for port 0, and to no outgoing connection
WORKERS = 16  # processes of pytest-xdist; each has a share of the ports for itself


def free_ports(count: int) -> list[int]:
    """Find ports of 127.0.0.1 that are free, and that nobody else takes before a server listens there.

    A port that was got by asking for port 0 is not such a port: once it is closed, the system may give it to another
    test, which then answers in the server's place.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    mine = PORTS[worker % WORKERS :: WORKERS]
    found: list[int] = []
    for port in random.sample(mine, len(mine)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise AssertionError(f"fewer than {count} of {len(mine)} ports of {PORTS!r} are free")
