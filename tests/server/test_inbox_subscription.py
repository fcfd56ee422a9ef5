"""One device that watches, without a wire: what happens in between, and that nothing of it is left."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from server.broker import History, Position, UnavailableError
from server.broker.sqlite.broker import LocalBroker
from server.notifications import InboxSubscription, Notifications
from server.wire.prepared import Batch, Prepared
from tests.server.people import DEADLINE


class Phone:
    """A device that keeps what it is sent."""

    user = "ana"

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []

    def send_nowait(self, message: Prepared) -> None:
        """Keep it."""
        self.heard.append(json.loads(message.text))

    def send_many_nowait(self, batch: Batch) -> None:
        """Keep them."""
        for message in batch.messages:
            self.send_nowait(message)

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


@pytest.mark.anyio
async def test_a_device_that_has_left_is_sent_nothing() -> None:
    """Neither what comes nor what is read; and it is a member of nothing."""
    async with opened() as (notifications, _):
        phone, laptop = Phone(), Phone()
        async with InboxSubscription(notifications, laptop) as stays:
            async with InboxSubscription(notifications, phone) as goes:
                for watching in (stays, goes):
                    await watching.watch()
                position = await notifications.push("ana", kind="k", text="heard by both")
                assert await phone.types(2) == await laptop.types(2) == ["inbox", "notification"]
            await notifications.push("ana", kind="k", text="heard by one")
            await notifications.inbox("ana").acknowledge(position)
            assert sorted(await laptop.types(2)) == ["notification", "read"]
            result = await phone.types(0)
    assert result == []


@pytest.mark.anyio
@pytest.mark.parametrize("what", ["push", "read"])
async def test_what_happens_while_a_watch_begins_is_sent_once(what: str) -> None:
    """Between the question how much is unread and the first delivery; the sum is right afterwards."""
    async with opened() as (notifications, broker):
        phone = Phone()
        positions = [await notifications.push("ana", kind="k", text=str(number)) for number in range(3)]

        async def happen() -> None:
            if what == "push":
                await notifications.push("ana", kind="k", text="new")
            else:
                await notifications.inbox("ana").acknowledge(positions[1])

        broker.then = happen
        async with InboxSubscription(notifications, phone) as watching:
            await watching.watch(after=positions[0])
            await notifications.push("ana", kind="k", text="last")
            await phone.until(text="last")
        unread, heard = (await notifications.inbox("ana").read_state()).unread, phone.heard
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


@pytest.mark.anyio
async def test_a_watch_that_fails_can_be_repeated() -> None:
    """The device hears nothing meanwhile, and nothing twice afterwards."""
    async with opened() as (notifications, broker):
        phone = Phone()
        async with InboxSubscription(notifications, phone) as watching:
            await watching.watch()
            broker.away = True
            with pytest.raises(UnavailableError):
                await watching.watch()
            position = await notifications.push("ana", kind="k", text="one")
            with pytest.raises(UnavailableError):
                await watching.acknowledge(position)
            failed = await phone.types(1)
            broker.away = False
            await watching.watch(last=5)
            await notifications.push("ana", kind="k", text="two")
            result = failed, await phone.types(3)
    assert result == (["inbox"], ["inbox", "notification", "notification"])


@pytest.mark.anyio
async def test_a_lost_log_is_reported() -> None:
    """The device hears a reset, and what comes after it."""
    async with opened() as (notifications, broker):
        phone = Phone()
        async with InboxSubscription(notifications, phone) as watching:
            await notifications.push("ana", kind="k", text="lost")
            await watching.watch()
            await broker.drop("inbox:ana")
            await notifications.push("ana", kind="k", text="new")
            result = await phone.types(3)
    assert result == ["inbox", "reset", "notification"]
