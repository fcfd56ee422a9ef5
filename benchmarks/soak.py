"""Ten thousand who listen and a thousand who talk, for ten minutes: ``python -m benchmarks.soak --minutes 10``.

The server is ``python -m server`` in a process of its own, with its log in memory and 100 messages kept of each room,
so that what it holds stops growing within the first minute. Those who talk are in rooms of ten, those who listen in
rooms of a hundred. Every message carries its place in its room, so that each member sees what it has missed. Prints a
table, and ends with 1 when a bound is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lab.servers.descriptors import allow_descriptors

from benchmarks.peer import Peer, open_peer
from tests.attack.target import Target

AT_ONCE = 50  # handshakes under way at the same time
EACH = 5.0  # seconds between two messages of one who talks
TALKERS, LISTENERS = 10, 100  # members of a room
GROWTH = 0.05  # of the memory, that may be noise
OFFSET = re.compile(rb'"offset":(\d+)')
SAID = re.compile(rb'"text":"([0-9.]+)"')


@dataclass
class Count:
    """What came, and when."""

    sent: int = 0
    heard: int = 0
    gaps: int = 0
    """Messages that somebody has missed or got twice, or out of order."""
    waits: list[float] = field(default_factory=list)
    """Seconds from saying to hearing, of one member in ten."""
    memory: list[int] = field(default_factory=list)
    """Bytes of the server, once a second."""


class Crowd:
    """Everybody, by room."""

    def __init__(self, target: Target, count: Count) -> None:
        self._target = target
        self._count = count
        self.rooms: dict[str, list[Peer]] = {}
        self._joined = 0
        self.is_timed = True  # a message to each of a thousand rooms at once is no measure of waiting

    @property
    def everybody(self) -> list[Peer]:
        """All connections."""
        return [peer for peers in self.rooms.values() for peer in peers]

    async def come(self, kind: str, number: int, size: int) -> None:
        """Let so many connect, each under a name of its own, into rooms of one size."""
        turn = asyncio.Semaphore(AT_ONCE)
        expected = self._joined + number

        async def one(index: int) -> None:
            room = f"{kind}-{index // size}"
            async with turn:
                peer = await open_peer(self._target.port, self._target.token(f"{kind} {index}"), self._hear)
            peer.say(f'{{"type":"join","room":"{room}"}}')
            self.rooms.setdefault(room, []).append(peer)

        async with asyncio.TaskGroup() as group:
            for index in range(number):
                group.create_task(one(index))
        await wait_for(lambda: self._joined == expected, 60)

    def _hear(self, peer: Peer, text: bytes) -> None:
        if text.startswith(b'{"type":"message"'):
            offset = OFFSET.search(text)
            assert offset is not None
            self._count.heard += 1
            self._count.gaps += int(offset[1]) != peer.last + 1
            peer.last = int(offset[1])
            if self.is_timed and self._count.heard % 10 == 0 and (said := SAID.search(text)):
                self._count.waits.append(time.perf_counter() - float(said[1]))
        elif text.startswith(b'{"type":"joined"'):
            self._joined += 1

    def speak(self, peer: Peer, room: str) -> None:
        """Say the time."""
        peer.say(f'{{"type":"say","room":"{room}","text":"{time.perf_counter()}"}}')
        self._count.sent += 1

    async def talk(self, seconds: float) -> None:
        """Let everybody in the small rooms speak in turn, evenly, for so long."""
        turns = [(peer, room) for room, peers in self.rooms.items() if room.startswith("talk") for peer in peers]
        began, spoken = time.perf_counter(), 0
        while (passed := time.perf_counter() - began) < seconds:
            for _ in range(int(passed / EACH * len(turns)) - spoken):
                self.speak(*turns[spoken % len(turns)])
                spoken += 1
            await asyncio.sleep(0.01)


async def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until the condition holds; False if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True


async def weigh(target: Target, count: Count) -> None:
    """Look at the server's memory once a second."""
    while True:
        count.memory.append(target.memory)
        await asyncio.sleep(1)


async def soak(target: Target, *, idle: int, active: int, seconds: float) -> list[tuple[str, str, bool]]:
    """Run, and give rows: what, how much, and whether that is within its bound."""
    count = Count()
    rows: list[tuple[str, str, bool]] = []
    crowd = Crowd(target, count)
    empty, descriptors, began = target.memory, target.sockets, time.perf_counter()
    await crowd.come("idle", idle, LISTENERS)
    full = target.memory
    await crowd.come("talk", active, TALKERS)
    rows.append(("connections, and seconds to come", f"{idle + active:,} in {time.perf_counter() - began:.0f} s", True))
    rows.append(("memory per idle connection", f"{(full - empty) / max(idle, 1) / 1024:.1f} KiB", True))
    scales, cpu = asyncio.create_task(weigh(target, count)), target.process.cpu_times()
    await crowd.talk(seconds)
    used = target.process.cpu_times()
    scales.cancel()
    rows.append(
        ("server's share of a core", f"{(used.user + used.system - cpu.user - cpu.system) / seconds:.0%}", True)
    )
    crowd.is_timed = False
    for room, peers in crowd.rooms.items():
        if room.startswith("idle"):
            crowd.speak(peers[0], room)
    due = idle + (count.sent - len([room for room in crowd.rooms if room.startswith("idle")])) * TALKERS
    await wait_for(lambda: count.heard >= due, 30)
    rows.append(("messages said, heard, due", f"{count.sent:,}, {count.heard:,}, {due:,}", count.heard == due))
    rows.append(("missed, twice or out of order", str(count.gaps), not count.gaps))
    lost = sum(peer.is_lost for peer in crowd.everybody)
    rows.append(("connections lost", str(lost), not lost))
    waits = [wait * 1e3 for wait in statistics.quantiles(count.waits, n=1000)]
    rows.append(("heard after, p50, p99, p99.9", f"{waits[499]:.1f}, {waits[989]:.0f}, {waits[998]:.0f} ms", True))
    early, late = (statistics.median(part) for part in thirds(count.memory))
    rows.append(
        ("memory, second third and last", f"{early / 1e6:.1f}, {late / 1e6:.1f} MB", late < early * (1 + GROWTH))
    )
    for peer in crowd.everybody:
        peer.transport.abort()
    left = not await wait_for(lambda: target.sockets <= descriptors, 30)
    rows.append(("descriptors before and after", f"{descriptors}, {target.sockets}", not left))
    rows.append(("memory before and after", f"{empty / 1e6:.0f}, {target.memory / 1e6:.0f} MB", True))
    rows.append(("tracebacks in the log", str(target.log.count("Traceback")), "Traceback" not in target.log))
    return rows


def thirds(numbers: list[int]) -> tuple[list[int], list[int]]:
    """The second third, and the last."""
    third = max(1, len(numbers) // 3)
    return numbers[third : 2 * third] or numbers, numbers[-third:]


def main() -> int:
    """Soak a server and print what was measured; 1 when a bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--idle", type=int, default=10_000)
    parser.add_argument("--active", type=int, default=1_000)
    wish = parser.parse_args()
    allow_descriptors(wish.idle + wish.active + 200)
    with Target(connections=wish.idle + wish.active + 100, history_messages=100) as target:
        rows = asyncio.run(soak(target, idle=wish.idle, active=wish.active, seconds=wish.minutes * 60))
    print(f"{wish.idle:,} idle and {wish.active:,} active for {wish.minutes:g} minutes; load {os.getloadavg()[0]:.1f}")
    for what, how_much, is_good in rows:
        print(f"{'ok ' if is_good else 'BAD'} {what:34} {how_much}")
    return 0 if all(is_good for *_, is_good in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
