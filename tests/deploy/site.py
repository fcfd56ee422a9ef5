"""A site as an operator sets it up, on free ports and in a new folder: an engine, two servers, and nginx with TLS."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import trustme
from lab.servers.valkey import Engine

from server.run.registry import discard
from tests.ports import free_ports

from .wss import Connection, connect

__all__ = ["CONFIGURATION", "CONNECTIONS", "DEADLINE", "NAME", "Site", "nginx", "until"]

DEADLINE = 60.0  # seconds that anything here may take, on a very busy machine
NAME = "localhost"
KEY = "a secret of thirty-two characters"
CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx.conf"
CONNECTIONS = 30  # from one address; no test needs to open a thousand
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def nginx() -> str | None:
    """Return the path of nginx, which may not be on the PATH of a user."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def until(holds: Callable[[], Any], what: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, f"not within {DEADLINE:g} s: {what}"
        time.sleep(0.02)


class Server:
    """One ``python -m server``, as its unit starts it."""

    def __init__(self, folder: Path, environment: dict[str, str], port: int) -> None:
        self._arguments = (folder, environment)
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "server", "--port", str(port), "--log-format", "json"],
            cwd=folder,
            env={name: value for name, value in os.environ.items() if not name.startswith("CHAT_")} | environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"deployed-{self._process.pid}", daemon=True)
        self._reader.start()

    @property
    def port(self) -> int:
        """Where it listens, once it does."""
        until(lambda: self._running() or self._process.poll() is not None, "the server starts")
        found = self._running()
        assert found, "\n".join(self.lines)
        return int(found[1])

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """The exit status."""
        return self._process.wait(DEADLINE)

    def again(self, port: int) -> Server:
        """Another one like it."""
        return Server(*self._arguments, port)

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()
        self._reader.join(DEADLINE)

    def _running(self) -> re.Match[str] | None:
        matches = (re.search(r"running on http://127\.0\.0\.1:(\d+)", line) for line in tuple(self.lines))
        return next((match for match in matches if match), None)

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for line in stream:
                self.lines.append(json.loads(line)["message"])


class Site:
    """All of it; a context manager. What it serves is for clients of `address`, who trust `tls`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers: list[Server] = []
        self.engine = Engine()
        self.port, self.plain_port, *self._server_ports = free_ports(4)
        self.address = f"https://{NAME}:{self.port}"
        authority = trustme.CA()
        self.tls = ssl.create_default_context()
        authority.configure_trust(self.tls)
        self._certificate = authority.issue_cert(NAME)
        self._nginx: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        try:
            self.engine.start()
            discard(self.engine)  # what stop_all() ends after each test is not meant to be this one
            environment = {
                "CHAT_KEY": KEY,
                "CHAT_DEMO_LOGIN": "true",
                "CHAT_GRACE_SECONDS": "0",
                "CHAT_BROKER": f"{self.engine.url}?prefix={self.engine.prefix}",
            }
            self.servers = [Server(self.folder, environment, port) for port in self._server_ports]
            self._start_nginx()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._nginx is not None:
            self._nginx.send_signal(signal.SIGTERM)
            self._nginx.communicate(timeout=DEADLINE)
        for server in self.servers:
            server.end()
        self.engine.stop()

    def log(self, name: str = "access") -> str:
        """What nginx has logged."""
        return (self.folder / f"{name}.log").read_text()

    @contextmanager
    def client(self, user: str | None = None, **options: Any) -> Iterator[httpx.Client]:
        """Somebody's browser, as far as HTTP goes; logged in under a name."""
        headers = {"Origin": self.address}
        with httpx.Client(
            base_url=self.address, verify=self.tls, trust_env=False, headers=headers, timeout=DEADLINE, **options
        ) as client:
            if user is not None:
                client.post("/login", json={"name": user}).raise_for_status()
            yield client

    def connect(self, client: httpx.Client, *, origin: str | None = None) -> AbstractContextManager[Connection]:
        """A WebSocket of a page that the client shows."""
        ticket = client.post("/ticket").raise_for_status().json()["ticket"]
        where = f"{self.address.replace('https', 'wss')}/ws?ticket={ticket}"
        return connect(where, tls=self.tls, origin=origin or self.address)

    def _start_nginx(self) -> None:
        program = nginx()
        assert program is not None
        (self.folder / "nginx.conf").write_text(self._rendered())
        (self.folder / "privkey.pem").write_bytes(self._certificate.private_key_pem.bytes())
        chain = b"".join(blob.bytes() for blob in self._certificate.cert_chain_pems)
        (self.folder / "fullchain.pem").write_bytes(chain)
        # root's workers would be somebody who may not look into a folder of the tests
        globally = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
        command = [program, "-p", str(self.folder), "-c", "nginx.conf", "-e", "stderr", "-g", globally]
        self._nginx = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        until(self._answers, "nginx starts")

    def _answers(self) -> bool:
        assert self._nginx is not None
        if self._nginx.poll() is not None:
            raise AssertionError(self._nginx.communicate()[1])
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _rendered(self) -> str:
        """The file that operators copy, with the places that are theirs to change."""
        text = CONFIGURATION.read_text()
        places = {
            "listen 443": f"listen 127.0.0.1:{self.port}",
            "listen 80 ": f"listen 127.0.0.1:{self.plain_port} ",
            "chat.example.com": NAME,
            "/etc/chat/tls/": f"{self.folder}/",
            "/var/log/nginx/": f"{self.folder}/",
            "/run/nginx.pid": f"{self.folder}/nginx.pid",
            "127.0.0.1:8001": f"127.0.0.1:{self.servers[0].port}",
            "127.0.0.1:8002": f"127.0.0.1:{self.servers[1].port}",
            "limit_conn connections 1000": f"limit_conn connections {CONNECTIONS}",
            # a test that opens so many has to be done before the first of them is given up
            "client_header_timeout 10s": f"client_header_timeout {DEADLINE:g}s",
            "client_body_timeout 10s": f"client_body_timeout {DEADLINE:g}s",
        }
        for theirs, ours in places.items():
            assert theirs in text, theirs
            text = text.replace(theirs, ours)
        # the places of Debian's nginx are root's
        folders = "".join(f"{name}_temp_path {self.folder}/{name};" for name in TEMPORARY)
        return text.replace("http {", f"http {{ {folders}", 1)
