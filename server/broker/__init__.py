"""The logs behind rooms and inboxes: what a broker promises, and the two brokers that keep the logs."""

from .interface import (
    Broker,
    BrokerError,
    Health,
    History,
    Limits,
    Listener,
    LogFullError,
    PayloadError,
    Position,
    Record,
    UnavailableError,
)
from .open import open_broker
from .sqlite.broker import LocalBroker

__all__ = [
    "Broker",
    "BrokerError",
    "Health",
    "History",
    "Limits",
    "Listener",
    "LocalBroker",
    "LogFullError",
    "PayloadError",
    "Position",
    "Record",
    "UnavailableError",
    "open_broker",
]
