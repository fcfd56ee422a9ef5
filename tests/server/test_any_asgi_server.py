"""The portable outbox under other servers than uvicorn's default: order, isolation, a close frame with a reason."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from websockets.frames import Opcode
from websockets.sync.client import ClientConnection, connect

from tests.ports import free_ports

APP = "tests.server.any_asgi_app:app"
COMMANDS = {
    "hypercorn": ("hypercorn", "--bind", "127.0.0.1:{port}", APP),
    "granian": ("granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}", APP),
    "uvicorn, wsproto": ("uvicorn", "--ws", "wsproto", "--port", "{port}", APP),
}
OTHERS = 3
AT_ONCE = 200  # messages: fewer than an outbox takes for a client that a busy machine has no time for
DEADLINE = 60.0  # seconds


@dataclass(frozen=True)
class Running:
    """A server process, and the file that it logs into."""

    port: int
    log: str

    def connect(self) -> ClientConnection:
        """Connect a client."""
        return connect(
            f"ws://127.0.0.1:{self.port}/ws", proxy=None, compression=None, max_queue=None, open_timeout=DEADLINE
        )


@pytest.fixture(scope="module", params=COMMANDS)
def running(request: pytest.FixtureRequest) -> Iterator[Running]:
    """Each server in turn, as a process of its own; it is ended by its group's id."""
    (port,) = free_ports(1)
    command = [part.format(port=port) for part in COMMANDS[request.param]]
    with tempfile.NamedTemporaryFile("w+") as log:
        process = subprocess.Popen([sys.executable, "-m", *command], stdout=log, stderr=log, start_new_session=True)
        try:
            server = Running(port, log.name)
            await_start(server, process)
            yield server
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def await_start(server: Running, process: subprocess.Popen[bytes]) -> None:
    """Wait until somebody listens."""
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            with server.connect():
                assert process.poll() is None, "somebody else listens on its port"
                return
        except OSError:
            with open(server.log) as log:
                assert process.poll() is None, log.read()
                assert time.monotonic() < deadline, log.read()
            time.sleep(0.05)


def say(client: ClientConnection, number: int, size: int) -> None:
    """Have a text of this size sent to everybody."""
    client.send(json.dumps({"type": "say", "id": number, "text": "x" * size}))


def heard(client: ClientConnection) -> int:
    """The number of the next message."""
    number: int = json.loads(client.recv(timeout=DEADLINE))["id"]
    return number


def mute(port: int) -> socket.socket:
    """Connect a client that reads its handshake and then nothing, with a small buffer."""
    silent = socket.socket()
    silent.settimeout(DEADLINE)
    silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    silent.connect(("127.0.0.1", port))
    silent.sendall(
        b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += silent.recv(1)
    assert head.startswith(b"HTTP/1.1 101")
    return silent


def test_everybody_receives_everything_in_order(running: Running) -> None:
    """Three hundred messages, sent two hundred at a time, come to all: once, and in order."""
    with ExitStack() as stack:
        clients = [stack.enter_context(running.connect()) for _ in range(1 + OTHERS)]
        for numbers in (range(AT_ONCE), range(AT_ONCE, 300)):
            for number in numbers:
                say(clients[0], number, 50)
            for client in clients:
                assert [heard(client) for _ in numbers] == list(numbers)


def test_many_senders_at_once_do_not_close_each_other(running: Running) -> None:
    """Ten people who say two hundred things each, twenty at a time, get all two thousand."""
    with ExitStack() as stack:
        clients = [stack.enter_context(running.connect()) for _ in range(10)]
        for first in range(0, 200, AT_ONCE // 10):
            numbers = range(first, first + AT_ONCE // 10)
            for number in numbers:
                for client in clients:
                    say(client, number, 50)
            for client in clients:
                assert sorted(heard(client) for _ in range(AT_ONCE)) == sorted(10 * list(numbers))


def test_a_peer_that_reads_nothing_costs_the_others_nothing_and_is_told_why(running: Running) -> None:
    """The others hear each of 12 MB at once; the mute gets what it was sent, whole frames, and then 4008."""
    with ExitStack() as stack:
        clients = [stack.enter_context(running.connect()) for _ in range(1 + OTHERS)]
        with mute(running.port) as silent:
            for number in range(600):
                say(clients[0], number, 20_000)
                assert [heard(client) for client in clients] == [number] * len(clients)
            assert ended(silent) == (4008, "read faster")
        say(clients[0], 600, 10)
        assert heard(clients[0]) == 600
    with open(running.log) as log:
        assert "Traceback" not in log.read()


def ended(silent: socket.socket) -> tuple[int, str]:
    """Read whole text frames until a close frame comes: its code, and the last words of its reason."""
    with silent.makefile("rb") as stream:
        while (head := stream.read(2))[0] & 0x0F == Opcode.TEXT:
            assert head[1] == 126
            stream.read(int.from_bytes(stream.read(2)))
        assert head[0] & 0x0F == Opcode.CLOSE
        close = stream.read(head[1])
    return int.from_bytes(close[:2]), close[2:].decode().rpartition("; ")[2]
