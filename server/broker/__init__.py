"""The log behind rooms and inboxes: what a broker promises, and the two that keep it."""

from .local import LocalBroker
from .open import open_broker
from .protocol import (
    Broker,
    BrokerError,
    Health,
    History,
    Limits,
    Listener,
    PayloadError,
    Position,
    Record,
    UnavailableError,
)

__all__ = [
    "Broker",
    "BrokerError",
    "Health",
    "History",
    "Limits",
    "Listener",
    "LocalBroker",
    "PayloadError",
    "Position",
    "Record",
    "UnavailableError",
    "open_broker",
]
