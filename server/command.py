"""The command line of ``python -m server``: every setting as a flag, and what only a process of its own needs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, FilePath, SecretStr, ValidationError
from pydantic_settings import CliApp, SettingsConfigDict

from .errors import StartError
from .identity import key_of
from .settings import Settings
from .structured_log import log_config

__all__ = ["Command", "parse", "refusal"]


class Command(Settings):
    """Serve the chat and its page until SIGTERM or Ctrl-C.

    Every flag is also an environment variable: --message-bytes is CHAT_MESSAGE_BYTES. A flag wins.
    For tokens see: python -m server token --help
    """

    model_config = SettingsConfigDict(
        cli_prog_name="python -m server",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
    )

    host: str = "127.0.0.1"
    """The address to listen on; ``0.0.0.0`` or ``::`` for every network that this machine is in."""

    port: int = Field(default=8000, ge=0, le=65_535)
    """The port to listen on; 0 for a free one."""

    broker: str = "sqlite:data/chat.sqlite"
    """Where what is said is kept: ``sqlite:PATH``, ``memory:`` to forget it at the end, or ``valkey://HOST:PORT/0`` for
    several processes and machines (``redis://`` and, with TLS, ``valkeys://`` and ``rediss://`` as well)."""

    workers: int = Field(default=1, ge=1, le=64)
    """Processes on this machine; more than one needs a ``valkey://`` broker between them, and has no ``/metrics``."""

    tls_cert: FilePath | None = None
    """The file with the certificate chain, to be served as https and wss; not needed behind a proxy that does that."""

    tls_key: FilePath | None = None
    """The file with the certificate's private key."""

    trusted_proxies: str = "127.0.0.1"
    """Addresses or networks of proxies that are believed when they name the client (X-Forwarded-For), with commas."""

    drain_seconds: int = Field(default=10, ge=0)
    """Seconds that connections get at SIGTERM to take what waits for them, and their 1012, before they are cut."""

    log_format: Literal["text", "json"] = "text"
    """``json`` writes one object for each line."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important that is logged; neither tokens nor messages are, at any level."""

    @property
    def environment(self) -> dict[str, str]:
        """What a worker process finds in its environment, so that its `Settings` are these."""
        found: dict[str, str] = {}
        for name in Settings.model_fields:
            value = getattr(self, name)
            if name == "key":
                value = key_of(self)  # with the demo login one is made up, and has to be the same for all
            if name == "metrics" and self.workers > 1:
                value = False  # the numbers of whichever process answers would be none
            if value is not None:
                found[f"CHAT_{name.upper()}"] = value if isinstance(value, str) else json.dumps(value)
        return found

    @property
    def server_options(self) -> dict[str, Any]:
        """For `uvicorn.run`."""
        return self.uvicorn_options | {
            "host": self.host,
            "port": self.port,
            "workers": self.workers,
            "ssl_certfile": self.tls_cert,
            "ssl_keyfile": self.tls_key,
            "proxy_headers": True,
            "forwarded_allow_ips": self.trusted_proxies,
            "timeout_graceful_shutdown": self.drain_seconds,
            "log_config": log_config(self.log_format, self.log_level),
            "server_header": False,
        }


def parse(arguments: Sequence[str]) -> Command:
    """Read the flags and the environment, and check what no single setting can know.

    Raises:
        StartError: a setting is not allowed; the message names it, its value, and what is.
        SystemExit: a flag does not exist (2), or help was asked for (0).
    """
    try:
        command = CliApp.run(Command, cli_args=list(arguments))
    except ValidationError as error:
        raise refusal(error) from None
    if command.classroom:
        host = command.host if "host" in command.model_fields_set else "0.0.0.0"
        command = command.model_copy(update={"demo_login": True, "host": host})
    for flag, where in (("broker", command.broker), ("inboxes", command.inbox_url)):
        scheme, _, path = where.partition(":")
        if command.workers > 1 and scheme in ("sqlite", "memory"):
            raise StartError(
                f"--workers {command.workers} need a log that they share, and {where!r} is for one process; "
                f"use --{flag} valkey://HOST:PORT, or --workers 1"
            )
    if command.classroom and command.workers > 1:
        raise StartError(f"--classroom shows the connections of one process, not of {command.workers}; use --workers 1")
    if (command.tls_cert is None) != (command.tls_key is None):
        raise StartError("--tls-cert and --tls-key go together; give both or neither")
    key_of(command)
    for where in (command.broker, command.inbox_url):
        scheme, _, path = where.partition(":")
        if scheme == "sqlite":
            Path(path).parent.mkdir(parents=True, exist_ok=True)
    return command


def refusal(error: ValidationError) -> StartError:
    """What is wrong with the settings: for each the flag, its value and what is allowed."""
    return StartError("\n".join(_sentence(detail) for detail in error.errors(include_url=False)))


def _sentence(detail: Any) -> str:
    """One error of pydantic's, as the flag, its value and what is allowed."""
    name = str(detail["loc"][0]) if detail["loc"] else ""
    value = "" if name == "key" or isinstance(detail["input"], SecretStr) else f" {detail['input']!r}"
    message = detail["msg"].removeprefix("Value error, ")
    return f"--{name.replace('_', '-')}{value} (or CHAT_{name.upper()}): {message[:1].lower()}{message[1:]}"
