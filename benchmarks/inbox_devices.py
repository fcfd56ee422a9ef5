"""A client for benchmarks/notifications.py: devices that note when a notification came, and programs that push.

It speaks by hand, and does the least that is needed, so that it is not what is measured.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import defaultdict
from time import perf_counter

from websockets.frames import Frame, Opcode

from server.access.tokens import issue_session

__all__ = ["AT_ONCE", "Arrivals", "open_device", "push_all"]

AT_ONCE = 100  # handshakes under way at the same time
DEADLINE = 30.0  # seconds for a handshake or an answer


class Arrivals:
    """When each notification was sent, was accepted, and came to each device."""

    def __init__(self) -> None:
        self.sent: dict[bytes, float] = {}
        self.accepted: dict[bytes, float] = {}
        self.arrived: defaultdict[bytes, list[float]] = defaultdict(list)
        self.count = 0

    def clear(self) -> None:
        """Forget the times."""
        for times in (self.sent, self.accepted, self.arrived):
            times.clear()

    @property
    def until_accepted(self) -> list[float]:
        """Seconds from sent to accepted, ascending."""
        return sorted(time - self.sent[key] for key, time in self.accepted.items())

    @property
    def until_arrived(self) -> list[float]:
        """Seconds from sent to each device, ascending."""
        return sorted(time - self.sent[key] for key, times in self.arrived.items() for time in times)

    async def until(self, count: int) -> None:
        """Wait until so many have come."""
        async with asyncio.timeout(DEADLINE):
            while self.count < count:  # noqa: ASYNC110  # an event would cost as much as what is measured
                await asyncio.sleep(0.001)


class _Device(asyncio.Protocol):
    """One WebSocket that watches an inbox."""

    def __init__(self, user: str, key: str, arrivals: Arrivals, ready: asyncio.Future[None]) -> None:
        self._token = issue_session(user, key=key, seconds=3600)
        self._arrivals = arrivals
        self._ready = ready
        self._data = bytearray()
        self._is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(
            "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Authorization: Bearer {self._token}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._is_open:
            head, end, rest = self._data.partition(b"\r\n\r\n")
            if not end:
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            self._is_open, self._data = True, rest
            self._transport.write(Frame(Opcode.TEXT, b'{"type":"watch"}').serialize(mask=True))
        while (message := self._take()) is not None:
            self._hear(message)

    def _take(self) -> bytes | None:
        """The payload of the next frame; a server's have no mask, and none here is over 64 KiB."""
        data = self._data
        if len(data) < 4:
            return None
        start, size = (2, data[1]) if data[1] < 126 else (4, int.from_bytes(data[2:4]))
        if len(data) < start + size:
            return None
        payload = bytes(data[start : start + size])
        del data[: start + size]
        return payload

    def _hear(self, message: bytes) -> None:
        if message.startswith(b'{"type":"notification"'):
            self._arrivals.arrived[message.rsplit(b'"', 2)[1]].append(perf_counter())
            self._arrivals.count += 1
        elif message.startswith(b'{"type":"inbox"'):
            self._ready.set_result(None)


async def open_device(port: int, user: str, key: str, arrivals: Arrivals, gate: asyncio.Semaphore) -> None:
    """Connect a device, and return when it watches."""
    loop = asyncio.get_running_loop()
    async with gate, asyncio.timeout(DEADLINE):
        ready = loop.create_future()
        await loop.create_connection(lambda: _Device(user, key, arrivals, ready), "127.0.0.1", port)
        await ready


async def push_all(port: int, users: list[str], key: str, arrivals: Arrivals, *, count: int, programs: int) -> None:
    """Push `count` notifications, to one user after the other, from so many programs at once."""
    run = os.urandom(4).hex()
    numbers = iter(range(count))
    token = issue_session("shop", key=key, seconds=3600, scope="push")

    async def program() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            id = f"{run}-{number}"  # noqa: A001
            body = json.dumps({"kind": "order", "text": "Your order is on its way.", "key": id})
            arrivals.sent[id.encode()] = perf_counter()
            writer.write(
                f"POST /users/{users[number % len(users)]}/notifications HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            async with asyncio.timeout(DEADLINE):
                head = await reader.readuntil(b"\r\n\r\n")
                arrivals.accepted[id.encode()] = perf_counter()
                assert head.startswith(b"HTTP/1.1 202"), head
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(programs):
            group.create_task(program())
