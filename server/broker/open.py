"""Choose a broker by its address: ``memory:``, ``sqlite:PATH`` or an engine's ``valkey://HOST``."""

from __future__ import annotations

from pathlib import Path

from .interface import Broker, BrokerError, Limits
from .sqlite.broker import LocalBroker

__all__ = ["open_broker"]


def open_broker(url: str, *, limits: Limits | None = None) -> Broker:
    """Return the broker for an address; open it with ``async with``.

    ``memory:`` lasts as long as the process. ``sqlite:log.sqlite`` or ``sqlite:/var/lib/chat/log.sqlite`` is a file
    for one process. ``valkey://`` and ``redis://``, or with TLS ``valkeys://`` and ``rediss://``, are for several
    processes.

    Raises:
        BrokerError: the address is none of these.
    """
    scheme, colon, rest = url.partition(":")
    match scheme.lower():
        case "memory" if colon and not rest:
            return LocalBroker(limits=limits)
        case "sqlite" if Path(rest).name:
            return LocalBroker(rest, limits=limits)
        case "valkey" | "valkeys" | "redis" | "rediss" if rest.startswith("//") and rest != "//":
            from .valkey.broker import ValkeyBroker  # noqa: PLC0415  # its client is slow to import

            return ValkeyBroker(url, limits=limits or Limits())
    raise BrokerError(
        f"no broker is called {_without_password(url)!r}; "
        "use memory:, sqlite:PATH, valkey://HOST, valkeys://, redis:// or rediss://"
    )


def _without_password(url: str) -> str:
    """Return an address that may stand in a log."""
    before, at, after = url.rpartition("@")
    return f"{before.partition('://')[0]}://…@{after}" if at else url
