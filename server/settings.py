"""What an operator decides, from the environment: ``CHAT_KEY=… CHAT_CONNECTIONS=2000``.

Every limit is here, with its unit, and every one has a default that a small server can carry.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from .broker import Limits

__all__ = ["Settings"]


class Settings(BaseSettings):
    """The settings of `server.app.create_app`: given by name, or read from ``CHAT_…`` variables."""

    model_config = SettingsConfigDict(
        env_prefix="CHAT_",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,  # a key that is too short is still nobody's business
        use_attribute_docstrings=True,
    )

    key: SecretStr | None = Field(default=None, min_length=32)
    """The secret that signs and verifies tokens and tickets (HS256), 32 characters or more."""

    demo_login: bool = False
    """Whether everybody may log in under any name, without a password. For lessons and demonstrations only."""

    classroom: bool = False
    """Whether a teacher can see every connection, slow it down and cut it off: one server for a class."""

    origins: tuple[str, ...] = ()
    """Pages of other origins that may connect, such as ``["https://example.com"]``; the server's own always may."""

    session_seconds: int = Field(default=8 * 3600, gt=0)
    """Seconds until a demo login ends, and with it every connection that came of it (4001)."""

    ticket_seconds: int = Field(default=30, gt=0)
    """Seconds in which a ticket must be used."""

    logins_per_second: float = Field(default=10.0, gt=0)
    """Logins per second (of the demo login) that one address may ask for, for long; more gets HTTP 429. In IPv6,
    whoever has the first 64 bits in common is one address."""

    login_burst: int = Field(default=200, gt=0)
    """Logins that it may ask for at once, before `logins_per_second` counts; a whole school may share one."""

    tickets_per_second: float = Field(default=1.0, gt=0)
    """Tickets per second that one user may ask for, for long; more gets HTTP 429."""

    ticket_burst: int = Field(default=100, gt=0)
    """Tickets that one user may ask for at once, before `tickets_per_second` counts."""

    metrics: bool = True
    """Whether ``/metrics`` has the numbers of this process for Prometheus."""

    connections: int = Field(default=10_000, gt=0)
    """Connections in all; who comes then gets HTTP 503, or a page 1013."""

    connections_per_user: int = Field(default=20, gt=0)
    """Connections of one user; one more closes the oldest (4004)."""

    devices_per_user: int = Field(default=5, gt=0)
    """Devices of one user; one more closes the oldest (4004)."""

    broker: str = "memory:"
    """Where what is said is kept: ``memory:``, ``sqlite:PATH`` to survive a restart, or ``valkey://HOST:PORT/0`` for
    several processes and machines (``redis://`` and, with TLS, ``valkeys://`` and ``rediss://`` as well)."""

    history_messages: int = Field(default=1_000, gt=0)
    """Messages that are kept of each room; the oldest go."""

    history_seconds: float = Field(default=7 * 24 * 3600.0, gt=0)
    """Seconds for which a message is kept."""

    inboxes: str | None = None
    """Where notifications are kept, as `broker`; by default beside what is said, in a file or under keys of its own."""

    inbox_notifications: int = Field(default=1_000, gt=0)
    """Notifications that are kept of each user; the oldest go, read or not."""

    inbox_seconds: float = Field(default=30 * 24 * 3600.0, gt=0)
    """Seconds for which a notification is kept."""

    pushes_per_second: float = Field(default=100.0, gt=0)
    """Notifications per second that the holder of one push token may send for long; more gets HTTP 429."""

    push_burst: int = Field(default=1_000, gt=0)
    """Notifications that it may send at once, before `pushes_per_second` counts."""

    rooms_per_connection: int = Field(default=50, gt=0)
    """Rooms that one connection may be in; one more gets an error."""

    message_bytes: int = Field(default=16_384, gt=0)
    """Bytes of one message from a client; a longer one closes the connection (1009)."""

    messages_per_second: float = Field(default=5.0, gt=0)
    """Messages per second that one user may send for long; more closes the connection (4002)."""

    message_burst: int = Field(default=50, gt=0)
    """Messages that one user may send at once, before `messages_per_second` counts."""

    outbox_messages: int = Field(default=256, gt=0)
    """Messages that may wait for one slow connection; one more closes it (4008)."""

    outbox_bytes: int = Field(default=1 << 20, gt=0)
    """Bytes that may wait for one slow connection; more closes it (4008)."""

    send_seconds: float = Field(default=10.0, gt=0)
    """Seconds until a connection that takes nothing of what waits for it is closed (4008), and as many more until
    its socket is taken away, should the peer not even read that."""

    request_seconds: int = Field(default=5, gt=0)
    """Seconds in which a request must have come whole, and an idle HTTP connection is closed."""

    idle_seconds: float | None = Field(default=None, gt=0)
    """Seconds without a message from the client until it is closed (1008); none: it may listen for ever.

    A client that is dead is found by uvicorn's pings, not by this.
    """

    grace_seconds: float = Field(default=5.0, ge=0)
    """Seconds that a user whose connection was lost stays present, so that a page may reload."""

    @property
    def broker_limits(self) -> Limits:
        """How much the broker keeps of each room."""
        return Limits(records=self.history_messages, seconds=self.history_seconds)

    @property
    def inbox_limits(self) -> Limits:
        """How much is kept of each inbox."""
        return Limits(records=self.inbox_notifications, seconds=self.inbox_seconds)

    @property
    def inbox_url(self) -> str:
        """Where notifications are kept: `inboxes`, or a place of their own next to `broker`."""
        if self.inboxes is not None:
            return self.inboxes
        scheme, _, rest = self.broker.partition(":")
        if scheme == "memory":
            return self.broker
        if scheme == "sqlite":
            path = Path(rest)
            return f"{scheme}:{path.with_name(f'{path.stem}-inboxes{path.suffix}')}"
        parts = urlsplit(self.broker)
        query = dict(parse_qsl(parts.query))
        query["prefix"] = f"{query.get('prefix', 'chat')}-inboxes"
        return parts._replace(query=urlencode(query)).geturl()

    @property
    def uvicorn_options(self) -> dict[str, Any]:
        """What the server software has to know of this: ``serve(app, **settings.uvicorn_options)``.

        The app refuses a message that is too big in any case, but only uvicorn can refuse it before
        it is held in memory; left alone, it takes 16 MiB. Its protocol is the one that sends to everybody at little
        cost (`server.frames`), and compresses nothing: for small messages that costs half of the throughput, and
        33 KiB for each connection.
        """
        return {
            "http": "server.doorman:Doorman",
            "ws": "server.guard:GuardedProtocol",
            "timeout_keep_alive": self.request_seconds,
            "ws_max_size": self.message_bytes,
            "ws_per_message_deflate": False,
        }
