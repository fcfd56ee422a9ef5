"""A story of publishers, two brokers and their listeners, what can happen to it, and what must hold at the end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from lab.engine import Engine
from lab.tap import Tap

from server.broker import Limits, Position, UnavailableError
from server.broker.valkey import ValkeyBroker
from tests.server.broker.heard import Heard

__all__ = ["FAULTS", "Fault", "Story", "broker", "check_nothing_lost", "kill", "telling", "until"]

PUBLISHERS = 3


def broker(address: Engine | Tap, *, check: float = 60.0) -> ValkeyBroker:
    """A broker that is less patient than usual; the regular look at the positions is off unless a test wants it."""
    url = f"redis://127.0.0.1:{address.port}"
    return ValkeyBroker(url, limits=Limits(records=1_000_000), deadline=0.8, heartbeat=0.15, check=check)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds that no event tells.

    Raises:
        TimeoutError: it does not within 10 s.
    """
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.01)


class Story:
    """Publishers that publish until `over`, each record until it is accepted, and what two brokers' listeners hear."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.accepted: dict[str, Position] = {}
        self.heard = [Heard(), Heard()]

    async def publish(self, broker: ValkeyBroker, name: int) -> None:
        """Publish, and again with the same key when it is not known whether it was stored."""
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
async def telling(*brokers: ValkeyBroker) -> AsyncIterator[Story]:
    """Publish through all of these brokers and listen at the first and the last, during the block."""
    story = Story()
    async with AsyncExitStack() as stack:
        for one in brokers:
            await stack.enter_async_context(one)
        for one, heard in zip((brokers[0], brokers[-1]), story.heard, strict=True):
            await stack.enter_async_context(one.subscribe("t", heard))
        async with asyncio.TaskGroup() as group:
            for name in range(PUBLISHERS):
                group.create_task(story.publish(brokers[name % len(brokers)], name))
            await story.more(20)
            yield story
            await story.more(20)
            story.over.set()
        last = await brokers[0].publish("t", "last", key="last")
        story.accepted["last"] = last
        for heard in story.heard:
            await until(lambda heard=heard: heard.records and heard.records[-1].payload == "last")  # type: ignore[misc]


def check_nothing_lost(story: Story) -> None:
    """Every accepted record was heard once, at its position, by both; each publisher's records in their order."""
    for heard in story.heard:
        assert heard.resets == []
        assert heard.offsets == list(range(1, len(heard.records) + 1))
        assert {record.payload: record.position for record in heard.records} == story.accepted
        assert len(heard.records) == len(story.accepted)
        for name in range(PUBLISHERS):
            own = [int(payload.split()[1]) for payload in heard.payloads if payload.startswith(f"{name} ")]
            assert own == list(range(1, len(own) + 1))


async def kill(engine: Engine, tap: Tap, rng: random.Random) -> None:
    """Kill -9, and back with its data after a while."""
    await asyncio.to_thread(engine.kill)
    await asyncio.sleep(rng.uniform(0, 0.3))
    await asyncio.to_thread(engine.restart)


async def stall(engine: Engine, tap: Tap, rng: random.Random) -> None:
    """The engine halts, shorter or longer than any deadline."""
    engine.stall()
    await asyncio.sleep(rng.choice([0.05, 0.3, 1.0]))
    engine.resume()


async def cut(engine: Engine, tap: Tap, rng: random.Random) -> None:
    """One direction of the cable, or both, swallows what it is given; later it arrives after all."""
    tap.cut(rng.choice(["client", "server", None]))
    await asyncio.sleep(rng.choice([0.05, 0.3, 1.0]))
    tap.mend()


async def reset(engine: Engine, tap: Tap, rng: random.Random) -> None:
    """All connections break, a few times."""
    for _ in range(rng.randrange(1, 6)):
        tap.reset()
        await asyncio.sleep(rng.uniform(0, 0.05))


async def lose(engine: Engine, tap: Tap, rng: random.Random) -> None:
    """What is on its way is swallowed, and then the connections break: it never arrives."""
    tap.cut(rng.choice(["client", "server", None]))
    await asyncio.sleep(rng.uniform(0, 0.1))
    tap.reset()
    tap.mend()


Fault = Callable[[Engine, Tap, random.Random], Awaitable[None]]
FAULTS: list[Fault] = [kill, stall, cut, reset, lose]
