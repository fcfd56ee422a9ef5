"""Many honest clients reconnect at once: the limits of the server let all of them in, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import pytest
from lab.tap.tap import Tap

from server import BackgroundServer
from server.client import Backoff, Client, ConnectOptions, LostMessages, Reader
from tests.server.counting import until
from tests.server.people import chat
from tests.server.recipients import bearer, push, pusher

pytestmark = pytest.mark.anyio

DEADLINE = 40.0  # seconds for a whole test
# the defaults, but for delays of half a minute
OPTIONS = ConnectOptions(proxy=None, open_timeout=DEADLINE, backoff=Backoff(base=0.1, busy_base=0.2, maximum=0.4))


class Tab:
    """A client that reads several rooms and its inbox, and what it has read in each."""

    def __init__(self, url: str, rooms: Sequence[str], *, options: ConnectOptions = OPTIONS, **arguments: Any) -> None:
        self.client = Client(url, options=options, **arguments)
        self.readers: list[Reader[Any]] = [*map(self.client.room, rooms), self.client.inbox()]
        self.read: dict[str | None, list[str]] = {reader.room: [] for reader in self.readers}

    @property
    def is_in(self) -> bool:
        """Whether it has been in every room."""
        return all(reader.position is not None for reader in self.readers)

    async def live(self) -> None:
        """Read everything until cancelled."""
        async with self.client, asyncio.TaskGroup() as reading:
            for reader in self.readers:
                reading.create_task(self._read(reader))

    async def _read(self, reader: Reader[Any]) -> None:
        async for item in reader:
            self.read[reader.room].append("lost" if isinstance(item, LostMessages) else item.text)


@asynccontextmanager
async def open_tabs(tabs: Sequence[Tab]) -> AsyncIterator[None]:
    """Open all tabs at once, and wait until they are in all of their rooms."""
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as living:
        tasks = [living.create_task(tab.live()) for tab in tabs]
        await until(lambda: all(tab.is_in for tab in tabs), seconds=DEADLINE)
        yield
        for task in tasks:
            task.cancel()


async def reaches_all(server: BackgroundServer, tabs: Sequence[Tab], rooms: Sequence[str], word: str) -> None:
    """Send a word to every room and to ana's inbox; wait until every tab has read it in each."""
    async with Client(server.http(), token=token_of("sender"), options=OPTIONS) as sender:
        for room in rooms:
            await sender.say(room, word)
    with pusher(server) as shop:
        push(shop, "ana", text=word)
    await until(lambda: all(word in read for tab in tabs for read in tab.read.values()), seconds=DEADLINE)


def rooms_of(count: int) -> list[str]:
    """Return names of rooms."""
    return [f"room-{number}" for number in range(count)]


def token_of(user: str) -> str:
    """Return a token that lasts an hour."""
    return bearer(user, seconds=3600)["Authorization"].removeprefix("Bearer ")


async def test_thirty_tabs_reconnect_after_a_restart(tmp_path: Path) -> None:
    """With the default limits; what they sent meanwhile is stored once."""
    rooms = rooms_of(8)
    limits: dict[str, Any] = {"broker": f"sqlite:{tmp_path / 'chat.sqlite'}"}

    with chat(**limits) as room:
        first = room.server
        tabs = [Tab(first.http(), rooms, token=token_of("ana")) for _ in range(30)]
        async with open_tabs(tabs):
            await asyncio.to_thread(first.stop)
            async with asyncio.TaskGroup() as sending:
                for number, tab in enumerate(tabs):
                    sending.create_task(tab.client.say(rooms[0], f"hello {number}", seconds=DEADLINE))
                with chat(port=first.port, **limits) as second:
                    await reaches_all(second.server, tabs, rooms, "welcome back")
                    hellos = sorted(f"hello {number}" for number in range(30))
                    await until(lambda: all(len(tab.read[rooms[0]]) > 30 for tab in tabs), seconds=DEADLINE)
                    for tab in tabs:
                        assert sorted(tab.read[rooms[0]]) == [*hellos, "welcome back"]
                        assert tab.client.error is None


async def test_thirty_tabs_reconnect_after_sleep() -> None:
    """The server still has their old connections, and counts them."""
    rooms = rooms_of(8)

    with chat() as room, Tap(room.server) as tap:
        server = room.server
        options = replace(OPTIONS, ping_interval=0.5, open_timeout=2.0)
        tabs = [Tab(tap.http(), rooms, token=token_of("ana"), options=options) for _ in range(30)]
        async with open_tabs(tabs):
            tap.cut()
            await until(lambda: all(tab.client.last_disconnect is not None for tab in tabs), seconds=DEADLINE)
            tap.mend()
            await reaches_all(server, tabs, rooms, "good morning")
            assert {tab.client.error for tab in tabs} == {None}


async def test_clients_at_every_limit_are_let_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They use exactly as many logins, tickets, connections, devices, rooms, joins and messages as allowed."""
    rooms = rooms_of(6)
    limits: dict[str, Any] = {
        "broker": f"sqlite:{tmp_path / 'chat.sqlite'}",
        "demo_login": True,
        "login_burst": 2,
        "logins_per_second": 20,
        "ticket_burst": 1,
        "tickets_per_second": 20,
        "connections": 9 + 1,  # the sender's
        "connections_per_user": 3,
        "devices_per_user": 3,
        "rooms_per_connection": 6,
        "joins_per_second": 100,
        "message_burst": 10,
        "messages_per_second": 40,
    }

    with chat(**limits) as room:
        first = room.server

        def get_ticket() -> str:
            request = Request(first.http("/ticket"), headers=bearer("eve"), method="POST")
            with build_opener(ProxyHandler({})).open(request, timeout=30) as answer:
                ticket: str = json.loads(answer.read())["ticket"]
                return ticket

        async def fetch_ticket() -> str:
            return await asyncio.to_thread(get_ticket)

        # says more at once than a server with these limits takes
        options = replace(OPTIONS, messages_per_second=100)
        devices = ("phone", "laptop", "tablet")
        ways = [{"name": "ana"}] * 3 + [{"name": "ben"}] * 3 + [{"ticket": fetch_ticket}] * 3
        tabs = [
            Tab(first.http(), rooms, options=options, device=devices[number % 3], **way)
            for number, way in enumerate(ways)
        ]
        async with open_tabs(tabs):
            await asyncio.to_thread(first.stop)
            async with asyncio.TaskGroup() as sending:
                said = [f"{number} of tab {tab}" for tab in range(9) for number in range(10)]
                for index, text in enumerate(said):
                    sending.create_task(tabs[index // 10].client.say(rooms[index % 6], text, seconds=DEADLINE))
                with chat(port=first.port, **limits) as second:
                    await until(
                        lambda: sum(len(tab.read[room]) for tab in tabs for room in rooms) >= 9 * 90, seconds=DEADLINE
                    )
                    for tab in tabs:
                        assert sorted(text for room in rooms for text in tab.read[room]) == sorted(said)
                        assert tab.client.error is None
                    assert second.server.connections == 9
    assert "sent too much" in caplog.text
