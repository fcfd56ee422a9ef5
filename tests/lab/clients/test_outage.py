"""What an outage of the engine costs, for a room that forgets and for one that remembers."""

from __future__ import annotations

import pytest
from lab.clients.outage import Outage, outage
from lab.servers.valkey import Engine

from tests.lab.clients.channel_room import ChannelRoom, StreamRoom

pytestmark = pytest.mark.skipif(bool(Engine.missing()), reason="no engine")


@pytest.mark.parametrize(
    ("room", "expected"),
    [(ChannelRoom, Outage([0, 0, 0], list("1237"))), (StreamRoom, Outage([4, 5, 6], list("1234567")))],
)
def test_outage_tells_what_was_lost(room: type[ChannelRoom], expected: Outage) -> None:
    """Nobody was there to hear 4, 5 and 6; a stream has kept them."""
    assert outage(room) == expected


def test_engine_of_yours_is_not_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so, and how to get one that may be killed."""
    monkeypatch.setenv("VALKEY_URL", "redis://127.0.0.1:1")
    assert "unset VALKEY_URL" in str(outage(ChannelRoom))


def test_outage_reads_as_a_sentence() -> None:
    """Printed, it says both."""
    assert str(Outage([0, 0], ["1", "4"])) == "the engine answers [0, 0], and Ben hears 1 4"
