"""What a connection costs, and what joining and leaving cost: the tutorial's manager and ours.

Usage: python -m benchmarks.manager [connections ...]      (default 1000 4000)

The servers are processes of their own. The client opens raw sockets and does the least that a
handshake needs, so that it is not what is measured. Memory is the server's resident set, before and
after the connections; every row in turn, in one run. Joining and leaving is measured inside one
process, announcements to the members included.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
import time
from collections.abc import Sequence
from typing import Any

import psutil

from benchmarks.record import Table, save
from server import ServerProcess, serve_process
from server.broadcasting import Batch, Prepared
from server.manager import Manager

HEAD = (
    "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
AT_ONCE = 100  # handshakes under way at the same time
ROUNDS = 2_000  # joinings and leavings that are timed
MEMBERS = (100, 1_000, 10_000)
SOURCES = (
    "benchmarks/manager.py",
    "benchmarks/rooms_app.py",
    "benchmarks/servers/tutorial.py",
    "server/broadcasting.py",
    "server/manager.py",
    "server/room.py",
    "server/wire",
)
"""What the figures depend on, files and folders."""

OURS = "benchmarks.rooms_app:app"
ROWS = [
    ("tutorial, compression offered", "benchmarks.servers.tutorial:app", True),
    ("tutorial", "benchmarks.servers.tutorial:app", False),
    ("ours, compression offered", OURS, True),
    ("ours", OURS, False),
]

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def handshake(port: int, request: bytes, gate: asyncio.Semaphore) -> Streams:
    """Open one WebSocket by hand and read its 101."""
    async with gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
        writer.write(request)
        status = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        assert status.startswith(b"HTTP/1.1 101"), status
        return reader, writer


def resident(server: ServerProcess) -> int:
    """Bytes that the server's process holds in memory."""
    return int(psutil.Process(server.pids[0]).memory_info().rss)


async def measure(target: str, connections: int, *, compression: bool) -> tuple[float, float]:
    """Connections accepted per second, and KiB that each holds while it idles."""
    request = f"{HEAD}{OFFER if compression else ''}\r\n".encode()
    options: dict[str, Any] = {"ws": "server.wire.protocol:FanoutProtocol"} if target == OURS else {}
    # the ping would wake every connection in the middle of the measurement
    with serve_process(target, ws_ping_interval=None, log_level="error", log_config=None, **options) as server:
        gate = asyncio.Semaphore(AT_ONCE)
        warm = [await handshake(server.port, request, gate) for _ in range(50)]
        before, started = resident(server), time.perf_counter()
        opened = await asyncio.gather(*(handshake(server.port, request, gate) for _ in range(connections)))
        rate = connections / (time.perf_counter() - started)
        await asyncio.sleep(0.5)  # until what is in flight has been answered
        size = (resident(server) - before) / connections / 1024
        for _, writer in (*warm, *opened):
            writer.transport.abort()
    return rate, size


class Sink:
    """A peer that takes everything at once."""

    async def drained(self) -> None:
        """Nothing ever waits."""

    def send_nowait(self, message: Prepared) -> None:
        """Take a message."""

    def send_many_nowait(self, batch: Batch) -> None:
        """Take messages."""
        for message in batch.messages:
            self.send_nowait(message)

    def end(self, code: int, reason: str) -> None:
        """Take a goodbye."""

    async def send_text(self, text: str) -> None:
        """Take a message, as the tutorial's manager sends it."""


async def join_and_leave(members: int, rooms: int) -> float:
    """Microseconds for one registration, joining, leaving and deregistration, news to the members included."""
    manager = Manager(connections=1_000_000, grace=0)
    sink = Sink()
    held = [manager.register(f"user{number}", "device", sink) for number in range(members)]
    for number, block in enumerate(held):
        manager.join(await block.__aenter__(), f"room{number % rooms}")
    await asyncio.sleep(0.2)  # until the news of these has been told
    gc.collect()
    started = time.perf_counter()
    for number in range(ROUNDS):
        async with manager.register("guest", "device", sink) as connection:
            manager.join(connection, f"room{number % rooms}")
        await asyncio.sleep(0)
    taken = time.perf_counter() - started
    manager.close()
    for block in held:
        await block.__aexit__(None, None, None)
    return 1e6 * taken / ROUNDS


async def tutorial_join_and_leave(members: int) -> float:
    """The same with the tutorial's list, which tells everybody of each leaving."""
    active = [Sink() for _ in range(members)]
    rounds = max(20, ROUNDS * 20 // members)
    started = time.perf_counter()
    for _ in range(rounds):
        guest = Sink()
        active.append(guest)
        active.remove(guest)
        for connection in active:
            await connection.send_text("guest left the chat")
        await asyncio.sleep(0)
    return 1e6 * (time.perf_counter() - started) / rounds


async def connection_costs(sizes: Sequence[int]) -> Table:
    """Return what it costs to accept a connection, and to hold it."""
    head = [""]
    for size in sizes:
        head += [f"connects/s, {size:,}", f"KiB each, {size:,}"]
    rows = []
    for name, target, compression in ROWS:
        row = [name]
        for size in sizes:
            rate, kib = await measure(target, size, compression=compression)
            row += [f"{rate:,.0f}", f"{kib:.1f}"]
        rows.append(row)
    return Table(head=head, rows=rows)


async def membership_costs(members: Sequence[int]) -> Table:
    """Return what it costs to join and to leave, by the number of members."""
    base = [await tutorial_join_and_leave(number) for number in members]
    rows = [["tutorial", *(f"{each:,.1f}" for each in base)]]
    for rooms in (1, 100):
        costs = [await join_and_leave(number, rooms) for number in members]
        rows.append([f"ours, in {rooms} room{'s' if rooms > 1 else ''}", *(f"{each:,.1f}" for each in costs)])
    return Table(head=["join and leave, µs each", *(f"{number:,} members" for number in members)], rows=rows)


async def main(sizes: list[int]) -> None:
    """Print both tables, and write the record."""
    tables = {"connections": await connection_costs(sizes), "membership": await membership_costs(MEMBERS)}
    print("\n\n".join(table.markdown() for table in tables.values()))
    command = f"python -m benchmarks.manager {' '.join(map(str, sizes))}"
    save("manager", command=command, sources=SOURCES, tables=tables)


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(main([int(argument) for argument in sys.argv[1:]] or [1_000, 4_000]))
