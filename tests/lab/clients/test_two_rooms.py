"""One message across: what both hear, or why no engine can run."""

from __future__ import annotations

import pytest
from lab.clients.two_rooms import hello_across
from lab.servers.valkey import Engine

from tests.lab.clients.channel_room import ChannelRoom


@pytest.mark.skipif(bool(Engine.missing()), reason="no engine")
def test_both_hear_both_words_once() -> None:
    """What is said in one process is heard in the other, and by its speaker once."""
    assert hello_across(ChannelRoom) == "ana hears ['hello', 'bye'], ben hears ['hello', 'bye']"


def test_machine_without_an_engine_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lesson goes on where no engine can run."""
    monkeypatch.setattr(Engine, "missing", staticmethod(lambda: "no engine is installed"))
    assert hello_across(ChannelRoom) == "no engine is installed"
