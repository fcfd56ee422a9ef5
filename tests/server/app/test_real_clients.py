"""Clients that we did not write, with their defaults: each sends, receives, and learns why it was closed."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websocket
import websockets.asyncio.client
import websockets.sync.client
from websockets.exceptions import ConnectionClosed

from server import BackgroundServer
from server.access.tokens import issue_session
from server.messages import CloseCode
from tests.server.people import KEY, Person, chat

DEADLINE = 60.0  # seconds; Node takes a while to start on a busy machine
NODE = shutil.which("node")
CURL = shutil.which("curl")
OWN = "--experimental-websocket"  # Node's own WebSocket before version 22; harmless after


@dataclass
class Transcript:
    """What one client has heard, and how its connection ended."""

    heard: list[str] = field(default_factory=list)
    code: int | None = None
    reason: str = ""

    def answer(self, text: str, words: str) -> str | None:
        """Note a message, and say what a client says to it."""
        message: dict[str, Any] = json.loads(text)
        match message["type"]:
            case "welcome":
                return '{"type":"join","room":"lobby"}'
            case "joined":
                return json.dumps({"type": "say", "room": "lobby", "text": words})
            case "message":
                self.heard.append(message["text"])
        return None


Client = Callable[[str, str, str], Transcript]
"""Takes an address, a token and something to say; returns when the server has closed the connection."""


def websockets_sync(address: str, token: str, words: str) -> Transcript:
    """websockets, in a thread."""
    found, headers = Transcript(), {"Authorization": f"Bearer {token}"}
    with websockets.sync.client.connect(address, additional_headers=headers, proxy=None) as socket:
        try:
            while True:
                if answer := found.answer(str(socket.recv(timeout=DEADLINE)), words):
                    socket.send(answer)
        except ConnectionClosed as closed:
            found.code, found.reason = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (None, "")
    return found


def websockets_asyncio(address: str, token: str, words: str) -> Transcript:
    """websockets, on a loop."""

    async def talk() -> Transcript:
        found, headers = Transcript(), {"Authorization": f"Bearer {token}"}
        async with websockets.asyncio.client.connect(address, additional_headers=headers, proxy=None) as socket:
            try:
                async for text in socket:
                    if answer := found.answer(str(text), words):
                        await socket.send(answer)
                await socket.recv()
            except ConnectionClosed as closed:
                found.code, found.reason = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (None, "")
        return found

    return asyncio.run(asyncio.wait_for(talk(), DEADLINE))


def aiohttp_client(address: str, token: str, words: str) -> Transcript:
    """Aiohttp."""

    async def talk() -> Transcript:
        found, headers = Transcript(), {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession() as session, session.ws_connect(address, headers=headers) as socket:
            while (message := await socket.receive()).type == aiohttp.WSMsgType.TEXT:
                if answer := found.answer(message.data, words):
                    await socket.send_str(answer)
            assert message.type == aiohttp.WSMsgType.CLOSE
            found.code, found.reason = message.data, message.extra or ""
        return found

    return asyncio.run(asyncio.wait_for(talk(), DEADLINE))


def websocket_client(address: str, token: str, words: str) -> Transcript:
    """websocket-client."""
    found = Transcript()
    socket = websocket.create_connection(address, timeout=DEADLINE, header=[f"Authorization: Bearer {token}"])
    while (frame := socket.recv_data())[0] == websocket.ABNF.OPCODE_TEXT:
        if answer := found.answer(frame[1].decode(), words):
            socket.send(answer)
    assert frame[0] == websocket.ABNF.OPCODE_CLOSE
    found.code, found.reason = int.from_bytes(frame[1][:2], "big"), frame[1][2:].decode()
    socket.shutdown()  # type: ignore[no-untyped-call]
    return found


def node(module: str) -> Client:
    """Node, with `ws` from a folder or with its own WebSocket."""

    def talk(address: str, token: str, words: str) -> Transcript:
        assert NODE is not None
        script = Path(__file__).with_name("node_client.mjs")
        command = [NODE, OWN, str(script), module, address, token, words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout, done.stderr
        return Transcript(**json.loads(done.stdout))

    return talk


@pytest.fixture(params=["websockets_sync", "websockets_asyncio", "aiohttp", "websocket_client", "ws", "node"])
def client(request: pytest.FixtureRequest, node_package: Callable[[str], Path]) -> Client:
    """One after the other."""
    if request.param == "ws":
        return node(str(node_package("ws@8")))
    if request.param == "node":
        if NODE is None:
            pytest.skip("Node is not installed")
        has = subprocess.run([NODE, OWN, "-e", "WebSocket"], capture_output=True, timeout=DEADLINE, check=False)
        if has.returncode:
            pytest.skip("this Node has no WebSocket of its own; version 22 has")
        return node("global")
    clients: dict[str, Client] = {
        "websockets_sync": websockets_sync,
        "websockets_asyncio": websockets_asyncio,
        "aiohttp": aiohttp_client,
        "websocket_client": websocket_client,
    }
    return clients[request.param]


def test_it_talks_and_learns_why_it_was_closed(client: Client, request: pytest.FixtureRequest) -> None:
    """What it says is heard by all, and when another device takes its place it reads the code and the reason."""
    words = f"hello from {request.node.callspec.id}, in every alphabet: żółw 亀 🐢"
    with chat(connections_per_user=1) as room, ThreadPoolExecutor(1) as pool, Person(room.server, "ben") as ben:
        address = room.server.url("/ws")
        token = issue_session("ana", key=KEY, seconds=60)
        if request.node.callspec.id == "node":
            address += f"?ticket={ticket(room.server, token)}"
        conversation = pool.submit(client, address, token, words)
        while (heard := json.loads(ben.socket.recv(timeout=DEADLINE)))["type"] != "message":
            pass
        assert (heard["user"], heard["text"]) == ("ana", words)
        ben.say("good bye")
        ben.receive("message")
        with Person(room.server, "ana"):
            transcript = conversation.result(DEADLINE)
    assert transcript.heard == [words, "good bye"]
    assert transcript.code == CloseCode.REPLACED
    assert transcript.reason


def ticket(server: BackgroundServer, token: str) -> str:
    """A ticket, by curl."""
    answer = json.loads(curl("-X", "POST", "-H", f"Authorization: Bearer {token}", server.http("/ticket")))
    return str(answer["ticket"])


# HTTP, by curl


def curl(*arguments: str) -> str:
    """What curl prints; it fails with the server."""
    if CURL is None:
        pytest.skip("curl is not installed")
    command = [CURL, "--silent", "--show-error", "--fail-with-body", "--noproxy", "*", "--max-time", "10", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, (done.stderr, done.stdout)
    return done.stdout


@contextmanager
def events(*arguments: str) -> Iterator[Iterator[str]]:
    """The lines of a stream of events, by curl, as they come."""
    if CURL is None:
        pytest.skip("curl is not installed")
    command = [CURL, "--silent", "--no-buffer", "--noproxy", "*", "--max-time", "10", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield iter(process.stdout)
        process.kill()


def test_curl_logs_in_and_gets_a_ticket(tmp_path: Path) -> None:
    """The cookie goes into its jar, and comes back with the origin; the ticket opens a WebSocket."""
    jar = str(tmp_path / "jar")
    with chat(demo_login=True) as room:
        origin, to = room.server.http("").rstrip("/"), room.server.http
        body = ["-H", "Content-Type: application/json", "-d", '{"name":"ana"}']
        curl("-c", jar, "-H", f"Origin: {origin}", *body, to("/login"))
        answer = json.loads(curl("-b", jar, "-X", "POST", "-H", f"Origin: {origin}", to("/ticket")))
        assert answer["user"] == "ana"
        address = f"{room.server.url('/ws')}?ticket={answer['ticket']}"
        with websockets.sync.client.connect(address, proxy=None) as socket:
            assert json.loads(socket.recv(timeout=DEADLINE))["user"] == "ana"
        assert json.loads(curl(to("/healthz")))["status"] == "ok"


def test_curl_pushes_and_listens() -> None:
    """A program's push comes out of its user's stream at once, and again after Last-Event-ID."""
    bearer = {
        user: f"Authorization: Bearer {issue_session(user, key=KEY, seconds=60, scope=scope)}"
        for user, scope in (("shop", "push"), ("ana", ""))
    }
    with chat() as room:
        to = room.server.http

        def push(text: str) -> dict[str, Any]:
            body = json.dumps({"kind": "order", "text": text})
            headers = ["-H", bearer["shop"], "-H", "Content-Type: application/json"]
            pushed: dict[str, dict[str, Any]] = json.loads(curl(*headers, "-d", body, to("/users/ana/notifications")))
            return pushed["position"]

        with events("-H", bearer["ana"], to("/notifications/stream")) as lines:
            assert any(line == "event: inbox\n" for line in lines)
            position = push("it is on its way")
            assert any(re.match("data:.*on its way", line) for line in lines)
        push("it is here")
        last = f"Last-Event-ID: {position['epoch']}:{position['offset']}"
        with events("-H", bearer["ana"], "-H", last, to("/notifications/stream")) as lines:
            news = next(line for line in lines if re.match('data:.*"notification"', line))
            assert "it is here" in news
