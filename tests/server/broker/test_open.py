"""An address chooses a broker; any other address is refused with the ones that would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.broker import BrokerError, Limits, open_broker
from server.broker.sqlite.broker import LocalBroker


@pytest.mark.parametrize("url", ["memory:", "MEMORY:", "sqlite:log.sqlite", "sqlite:/var/log.sqlite", "sqlite:C:\\log"])
def test_local_addresses(url: str) -> None:
    """``memory:`` and ``sqlite:PATH`` are the local broker with the given limits; it isn't open yet."""
    broker = open_broker(url, limits=Limits(records=7))
    assert isinstance(broker, LocalBroker)
    assert broker.limits == Limits(records=7)
    assert not Path("log.sqlite").exists()


@pytest.mark.parametrize("url", ["valkey://host", "valkeys://host:1/0", "redis://u:p@host", "rediss://host"])
def test_addresses_of_an_engine(url: str) -> None:
    """The four schemes of an engine are the Valkey broker; it isn't connected yet."""
    assert type(open_broker(url)).__name__ == "ValkeyBroker"


@pytest.mark.parametrize(
    "url",
    ["", "memory", "memory:x", "sqlite", "sqlite:", "valkey:", "valkey://", "valkey:host", "http://host", "log.db"],
)
def test_anything_else_is_refused(url: str) -> None:
    """For any other address the error lists the right ones."""
    with pytest.raises(BrokerError, match="use memory:, sqlite:PATH, valkey://HOST"):
        open_broker(url)


def test_error_does_not_tell_the_password() -> None:
    """A mistyped address ends in a log; its password must not."""
    with pytest.raises(BrokerError) as caught:
        open_broker("valky://user:secret@host")
    assert "secret" not in str(caught.value)
