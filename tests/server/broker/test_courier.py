"""Commands to the engine travel together, and what waits is bounded."""

from __future__ import annotations

import asyncio

import pytest

from server.broker import UnavailableError
from server.broker.courier import WAITING, Courier


def test_too_many_waiting_commands_are_refused() -> None:
    """What waits for the engine is bounded: one more is refused at once."""

    async def run() -> None:
        courier = Courier(None, "the engine", 0.01)  # type: ignore[arg-type]  # it is never asked
        with pytest.raises(UnavailableError, match=r"did not answer within 0\.01 s"):
            await courier.send([("PING",)] * WAITING)
        with pytest.raises(UnavailableError, match=f"{WAITING} commands wait for the engine already"):
            await courier.send([("PING",)])

    asyncio.run(run())
