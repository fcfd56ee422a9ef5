"""One device that watches, without a wire: what happens in between, and that nothing of it is left."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from server.broker import History, Position, UnavailableError
from server.broker.local import LocalBroker
from server.messages import Ack, Watch
from server.notifications import Notifications, Watching
from server.prepared import Prepared
from tests.server.people import DEADLINE


class Phone:
    """A device that keeps what it is told."""

    user = "ana"

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []

    def deliver(self, message: Prepared) -> None:
        """Keep it."""
        self.heard.append(json.loads(message.text))

    async def drained(self) -> None:
        """Never wait."""

    async def until(self, text: str) -> None:
        """Wait for a notification."""
        async with asyncio.timeout(DEADLINE):
            while not self.heard or self.heard[-1].get("text") != text:  # noqa: ASYNC110
                await asyncio.sleep(0)

    async def types(self, count: int) -> list[str]:
        """What kinds of messages came since the last look, when there are so many or more."""
        async with asyncio.timeout(DEADLINE):
            while len(self.heard) < count:  # noqa: ASYNC110
                await asyncio.sleep(0)
        types = [message["type"] for message in self.heard]
        self.heard.clear()
        return types


class Moody(LocalBroker):
    """A broker in whose questions a test can interfere."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.then: Any = None

    async def history(self, topic: str, after: Position | None = None, *, limit: int | None = None) -> History:
        """Answer, and let something happen before the answer is used."""
        if self.away:
            raise UnavailableError("away")
        history = await super().history(topic, after, limit=limit)
        if self.then is not None and topic.startswith("inbox:"):
            then, self.then = self.then, None
            await then()
        return history


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[Notifications, Moody]]:
    """Notifications over a moody broker."""
    broker = Moody()
    notifications = Notifications(broker)
    async with notifications.open():
        yield notifications, broker


def test_a_device_that_has_gone_is_told_nothing() -> None:
    """Neither what comes nor what is read; and it is a member of nothing."""

    async def main() -> list[str]:
        async with opened() as (notifications, _):
            phone, laptop = Phone(), Phone()
            async with Watching(notifications, laptop) as stays:
                async with Watching(notifications, phone) as goes:
                    for watching in (stays, goes):
                        await watching.watch()
                    position = await notifications.push("ana", kind="k", text="heard by both")
                    assert await phone.types(2) == await laptop.types(2) == ["inbox", "notification"]
                await notifications.push("ana", kind="k", text="heard by one")
                await notifications.inbox("ana").acknowledge(position)
                assert sorted(await laptop.types(2)) == ["notification", "read"]
                return await phone.types(0)

    assert asyncio.run(main()) == []


@pytest.mark.parametrize("what", ["push", "read"])
def test_what_happens_while_a_watch_begins_is_told_once(what: str) -> None:
    """Between the question how much is unread and the first delivery; the sum is right afterwards."""

    async def main() -> tuple[int, list[dict[str, Any]]]:
        async with opened() as (notifications, broker):
            phone = Phone()
            positions = [await notifications.push("ana", kind="k", text=str(number)) for number in range(3)]

            async def happen() -> None:
                if what == "push":
                    await notifications.push("ana", kind="k", text="new")
                else:
                    await notifications.inbox("ana").acknowledge(positions[1])

            broker.then = happen
            async with Watching(notifications, phone) as watching:
                await watching.watch(after=positions[0])
                await notifications.push("ana", kind="k", text="last")
                await phone.until(text="last")
            return (await notifications.inbox("ana").standing()).unread, phone.heard

    unread, heard = asyncio.run(main())
    inbox = heard[0]
    count, newest = inbox["unread"], inbox["newest"]["offset"]
    offsets = []
    for message in heard[1:]:
        if message["type"] == "read":
            count, newest = message["unread"], message["newest"]["offset"]
            continue
        offsets.append(message["position"]["offset"])
        if offsets[-1] > newest:  # as messages.Inbox says
            count, newest = count + 1, offsets[-1]
    assert offsets == list(range(2, 6 if what == "push" else 5))
    assert count == unread == (5 if what == "push" else 2)


def test_a_watch_that_fails_can_be_repeated() -> None:
    """The device is told, hears nothing meanwhile, and nothing twice afterwards."""

    async def main() -> tuple[list[str], list[str]]:
        async with opened() as (notifications, broker):
            phone = Phone()
            async with Watching(notifications, phone) as watching:
                await watching.hear(Watch())
                broker.away = True
                await watching.hear(Watch())
                await notifications.push("ana", kind="k", text="one")
                await watching.hear(Ack(position=Position("e", 1)))
                failed = await phone.types(3)
                broker.away = False
                await watching.hear(Watch(last=5))
                await notifications.push("ana", kind="k", text="two")
                return failed, await phone.types(3)

    assert asyncio.run(main()) == (["inbox", "error", "error"], ["inbox", "notification", "notification"])


def test_a_log_that_is_lost_is_told() -> None:
    """The device hears a reset, and what comes after it."""

    async def main() -> list[str]:
        async with opened() as (notifications, broker):
            phone = Phone()
            async with Watching(notifications, phone) as watching:
                await notifications.push("ana", kind="k", text="lost")
                await watching.watch()
                await broker.drop("inbox:ana")
                await notifications.push("ana", kind="k", text="new")
                return await phone.types(3)

    assert asyncio.run(main()) == ["inbox", "reset", "notification"]
