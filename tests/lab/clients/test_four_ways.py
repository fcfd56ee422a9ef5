"""Each of the four clients follows the inbox, and each goes its own way on the wire."""

from __future__ import annotations

import pytest
from lab.clients.four_ways import compare_four_ways

pytestmark = pytest.mark.anyio


async def test_each_way_receives_everything_as_its_name_says() -> None:
    """A WebSocket and an event stream take one request, long polling one for each notification and one more."""
    polling, long_polling, events, websocket = (await compare_four_ways()).values()
    assert [len(one.seconds) for one in (polling, long_polling, events, websocket)] == [10] * 4
    assert events.requests == websocket.requests == 1
    assert long_polling.requests >= 10
    assert 2 <= polling.requests < long_polling.requests
