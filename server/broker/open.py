"""A broker from an address: ``memory:``, ``sqlite:PATH`` or an engine's ``valkey://HOST``."""

from __future__ import annotations

from .local import LocalBroker
from .protocol import Broker, BrokerError, Limits

__all__ = ["open_broker"]


def open_broker(url: str, *, limits: Limits | None = None) -> Broker:
    """The broker that an address names; open it with ``async with``.

    ``memory:`` is gone with the process, ``sqlite:log.sqlite`` or ``sqlite:/var/lib/chat/log.sqlite`` is a file for
    one process; ``valkey://``, ``valkeys://``, ``redis://`` and ``rediss://`` (with TLS) are for several.

    Raises:
        BrokerError: the address names none of them.
    """
    scheme, colon, rest = url.partition(":")
    match scheme.lower():
        case "memory" if colon and not rest:
            return LocalBroker(limits=limits)
        case "sqlite" if rest:
            return LocalBroker(rest, limits=limits)
        case "valkey" | "valkeys" | "redis" | "rediss" if rest.startswith("//") and rest != "//":
            from .valkey import ValkeyBroker  # noqa: PLC0415  # its client is slow to import

            return ValkeyBroker(url, limits=limits or Limits())
    raise BrokerError(
        f"no broker is called {_public(url)!r}; use memory:, sqlite:PATH, valkey://HOST, valkeys://, redis:// or rediss://"
    )


def _public(url: str) -> str:
    """An address without the password in it: errors end in logs."""
    before, at, after = url.rpartition("@")
    return f"{before.partition('://')[0]}://…@{after}" if at else url
