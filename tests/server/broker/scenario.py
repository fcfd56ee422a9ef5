"""Publishers, two brokers and their listeners: the faults that can happen, and what must hold at the end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from lab.servers.valkey import Engine
from lab.tap.tap import Tap

from server.broker import Limits, Position, UnavailableError
from server.broker.valkey.broker import ValkeyBroker
from tests.server.broker.recorder import Recorder

__all__ = ["FAULTS", "Fault", "Scenario", "broker", "check_nothing_lost", "kill", "running", "until"]

PUBLISHERS = 3


def broker(address: Engine | Tap, *, check: float = 60.0) -> ValkeyBroker:
    """Return a broker with short deadlines; it doesn't compare positions regularly unless a test wants that."""
    url = f"redis://127.0.0.1:{address.port}"
    return ValkeyBroker(url, limits=Limits(records=1_000_000), deadline=0.8, heartbeat=0.15, check=check)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until a condition holds that no event reports.

    Raises:
        TimeoutError: it doesn't within 30 s.
    """
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.01)


class Scenario:
    """Publishers that repeat each record until it is accepted, and what two brokers' listeners receive."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.accepted: dict[str, Position] = {}
        self.received = [Recorder(), Recorder()]

    async def publish(self, broker: ValkeyBroker, name: int) -> None:
        """Publish until `over`; publish a record that may not have been stored again, with the same key."""
        number = 0
        while not self.over.is_set():
            number += 1
            payload = f"{name} {number}"
            while payload not in self.accepted:
                with suppress(UnavailableError):
                    self.accepted[payload] = await broker.publish("t", payload, key=payload)

    async def more(self, count: int) -> None:
        """Wait until so many more records have been accepted."""
        goal = len(self.accepted) + count
        await until(lambda: len(self.accepted) >= goal)


@asynccontextmanager
async def running(*brokers: ValkeyBroker) -> AsyncIterator[Scenario]:
    """Publish through all of these brokers, and listen to the first and the last, during the block."""
    scenario = Scenario()
    async with AsyncExitStack() as stack:
        for one in brokers:
            await stack.enter_async_context(one)
        for one, received in zip((brokers[0], brokers[-1]), scenario.received, strict=True):
            await stack.enter_async_context(one.subscribe("t", received))
        async with asyncio.TaskGroup() as group:
            for name in range(PUBLISHERS):
                group.create_task(scenario.publish(brokers[name % len(brokers)], name))
            await scenario.more(20)
            yield scenario
            await scenario.more(20)
            scenario.over.set()
        last = await brokers[0].publish("t", "last", key="last")
        scenario.accepted["last"] = last
        for received in scenario.received:
            await until(lambda received=received: received.records and received.records[-1].payload == "last")  # type: ignore[misc]


def check_nothing_lost(scenario: Scenario) -> None:
    """Check that both received every accepted record once, at its position, each publisher's in order."""
    for received in scenario.received:
        assert received.resets == []
        assert received.offsets == list(range(1, len(received.records) + 1))
        assert {record.payload: record.position for record in received.records} == scenario.accepted
        assert len(received.records) == len(scenario.accepted)
        for name in range(PUBLISHERS):
            own = [int(payload.split()[1]) for payload in received.payloads if payload.startswith(f"{name} ")]
            assert own == list(range(1, len(own) + 1))


async def kill(engine: Engine, tap: Tap, rng: random.Random) -> None:
    """Kill the engine (``kill -9``), and start it again with its data after a while."""
    await asyncio.to_thread(engine.kill)
    await asyncio.sleep(rng.uniform(0, 0.3))
    await asyncio.to_thread(engine.restart)


async def stall(engine: Engine, tap: Tap, rng: random.Random) -> None:
    """Freeze the engine, for less or more than any deadline."""
    engine.stall()
    await asyncio.sleep(rng.choice([0.05, 0.3, 1.0]))
    engine.resume()


async def cut(engine: Engine, tap: Tap, rng: random.Random) -> None:
    """Hold back what is sent in one direction or both; later it arrives after all."""
    tap.cut(rng.choice(["client", "server", None]))
    await asyncio.sleep(rng.choice([0.05, 0.3, 1.0]))
    tap.mend()


async def reset(engine: Engine, tap: Tap, rng: random.Random) -> None:
    """Break all connections, a few times."""
    for _ in range(rng.randrange(1, 6)):
        tap.reset()
        await asyncio.sleep(rng.uniform(0, 0.05))


async def lose(engine: Engine, tap: Tap, rng: random.Random) -> None:
    """Hold back what is sent, then break the connections: it never arrives."""
    tap.cut(rng.choice(["client", "server", None]))
    await asyncio.sleep(rng.uniform(0, 0.1))
    tap.reset()
    tap.mend()


Fault = Callable[[Engine, Tap, random.Random], Awaitable[None]]
FAULTS: list[Fault] = [kill, stall, cut, reset, lose]
