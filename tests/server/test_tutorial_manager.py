"""The manager of the tutorials and ours, on real servers: three accidents, and what they do to everybody else."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode

from server import BackgroundServer, serve
from server.broker import Position
from server.manager import ManagerStatistics
from server.messages import ChatMessage, Joined, Presence
from server.wire.outboxes.statistics import statistics
from tests.server.people import DEADLINE, Chat, Hall, Person, Silent, chat
from tests.server.shop import until

MANY = 200  # messages of 2 kB; a client that does not read makes the server wait after some hundred
EARLY = 20  # messages, before he is closed because he does not read
NOTHING = ManagerStatistics(connections=0, users=0, rooms=0)
JUNK = b"\x00\x01"


class TutorialManager:
    """The well-known pattern: the sockets in a list, and a loop that awaits each of them in turn."""

    def __init__(self) -> None:
        self.active: Any = []

    async def connect(self, websocket: WebSocket) -> None:
        """Accept and keep."""
        await websocket.accept()
        self.active.append(websocket)

    def disconnect(self, websocket: WebSocket) -> None:
        """Forget."""
        self.active.remove(websocket)

    async def broadcast(self, text: str) -> None:
        """Send to one after the other."""
        for connection in self.active:
            await connection.send_text(text)


class TutorialSet(TutorialManager):
    """The same with a set, as other tutorials have it."""

    def __init__(self) -> None:
        self.active: Any = set()

    async def connect(self, websocket: WebSocket) -> None:
        """Accept and keep."""
        await websocket.accept()
        self.active.add(websocket)


class Study:
    """The hook for rooms: asking about the study never ends, and asking about the cellar fails."""

    def __init__(self) -> None:
        self.entered = threading.Event()

    async def __call__(self, user: str, room: str) -> bool:
        """Whether the user may come in."""
        if room == "study":
            self.entered.set()
            await asyncio.Event().wait()
        if room == "cellar":
            raise RuntimeError("the cellar is on fire")
        return True


@dataclass(frozen=True)
class Stage:
    """A server on which an accident is to happen."""

    server: BackgroundServer
    hall: Hall
    study: Study
    kept: Callable[[], int]
    """How many connections the manager holds."""


@contextmanager
def tutorial(kind: type[TutorialManager]) -> Iterator[Stage]:
    """The tutorial's endpoint, which knows as much of our protocol as the accidents need."""
    app, manager, study = FastAPI(), kind(), Study()

    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        await manager.connect(websocket)
        try:
            while True:
                message = json.loads(await websocket.receive_text())
                if message["type"] == "say":
                    said = ChatMessage(room="lobby", user="", text=message["text"], id=message["id"])
                    await manager.broadcast(said.encode())
                elif await study("", message["room"]):
                    await websocket.send_text(Presence(room=message["room"], count=len(manager.active)).encode())
                    await websocket.send_text(Joined(room=message["room"], position=Position("none", 0)).encode())
        except WebSocketDisconnect:
            manager.disconnect(websocket)

    hall = Hall(app)
    with serve(hall) as server:
        yield Stage(server, hall, study, lambda: len(manager.active))


@contextmanager
def ours() -> Iterator[Stage]:
    """The chat of this package, with limits that the accidents do not reach."""
    study = Study()
    limits: dict[str, Any] = {"message_burst": 10_000, "outbox_messages": 10 * MANY, "outbox_bytes": 1 << 24}
    with chat(may_join=study, **limits) as room:
        yield Stage(room.server, room.hall, study, lambda: room.manager.statistics().connections)


Open = Callable[[], AbstractContextManager[Stage]]
with_a_list = pytest.param(partial(tutorial, TutorialManager), False, id="tutorial")
with_a_set = pytest.param(partial(tutorial, TutorialSet), False, id="tutorial with a set")
healthy = pytest.param(ours, True, id="ours")


def received_again(person: Person, count: int = 50) -> int:
    """How many of so many messages come back to their speaker, one after the other."""
    for number in range(count):
        try:
            person.say("hello", id=number)
            person.receive("message")
        except ConnectionClosed:
            return number
    return count


def receives_all(person: Person, count: int = MANY) -> bool:
    """Whether all of so many messages arrive, in order; stops at the last, or when the server closes."""
    ids: list[int] = []
    try:
        while not ids or ids[-1] != count - 1:
            ids.append(person.receive("message")["id"])
    except ConnectionClosed:
        return False
    return ids == list(range(count))


@pytest.mark.parametrize(("stage", "well"), [with_a_list, healthy])
def test_a_dead_peer_ends_the_sender(stage: Open, well: bool) -> None:
    """Ben's connection is reset while his handler is busy; the next who says something pays for it."""
    with (
        stage() as place,
        Person(place.server, "ana") as ana,
        Silent(place.server, "ben") as ben,
        Person(place.server, "cyd") as cyd,
    ):
        ben.send(Opcode.TEXT, b'{"type":"join","room":"study"}')
        assert place.study.entered.wait(DEADLINE)
        ben.vanish()
        assert (received_again(ana) == 50) is well
        if well:
            assert receives_all(cyd, 50)
            place.hall.until_handlers(2)
        else:
            assert ana.end() == (1006, "")
        # the tutorial keeps the dead one, and ana, who was well, is not listed any more
        assert place.kept() == 2


@pytest.mark.parametrize(("stage", "well"), [with_a_list, with_a_set, healthy])
def test_leaving_during_a_broadcast_disturbs_it(stage: Open, well: bool) -> None:
    """The loop waits for a slow peer, meanwhile somebody leaves: a list skips the next, a set raises."""
    blocked = statistics().blocked
    with (
        stage() as place,
        Person(place.server, "ben") as ben,
        Silent(place.server, "sid") as sid,
        Person(place.server, "cyd") as cyd,
        Person(place.server, "ana") as ana,
    ):
        for number in range(MANY):
            ana.say("x" * 2_000, id=number)
        # sid's connection takes no more: the tutorial's send waits for it, our outbox does
        until(lambda: place.hall.waiting.is_set() or statistics().blocked > blocked)
        ben.socket.close()
        place.hall.until_handlers(3)
        reader = threading.Thread(target=sid.read_all)
        reader.start()
        assert (receives_all(ana) and receives_all(cyd)) is well
        place.server.stop()
        reader.join(DEADLINE)


@pytest.mark.parametrize(("stage", "well"), [with_a_list, healthy])
def test_an_exception_leaks_an_entry(stage: Open, well: bool) -> None:
    """Ben sends bytes that nobody expected and is gone: his handler ends by an error that nobody catches."""
    with stage() as place, Person(place.server, "ana") as ana, Silent(place.server, "ben") as ben:
        ben.read_until('"joined"')  # or the goodbye could overtake the junk: a send after it ends the handler in order
        ben.send(Opcode.BINARY, JUNK)
        ben.send(Opcode.CLOSE, b"")
        place.hall.until_handlers(1)
        assert (place.kept() == 1) is well
        assert (received_again(ana) == 50) is well


# ours alone


def fail(ben: Silent) -> None:
    """Ben's own handler raises."""
    ben.send(Opcode.TEXT, b'{"type":"join","room":"cellar"}')


def send_junk(ben: Silent) -> None:
    """Ben's bytes break the protocol."""
    ben.send(Opcode.TEXT, b"unmasked", mask=False)


def be_slow(ben: Silent) -> None:
    """Ben reads nothing, as he has not until now."""


@pytest.mark.parametrize("accident", [fail, send_junk, be_slow, Silent.vanish])
def test_no_peer_raises_in_or_closes_another_handler(accident: Callable[[Silent], None]) -> None:
    """Whatever happens to Ben while Ana talks, she and Cyd hear every word, and Ben is forgotten."""
    study = Study()
    with (
        chat(may_join=study, message_burst=10_000, outbox_bytes=1 << 18) as room,
        Person(room.server, "ana") as ana,
        Silent(room.server, "ben") as ben,
        Person(room.server, "cyd") as cyd,
    ):
        for number in range(2 * MANY):
            ana.say("x" * 2_000, id=number)
            if number == EARLY:
                accident(ben)
        assert receives_all(ana, 2 * MANY)
        assert receives_all(cyd, 2 * MANY)
        room.hall.until_handlers(2)
        assert room.manager.users == ("ana", "cyd")
        assert ana.answers()
        assert cyd.answers()
        errors = [str(record.exc_info[1]) for record in room.server.log if record.exc_info]
        assert errors == (["the cellar is on fire"] if accident is fail else [])


def leave(room: Chat, ben: Silent) -> None:
    """A goodbye."""
    ben.send(Opcode.CLOSE, (1000).to_bytes(2, "big"))


def raise_in_handler(room: Chat, ben: Silent) -> None:
    """An exception in the handler."""
    fail(ben)


def cancel_handler(room: Chat, ben: Silent) -> None:
    """Somebody cancels the handler's task."""
    room.hall.tasks[0].get_loop().call_soon_threadsafe(room.hall.tasks[0].cancel)


def lose_connection(room: Chat, ben: Silent) -> None:
    """The connection is reset."""
    ben.vanish()


def lose_connection_while_busy(room: Chat, ben: Silent) -> None:
    """The connection is reset while the handler waits for something else."""
    ben.send(Opcode.TEXT, b'{"type":"join","room":"study"}')
    ben.vanish()


def flood(room: Chat, ben: Silent) -> None:
    """The server closes, for too many messages."""
    for _ in range(100):
        ben.send(Opcode.TEXT, JUNK)


def stop_server(room: Chat, ben: Silent) -> None:
    """The server stops."""
    room.server.stop()


EXITS: list[Any] = [
    leave,
    raise_in_handler,
    cancel_handler,
    lose_connection,
    lose_connection_while_busy,
    flood,
    stop_server,
]


@pytest.mark.parametrize("way_out", EXITS)
def test_nothing_of_a_connection_is_left(way_out: Callable[[Chat, Silent], None]) -> None:
    """After any exit the manager holds no connection, user or room, and no task of the connection runs."""
    with chat(may_join=Study(), message_burst=50) as room, Silent(room.server, "ben") as ben:
        assert ben.socket.recv(1)  # the welcome: his handler runs
        way_out(room, ben)
        room.hall.until_handlers(0)
        assert room.manager.statistics() == NOTHING
        assert room.hall.left == []
