"""Commands to the engine are sent together, and only so many wait."""

from __future__ import annotations

import pytest

from server.broker import UnavailableError
from server.broker.valkey.pipeline import MAX_WAITING, Pipeline

pytestmark = pytest.mark.anyio


async def test_too_many_waiting_commands_are_refused() -> None:
    """Only so many commands wait for the engine: one more is refused at once."""
    pipeline = Pipeline(None, "the engine", 0.01)  # type: ignore[arg-type]  # it is never asked
    with pytest.raises(UnavailableError, match=r"did not answer within 0\.01 s"):
        await pipeline.send([lambda: ("PING",)] * MAX_WAITING)
    with pytest.raises(UnavailableError, match=f"{MAX_WAITING} commands wait for the engine already"):
        await pipeline.send([lambda: ("PING",)])
