"""Rooms that a reader's test is tried against: some are right, and each of the others has one bug."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import FastAPI, WebSocket

from .room import Room, listen, write

__all__ = ["FROZEN_BUGS", "GHOST_BUGS", "RIGHT_ROOMS", "RoomKind", "app_of"]

FEW = 3  # messages that wait in an outbox, and a bug counts it as full; so few that 5 MB of long ones show it
MOMENT = 0.15  # seconds that a slow server takes to notice

Tell = Callable[["Room", str], Awaitable[None]]


# how a text reaches everybody


async def by_outbox(room: Room, text: str) -> None:
    """Right: nobody waits for anybody."""
    room.put(text)


async def one_by_one(room: Room, text: str) -> None:
    """Wrong: the speaker's handler waits for each listener."""
    for websocket in list(room.websockets.values()):
        await websocket.send_text(text)


async def all_at_once(room: Room, text: str) -> None:
    """Wrong: the speaker's handler waits for the slowest."""
    await asyncio.gather(*(websocket.send_text(text) for websocket in list(room.websockets.values())))


async def only_if_all_can(room: Room, text: str) -> None:
    """Wrong: one full outbox, and nobody gets anything."""
    if all(outbox.qsize() < FEW for outbox in room.outboxes.values()):
        room.put(text)


# what happens when somebody has left


def forget(room: Room, name: str, *, polite: bool) -> None:
    """Right: who has left isn't listed any more."""
    room.remove(name)


def forget_nobody(room: Room, name: str, *, polite: bool) -> None:
    """Wrong: a ghost for everybody who has been here."""


def forget_the_polite(room: Room, name: str, *, polite: bool) -> None:
    """Wrong: only a close frame takes somebody off the list."""
    if polite:
        room.remove(name)


def forget_everybody(room: Room, name: str, *, polite: bool) -> None:
    """Wrong: one leaves, and the list is empty."""
    room.outboxes.clear()


Forget = Callable[..., None]


@dataclass(frozen=True)
class RoomKind:
    """One way to write the room."""

    is_: str
    """What the server does, behind "a server that"."""
    remedy: str = ""
    """What the reader may do if the test is wrong about this room."""
    tell: Tell = by_outbox
    forget: Forget = forget
    moment: float = 0.0
    """Seconds until it has noticed who has come or left."""
    lists: bool = True
    """Whether anybody is ever listed."""


RIGHT_ROOMS = (
    RoomKind("is right"),
    RoomKind(
        "is right, and needs a moment to notice",
        "; wait with `eventually`, or for a sign such as `recv_until(…)`",
        moment=MOMENT,
    ),
)
GHOST_BUGS = (
    RoomKind("forgets nobody", "; at the end, ask who is still listed", forget=forget_nobody),
    RoomKind(
        "only forgets clients that say goodbye",
        "; tear Ben's connection down with `cable.reset()`",
        forget=forget_the_polite,
    ),
    RoomKind(
        "lists nobody at all",
        "; before Ben leaves, make sure that both are listed",
        lists=False,
    ),
    RoomKind(
        "forgets everybody as soon as one leaves",
        "; at the end, Ana must still be listed",
        forget=forget_everybody,
    ),
)
FREEZES = '; stall Ben\'s cable with `cable.stall("server")` once he is there, and let Ana say 10 MB'
FROZEN_BUGS = (
    RoomKind("sends to one client after the other", FREEZES, tell=one_by_one),
    RoomKind("waits for the slowest client", FREEZES, tell=all_at_once),
    RoomKind("tells nobody anything while one outbox is full", FREEZES, tell=only_if_all_can),
)


def app_of(kind: RoomKind) -> FastAPI:
    """Return a new app with one room of this kind, at ``app.state.room``."""
    app = FastAPI()
    app.state.room = room = Room()

    @app.websocket("/ws/{name}")
    async def door(websocket: WebSocket, name: str) -> None:
        await websocket.accept()
        await asyncio.sleep(kind.moment)
        outbox = room.enter(name, websocket)
        if not kind.lists:
            room.remove(name)
        await kind.tell(room, f"{name} is here")
        writer = asyncio.create_task(write(websocket, outbox))

        async def tell(text: str) -> None:
            await kind.tell(room, text)

        try:
            polite = await listen(websocket, name, tell)
        finally:
            writer.cancel()
            await asyncio.wait([writer])
        await asyncio.sleep(kind.moment)
        kind.forget(room, name, polite=polite)

    return app
