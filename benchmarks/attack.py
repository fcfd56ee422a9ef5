"""Every attack at full size, one after the other, beside two honest people who chat: ``python -m benchmarks.attack``.

The server is ``python -m server`` in a process of its own with the limits that it has by itself. The table says for
each attack what became of it, what it cost the server at the worst moment, and how long an honest message took at
most. Ends with 1 when something honest was lost, a bound was broken, or a descriptor was left behind.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from lab.servers.descriptors import allow_descriptors
from websockets.frames import Opcode

from server.access.tokens import Session, Tickets
from server.messages import CloseCode
from tests.attack.beside import Cost, beside
from tests.attack.frames import close_code, frame, odd_frame
from tests.attack.target import KEY, Target
from tests.attack.test_floods import DEFLATE, bomb
from tests.attack.test_tokens import FORGED

AT_ONCE = 100  # connections that an attack works with at a time
PATIENCE = 10.0  # seconds until an attacker gives up waiting for an answer
BOUND = 64 << 20  # bytes that an attack may cost the server at any moment
CROWD = 192 << 20  # where thousands of connections are open at once, of 34 KiB each

Tally = Counter[str]
Run = Callable[[Target, int, Tally], Coroutine[Any, Any, None]]


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One attack, and how many connections it makes."""

    name: str
    number: int
    run: Run
    settings: dict[str, Any] = field(default_factory=dict)
    memory: int = BOUND


async def each(
    number: int, one: Callable[[int], Coroutine[Any, Any, str]], tally: Tally, *, at_once: int = AT_ONCE
) -> None:
    """Do something so many times, so many at a time, and count how it ended."""
    turn = asyncio.Semaphore(at_once)

    async def take_turn(index: int) -> None:
        async with turn:
            try:
                tally[await one(index)] += 1
            except (OSError, EOFError, TimeoutError) as error:
                tally["reset" if isinstance(error, OSError) else "no answer"] += 1

    await asyncio.gather(*(take_turn(index) for index in range(number)))


async def ask(target: Target, data: bytes, *, then: bytes = b"", times: int = 0, wait: float = PATIENCE) -> bytes:
    """Send, read the head of the answer, send something else many times, and read what comes until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    received = b""
    try:
        async with asyncio.timeout(wait):
            writer.write(data)
            if then:
                received = await reader.readuntil(b"\r\n\r\n")
            with suppress(OSError):
                for _ in range(times):
                    writer.write(then)
                    await writer.drain()
            with suppress(OSError):
                received += await reader.read(1 << 20)
                while data := await reader.read(1 << 20):
                    received += data
    except TimeoutError:
        received = received or b"nothing within the patience"
    finally:
        writer.transport.abort()
    return received


def outcome(answer: bytes) -> str:
    """The code of the close frame, the status of HTTP, or the reset."""
    head, _, rest = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 "):
        return "closed" if not head else "kept"
    status = head.split(b" ")[1].decode()
    code = close_code(rest)
    return status if status != "101" else "open or cut" if code == CloseCode.ABNORMAL else str(code)


def request(path: str, name: str, target: Target, *, method: str = "GET", body: bytes = b"", scope: str = "") -> bytes:
    """A request of somebody who is logged in."""
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {target.token(name, scope=scope)}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def flood(data: bytes, times: int, *headers: str, wait: float = PATIENCE) -> Run:
    """An attack over connections that are in, each of another user, with so many times these frames."""

    async def run(target: Target, number: int, tally: Tally) -> None:
        async def one(index: int) -> str:
            request = target.request(f"user {index}", *headers)
            return outcome(await ask(target, request, then=data, times=times, wait=wait))

        await each(number, one, tally, at_once=20)

    return run


def requests(make: Callable[[Target, int], bytes], *, wait: float = PATIENCE, at_once: int = AT_ONCE) -> Run:
    """An attack by requests, each over a connection of its own."""

    async def run(target: Target, number: int, tally: Tally) -> None:
        async def one(index: int) -> str:
            return outcome(await ask(target, make(target, index), wait=wait))

        await each(number, one, tally, at_once=at_once)

    return run


def garbage(target: Target, index: int) -> bytes:
    """Bytes of no meaning, with an end of a request."""
    return random.Random(index).randbytes(200) + b"\r\n\r\n"


async def frames_by_chance(target: Target, number: int, tally: Tally) -> None:
    """Ten frames over each connection, of any kind, with any bits, and a few without a mask."""

    async def one(index: int) -> str:
        chance = random.Random(index)
        frames = [
            odd_frame(chance.randrange(256), chance.randbytes(chance.randrange(200)), masked=chance.random() < 0.9)
            for _ in range(10)
        ]
        data = b"".join(frames) + frame(Opcode.CLOSE)
        return outcome(await ask(target, target.request(f"user {index}"), then=data, times=1, wait=2))

    await each(number, one, tally)


async def slowly(target: Target, number: int, tally: Tally) -> None:
    """Open all, and send a byte now and then over each until it is taken away."""

    async def one(index: int) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        began = time.monotonic()
        writer.write(b"GET /ws HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        try:
            while time.monotonic() - began < 30:
                writer.write(b"a")
                with suppress(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await reader.read(100)
                        return "cut within 10 s" if time.monotonic() - began < 10 else "cut later"
        except OSError:
            return "cut within 10 s" if time.monotonic() - began < 10 else "cut later"
        finally:
            writer.transport.abort()
        return "kept"

    await each(number, one, tally, at_once=number)


async def race(target: Target, number: int, tally: Tally) -> None:
    """Connect again and again with one ticket."""
    ticket = Tickets(key=KEY).issue(Session(user="ana", expires=time.time() + 3_600))
    await requests(lambda target, _: target.request(None, path=f"/ws?ticket={ticket}"), wait=2)(target, number, tally)


ROOMS = b"".join(frame(Opcode.TEXT, b'{"type":"join","room":"r%d"}' % number) for number in range(500))
PUSH = b'{"kind":"k","text":"' + b"x" * 1_900 + b'"}'
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
FORGERIES = [token for token in FORGED.values() if len(token) < 8_000]

ATTACKS = [
    Attack(name="garbage instead of HTTP", number=10_000, run=requests(garbage)),
    Attack(name="requests that never end (slowloris)", number=5_000, run=slowly),
    Attack(
        name="requests without reading (GET, 64 MiB each)",
        number=50,
        run=requests(lambda *_: GET * 2_400_000, at_once=2),
    ),
    Attack(name="frames by chance", number=3_000, run=frames_by_chance),
    Attack(name="flood of messages (2 MB each)", number=100, run=flood(frame(Opcode.TEXT, b"junk") * 20_000, 10)),
    Attack(name="flood of empty messages (2 MB each)", number=100, run=flood(frame(Opcode.TEXT) * 30_000, 10)),
    Attack(name="flood of pings (12 MB each)", number=100, run=flood(frame(Opcode.PING, b"x" * 125) * 9_000, 10)),
    Attack(
        name="endless empty fragments (2 MB each)",
        number=100,
        run=flood(frame(Opcode.TEXT, fin=False) + frame(Opcode.CONT, fin=False) * 300_000, 1),
    ),
    Attack(
        name="huge frames (2^62 bytes said)", number=1_000, run=flood(odd_frame(0x81, b"a" * 9_000, length=1 << 62), 1)
    ),
    Attack(name="compressed bombs, none agreed", number=1_000, run=flood(bomb(1 << 24), 1, DEFLATE)),
    Attack(
        name="compressed bombs of 16 MiB, agreed",
        number=1_000,
        run=flood(bomb(1 << 24), 1, DEFLATE),
        settings={"compressed": True},
    ),
    Attack(
        name="headers of 60 KB",
        number=2_000,
        run=requests(lambda target, _: target.request("eve", "X: " + "a" * 60_000)),
    ),
    Attack(
        name="forged tokens",
        number=5_000,
        run=requests(
            lambda target, index: target.request(None, f"Authorization: Bearer {FORGERIES[index % len(FORGERIES)]}")
        ),
    ),
    Attack(name="one ticket again and again", number=5_000, run=race),
    Attack(
        name="connections of one user, kept open",
        number=2_000,
        run=requests(lambda target, _: target.request("eve"), wait=5, at_once=2_000),
        memory=CROWD,
    ),
    Attack(
        name="connections beyond the limit of 1,000",
        number=3_000,
        run=requests(lambda target, index: target.request(f"user {index}"), wait=5, at_once=3_000),
        settings={"connections": 1_000},
        memory=CROWD,
    ),
    Attack(name="rooms, 500 joins each", number=100, run=flood(ROOMS, 1, wait=3)),
    Attack(
        name="notifications pushed (2 KB)",
        number=5_000,
        run=requests(
            lambda target, index: request(
                f"/users/u{index}/notifications", "shop", target, method="POST", body=PUSH, scope="push"
            ),
            wait=0.5,
        ),
    ),
    Attack(
        name="long polls of 100 users",
        number=3_000,
        run=requests(
            lambda target, index: request("/notifications?wait=30", f"user {index % 100}", target),
            wait=5,
            at_once=3_000,
        ),
        memory=CROWD,
    ),
]


def attack(one: Attack, number: int) -> tuple[Cost, Tally, float, str]:
    """Run one attack against a server of its own: the cost, how its connections ended, seconds, and what broke."""
    tally: Tally = Counter()
    cost, broken, began = Cost(), "", 0.0
    with Target(demo_login=True, **one.settings) as target:
        try:
            with beside(target, memory=one.memory) as cost:
                began = time.monotonic()
                asyncio.run(one.run(target, number, tally))
                began = time.monotonic() - began
        except AssertionError as error:
            broken = next(iter(str(error).splitlines()), "over the bound of memory")
    return cost, tally, began, broken


def main() -> int:
    """Attack, and print a row for each attack; 1 when something broke."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--share", type=float, default=1.0, help="of the full number of connections")
    parser.add_argument("--only", default="", help="attacks with this word in their name")
    wish = parser.parse_args()
    allow_descriptors(6_000)
    broken = 0
    print(f"load {os.getloadavg()[0]:.1f}; honest: messages heard of those sent, and the slowest")
    print(f"{'':4}{'attack':44}{'number':>7}{'s':>6}{'peak MB':>9}{'kept MB':>9}{'honest':>9}{'slowest':>9}  ended")
    for one in ATTACKS:
        if wish.only not in one.name:
            continue
        number = max(10, int(one.number * wish.share))
        cost, tally, seconds, why = attack(one, number)
        broken += bool(why)
        ends = ", ".join(f"{many:,} {how}" for how, many in tally.most_common(4))
        verdict, held = "BAD" if why else "ok", f"{cost.memory / 1e6:9.1f}{cost.kept / 1e6:9.1f}"
        honest = f"{len(cost.heard):>6}/{cost.sent:<3}{cost.slowest * 1e3:6.0f} ms"
        print(f"{verdict:4}{one.name:44}{number:7,}{seconds:6.1f}{held}{honest}  {ends} {why}", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
