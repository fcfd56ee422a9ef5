"""The two stories of lesson 03 tell a manager that fails from one that does not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import WebSocket, WebSocketDisconnect
from lab import accident, bens_day, host

from server import stop_all


@pytest.fixture(autouse=True)
def stopped() -> Iterator[None]:
    """Stop the servers of the stories, which run on until then."""
    yield
    stop_all()


class Sockets:
    """The manager that everybody copies."""

    def __init__(self) -> None:
        self.active: list[WebSocket] = []


async def shout(websocket: WebSocket, user: str, manager: Sockets) -> None:
    """Send to everybody from here."""
    await websocket.accept()
    manager.active.append(websocket)
    try:
        while True:
            text = await websocket.receive_text()
            if text == "busy":
                await asyncio.sleep(60)
            for one in manager.active:
                await one.send_text(f"{user}: {text}")
    except WebSocketDisconnect:
        manager.active.remove(websocket)


class Names:
    """A room that tells who comes and goes, through queues."""

    def __init__(self) -> None:
        self.users: dict[str, asyncio.Queue[str]] = {}

    def tell(self, text: str) -> None:
        """Tell everybody."""
        for outbox in self.users.values():
            outbox.put_nowait(text)


async def talk(websocket: WebSocket, user: str, manager: Names) -> None:
    """Send to everybody through their queues."""
    await websocket.accept()
    outbox: asyncio.Queue[str] = asyncio.Queue()
    manager.users[user] = outbox

    async def write() -> None:
        while True:
            await websocket.send_text(await outbox.get())

    writer = asyncio.create_task(write())
    try:
        async for text in websocket.iter_text():
            if text == "busy":
                await asyncio.sleep(60)
            manager.tell(f"{user}: {text}")
    finally:
        if manager.users.get(user) is outbox:
            del manager.users[user]
            manager.tell(f"{user} left")
        writer.cancel()
        await asyncio.wait([writer])


def test_the_accident_of_the_list_cuts_everybody_off(capsys: pytest.CaptureFixture[str]) -> None:
    """The error of Ben's connection ends Ana's, then Cyd's; the entries of those who are gone are listed."""
    accident(shout, Sockets())
    assert capsys.readouterr().out.splitlines() == [
        "ana hears ['ana: hello', 1006]",
        "cyd hears [1006]",
        "listed: ben cyd",
        "listed when all handlers have ended: ben cyd",
    ]


def test_the_accident_leaves_a_manager_with_outboxes_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """Both hear everything; Ben is listed while his own handler is busy, and no longer."""
    accident(talk, Names())
    assert capsys.readouterr().out.splitlines() == [
        "ana hears ['ana: hello', 'cyd: bye']",
        "cyd hears ['ana: hello', 'cyd: bye']",
        "listed: ana ben cyd",
        "listed when all handlers have ended: nobody",
    ]


def test_bens_day_is_told_and_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed is what Ana's connection carried."""
    recorded = bens_day(host(talk, Names()))
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("while he is here: [")
    assert "'ben: back'" in first
    assert last == "when he has left: ['ben left']"
    assert [frame.text for frame in recorded.frames if frame.text == "ben left"]


def test_a_hosted_handler_is_given_the_name_and_the_manager(capsys: pytest.CaptureFixture[str]) -> None:
    """The name comes from the address, and the manager is one for all."""
    manager = Sockets()
    seen: list[tuple[str, Any]] = []

    async def note(websocket: WebSocket, user: str, manager: Any) -> None:
        seen.append((user, manager))
        await shout(websocket, user, manager)

    accident(note, manager)
    assert seen == [("ana", manager), ("ben", manager), ("cyd", manager)]
