"""A tap in a TCP connection: ``with Tap(server) as tap: connect(tap.url("/ws"))``.

It listens on a port of its own, passes every byte on to the server and back, and records
them. It can also do to a connection what networks do: cut, stall, slow down, reset.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, Self, TypeAlias, TypeVar
from urllib.parse import urlsplit

from server.cell import discard, enter, entered, stop_earlier_run
from server.errors import StopError

from .conversation import Budget, Conversation
from .event import Note
from .exchange import TapRequest
from .frame import Direction, TapFrame
from .link import Fault, Faults, Link

__all__ = ["Tap", "Target", "ports_tapped", "running"]

HOST = "127.0.0.1"
RECORD_LIMIT = 16 << 20  # bytes that all conversations of one tap may take, unless told otherwise
DEADLINE = 1.0  # seconds for the tap's own thread to answer, to start and to stop
SETTLE = 0.3  # seconds that stop() gives to connections whose end has begun

T = TypeVar("T")

ports_tapped: set[int] = set()
"""Every port that a tap of this process has listened on, also those of stopped taps."""


class Served(Protocol):
    """What `serve` and `serve_process` return."""

    def url(self, path: str = "/") -> str:
        """The WebSocket address of `path`."""


Target: TypeAlias = Served | str | int | tuple[str, int]


class Tap:
    """A TCP tap in front of a server on this machine.

    `target` is what `serve` returned, a port, ``"host:port"``, a URL or ``(host, port)``.
    Clients connect to `url` or `http`; TLS passes through unread. At most `limit` bytes
    are recorded, then bytes only pass and are counted. Backpressure passes as well: the
    tap keeps nothing but what a cut holds back.
    """

    def __init__(self, target: Target, *, limit: int = RECORD_LIMIT) -> None:
        self._tls, host, port = _parsed(target)
        self._addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        self._budget = Budget(limit)
        self._faults: Faults = {"client": Fault(), "server": Fault()}
        self._conversations: list[Conversation] = []
        self._links: dict[Link, asyncio.Task[None]] = {}
        self._news = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._port = 0

    # its life

    def start(self) -> Self:
        """Listen, and return when clients can connect; harmless on a tap that runs.

        When a notebook's cell is run again, the taps that its last run started are stopped first.
        """
        if self._thread is not None:
            return self
        stop_earlier_run()
        listener = socket.create_server((HOST, 0), backlog=1_024)
        listener.setblocking(False)
        self._port = listener.getsockname()[1]
        ports_tapped.add(self._port)
        self._loop = asyncio.SelectorEventLoop()  # the only one with add_reader on every platform
        self._main = self._loop.create_task(self._accept(listener))
        self._thread = threading.Thread(target=self._run, name=f"tap-{self._port}", daemon=True)
        enter(self)
        self._thread.start()
        return self

    def stop(self) -> None:
        """End every connection and the thread, within 1 s; harmless on a tap that is stopped."""
        if self._thread is None or self._loop is None:
            return
        self.settle(SETTLE)
        with suppress(RuntimeError):  # the loop has closed: it was stopped before
            self._loop.call_soon_threadsafe(self._main.cancel)
        self._thread.join(DEADLINE)
        if self._thread.is_alive():
            raise StopError(f"the tap on port {self._port} does not stop; its thread is stuck")
        discard(self)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def alive(self) -> bool:
        """Whether the tap's thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def __repr__(self) -> str:
        return f"<Tap {'running' if self.alive else 'stopped'}, {len(self._conversations)} connections>"

    # where it is

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        if not self._port:
            raise RuntimeError("the tap does not listen yet; use `with Tap(...) as tap:` or Tap(...).start()")
        return self._port

    def url(self, path: str = "/") -> str:
        """The WebSocket address of `path` through the tap: ``ws://…``, ``wss://…`` where the target has TLS."""
        return f"{'wss' if self._tls else 'ws'}://{HOST}:{self.port}/{path.removeprefix('/')}"

    def http(self, path: str = "/") -> str:
        """The HTTP address of `path` through the tap: ``http://…``, ``https://…`` where the target has TLS."""
        return f"{'https' if self._tls else 'http'}://{HOST}:{self.port}/{path.removeprefix('/')}"

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
    def bytes_up(self) -> int:
        """Bytes that all clients have sent."""
        return sum(conversation.bytes_up for conversation in self.conversations)

    @property
    def bytes_down(self) -> int:
        """Bytes that the server has sent to all clients."""
        return sum(conversation.bytes_down for conversation in self.conversations)

    def wait(self, predicate: Callable[[Tap], T], timeout: float = 3.0) -> T:
        """Wait until ``predicate(tap)`` is true, and return what it returned.

        It is asked again whenever something crosses the tap.

        Raises:
            TimeoutError: it was not true within `timeout` seconds; the message says what the tap saw.
        """
        deadline = time.monotonic() + timeout
        with self._news:
            while not (answer := predicate(self)):
                if not self._news.wait(deadline - time.monotonic()) and not (answer := predicate(self)):
                    raise TimeoutError(f"not true within {timeout:g} s; {self._summary()}")
                if answer:
                    break
        return answer

    def settle(self, timeout: float = DEADLINE) -> None:
        """Wait until everything sent to the tap so far is recorded and every end that has begun is over.

        It gives up silently after `timeout` seconds, and does not wait for ends that a fault holds back.
        """
        if not self.alive:
            return
        with suppress(TimeoutError):
            self._call(self._read_on)
            if not any(fault.cut or fault.stalled for fault in self._faults.values()):
                self.wait(lambda tap: not any(one.ending for one in tap.conversations), timeout)

    # faults

    def cut(self, direction: Direction | None = None) -> None:
        """Cut the cable: nothing passes any more, not even an end, and both sides' connections stay open.

        What is sent meanwhile is kept, as TCP keeps it to send it again, and arrives after
        `mend`. New connections get no answer. `direction` None means both.
        """
        self._fault(direction, "the cable is cut", cut=True)

    def stall(self, direction: Direction | None = None) -> None:
        """Stop reading what `direction` sends, so that its buffers fill and its sends block."""
        self._fault(direction, "the tap stops reading", stalled=True)

    def slow(self, bytes_per_second: float, direction: Direction | None = None) -> None:
        """Pass at most this many bytes a second in each connection."""
        if bytes_per_second <= 0:
            raise ValueError(
                f"bytes_per_second must be positive, not {bytes_per_second!r}; use stall() for none at all"
            )
        self._fault(direction, f"{bytes_per_second:g} bytes a second", rate=bytes_per_second)

    def mend(self, direction: Direction | None = None) -> None:
        """End every fault of `direction`: what was held back arrives now."""
        self._fault(direction, "mended", cut=False, stalled=False, rate=None)

    def reset(self) -> None:
        """Reset every open connection (RST): both sides lose it at once, with an error and without a close."""
        self._call(self._reset)

    def _fault(self, direction: Direction | None, text: str, **changes: Any) -> None:
        if direction not in ("client", "server", None):
            raise ValueError(f"direction must be 'client', 'server' or None for both, not {direction!r}")

        async def change() -> None:
            for side, fault in self._faults.items():
                if direction in (side, None):
                    for name, value in changes.items():
                        setattr(fault, name, value)
            for link in self._links:
                link.conversation.note(Note("fault", text, direction))
                link.wake()

        self._call(change)

    # in the thread

    def _run(self) -> None:
        assert self._loop is not None
        try:
            # never asyncio.run(): nest-asyncio replaces it for the whole process
            self._loop.run_until_complete(self._main)
        except asyncio.CancelledError:
            pass
        finally:
            self._loop.close()

    async def _accept(self, listener: socket.socket) -> None:
        try:
            with listener:
                while True:
                    try:
                        client, _ = await asyncio.get_running_loop().sock_accept(listener)
                    except OSError:  # out of file descriptors; the client waits in the backlog
                        await asyncio.sleep(0.05)
                        continue
                    self._connect(client)
        finally:
            for task in self._links.values():
                task.cancel()
            if self._links:
                await asyncio.wait(self._links.values())

    def _connect(self, client: socket.socket) -> None:
        conversation = Conversation(len(self._conversations) + 1, self._budget, self.settle)
        link = Link(client, self._addresses, self._faults, conversation, self._changed)
        self._conversations.append(conversation)
        self._links[link] = task = asyncio.get_running_loop().create_task(link.run())
        task.add_done_callback(lambda _: self._links.pop(link))
        self._changed()

    def _changed(self) -> None:
        with self._news:
            self._news.notify_all()

    async def _read_on(self) -> None:
        # one pass of the loop finds what has arrived, the next reads it, a third finds the end behind it
        for _ in range(4):
            await asyncio.sleep(0)

    async def _reset(self) -> None:
        tasks = list(self._links.values())
        for link in list(self._links):
            link.reset()
        if tasks:
            await asyncio.wait(tasks)

    def _call(self, function: Callable[[], Any]) -> None:
        """Run a coroutine function in the tap's thread, and wait for it."""
        if self._loop is None or not self.alive:
            raise RuntimeError("the tap does not run; start it with `with Tap(...) as tap:` or Tap(...).start()")
        asyncio.run_coroutine_threadsafe(function(), self._loop).result(DEADLINE)

    def _summary(self) -> str:
        count = len(self.conversations)
        return (
            f"the tap saw {count} connection{'s' * (count != 1)}, {len(self.requests)} requests, "
            f"{len(self.frames)} frames, {self.bytes_up:,} bytes up, {self.bytes_down:,} down"
        )


def running() -> tuple[Tap, ...]:
    """The taps of this process that have not been stopped, oldest first."""
    return entered(Tap)


def _parsed(target: Target) -> tuple[bool, str, int]:
    """Whether the target speaks TLS, its host and its port."""
    if callable(url := getattr(target, "url", None)):
        target = url("/")
    if isinstance(target, int) and not isinstance(target, bool):
        return False, HOST, target
    if isinstance(target, tuple):
        return False, target[0], target[1]
    if isinstance(target, str):
        parts = urlsplit(target if "://" in target else f"tcp://{target}")
        tls = parts.scheme in ("wss", "https")
        with suppress(ValueError):  # a port that is no number
            if parts.hostname and (port := parts.port or {"tcp": 0}.get(parts.scheme, 443 if tls else 80)):
                return tls, parts.hostname, port
    raise ValueError(f"cannot tap {target!r}; pass what serve() returned, a port, 'host:port' or a URL")
