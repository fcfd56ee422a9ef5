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
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from server import ServerProcess, serve_process
from server.broadcasting import Batch, Prepared
from server.manager import Manager
from server.messages import CloseCode

HEAD = (
    "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
AT_ONCE = 100  # handshakes under way at the same time
ROUNDS = 2_000  # joinings and leavings that are timed

ROWS = [
    ("tutorial, compression offered", "benchmarks.servers.tutorial:app", True),
    ("tutorial", "benchmarks.servers.tutorial:app", False),
    ("ours, compression offered", "benchmarks.rooms_app:app", True),
    ("ours", "benchmarks.rooms_app:app", False),
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
    # the ping would wake every connection in the middle of the measurement
    options: dict[str, Any] = {"ws": "server.frames:FanoutProtocol"} if target.endswith("ours") else {}
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

    def put(self, message: str | Prepared) -> None:
        """Take a message."""

    def deliver_all(self, batch: Batch) -> None:
        """Take messages."""
        for message in batch.messages:
            self.put(message)

    def end(self, code: CloseCode, reason: str) -> None:
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


async def main(sizes: list[int]) -> None:
    """Print both tables."""
    print(f"{'':<31}" + "".join(f"{f'connects/s, {size:,}':>20}{f'KiB each, {size:,}':>18}" for size in sizes))
    for name, target, compression in ROWS:
        cells = [await measure(target, size, compression=compression) for size in sizes]
        print(f"{name:<31}" + "".join(f"{rate:>20,.0f}{kib:>18.1f}" for rate, kib in cells))
    print(f"\n{'join and leave, µs each':<31}" + "".join(f"{f'{members:,} members':>20}" for members in MEMBERS))
    base = [await tutorial_join_and_leave(members) for members in MEMBERS]
    print(f"{'tutorial':<31}" + "".join(f"{each:>20,.1f}" for each in base))
    for rooms in (1, 100):
        costs = [await join_and_leave(members, rooms) for members in MEMBERS]
        print(f"{f'ours, in {rooms} room(s)':<31}" + "".join(f"{each:>20,.1f}" for each in costs))


MEMBERS = (100, 1_000, 10_000)

if __name__ == "__main__":
    os.chdir(Path(__file__).parent)
    os.environ["PYTHONPATH"] = "."
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(main([int(argument) for argument in sys.argv[1:]] or [1_000, 4_000]))
