"""Ghosts are counted where there are some, and nowhere else."""

from __future__ import annotations

import asyncio

from fastapi import WebSocket
from lab import count_ghosts


async def read(websocket: WebSocket) -> None:
    """Read until the client leaves; fail at a message."""
    async for text in websocket.iter_text():
        raise ValueError(text)


async def write(websocket: WebSocket) -> None:
    """Wait for news that never comes."""
    await asyncio.sleep(3600)


async def gathers(websocket: WebSocket) -> None:
    """Leave the writer alone."""
    await websocket.accept()
    await asyncio.gather(read(websocket), write(websocket))


async def owns(websocket: WebSocket) -> None:
    """Cancel the writer, and wait for it."""
    await websocket.accept()
    writer = asyncio.create_task(write(websocket))
    try:
        await read(websocket)
    finally:
        writer.cancel()
        await asyncio.wait([writer])


def test_ghosts_of_gather_are_counted() -> None:
    """Two events leave something, and the table says so."""
    ghosts = count_ghosts(gathers)
    assert [bool(left) for left in ghosts.values()] == [True, True, False]
    assert str(ghosts).splitlines()[0] == "the client leaves         GHOST"


def test_an_owner_has_none() -> None:
    """Nobody is left after any event."""
    assert set(count_ghosts(owns).values()) == {0}
