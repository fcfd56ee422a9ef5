"""The settings of a server, from the environment: ``CHAT_KEY=… CHAT_CONNECTIONS=2000``.

Every limit is here, with its unit and a default that suits a small server.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from .broker import Limits
from .handshake import parse_host, parse_origin

__all__ = ["Settings"]


class Settings(BaseSettings):
    """The settings of `server.app.create_app`: given by name, or read from ``CHAT_…`` variables."""

    model_config = SettingsConfigDict(
        env_prefix="CHAT_",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,  # a key must not be logged, even one that is too short
        use_attribute_docstrings=True,
    )

    key: SecretStr | None = Field(default=None, min_length=32)
    """The secret that signs and verifies tokens and tickets (HS256), 32 characters or more."""

    demo_login: bool = False
    """Whether anyone may log in under any name, without a password. For lessons and demonstrations only."""

    classroom: bool = False
    """Whether a teacher can watch every connection, slow it down and cut it: one server for a class."""

    origins: tuple[str, ...] = ()
    """Other origins whose pages may connect, such as ``["https://example.com"]``; the server's own pages always may."""

    hosts: tuple[str, ...] = ()
    """Host names under which this server may be reached, such as ``["chat.example.com"]``; an IP address is always
    allowed. If the list is empty or has ``*``, every name is allowed, except that with a demo login or a class
    ``python -m server`` allows only the names of this machine."""

    session_seconds: int = Field(default=8 * 3600, gt=0)
    """Seconds until a demo login expires and its connections are closed (4001)."""

    ticket_seconds: int = Field(default=30, gt=0)
    """Seconds until a ticket expires."""

    logins_per_second: float = Field(default=10.0, gt=0)
    """Logins (of the demo) per second from one address, on average; more get HTTP 429. In IPv6, addresses with the
    same first 64 bits count as one."""

    login_burst: int = Field(default=200, gt=0)
    """Logins from one address at once, before `logins_per_second` applies; a whole school may share an address."""

    tickets_per_second: float = Field(default=1.0, gt=0)
    """Tickets per second for one user, on average; more get HTTP 429."""

    ticket_burst: int = Field(default=100, gt=0)
    """Tickets for one user at once, before `tickets_per_second` applies."""

    metrics: bool = True
    """Whether ``/metrics`` serves the metrics of this process for Prometheus."""

    connections: int = Field(default=10_000, gt=0)
    """Connections in total; one more is refused with HTTP 503, a page with 1013."""

    connections_per_user: int = Field(default=40, gt=0)
    """Connections of one user; one more closes the oldest (4004)."""

    devices_per_user: int = Field(default=5, gt=0)
    """Devices of one user; one more closes the oldest (4004)."""

    broker: str = "memory:"
    """Where messages are stored: ``memory:``, ``sqlite:PATH`` to survive a restart, or ``valkey://HOST:PORT/0`` for
    several processes and machines (``redis://`` and, with TLS, ``valkeys://`` and ``rediss://`` as well)."""

    history_messages: int = Field(default=1_000, gt=0)
    """Messages that are stored for each room; the oldest are dropped."""

    history_seconds: float = Field(default=7 * 24 * 3600.0, gt=0)
    """Seconds until a message expires."""

    inboxes: str | None = None
    """Where notifications are stored, as for `broker`; by default next to the messages, in a file or keyspace."""

    inbox_notifications: int = Field(default=1_000, gt=0)
    """Notifications that are stored for each user; the oldest are dropped, read or not."""

    inbox_seconds: float = Field(default=30 * 24 * 3600.0, gt=0)
    """Seconds until a notification expires."""

    pushes_per_second: float = Field(default=100.0, gt=0)
    """Notifications per second from one push token, on average; more get HTTP 429."""

    push_burst: int = Field(default=1_000, gt=0)
    """Notifications from one push token at once, before `pushes_per_second` applies."""

    message_bytes_per_day: int = Field(default=100_000_000, gt=0)
    """Bytes of messages that one user may store at once, and in 24 hours on average; more get an error."""

    pushed_bytes_per_day: int = Field(default=2_000_000_000, gt=0)
    """Bytes of notifications from one push token at once, and in 24 hours on average; more get HTTP 429."""

    bot: bool = False
    """Whether ``/answers`` streams the answers of a model, for the page's ``@bot`` too; with the demo login it does in
    any case. A fake model answers, unless the app was made with another one."""

    answer_tokens: int = Field(default=500, gt=0)
    """Tokens of the longest answer; there it ends (``length``)."""

    answers_per_user: int = Field(default=2, gt=0)
    """Answers that are made for one user at once; one more gets an error."""

    answer_tokens_per_day: int = Field(default=50_000, gt=0)
    """Tokens that the model may make for one user at once, and in 24 hours on average; there the answer ends
    (``budget``)."""

    answer_grace_seconds: float = Field(default=5.0, gt=0)
    """Seconds that the model waits for a reader whose connection was lost; one who closes it isn't waited for."""

    answer_silence_seconds: float = Field(default=5.0, gt=0)
    """Seconds without a sign of life from the process that asks the model, after which the answer ends
    (``interrupted``); and from a process with readers, after which it has none."""

    answer_seconds: float = Field(default=3600.0, gt=0)
    """Seconds for which an answer is stored, and can be read and resumed."""

    rooms_per_connection: int = Field(default=50, gt=0)
    """Rooms that one connection may join; one more gets an error."""

    message_bytes: int = Field(default=16_384, gt=0)
    """Bytes of one message from a client; a longer one closes the connection (1009)."""

    message_frames: int = Field(default=256, gt=0)
    """Frames of one message from a client, which may send it in fragments; one more closes the connection (1009)."""

    messages_per_second: float = Field(default=5.0, gt=0)
    """Messages per second from one user, on average; more close the connection (4002)."""

    message_burst: int = Field(default=50, gt=0)
    """Messages from one user at once, before `messages_per_second` applies."""

    joins_per_second: float = Field(default=20.0, gt=0)
    """Messages that join, leave or watch, per second from one user, on average; more close the connection (4002)."""

    outbox_messages: int = Field(default=256, gt=0)
    """Messages in the outbox of one connection; one more closes it (4008)."""

    outbox_bytes: int = Field(default=1 << 20, gt=0)
    """Bytes in the outbox of one connection; more close it (4008)."""

    send_seconds: float = Field(default=10.0, gt=0)
    """Seconds until a connection that reads nothing from its outbox is closed (4008), and again until its socket is
    aborted if it doesn't read the close frame either."""

    request_seconds: int = Field(default=5, gt=0)
    """Seconds in which an HTTP request must be complete, and after which an idle HTTP connection is closed."""

    idle_seconds: float | None = Field(default=None, gt=0)
    """Seconds without a message from the client until it is closed (1008); none: it may listen forever.

    The chat's page sends a ping after 20 s without a message, so it stays. A dead client is detected by
    `ping_seconds`, not by this.
    """

    ping_seconds: float = Field(default=20.0, gt=0)
    """Seconds between two pings to each client; a connection that doesn't answer one in the same time is closed."""

    grace_seconds: float = Field(default=5.0, ge=0)
    """Seconds that a user stays present after losing the connection, so that a page may reload."""

    @field_validator("key")
    @classmethod
    def _check_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None:
            try:
                key.get_secret_value().encode()
            except UnicodeEncodeError:
                raise ValueError("the secret has bytes that are not UTF-8; use letters and digits") from None
        return key

    @field_validator("origins")
    @classmethod
    def _check_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            parse_origin(origin)
        return origins

    @field_validator("hosts")
    @classmethod
    def _check_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(parse_host(host) for host in hosts)

    @property
    def join_burst(self) -> int:
        """Joins and watches of one user at once: enough to rejoin every room on every connection."""
        return self.connections_per_user * (self.rooms_per_connection + 1)

    @property
    def broker_limits(self) -> Limits:
        """How much the broker stores for each room."""
        return Limits(records=self.history_messages, seconds=self.history_seconds)

    @property
    def inbox_limits(self) -> Limits:
        """How much is stored for each inbox."""
        return Limits(records=self.inbox_notifications, seconds=self.inbox_seconds)

    @property
    def answer_limits(self) -> Limits:
        """How much is stored for each answer: its tokens, and how it began and ended."""
        return Limits(
            records=self.answer_tokens + 2,
            seconds=self.answer_seconds,
            key_seconds=self.answer_seconds,
            empty_seconds=self.answer_seconds,
        )

    @property
    def inbox_url(self) -> str:
        """Where notifications are stored: `inboxes`, or a place next to `broker`."""
        return self._beside_messages("inboxes") if self.inboxes is None else self.inboxes

    @property
    def answers_url(self) -> str:
        """Where answers are stored: a place next to `broker`."""
        return self._beside_messages("answers")

    @property
    def has_bot(self) -> bool:
        """Whether answers are served."""
        return self.bot or self.demo_login

    def _beside_messages(self, name: str) -> str:
        """Return the address of a log of its own, in the same engine or folder as the messages."""
        scheme, _, rest = self.broker.partition(":")
        if scheme == "memory":
            return self.broker
        if scheme == "sqlite":
            path = Path(rest)
            return f"{scheme}:{path.with_name(f'{path.stem}-{name}{path.suffix}')}"
        parts = urlsplit(self.broker)
        query = dict(parse_qsl(parts.query))
        query["prefix"] = f"{query.get('prefix', 'chat')}-{name}"
        return parts._replace(query=urlencode(query)).geturl()

    @property
    def uvicorn_options(self) -> dict[str, Any]:
        """The options that uvicorn needs: ``serve(app, **settings.uvicorn_options)``.

        The app refuses a message that is too big in any case, but only uvicorn can refuse it before
        it is held in memory; by default it accepts 16 MiB. The protocol sends one frame to many connections cheaply
        (`server.wire.protocol`) and doesn't compress: for small messages, compression would cost half of the
        throughput and 33 KiB for each connection.
        """
        return {
            "http": "server.wire.http_protocol:DeadlineHttpProtocol",
            "ws": "server.app.classroom.throttle:ThrottledProtocol"
            if self.classroom
            else "server.wire.limited_protocol:LimitedProtocol",
            "timeout_keep_alive": self.request_seconds,
            "ws_ping_interval": self.ping_seconds,
            "ws_ping_timeout": self.ping_seconds,
            "ws_max_size": self.message_bytes,
            "ws_per_message_deflate": False,
        }
