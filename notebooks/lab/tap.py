"""A tap in a TCP connection: ``with Tap(server) as tap: connect(tap.url("/ws"))``.

It listens on a port of its own, passes every byte on to the server and back, and records
them. It can also do to a connection what networks do: cut, stall, slow down, reset.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self, TypeVar

from server.cell import discard, enter, entered, stop_earlier_run

from .conversation import Conversation
from .event import CUT
from .exchange import TapRequest
from .frame import Direction, TapFrame
from .proxy import Proxy
from .target import HOST, Target, resolve
from .traffic import Budget, Traffic

__all__ = ["Tap", "ports_tapped", "running"]

RECORD_LIMIT = 16 << 20  # bytes that all conversations of one tap may take, unless told otherwise
SETTLE_DEADLINE = 1.0  # seconds that settle() waits for ends that have begun, unless told otherwise
STOP_SETTLE = 0.3  # the same when the tap stops

T = TypeVar("T")

ports_tapped: set[int] = set()
"""Every port that a tap of this process has listened on, also those of stopped taps."""


class Tap:
    """A TCP tap in front of a server on this machine.

    `target` is what `serve` returned, a port, ``"host:port"``, a URL or ``(host, port)``.
    Clients connect to `url` or `http`; TLS passes through unread. At most `limit` bytes
    are recorded, then bytes only pass and are counted. Backpressure passes as well: the
    tap keeps nothing but what a cut holds back. What was recorded stays after `stop`.
    """

    def __init__(self, target: Target, *, limit: int = RECORD_LIMIT) -> None:
        self._target = resolve(target)
        self._budget = Budget(limit)
        self._conversations: list[Conversation] = []
        self._news = threading.Condition()
        self._changes = 0
        self._proxy: Proxy | None = None

    # its life

    def start(self) -> Self:
        """Listen, and return when clients can connect; harmless on a tap that was started.

        When a notebook's cell is run again, the taps that its last run started are stopped first.
        """
        if self._proxy is None:
            stop_earlier_run()
            self._proxy = Proxy(self._target.addresses, self._opened, self._changed)
            ports_tapped.add(self._proxy.port)
            enter(self)
        return self

    def stop(self) -> None:
        """End every connection and the thread, within 1 s; harmless on a tap that is stopped.

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
        """Whether the tap's thread runs."""
        return self._proxy is not None and self._proxy.alive

    def __repr__(self) -> str:
        return f"<Tap {'running' if self.alive else 'stopped'}: {self._summary()}>"

    # where it is

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return self._started().port

    def url(self, path: str = "/") -> str:
        """The WebSocket address of `path` through the tap: ``ws://…``, ``wss://…`` where the target has TLS."""
        return f"{'wss' if self._target.tls else 'ws'}://{HOST}:{self.port}/{path.removeprefix('/')}"

    def http(self, path: str = "/") -> str:
        """The HTTP address of `path` through the tap: ``http://…``, ``https://…`` where the target has TLS."""
        return f"{'https' if self._target.tls else 'http'}://{HOST}:{self.port}/{path.removeprefix('/')}"

    # what it saw

    @property
    def conversations(self) -> list[Conversation]:
        """One for each TCP connection, oldest first."""
        return list(self._conversations)

    @property
    def frames(self) -> list[TapFrame]:
        """The frames of all connections, one connection after the other."""
        return [frame for conversation in self.conversations for frame in conversation.frames]

    @property
    def requests(self) -> list[TapRequest]:
        """The HTTP requests of all connections, one connection after the other."""
        return [request for conversation in self.conversations for request in conversation.requests]

    @property
    def up(self) -> Traffic:
        """What all clients have sent."""
        return sum((conversation.up for conversation in self.conversations), Traffic())

    @property
    def down(self) -> Traffic:
        """What the server has sent to all clients."""
        return sum((conversation.down for conversation in self.conversations), Traffic())

    @property
    def bytes_up(self) -> int:
        """Bytes that all clients have sent."""
        return sum(conversation.bytes_up for conversation in self.conversations)

    @property
    def bytes_down(self) -> int:
        """Bytes that the server has sent to all clients."""
        return sum(conversation.bytes_down for conversation in self.conversations)

    def wait(self, predicate: Callable[[Tap], T], timeout: float = 3.0) -> T:
        """Wait until ``predicate(tap)`` is true, and return what it returned.

        It is asked again whenever something crosses the tap. An IndexError counts as "not yet":
        ``tap.conversations[0]`` may be asked for before there is one.

        Raises:
            TimeoutError: it was not true within `timeout` seconds; the message says what the tap saw.
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
        """Wait until everything sent to the tap so far is recorded and every end that has begun is over.

        It gives up silently after `timeout` seconds, and does not wait for ends that a fault holds back.
        """
        if self._proxy is None or not self._proxy.alive:
            return
        self._proxy.read_on()
        if not self._proxy.faulty:
            with suppress(TimeoutError):
                self.wait(lambda tap: not any(one.ending for one in tap.conversations), timeout)

    # faults

    def cut(self, direction: Direction | None = None) -> None:
        """Cut the cable: nothing passes any more, not even an end, and both sides' connections stay open.

        What is sent meanwhile is kept, as TCP keeps it to send it again, and arrives after
        `mend`. New connections get no answer. `direction` is the sender; None means both.
        """
        self._fault(direction, CUT, cut=True)

    def stall(self, direction: Direction | None = None) -> None:
        """Stop reading what `direction` sends, so that its buffers fill and its sends block."""
        self._fault(direction, "the tap stops reading", stalled=True)

    def slow(self, bytes_per_second: float, direction: Direction | None = None) -> None:
        """Pass at most this many bytes a second in each connection and direction."""
        if not bytes_per_second > 0:
            raise ValueError(f"bytes_per_second must be over 0, not {bytes_per_second!r}; use stall() for none at all")
        self._fault(direction, f"{bytes_per_second:g} bytes a second", rate=bytes_per_second)

    def mend(self, direction: Direction | None = None) -> None:
        """End every fault of `direction`: what was held back arrives now."""
        self._fault(direction, "mended", cut=False, stalled=False, rate=None)

    def reset(self) -> None:
        """Reset every open connection (RST): both sides lose it at once, with an error and without a close."""
        self._started().reset()

    def _fault(self, direction: Direction | None, text: str, **changes: Any) -> None:
        if direction not in ("client", "server", None):
            raise ValueError(f"direction must be 'client', 'server' or None for both, not {direction!r}")
        self._started().change(direction, text, **changes)

    # for the proxy, and about it

    def _opened(self) -> Conversation:
        conversation = Conversation(len(self._conversations) + 1, self._budget, self.settle)
        self._conversations.append(conversation)
        return conversation

    def _changed(self) -> None:
        with self._news:
            self._changes += 1
            self._news.notify_all()

    def _started(self) -> Proxy:
        if self._proxy is None:
            raise RuntimeError("the tap does not listen yet; use `with Tap(...) as tap:` or Tap(...).start()")
        return self._proxy

    def _summary(self) -> str:
        counts = {"connection": len(self.conversations), "request": len(self.requests), "frame": len(self.frames)}
        return ", ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in counts.items())


def running() -> tuple[Tap, ...]:
    """The taps of this process that have not been stopped, oldest first."""
    return entered(Tap)
