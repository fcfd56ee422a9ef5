"""A TCP proxy that breaks connections as a network does: ``with FaultProxy(server) as tap: …``.

It listens on a port of its own and passes every byte on to the server and back, until it is told to cut the
connection, to stall it, to slow it down or to reset it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Self, TypeVar

from ..run.registry import discard, enter, entered, stop_earlier_run
from .proxy_thread import ProxyThread
from .tapped_connection import CUT, Direction, TappedConnection
from .target import HOST, Target, resolve

__all__ = ["FaultProxy", "ports_tapped", "running"]

SETTLE_DEADLINE = 1.0  # seconds that settle() waits by default for a close that has begun
STOP_SETTLE = 0.3  # the same when the proxy stops

T = TypeVar("T")

ports_tapped: set[int] = set()
"""Every port that a proxy of this process has listened on, also those of stopped ones."""


class FaultProxy:
    """A TCP proxy in front of a server on this machine: ``with FaultProxy(server) as tap: …``.

    `target` is what `serve` returned, a port, ``"host:port"``, a URL or ``(host, port)``. Connect clients to
    ``tap.url("/ws")`` or ``tap.http("/")``. `cut`, `stall`, `slow` and `reset` break connections, and `mend`
    repairs them. Bytes are passed on unread, those of TLS as well. Backpressure passes, too: the proxy keeps no
    bytes except those that a cut holds back.
    """

    def __init__(self, target: Target) -> None:
        self._target = resolve(target)
        self._connections: list[TappedConnection] = []
        self._news = threading.Condition()
        self._changes = 0
        self._proxy: ProxyThread | None = None

    # start and stop

    def start(self) -> Self:
        """Listen, and return when clients can connect; do nothing if it listens already.

        When you run a notebook's cell again, the proxies that its last run has started are stopped first.
        """
        if self._proxy is None:
            stop_earlier_run()
            self._proxy = ProxyThread(self._target.addresses, self._opened, self._changed)
            ports_tapped.add(self._proxy.port)
            enter(self)
        return self

    def stop(self) -> None:
        """End every connection and the thread, within 1 s; do nothing if it is stopped.

        Raises:
            StopError: the thread does not end.
        """
        if self._proxy is not None:
            self.settle(STOP_SETTLE)
            self._proxy.stop()
            discard(self)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._proxy is not None and self._proxy.alive

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'running' if self.alive else 'stopped'}: {self._summary()}>"

    # addresses

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return self._started().port

    def url(self, path: str = "/") -> str:
        """Return the WebSocket address of `path` through here: ``ws://…``, or ``wss://…`` if the target has TLS."""
        return f"{'wss' if self._target.tls else 'ws'}://{HOST}:{self.port}/{path.removeprefix('/')}"

    def http(self, path: str = "/") -> str:
        """Return the HTTP address of `path` through here: ``http://…``, or ``https://…`` if the target has TLS."""
        return f"{'https' if self._target.tls else 'http'}://{HOST}:{self.port}/{path.removeprefix('/')}"

    # what has passed

    @property
    def connections(self) -> Sequence[TappedConnection]:
        """One for each TCP connection that a client has made, oldest first, also those that have ended."""
        return list(self._connections)

    @property
    def bytes_up(self) -> int:
        """Bytes that all clients have sent."""
        return sum(connection.bytes_up for connection in self.connections)

    @property
    def bytes_down(self) -> int:
        """Bytes that the server has sent to all clients."""
        return sum(connection.bytes_down for connection in self.connections)

    def wait(self, predicate: Callable[[Self], T], timeout: float = 3.0) -> T:
        """Wait until ``predicate(tap)`` is true, and return what it returned: ``tap.wait(lambda tap: tap.bytes_up)``.

        The predicate is called again whenever something passes. An IndexError counts as false, so you can
        ask for ``tap.connections[0]`` before there is one.

        Raises:
            TimeoutError: it was not true within `timeout` seconds; the message says what has passed.
        """
        deadline = time.monotonic() + timeout
        while True:
            seen = self._changes
            # asked outside the lock, so that it may use the tap
            with suppress(IndexError):
                if answer := predicate(self):
                    return answer
            if (left := deadline - time.monotonic()) <= 0:
                raise TimeoutError(f"not true within {timeout:g} s; the tap saw {self._summary()}")
            with self._news:
                if self._changes == seen:
                    self._news.wait(left)

    def settle(self, timeout: float = SETTLE_DEADLINE) -> None:
        """Wait until everything sent so far has been read here, and every close that has begun is finished.

        It gives up without an error after `timeout` seconds, and doesn't wait for a close that a fault holds back.
        """
        if self._proxy is None or not self._proxy.alive:
            return
        self._proxy.read_on()
        if not self._proxy.faulty:
            with suppress(TimeoutError):
                self.wait(lambda tap: not any(one.ending for one in tap.connections), timeout)

    # faults

    def cut(self, direction: Direction | None = None) -> None:
        """Cut the cable: nothing passes any more, not even a close, and both connections stay open.

        What is sent meanwhile is kept, as TCP keeps it to send it again, and arrives after
        `mend`. New connections get no answer. `direction` is the sender whose bytes are held back, ``"client"``
        or ``"server"``; None means both.
        """
        self._fault(direction, CUT, cut=True)

    def stall(self, direction: Direction | None = None) -> None:
        """Stop reading what `direction` sends, ``"client"`` or ``"server"``, so that its sends must wait."""
        self._fault(direction, "the tap stops reading", stalled=True)

    def slow(self, bytes_per_second: float, direction: Direction | None = None) -> None:
        """Pass on at most this many bytes per second, in each connection and each direction."""
        if not bytes_per_second > 0:
            raise ValueError(f"bytes_per_second must be over 0, not {bytes_per_second!r}; use stall() for none at all")
        self._fault(direction, f"{bytes_per_second:g} bytes a second", rate=bytes_per_second)

    def mend(self, direction: Direction | None = None) -> None:
        """Repair every fault of `direction`, None for both: what was held back arrives now."""
        self._fault(direction, "mended", cut=False, stalled=False, rate=None)

    def reset(self) -> None:
        """Reset every open connection (TCP RST): both sides lose it at once, with an error and no close frame."""
        self._started().reset()

    def _fault(self, direction: Direction | None, text: str, **changes: Any) -> None:
        if direction not in ("client", "server", None):
            raise ValueError(f"direction must be 'client', 'server' or None for both, not {direction!r}")
        self._started().change(direction, text, **changes)

    # for the thread, and about it

    def _opened(self) -> TappedConnection:
        connection = TappedConnection(len(self._connections) + 1)
        self._connections.append(connection)
        return connection

    def _changed(self) -> None:
        with self._news:
            self._changes += 1
            self._news.notify_all()

    def _started(self) -> ProxyThread:
        if self._proxy is None:
            name = type(self).__name__
            raise RuntimeError(f"the tap does not listen yet; use `with {name}(...) as tap:` or {name}(...).start()")
        return self._proxy

    def _counts(self) -> dict[str, int]:
        return {"connection": len(self.connections), "byte": self.bytes_up + self.bytes_down}

    def _summary(self) -> str:
        return ", ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in self._counts().items())


def running() -> tuple[FaultProxy, ...]:
    """Return the proxies of this process that have not been stopped, oldest first."""
    return entered(FaultProxy)
