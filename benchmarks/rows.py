"""The servers that benchmarks/fanout.py compares, and how one talks to each of them."""

from __future__ import annotations

import json
import random
import shutil
import string
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks.client import Greeting, frame
from server.access.tokens import issue_session

__all__ = ["ELSEWHERE", "ROWS", "Row", "SkipError"]

HERE = Path(__file__).parent
LENGTH = 128  # bytes of what the speaker says, as JSON
STOCK = 64  # different messages of which the speaker repeats one after the other
BULK = 16_000  # characters of the messages that fill the buffers of a client that never reads
LONGEST_SAY = 2_000  # characters that the chat takes
NPM_DEADLINE = 20.0
KEY = "a key for benchmarks, of thirty-two characters"
OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
WORDS = ("a", "room", "full", "of", "people", "who", "say", "short", "things", "to", "each", "other", "at", "once")
NOISE = string.ascii_letters + string.digits  # what compression leaves as long as it is


class SkipError(Exception):
    """A row that cannot be measured here, and why."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One server, reached over a plain WebSocket whose every message it broadcasts as it is."""

    key: str
    """The short name, for the command line and the plots."""
    name: str
    """The name in the table."""
    module: str
    """The module of benchmarks/servers that runs it."""
    arguments: tuple[str, ...] = ()
    """More arguments, after the descriptor of the listening socket."""
    compression: bool = False
    """Whether the clients offer permessage-deflate, as browsers do."""
    needs: tuple[str, ...] = ()
    """Modules without which it is skipped."""
    smallest: int = 100
    """Bytes of payload from which on a message is a broadcast; compressed ones can be of any size."""
    bulk: int = BULK
    """Characters of a long message."""

    def command(self, folder: str) -> list[str]:
        """How to start it; whatever has to be fetched for it goes into `folder`.

        Raises:
            SkipError: it cannot run here.
        """
        for module in self.needs:
            if find_spec(module) is None:
                raise SkipError(f"{module} is not installed")
        return [sys.executable, "-m", f"benchmarks.servers.{self.module}", "{fd}", *self.arguments]

    def greetings(self, port: int, start: int, count: int) -> Sequence[Greeting]:
        """How the clients from number `start` on come in."""
        return [Greeting(headers=OFFER if self.compression else "")] * count

    def settling(self, connections: int) -> float:
        """Seconds without a word after which so many connections have heard all about their coming."""
        return 0.1

    def frames(self) -> list[bytes]:
        """What the speaker says, ready to be sent."""
        return [frame(self.say(number, LENGTH)) for number in range(STOCK)]

    def bulky(self, size: int) -> list[bytes]:
        """Long messages of about `size` bytes in all."""
        some = [frame(self.say(number, self.bulk)) for number in range(min(8, -(-size // self.bulk)))]
        return (some * -(-size // (self.bulk * len(some))))[: -(-size // self.bulk)]

    def say(self, number: int, size: int) -> str:
        """A message of this many characters."""
        return _filled({"type": "say", "id": number}, number, size)


class SocketIORow(Row):
    """python-socketio: Engine.IO packets inside the messages."""

    def greetings(self, port: int, start: int, count: int) -> Sequence[Greeting]:
        """Straight to the WebSocket transport, as a client may that knows it; then the packet that connects."""
        path = "/socket.io/?EIO=4&transport=websocket"
        return [Greeting(path=path, hello=("40",), answers=2)] * count

    def say(self, number: int, size: int) -> str:
        """An event with a text."""
        return f'42["say",{json.dumps(super().say(number, size))}]'


class NodeRow(Row):
    """Node.js and its library `ws`, which npm fetches."""

    def command(self, folder: str) -> list[str]:
        """Install `ws` into the folder, where there is none yet."""
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None:
            raise SkipError("Node.js is not installed")
        script = Path(folder, self.module)
        if not Path(folder, "node_modules", "ws").exists():
            if npm is None:
                raise SkipError("npm is not installed")
            _install(npm, folder)
        shutil.copy(HERE / "servers" / self.module, script)
        return [node, str(script), "{fd}"]


class WholeRow(Row):
    """Our server as it is deployed: users who have logged in, in one room."""

    def command(self, folder: str) -> list[str]:
        """Start it with the key that the sessions are signed with."""
        return [*super().command(folder), KEY]

    def greetings(self, port: int, start: int, count: int) -> Sequence[Greeting]:
        """Sign a session for each user, and join the room.

        Nobody logs in over HTTP: all come from one address, which may log in a few times a second only.
        """
        sessions = [issue_session(f"user{start + number}", key=KEY, seconds=3600) for number in range(count)]
        hello = ('{"type":"join","room":"lobby"}',)
        return [
            Greeting(headers=f"Authorization: Bearer {session}\r\n", hello=hello, answers=3) for session in sessions
        ]

    def settling(self, connections: int) -> float:
        """A room tells of those who came in one message, which it sends the later the more members it has."""
        return 0.3 + connections / 1_800

    def say(self, number: int, size: int) -> str:
        """What the chat takes."""
        return _filled({"type": "say", "room": "lobby", "id": number}, number, size)


def _filled(fields: dict[str, object], seed: int, size: int) -> str:
    """A JSON object of this size, with a text of random words, or of random letters where it is long."""
    choice = random.Random(seed)
    room = size - len(json.dumps({**fields, "text": ""}, separators=(",", ":")))
    words = " ".join(choice.choices(WORDS, k=room))
    text = words[:room] if size <= LENGTH else "".join(choice.choices(NOISE, k=room))
    return json.dumps({**fields, "text": text}, separators=(",", ":"))


def _install(npm: str, folder: str) -> None:
    command = [npm, "install", "--no-audit", "--no-fund", "--silent", "--fetch-retries=0", "--prefix", folder, "ws"]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=NPM_DEADLINE, cwd=folder)
    except (subprocess.SubprocessError, OSError) as error:
        raise SkipError(f"npm could not install ws: {type(error).__name__}") from None


ROWS: tuple[Row, ...] = (
    Row(
        key="tutorial-deflate",
        name="tutorial manager, uvicorn, compression offered",
        module="tutorial",
        arguments=("uvicorn",),
        compression=True,
        smallest=0,
    ),
    Row(key="tutorial", name="tutorial manager, uvicorn", module="tutorial", arguments=("uvicorn",)),
    Row(key="websockets", name="websockets broadcast()", module="plain_websockets"),
    SocketIORow(key="socketio", name="python-socketio, uvicorn", module="socketio_events", needs=("socketio",)),
    NodeRow(key="node", name="Node ws, the loop", module="node_ws.mjs"),
    Row(key="portable", name="ours, portable", module="ours", arguments=("uvicorn",), needs=("server.broadcasting",)),
    Row(key="fast", name="ours, fast", module="ours", arguments=("fast",), needs=("server.wire.protocol",)),
    WholeRow(
        key="whole",
        name="ours, the whole route",
        module="whole_route",
        bulk=LONGEST_SAY,
        needs=("server.broker.feed",),
    ),
)


def _elsewhere(software: str) -> tuple[Row, Row]:
    name = software.title()
    return (
        Row(
            key=f"tutorial-{software}",
            name=f"tutorial manager, {name}",
            module="tutorial",
            arguments=(software,),
            needs=(software,),
        ),
        Row(
            key=f"portable-{software}",
            name=f"ours, portable, {name}",
            module="ours",
            arguments=(software,),
            needs=(software, "server.broadcasting"),
        ),
    )


ELSEWHERE: tuple[Row, ...] = (*_elsewhere("hypercorn"), *_elsewhere("granian"))
"""The tutorial's manager and our portable way under other server software; measured when they are asked for."""
