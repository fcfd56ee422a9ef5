"""The command line of ``python -m server``: every setting as a flag, and the options of the process itself."""

from __future__ import annotations

import json
import os
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import CliApp, SettingsConfigDict, SettingsError

from ..access.auth import signing_key
from ..broker import BrokerError, open_broker
from ..errors import StartError
from ..handshake import parse_host
from ..settings import Settings
from .log_format import log_config

__all__ = ["Command", "parse", "settings_error"]


def _file(path: Path) -> Path:
    try:
        if path.is_file() and os.access(path, os.R_OK):
            return path
    except OSError as error:
        raise ValueError(f"not a possible path ({error.strerror})") from None
    raise ValueError("not a readable file")


ReadableFile = Annotated[Path, AfterValidator(_file)]


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
    """The address to listen on; ``0.0.0.0`` for every network that this machine is in, ``::`` for IPv6 as well."""

    port: int = Field(default=8000, ge=0, le=65_535)
    """The port to listen on; 0 for a free one."""

    broker: str = "sqlite:data/chat.sqlite"
    """Where messages are stored: ``sqlite:PATH``, ``memory:`` until the process ends, or ``valkey://HOST:PORT/0`` for
    several processes and machines (``redis://`` and, with TLS, ``valkeys://`` and ``rediss://`` as well)."""

    workers: int = Field(default=1, ge=1, le=64)
    """Processes on this machine; more than one needs a ``valkey://`` broker between them, and has no ``/metrics``."""

    tls_cert: ReadableFile | None = None
    """The file with the certificate chain, to serve https and wss; not needed behind a proxy that does TLS."""

    tls_key: ReadableFile | None = None
    """The file with the certificate's private key, without a pass phrase."""

    trusted_proxies: str = "127.0.0.1"
    """Addresses or networks of proxies that may name the client (X-Forwarded-For), separated by commas; ``none`` trusts
    no one. The default trusts every program on this machine, because nginx is one of them: use ``none`` on a machine
    without a proxy where other people can run programs."""

    drain_seconds: int = Field(default=10, ge=0)
    """Seconds that connections get after SIGTERM to read the rest of their messages and the close code 1012."""

    log_format: Literal["text", "json"] = "text"
    """``json`` writes one object per line."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level that is logged. Tokens and messages are not logged at any level."""

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, text: str) -> str:
        proxies = [one.strip() for one in text.split(",")]
        if proxies == ["none"]:
            return "none"
        for proxy in proxies:
            try:
                ip_network(proxy)
            except ValueError as error:
                raise ValueError(
                    f"{proxy!r} is not an address or a network ({error}); write such as '10.0.0.7' or '10.0.0.0/8', "
                    "or 'none'"
                ) from None
        return ",".join(proxies)

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that give a worker process these `Settings`."""
        found: dict[str, str] = {}
        for name in Settings.model_fields:
            value = getattr(self, name)
            if name == "key":
                value = signing_key(self)  # with the demo login it is random, and must be the same in every worker
            if name == "metrics" and self.workers > 1:
                value = False  # each worker has numbers of its own, and any of them may answer
            if value is not None:
                found[f"CHAT_{name.upper()}"] = value if isinstance(value, str) else json.dumps(value)
        return found

    @property
    def server_options(self) -> dict[str, Any]:
        """The options for `uvicorn.Config`."""
        return self.uvicorn_options | {
            "host": self.host,
            "port": self.port,
            "workers": self.workers,
            "ssl_certfile": self.tls_cert,
            "ssl_keyfile": self.tls_key,
            "proxy_headers": True,
            "forwarded_allow_ips": "" if self.trusted_proxies == "none" else self.trusted_proxies,
            "timeout_graceful_shutdown": self.drain_seconds,
            # the default of 5 s kills a worker that is slow to start on a busy machine
            "timeout_worker_healthcheck": 20,
            "log_config": log_config(self.log_format, self.log_level),
            "server_header": False,
        }


def parse(arguments: Sequence[str]) -> Command:
    """Parse the flags and the environment, and check how the settings fit together.

    Raises:
        StartError: a setting is not allowed; the message names it, its value, and what is allowed.
        SystemExit: a flag does not exist (2), or help was asked for (0).
    """
    try:
        command = CliApp.run(Command, cli_args=list(arguments))
    except (ValidationError, SettingsError) as error:
        raise settings_error(error) from None
    for flag, url in (("broker", command.broker), ("inboxes", command.inboxes)):
        try:
            open_broker("memory:" if url is None else url)
        except BrokerError as error:
            raise StartError(f"--{flag} (or CHAT_{flag.upper()}): {error}") from None
    if command.classroom:
        host = command.host if "host" in command.model_fields_set else "0.0.0.0"
        command = command.model_copy(update={"demo_login": True, "host": host})
    for flag, url in (("broker", command.broker), ("inboxes", command.inbox_url)):
        scheme = url.partition(":")[0]
        if command.workers > 1 and scheme in ("sqlite", "memory"):
            raise StartError(
                f"--workers {command.workers} need a broker that they share, and {url!r} is for one process; "
                f"use --{flag} valkey://HOST:PORT, or --workers 1"
            )
    if command.classroom and command.workers > 1:
        raise StartError(f"--classroom shows the connections of one process, not of {command.workers}; use --workers 1")
    if (command.demo_login or command.classroom) and not command.hosts:
        command = command.model_copy(update={"hosts": _local_hostnames(command)})
    _check_tls(command.tls_cert, command.tls_key)
    signing_key(command)
    for url in (command.broker, command.inbox_url, command.answers_url):
        scheme, _, path = url.partition(":")
        if scheme == "sqlite":
            _make_folder(Path(path).parent, url)
    return command


def _local_hostnames(command: Command) -> tuple[str, ...]:
    """Return the names of this machine, because an attacker can point another name to it (DNS rebinding)."""
    name = socket.gethostname()
    names = ["localhost", "*.localhost", name, f"{name}.local", command.host]
    names += [urlsplit(origin).hostname or "" for origin in command.origins]
    with suppress(ValueError):  # the lookup failed
        names.append(socket.getfqdn())
    own: dict[str, None] = {}
    for one in names:
        with suppress(ValueError):  # the machine's name may not be a valid host
            own[parse_host(one)] = None
    return tuple(own)


def _check_tls(cert: Path | None, key: Path | None) -> None:
    if (cert is None) != (key is None):
        raise StartError("--tls-cert and --tls-key go together; give both or neither")
    if cert is None:
        return
    try:
        # without this, OpenSSL would ask for a pass phrase at the terminal
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except OSError as error:
        reason = getattr(error, "reason", None) or "one is not in PEM, or the key has a pass phrase"
        raise StartError(
            f"--tls-cert {str(cert)!r} and --tls-key {str(key)!r} cannot be used ({reason}); name a "
            "certificate chain and the private key of its first certificate, in PEM and without a pass phrase"
        ) from None


def _make_folder(folder: Path, url: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(
            f"the folder of {url!r} cannot be made ({error.strerror}); name a file in a folder that you may write to"
        ) from None


def settings_error(error: ValidationError | SettingsError) -> StartError:
    """Return an error that lists each wrong setting with its flag, its value and what is allowed."""
    if isinstance(error, SettingsError):  # a list that isn't JSON; only the message says which one
        name = next((name for name in ("origins", "hosts") if name in str(error)), "")
        value = os.environ.get(f"CHAT_{name.upper()}", "")
        return StartError(
            f'--{name} {value!r} (or CHAT_{name.upper()}): write the list as JSON, such as \'["ONE", "TWO"]\''
        )
    return StartError("\n".join(_sentence(detail) for detail in error.errors(include_url=False)))


def _sentence(detail: Any) -> str:
    """Return one of pydantic's errors as flag, value and what is allowed."""
    name = str(detail["loc"][0]) if detail["loc"] else ""
    value = "" if name == "key" or isinstance(detail["input"], SecretStr) else f" {detail['input']!r}"
    message = detail["msg"].removeprefix("Value error, ")
    return f"--{name.replace('_', '-')}{value} (or CHAT_{name.upper()}): {message[:1].lower()}{message[1:]}"
