"""Many real clients at once, some of them slow or silent: ``with Crowd(url, 300, silent=1) as crowd``.

All of them run in one thread with an event loop of its own, so a cell that blocks doesn't
stop them, and they don't stop a cell.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from server.errors import StopError
from server.run.registry import discard, enter, stop_earlier_run

from ..checks.harness.client import Closed
from ..observe.expect import one_line
from ..servers.descriptors import allow_descriptors

__all__ = ["Crowd", "CrowdStatistics"]

START_DEADLINE = 15.0  # seconds in which at least one more client must have connected
STOP_DEADLINE = 0.6  # seconds for all closing handshakes together, then connections are cut
JOIN_DEADLINE = 15.0  # seconds until the thread is given up, which only a very busy machine needs
AT_ONCE = 50  # handshakes that are under way at the same time, below a server's usual backlog
SMALL_BUFFER = 4_096  # bytes that the system receives for a slow or silent client before it makes the server wait
ETHERNET_SEGMENT = 1_460  # bytes of one TCP segment on most networks
OPTIONS: dict[str, Any] = {"compression": None, "ping_interval": None, "proxy": None, "close_timeout": 0.3}


@dataclass(frozen=True)
class CrowdStatistics:
    """What a crowd has received so far; made by `Crowd.statistics`."""

    clients: int
    """All clients of the crowd."""
    connected: int
    """Clients whose connection is open, as far as they know: a silent client never notices that it has ended."""
    received: int
    """Messages that all clients together have read."""
    least: int
    """The fewest messages that any client has read, the silent ones left out."""
    most: int
    """The most messages that any client has read."""
    closed: Mapping[int, int]
    """How many connections ended with which close code."""


class Crowd:
    """Many clients of one server: ``with Crowd(server.url("/ws"), 300, slow=2, silent=1) as crowd: …``.

    The `n` clients are numbered from 0. First come those that read at once, then the slow ones, and the
    silent ones at the end; `crowd.slow` and `crowd.silent` are the ranges of their numbers. A slow client
    reads one message every `pause` seconds. A silent client connects and never reads: after about 150 kB,
    the server has to wait or drop messages. Every client keeps its last `keep` messages, see `received`.
    Where `url` has ``{number}``, each client puts its own number.
    `options` go to ``websockets.asyncio.client.connect``. Leaving the block closes every connection.

    Raises:
        ValueError: there are more slow and silent clients than clients, or fewer than one client.
    """

    def __init__(
        self,
        url: str,
        n: int,
        *,
        silent: int = 0,
        slow: int = 0,
        pause: float = 0.05,
        keep: int = 1_000,
        **options: Any,
    ) -> None:
        if n < 1 or silent < 0 or slow < 0 or silent + slow > n:
            raise ValueError(f"{slow!r} slow and {silent!r} silent of {n!r} clients is impossible; pass fewer of them")
        self.url = url
        self.n = n
        self.slow = range(n - silent - slow, n - silent)
        self.silent = range(n - silent, n)
        self._pause = pause
        self._options: dict[str, Any] = {
            "compression": None,
            "ping_interval": None,
            "proxy": None,
            "close_timeout": 0.3,
        }
        self._options |= options
        self._messages: list[deque[str | bytes]] = [deque(maxlen=keep) for _ in range(n)]
        self._counts = [0] * n
        self._connections: dict[int, ClientConnection] = {}
        self._closed: dict[int, Closed] = {}
        self._failure: str | None = None
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"crowd-{n}", daemon=True)

    # its life

    def start(self) -> Self:
        """Connect every client, and return when all are connected.

        Raises:
            RuntimeError: a client could not connect, or the limit of file descriptors is too low.
            TimeoutError: not one more client was connected within 15 s.
        """
        stop_earlier_run()
        allow_descriptors(2 * self.n)  # this process may hold the server's end as well
        self._thread.start()
        enter(self)
        try:
            self._wait_until_connected()
        except BaseException:
            self.stop()
            raise
        return self

    def _wait_until_connected(self) -> None:
        for one in range(self.n):
            self.wait(lambda crowd, one=one: crowd._failure or len(crowd._connections) > one, START_DEADLINE)  # type: ignore[misc]
            if self._failure is not None:
                raise RuntimeError(self._failure)

    def stop(self) -> None:
        """Close every connection, those of silent clients without a close frame, and end the thread, within 1 s."""
        with suppress(RuntimeError):  # the loop has closed: it was stopped before
            self._loop.call_soon_threadsafe(self._main.cancel)
        self._thread.join(JOIN_DEADLINE)
        discard(self)
        if self._thread.is_alive():
            raise StopError(f"the crowd of {self.n} does not stop; its thread is stuck")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Crowd of {self.n}>"

    # what it does and what it sees

    def send(self, client: int, message: str | bytes, *, timeout: float = 15.0) -> None:
        """Send a message from the client with this number, and return when it is on its way.

        Raises:
            ConnectionClosed: this client's connection has ended.
            TimeoutError: the server reads nothing more from this client.
        """
        sending = asyncio.run_coroutine_threadsafe(self._connections[client].send(message), self._loop)
        try:
            sending.result(timeout)
        except TimeoutError:
            sending.cancel()
            raise TimeoutError(
                f"client {client} could not send within {timeout:g} s; the server does not read"
            ) from None

    @property
    def received(self) -> list[list[str | bytes]]:
        """For each client, the messages that it has read, oldest first."""
        with self._changed:
            return [list(messages) for messages in self._messages]

    @property
    def closed(self) -> dict[int, Closed]:
        """The code and reason for each client whose connection has ended; 1006 where no close frame came."""
        with self._changed:
            return dict(self._closed)

    def statistics(self) -> CrowdStatistics:
        """Return counts of what has happened so far."""
        with self._changed:
            reading = self._counts[: self.silent.start] or [0]
            return CrowdStatistics(
                clients=self.n,
                connected=len(self._connections) - len(self._closed),
                received=sum(self._counts),
                least=min(reading),
                most=max(reading),
                closed=Counter(end.code for end in self._closed.values()),
            )

    def wait(self, predicate: Callable[[Crowd], Any], timeout: float = 15.0) -> None:
        """Wait until ``predicate(crowd)`` is true; it is called again whenever something happens.

        Raises:
            TimeoutError: it was not true within `timeout` seconds; the message has the statistics.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while not predicate(self):
                if not self._changed.wait(deadline - time.monotonic()) and not predicate(self):
                    raise TimeoutError(f"not true within {timeout:g} s; {self.statistics()}")

    # in the thread

    def _run(self) -> None:
        self._main = self._loop.create_task(self._connect_all())
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._main)
        self._loop.close()

    async def _connect_all(self) -> None:
        handshakes = asyncio.Semaphore(AT_ONCE)
        clients = [self._loop.create_task(self._client(i, handshakes)) for i in range(self.n)]
        try:
            await asyncio.Event().wait()
        finally:
            for client in clients:
                client.cancel()
            _, late = await asyncio.wait(clients, timeout=STOP_DEADLINE)
            for connection in self._connections.values() if late else ():
                connection.transport.abort()
            await asyncio.wait(clients, timeout=STOP_DEADLINE)

    async def _client(self, i: int, handshakes: asyncio.Semaphore) -> None:
        async with AsyncExitStack() as stack:
            try:
                async with handshakes:
                    connection = await stack.enter_async_context(await self._connecting(i))
            except Exception as error:
                self._note(failure=f"client {i} of {self.n} could not connect: {one_line(error)}")
                return
            if i in self.silent:
                stack.callback(connection.transport.abort)
                connection.transport.pause_reading()
            self._note(opened=(i, connection))
            try:
                await self._read(i, connection)
            except ConnectionClosed as end:
                self._note(ended=(i, Closed(end.rcvd.code, end.rcvd.reason) if end.rcvd else Closed(1006, "")))

    async def _connecting(self, i: int) -> connect:
        url = self.url.replace("{number}", str(i))
        if i < self.slow.start:
            return connect(url, **self._options)
        parts = urlsplit(url)
        sock = socket.socket()
        # both before it connects, when they are agreed on; with loopback's segments of 64 KiB
        # the server's system would take 3 MB before it makes the server wait
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        if hasattr(socket, "TCP_MAXSEG"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, ETHERNET_SEGMENT)
        sock.setblocking(False)
        await self._loop.sock_connect(sock, (parts.hostname, parts.port))
        return connect(url, sock=sock, **({"max_queue": 1} | self._options))

    async def _read(self, i: int, connection: ClientConnection) -> None:
        if i in self.silent:
            await asyncio.Event().wait()
        while True:
            if i in self.slow:
                await asyncio.sleep(self._pause)
            message = await connection.recv()
            with self._changed:
                self._messages[i].append(message)
                self._counts[i] += 1
                self._changed.notify_all()

    def _note(
        self,
        *,
        opened: tuple[int, ClientConnection] | None = None,
        ended: tuple[int, Closed] | None = None,
        failure: str | None = None,
    ) -> None:
        with self._changed:
            if opened is not None:
                self._connections[opened[0]] = opened[1]
            if ended is not None:
                self._closed[ended[0]] = ended[1]
            self._failure = self._failure or failure
            self._changed.notify_all()
