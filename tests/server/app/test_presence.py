"""Who is present at other processes: told at once, told again, and forgotten when a process is silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from server.app.presence import PresenceReport, PresenceTracker
from server.broadcasting import Batch, Prepared
from server.broker import Position, Record
from server.broker.sqlite.broker import LocalBroker
from server.manager import Connection, Manager
from tests.server.presence import Viewer

pytestmark = pytest.mark.anyio

DEADLINE = 60.0  # seconds


class Box:
    """An outbox that hands presence to a client that checks it."""

    def __init__(self, user: str) -> None:
        self.viewer = Viewer(user)

    async def drained(self) -> None:
        """Nothing ever waits."""

    def send_nowait(self, message: Prepared) -> None:
        """Keep a message."""
        self.viewer.send_nowait(message)

    def send_many_nowait(self, batch: Batch) -> None:
        """Take messages."""
        for message in batch.messages:
            self.send_nowait(message)

    def end(self, code: int, reason: str) -> None:
        """Nobody ends here."""


class Process:
    """One process of several, all in this one: a manager and its tracker on the broker that they share."""

    def __init__(self, broker: LocalBroker, *, crowd: int = 200) -> None:
        self.tracker = PresenceTracker(broker, lambda room: f"room:{room}", interval=0.1)
        self.manager = Manager(grace=0, interval=0.001, crowd=crowd, on_change=self.tracker.report)
        self.deaf = False

    async def enter(self, user: str, stack: AsyncExitStack) -> tuple[Connection, Viewer]:
        """A user's connection to this process, in the lobby."""
        box = Box(user)
        connection = await stack.enter_async_context(self.manager.register(user, "", box))
        is_first = self.manager.room("lobby") is None
        self.manager.join(connection, "lobby")
        if is_first:
            self.tracker.request("lobby")
        return connection, box.viewer

    # a listener of the broker, as a feed is

    def on_signal(self, payload: str) -> None:
        """What another process says."""
        if not self.deaf:
            self.tracker.receive(PresenceReport.model_validate_json(payload))

    def on_record(self, record: Record) -> None:
        """Nobody says anything here."""

    def on_reset(self, position: Position) -> None:
        """Nothing is lost here."""


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it is so."""
    while not condition():  # noqa: ASYNC110  # what is waited for has no event
        await asyncio.sleep(0.005)


@asynccontextmanager
async def two_processes(*, crowd: int = 200) -> AsyncIterator[tuple[Process, Process, AsyncExitStack]]:
    """Run two processes over one broker; users who enter through the stack leave at the end."""
    async with asyncio.timeout(DEADLINE), LocalBroker() as broker, AsyncExitStack() as stack:
        one, two = Process(broker, crowd=crowd), Process(broker, crowd=crowd)
        for process in (one, two):
            await stack.enter_async_context(broker.subscribe("room:lobby", process))
            await stack.enter_async_context(process.tracker.open(process.manager))
        async with AsyncExitStack() as users:
            yield one, two, users


async def test_each_sees_who_is_at_the_other() -> None:
    """Whichever joins first; a user at both is present once, until the last connection has left."""
    async with two_processes() as (one, two, stack):
        _, ana = await one.enter("ana", stack)
        _, ben = await two.enter("ben", stack)
        for viewer in (ana, ben):
            await until(lambda viewer=viewer: viewer.present == {"ana", "ben"})  # type: ignore[misc]
        second, _ = await two.enter("ana", stack)
        carl, _ = await one.enter("carl", stack)
        await until(lambda: ben.present == {"ana", "ben", "carl"})
        two.manager.leave(second, "lobby")
        one.manager.leave(carl, "lobby")
        await until(lambda: ben.present == {"ana", "ben"} and ana.present == {"ana", "ben"})


async def test_a_lost_report_is_repeated() -> None:
    """The next round tells the same again."""
    async with two_processes() as (one, two, stack):
        two.deaf = True
        await one.enter("ana", stack)
        _, ben = await two.enter("ben", stack)
        two.deaf = False
        await until(lambda: ben.present == {"ana", "ben"})


async def test_a_silent_process_is_dropped() -> None:
    """As when it was killed: its users are present for some rounds more, and then have left."""
    async with two_processes() as (one, two, stack):
        await one.enter("ana", stack)
        _, ben = await two.enter("ben", stack)
        await until(lambda: ben.present == {"ana", "ben"})
        two.deaf = True
        await until(lambda: ben.present == {"ben"})


async def test_a_crowd_is_reported_as_a_number() -> None:
    """Above the limit, processes report no names and members get numbers; below it, names again."""
    async with two_processes(crowd=3) as (one, two, stack):
        _, ben = await two.enter("ben", stack)
        async with AsyncExitStack() as crowd:
            for number in range(5):
                await one.enter(f"user{number}", crowd)
            await until(lambda: ben.count == 6)
            assert ben.present is None
        await until(lambda: ben.present == {"ben"})


@pytest.mark.parametrize("crowd", [200, 1])
async def test_a_report_has_the_names_or_the_number(crowd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names or the number; the first time the others are asked to answer."""
    async with asyncio.timeout(DEADLINE), LocalBroker() as broker, AsyncExitStack() as stack:
        process, said = Process(broker, crowd=crowd), list[PresenceReport]()
        monkeypatch.setattr(process, "on_signal", lambda text: said.append(PresenceReport.model_validate_json(text)))
        await stack.enter_async_context(broker.subscribe("room:lobby", process))
        await stack.enter_async_context(process.tracker.open(process.manager))
        for user in ("ben", "ana"):
            await process.enter(user, stack)
        await until(lambda: bool(said) and said[-1].count == 2)
        assert said[0].again
        assert not said[-1].again or said[-1] is said[0]
        assert said[-1].users == (("ana", "ben") if crowd == 200 else None)
        assert {message.process for message in said} == {process.tracker.process}
