"""What the tests of the file broker share: to wait for a condition, and to see what is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from server.broker import History

__all__ = ["payloads", "until"]


async def until(holds: Callable[[], bool]) -> None:
    """Wait until the condition holds, for 30 s at most."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.01)


def payloads(history: History) -> list[str]:
    """Return the payloads of a history, oldest first."""
    return [record.payload for record in history.records]
