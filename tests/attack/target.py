"""The server under attack, ``python -m server`` in a process of its own, and what it costs there."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
from websockets.sync.client import ClientConnection, connect

from server.access.tokens import issue_session

from .frames import answers

__all__ = ["DEADLINE", "KEY", "Target", "read_all", "until"]

DEADLINE = 60.0  # seconds that anything here may take, on a machine with much else to do
KEY = "a secret of thirty-two characters"
SAMPLE_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
LAUNCH = """
import os
import sys
from server.__main__ import main
from server.settings import Settings
options = Settings.uvicorn_options.fget
ways_in = {"ws_per_message_deflate": "COMPRESSED" in os.environ, "loop": os.environ.get("LOOP", "auto")}
if "UNGUARDED" in os.environ:
    ways_in |= {"http": "auto", "ws": "server.wire.protocol:FanoutProtocol"}
Settings.uvicorn_options = property(lambda self: options(self) | ways_in)
sys.exit(main())
"""


def until(condition: Callable[[], bool], *, seconds: float = DEADLINE) -> bool:
    """Wait until the condition holds; False if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class Target:
    """A server of its own; further options are settings: ``Target(messages_per_second=5)``."""

    def __init__(self, *, guarded: bool = True, compressed: bool = False, patience: int = 5, **settings: Any) -> None:
        wishes = {"COMPRESSED": compressed, "UNGUARDED": not guarded}
        self._options = {name: "1" for name, wish in wishes.items() if wish}
        self._settings = {"broker": "memory:", "port": 0, "grace_seconds": 0, "request_seconds": patience} | settings
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  # a pipe that nobody reads would stop the server
        self.port = 0

    def __enter__(self) -> Self:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CHAT_")}
        environment |= {"CHAT_KEY": KEY} | self._options
        for name, value in self._settings.items():
            environment[f"CHAT_{name.upper()}"] = value if isinstance(value, str) else json.dumps(value)
        command = [sys.executable, "-c", LAUNCH]
        root = Path(__file__).parents[2]
        self._child = subprocess.Popen(command, stderr=self._log, cwd=root, env=environment)
        self.process = psutil.Process(self._child.pid)
        if not until(lambda: "running on" in self.log or not self.is_up, seconds=2 * DEADLINE):
            self._child.kill()
        found = re.search(r"running on http://\S+:(\d+)", self.log)
        assert found, self.log
        self.port = int(found[1])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._child.kill()
        self._child.wait()
        self._log.close()

    # what it costs

    @property
    def is_up(self) -> bool:
        """Whether the process runs."""
        return self._child.poll() is None

    @property
    def memory(self) -> int:
        """Bytes of its resident memory."""
        return int(self.process.memory_info().rss)

    @property
    def sockets(self) -> int:
        """Descriptors that are open, of connections and of everything else."""
        return int(self.process.num_fds())

    def sockets_of(self, raw: socket.socket) -> int:
        """How many sockets it has that lead to this one: 1, or 0 when it has let go."""
        port = raw.getsockname()[1]
        return sum(bool(one.raddr) and one.raddr.port == port for one in self.process.net_connections("tcp4"))

    @property
    def log(self) -> str:
        """What it has logged."""
        return os.pread(self._log.fileno(), 1 << 22, 0).decode(errors="replace")

    # ways in

    def token(self, name: str, *, seconds: int = 3600, scope: str = "") -> str:
        """A token that proves a name."""
        return issue_session(name, key=KEY, seconds=seconds, scope=scope)

    def client(self, name: str, **options: Any) -> ClientConnection:
        """A well-behaved client under this name."""
        headers = {"Authorization": f"Bearer {self.token(name)}"}
        settings: dict[str, Any] = {
            "proxy": None,
            "compression": None,
            "open_timeout": DEADLINE,
            "close_timeout": DEADLINE,
            "max_queue": None,
        }
        client: ClientConnection = connect(
            f"ws://127.0.0.1:{self.port}/ws", additional_headers=headers, **(settings | options)
        )
        return client

    def raw(self, *, receive: int = 0) -> socket.socket:
        """A socket that is connected, and nothing more; its system takes few bytes for it if `receive` says so."""
        raw = socket.socket()
        raw.settimeout(DEADLINE)
        if receive:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        raw.connect(("127.0.0.1", self.port))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return raw

    def request(self, name: str | None, *headers: str, path: str = "/ws", host: str = "") -> bytes:
        """The bytes of a handshake."""
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {host or f'127.0.0.1:{self.port}'}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {SAMPLE_KEY}",
            *([] if name is None else [f"Authorization: Bearer {self.token(name)}"]),
            *headers,
        ]
        return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()

    def upgraded(self, name: str, *headers: str, path: str = "/ws") -> socket.socket:
        """A socket whose handshake is done, for frames that no library would send."""
        raw = self.raw()
        raw.sendall(self.request(name, *headers, path=path))
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += raw.recv(1)
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        return raw

    def answer(self, request: bytes) -> bytes:
        """What comes back: the whole answer, or the first frame after a 101, and whatever follows in a moment."""
        received = bytearray()
        with self.raw() as raw:
            try:
                raw.sendall(request)
                while not _is_whole(received):
                    if not (data := raw.recv(65_536)):
                        return bytes(received)
                    received += data
            except OSError:  # a deadline, or RST
                return bytes(received)
            raw.settimeout(0.1)
            return bytes(received) + read_all(raw)


def _is_whole(received: bytearray) -> bool:
    """Whether this is all of an answer, as its headers tell; without a length, all is what comes until the close."""
    head, end, rest = received.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 101 "):
        return any(True for _ in answers(rest, whole=True))
    length = re.search(rb"\r\ncontent-length: *(\d+)", head.lower())
    return bool(end) and (head.startswith(b"HTTP/1.1 204 ") or (length is not None and len(rest) >= int(length[1])))


def read_all(raw: socket.socket) -> bytes:
    """What comes until the server closes; what came, if it does not within the socket's timeout."""
    received = bytearray()
    try:
        while data := raw.recv(65_536):
            received += data
    except OSError:  # a deadline, or RST
        pass
    return bytes(received)
