"""One connection through a proxy: two sockets, a pump for each direction, and the faults between them."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from .tapped_connection import ConnectionEvent, Direction, Outcome, TappedConnection
from .target import Address

__all__ = ["Fault", "Relay"]

CHUNK = 1 << 16  # bytes read at once
CUT_BUFFER = 1 << 20  # bytes kept for each direction of a cut cable; then the sender's own buffer fills
CONNECT_DEADLINE = 3.0  # seconds until a target that does not answer counts as refusing
LINGER = "hh" if sys.platform == "win32" else "ii"  # struct linger: on, seconds
SLICE = 0.05  # seconds between two pieces of a slow direction


@dataclass(slots=True)
class Fault:
    """What is wrong with one direction."""

    cut: bool = False
    stalled: bool = False
    rate: float | None = None

    @property
    def piece(self) -> int:
        """How many bytes are passed on at a time."""
        return CHUNK if self.rate is None else max(1, min(CHUNK, int(self.rate * SLICE)))


class _RelayEnd(Exception):  # noqa: N818 - ends the task group, is no error
    """The connection has ended in both directions."""

    def __init__(self, outcome: Outcome, *, rst: bool) -> None:
        self.outcome: Outcome = outcome
        self.rst = rst


class Relay:
    """A client's connection and the one made for it to the target.

    It buffers no more than one chunk, except what a cut holds back. While the receiver does not
    read, the sender is not read either, so backpressure passes through as if the proxy were not there.
    """

    def __init__(
        self,
        client: socket.socket,
        addresses: list[Address],
        faults: dict[Direction, Fault],
        connection: TappedConnection,
        changed: Callable[[], None],
    ) -> None:
        self.connection = connection
        self._addresses = addresses
        self._faults = faults
        self._changed = changed
        self._sockets: dict[Direction, socket.socket] = {"client": client}
        self._waiting: set[asyncio.Future[None]] = set()
        self._forced_end: _RelayEnd | None = None
        _prepare(client)

    async def run(self) -> None:
        """Pass bytes both ways until both sides have closed, one has reset, or it is cancelled."""
        end = _RelayEnd("stopped", rst=False)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump("client", "server"))
                group.create_task(self._serve())
            end = _RelayEnd("closed", rst=False)
        except* _RelayEnd as group:
            end = next(error for error in group.exceptions if isinstance(error, _RelayEnd))
        finally:
            self._finish(end)

    def wake(self) -> None:
        """Let the pumps look at the faults again."""
        for future in list(self._waiting):
            if not future.done():
                future.set_result(None)

    def reset(self) -> None:
        """End both connections with RST, as a crashed host or an impatient firewall does."""
        self._report(ConnectionEvent("reset", "the tap resets both ends"))
        self._forced_end = _RelayEnd("reset", rst=True)
        self.wake()

    # the target's side

    async def _serve(self) -> None:
        while any(fault.cut for fault in self._faults.values()):
            await self._wait()
        self._sockets["server"] = await self._connected()
        self.wake()
        await self._pump("server", "client")

    async def _connected(self) -> socket.socket:
        problem: OSError = OSError("no address")
        for family, kind, protocol, _, address in self._addresses:
            try:
                target = socket.socket(family, kind, protocol)
            except OSError as error:  # no file descriptor is left
                problem = error
                continue
            try:
                _prepare(target)
                async with asyncio.timeout(CONNECT_DEADLINE):
                    await asyncio.get_running_loop().sock_connect(target, address)
            except OSError as error:
                target.close()
                problem = error
            except BaseException:
                target.close()
                raise
            else:
                return target
        self._report(
            ConnectionEvent("refused", f"the server does not accept: {problem.strerror or 'no answer'}", "server")
        )
        raise _RelayEnd("refused", rst=True)

    # one direction

    async def _pump(self, sender: Direction, receiver: Direction) -> None:
        source = self._sockets[sender]
        waiting = bytearray()
        ended = False
        while self._forced_end is None:
            fault = self._faults[sender]
            sink = None if fault.cut else self._sockets.get(receiver)
            if waiting and sink is not None:
                await self._pass_on(waiting, sink, receiver, fault)
            elif ended and sink is not None:
                with suppress(OSError):  # the receiver is gone; its own pump notices
                    sink.shutdown(socket.SHUT_WR)
                return
            elif ended or fault.stalled or len(waiting) >= (CUT_BUFFER if fault.cut else 1):
                if ended and "server" not in self._sockets and fault.cut:
                    raise _RelayEnd("gave up", rst=False)
                await self._wait()
            else:
                ended = await self._read(sender, source, waiting, fault)
        raise self._forced_end

    async def _read(self, sender: Direction, source: socket.socket, waiting: bytearray, fault: Fault) -> bool:
        """Read once, or wait until there is something to read; whether the sender has closed."""
        try:
            data = source.recv(fault.piece)
        except BlockingIOError:
            await self._wait(readable=source)
            return False
        except OSError:
            self._report(ConnectionEvent("reset", f"the {sender} resets the connection", sender, held=fault.cut))
            while fault.cut:
                await self._wait()
            raise _RelayEnd("reset", rst=True) from None
        if not data:
            self._report(ConnectionEvent("end", f"the {sender} closes", sender, held=fault.cut))
            return True
        # recorded before it is passed on, so that a client that has an answer finds its question recorded
        self.connection.record(sender, data, held=fault.cut)
        self._changed()
        waiting += data
        return False

    async def _pass_on(self, waiting: bytearray, sink: socket.socket, receiver: Direction, fault: Fault) -> None:
        try:
            sent = sink.send(waiting[: fault.piece])
        except BlockingIOError:
            await self._wait(writable=sink)
            return
        except OSError:
            self._report(ConnectionEvent("reset", f"the {receiver} is gone", receiver))
            raise _RelayEnd("reset", rst=True) from None
        del waiting[:sent]
        if fault.rate is None:
            await asyncio.sleep(0)  # a flood in one direction must leave the loop to the others
        else:
            await self._wait(timeout=sent / fault.rate)

    async def _wait(
        self,
        *,
        readable: socket.socket | None = None,
        writable: socket.socket | None = None,
        timeout: float | None = None,
    ) -> None:
        """Wait for a socket or for the time, and for a change of the faults in any case."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._waiting.add(future)
        try:
            if readable is not None:
                loop.add_reader(readable, _resolve, future)
            if writable is not None:
                loop.add_writer(writable, _resolve, future)
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await future
            if self._forced_end is not None:
                raise self._forced_end
        finally:
            self._waiting.discard(future)
            if readable is not None:
                loop.remove_reader(readable)
            if writable is not None:
                loop.remove_writer(writable)

    # the end

    def _report(self, event: ConnectionEvent) -> None:
        self.connection.report(event)
        self._changed()

    def _finish(self, end: _RelayEnd) -> None:
        for one in self._sockets.values():
            if end.rst:
                with suppress(OSError):
                    # a linger time of 0 s makes close() send RST and drop what is still buffered
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(LINGER, 1, 0))
            one.close()
        if not self.connection.ended:
            self.connection.outcome = end.outcome
        self._changed()


def _prepare(end: socket.socket) -> None:
    end.setblocking(False)
    with suppress(OSError):  # the client is gone; the next read says so
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
