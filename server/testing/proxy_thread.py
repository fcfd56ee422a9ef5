"""The half of a proxy that runs in its own thread: it accepts, connects on, and applies faults."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from ..errors import StopError
from .relay import Fault, Relay
from .tapped_connection import CUT, ConnectionEvent, Direction, TappedConnection
from .target import HOST, Address

__all__ = ["ProxyThread"]

STOP_DEADLINE = 1.0  # seconds for the thread to end
DEADLINE = 3.0  # seconds for the thread to do what another one asks for
BACKLOG = 1_024  # connections that may wait to be accepted
PASSES, ROUNDS = 8, 100  # of the loop, without and with something to read, that read_on() gives it
RETRY = 0.05  # seconds until a failed accept is tried again


class ProxyThread:
    """A TCP proxy on 127.0.0.1 in a daemon thread with an event loop of its own.

    `opened` takes note of a new connection and `changed` is called for everything
    that happens; both are called in the thread. Methods are called from other threads.
    """

    def __init__(
        self, addresses: list[Address], opened: Callable[[], TappedConnection], changed: Callable[[], None]
    ) -> None:
        self._addresses = addresses
        self._opened = opened
        self._changed = changed
        self._activity = 0
        self._faults: dict[Direction, Fault] = {"client": Fault(), "server": Fault()}
        self._relays: dict[Relay, asyncio.Task[None]] = {}
        self._listener = socket.create_server((HOST, 0), backlog=BACKLOG)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._loop = asyncio.SelectorEventLoop()  # the one with add_reader on every platform
        self._main = self._loop.create_task(self._accept())
        self._thread = threading.Thread(target=self._run, name=f"tap-{self.port}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def faulty(self) -> bool:
        """Whether a fault may hold back the end of a connection."""
        return any(fault.cut or fault.stalled for fault in self._faults.values())

    def stop(self) -> None:
        """Close every connection and end the thread.

        Raises:
            StopError: the thread did not end within 1 s.
        """
        with suppress(RuntimeError):  # the loop is closed: it was stopped before
            self._loop.call_soon_threadsafe(self._main.cancel)
        self._thread.join(STOP_DEADLINE)
        if self._thread.is_alive():
            raise StopError(f"the tap on port {self.port} does not stop, its thread is busy; restart the process")

    def read_on(self) -> None:
        """Return when everything that had arrived before is recorded, new connections included."""
        self._call(self._read_on)

    def change(self, direction: Direction | None, text: str, **changes: Any) -> None:
        """Set fields of the faults of one direction, or of both, before anything else passes."""
        self._call(lambda: self._change(direction, text, changes))

    def reset(self) -> None:
        """End every connection with RST on both sides, and return when that is done."""
        self._call(self._reset)

    def _call(self, function: Callable[[], Awaitable[None]]) -> None:
        async def called() -> None:
            await function()

        work = called()
        try:
            asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE)
        except RuntimeError as error:
            work.close()
            raise RuntimeError("the tap is stopped; make a new one") from error

    # in the thread

    def _run(self) -> None:
        try:
            # never asyncio.run(): nest-asyncio replaces it for the whole process
            self._loop.run_until_complete(self._main)
        except asyncio.CancelledError:
            pass
        finally:
            self._loop.close()

    async def _accept(self) -> None:
        try:
            with self._listener:
                while True:
                    try:
                        client, _ = await self._loop.sock_accept(self._listener)
                    except OSError:  # no file descriptor is left; the client waits in the backlog
                        await asyncio.sleep(RETRY)
                        continue
                    self._connect(client)
        finally:
            for task in self._relays.values():
                task.cancel()
            if self._relays:
                await asyncio.wait(self._relays.values())

    def _connect(self, client: socket.socket) -> None:
        connection = self._opened()
        if any(fault.cut for fault in self._faults.values()):
            connection.report(ConnectionEvent("fault", CUT))
        relay = Relay(client, self._addresses, self._faults, connection, self._noticed)
        task = self._loop.create_task(relay.run())
        self._relays[relay] = task
        task.add_done_callback(lambda _: self._relays.pop(relay))
        self._noticed()

    async def _read_on(self) -> None:
        for _ in range(ROUNDS):
            before = self._activity
            # it takes a pass of the loop each to find a connection, to accept it, to start its pumps, to read
            for _ in range(PASSES):
                await asyncio.sleep(0)
            if self._activity == before:
                return

    def _noticed(self) -> None:
        self._activity += 1
        self._changed()

    async def _change(self, direction: Direction | None, text: str, changes: dict[str, Any]) -> None:
        for side, fault in self._faults.items():
            if direction in (side, None):
                for name, value in changes.items():
                    setattr(fault, name, value)
        for relay in self._relays:
            relay.connection.report(ConnectionEvent("fault", text, direction))
            relay.wake()
        self._changed()

    async def _reset(self) -> None:
        tasks = list(self._relays.values())
        for relay in list(self._relays):
            relay.reset()
        if tasks:
            await asyncio.wait(tasks)
