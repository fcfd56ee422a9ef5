"""A cheap load client: raw sockets, one epoll, and a speaker whose messages everybody is counted for.

The first connection is the speaker: what it sends, the server broadcasts to all connections, the
speaker's own included. The rate is kept up with so many messages in flight, by the slowest
connection; the latency is the time from sending one message to its receipt by the last of them.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Self

from benchmarks.client import BUFFER, Client, Greeting, LostError, StalledError
from benchmarks.compiled_counter import CompiledCounter, CompiledReader
from benchmarks.frame_counter import FrameCounter

__all__ = ["Load", "Rate"]

AT_ONCE = 64  # handshakes under way at the same time
STALLED = 2.0  # seconds without a delivery after which the server counts as stopped


@dataclass(frozen=True)
class Rate:
    """How fast messages came, and what that took."""

    deliveries: float
    """Messages per second, all connections together."""
    client: float
    """Share of its core that this client took."""
    server: float
    """Share of its core that the server took."""


class Load:
    """The connections to one server; a context manager that takes them all away at its end."""

    def __init__(self, port: int, *, smallest: int = 0) -> None:
        """Prepare for the server on `port`; messages of less than `smallest` bytes are not counted."""
        self._port = port
        self._smallest = smallest
        self._clients: dict[int, Client] = {}
        self._speaker: socket.socket | None = None
        self._mute: list[socket.socket] = []
        self._epoll = select.epoll()
        self._buffer = bytearray(BUFFER)
        self._reader: CompiledReader | None = None
        self._sent = 0
        self._slowest = 0  # messages that everybody has
        self._behind = 0  # connections that have no more than these

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for each in (*(client.socket for client in self._clients.values()), *self._mute):
            # a reset instead of a goodbye, so that nothing waits for anybody
            with suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            each.close()
        self._epoll.close()

    # coming

    def open(self, greetings: Sequence[Greeting], *, port: int | None = None) -> None:
        """Add one connection for each greeting, ready to be counted; `port` is that of another process of the server.

        Raises:
            LostError: the server refused one.
            StalledError: the server did not answer one in time.
        """
        for start in range(0, len(greetings), AT_ONCE):
            some = greetings[start : start + AT_ONCE]
            opened = [Client(port or self._port, greeting) for greeting in some]
            self._clients |= {client.socket.fileno(): client for client in opened}
            for client in opened:
                client.shake()
            for client in opened:
                client.hear()
                client.socket.setblocking(False)
                self._epoll.register(client.socket, select.EPOLLIN)
        if self._speaker is None:
            self._speaker = next(iter(self._clients.values())).socket
        self._level()

    def open_mute(self, greeting: Greeting) -> None:
        """Add a connection that is never read again once it is in, with the smallest of buffers."""
        client = Client(self._port, greeting, receive_buffer=4096)
        self._mute.append(client.socket)
        client.shake()
        client.hear()

    def settle(self, seconds: float, *, at_most: float = 5.0) -> None:
        """Take what comes until nothing has come for so many seconds, and count from there."""
        end = time.perf_counter() + at_most
        while time.perf_counter() < end and self._epoll.poll(seconds, 1):
            self._pump(0)
        self._level()

    def _level(self) -> None:
        """Start counting at zero, on every connection."""
        for client in self._clients.values():
            client.counter.smallest = self._smallest
            client.counter.messages = client.counter.size = 0
        self._sent = self._slowest = 0
        self._behind = len(self._clients)
        counters = {fd: client.counter for fd, client in self._clients.items()}
        compiled = {fd: counter for fd, counter in counters.items() if isinstance(counter, CompiledCounter)}
        self._reader = CompiledReader(self._epoll.fileno(), compiled) if compiled else None

    # measuring

    @property
    def deliveries(self) -> int:
        """Messages that all connections together have received since they were levelled."""
        return sum(client.counter.messages for client in self._clients.values())

    @property
    def counts(self) -> list[int]:
        """Messages that each connection has received since they were levelled, in the order of opening."""
        return [client.counter.messages for client in self._clients.values()]

    def rate(
        self, frames: Sequence[bytes], *, seconds: float, in_flight: int, worked: Callable[[], float] = lambda: 0.0
    ) -> Rate:
        """Deliveries per second with so many messages in flight; `worked` tells the CPU seconds of the server.

        What is in flight at the end stays so.

        Raises:
            StalledError: nobody received anything for 2 s, with messages in flight.
            LostError: the server closed a connection.
        """
        stock = cycle(frames)
        self._talk(stock, in_flight, seconds=seconds / 5)  # until the caches are warm
        before = self._times(worked)
        self._talk(stock, in_flight, seconds=seconds)
        return _rate(before, self._times(worked))

    def say(self, frames: Sequence[bytes], *, in_flight: int, seconds: float = 30.0) -> None:
        """Send each of the frames once, so many in flight, and wait until everybody has them all."""
        self._talk(iter(frames), in_flight, seconds=seconds)
        self._talk(iter(()), 0, seconds=0)

    def latencies(self, frames: Sequence[bytes], *, seconds: float, at_least: int = 3) -> list[float]:
        """Seconds from sending a message to its receipt by the last connection, one message at a time."""
        times: list[float] = []
        end = time.perf_counter() + seconds
        for each in cycle(frames):
            started = time.perf_counter()
            if started > end and len(times) >= at_least:
                return times
            self.say([each], in_flight=1)
            times.append(time.perf_counter() - started)
        raise ValueError("there is no frame to send")

    def drink(self, go: bytes, *, seconds: float) -> Rate:
        """Messages counted per second from a server that sends without end after `go`."""
        self._speak(iter([go]), 1)
        before, end = self._times(), time.perf_counter() + seconds
        while time.perf_counter() < end:
            self._pump(0.05)
        return _rate(before, self._times())

    def _times(self, worked: Callable[[], float] = lambda: 0.0) -> tuple[float, float, float, float]:
        return time.perf_counter(), self.deliveries, time.process_time(), worked()

    def _talk(self, stock: Iterator[bytes], in_flight: int, *, seconds: float) -> None:
        """Keep up so many in flight for so many seconds; with none, wait until everybody has everything."""
        now = time.perf_counter()
        end, patience = now + seconds, now + STALLED
        while now < end or (not in_flight and self._slowest < self._sent):
            if (due := self._slowest + in_flight - self._sent) > 0 and not self._speak(stock, due):
                return
            came = self._pump(0.05)
            now = time.perf_counter()
            if came:
                patience = now + STALLED
            elif now > patience:
                raise StalledError(
                    f"nobody got anything for {STALLED:g} s, after {self._slowest} messages to everybody"
                )

    def _speak(self, stock: Iterator[bytes], number: int) -> bool:
        """Send up to so many messages as the speaker; False when there are no more."""
        some = list(islice(stock, number))
        assert self._speaker is not None
        waiting = memoryview(b"".join(some))
        self._sent += len(some)
        end = time.perf_counter() + STALLED
        while waiting:
            # what comes is read meanwhile: a server may read nothing until it has written
            try:
                waiting = waiting[self._speaker.send(waiting) :]
            except BlockingIOError:
                pass
            except ConnectionError as error:
                raise LostError(f"the server has dropped the speaker: {error}") from None
            if waiting:
                self._pump(0.001)
                if time.perf_counter() > end:
                    raise StalledError(f"the server has read nothing for {STALLED:g} s")
        return bool(some)

    def _pump(self, timeout: float) -> int:
        """Read whatever has come, and keep the account of the slowest; on how many connections something came."""
        if self._reader is None:
            return self._pump_in_python(timeout)
        try:
            number = self._reader.read(timeout)
        except ConnectionError as error:
            raise LostError(str(error)) from None
        self._slowest = self._reader.slowest
        return number

    def _pump_in_python(self, timeout: float) -> int:
        clients, buffer, slowest = self._clients, self._buffer, self._slowest
        events = self._epoll.poll(timeout, 1024)
        for fd, _ in events:
            client = clients[fd]
            try:
                size = client.socket.recv_into(buffer)
            except BlockingIOError:
                continue
            except ConnectionError as error:
                raise LostError(f"the server has dropped a connection: {error}") from None
            counter = client.counter
            assert isinstance(counter, FrameCounter)  # all are, or none is
            before = counter.messages
            counter.feed(buffer, size)
            if not size or counter.closed:
                raise LostError("the server has closed a connection")
            if before <= slowest < counter.messages:
                self._behind -= 1
        if not self._behind:
            counts = self.counts
            self._slowest = min(counts)
            self._behind = counts.count(self._slowest)
        return len(events)


def _rate(before: tuple[float, ...], after: tuple[float, ...]) -> Rate:
    taken, *grown = (new - old for old, new in zip(before, after, strict=True))
    return Rate(*(each / taken for each in grown))
