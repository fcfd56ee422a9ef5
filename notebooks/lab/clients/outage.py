"""Kill the engine that a room listens to, and see what is lost: ``print(outage(SharedRoom))``."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from websockets.sync.client import ClientConnection, connect

from server import BackgroundServer, serve

from ..observe.server_loop import run_on_server
from ..servers.room_app import Room, room_app
from ..servers.temporary import TemporaryDirectory
from ..servers.valkey import Engine

__all__ = ["Outage", "outage"]

DEADLINE = 15.0  # seconds until Ben has heard what he must hear
LAST = "7"

MakeRoom = Callable[[str, str], Room]


@dataclass(frozen=True)
class Outage:
    """What came of it; returned by `outage`."""

    answers: list[int]
    """What ``room.say`` returned for "4", "5" and "6"."""
    heard: list[str]
    """What Ben heard, up to the "7"."""

    def __str__(self) -> str:
        return f"the engine answers {self.answers}, and Ben hears {' '.join(self.heard)}"


def outage(make_room: MakeRoom) -> Outage | str:
    """Kill the engine of a room, and see what Ben hears: ``print(outage(SharedRoom))``.

    Ben's server runs ``make_room(url, channel)``. Ana's words are said by a second room of the same kind, as if she
    were connected to another server.

    1. Ana says "1", "2", "3", and Ben hears them.
    2. The engine is killed (``kill -9``) and started again. It keeps its data on disk.
    3. Ana says "4", "5", "6". Ben's server isn't back yet.
    4. Ben's server follows the engine again. Ana says "7" until the engine's answer isn't 0.

    Returns:
        What the engine answered in step 3, and all that Ben heard; or a text that says why no engine can be killed
        here.

    Raises:
        TimeoutError: Ben did not hear "3" or "7" within 15 s.
    """
    if reason := Engine.missing() or _yours():
        return reason
    gate = asyncio.Event()
    with TemporaryDirectory() as folder, Engine(data=folder) as engine:
        app = room_app(make_room(engine.url, engine.prefix), before_retry=gate.wait)
        with serve(app) as server, connect(server.url("/ws"), proxy=None) as ben:
            ana = _Ana(server, lambda: make_room(engine.url, engine.prefix))
            ana.say("1", "2", "3")
            heard = _heard(ben, "3")
            engine.kill()
            engine.restart()
            answers = ana.say("4", "5", "6")
            run_on_server(server, _open(gate))
            ana.say_until_heard(LAST)
            heard += _heard(ben, LAST)
    return Outage(answers, heard)


class _Ana:
    """Somebody on another server, whose room lives only while she speaks."""

    def __init__(self, server: BackgroundServer, make_room: Callable[[], Room]) -> None:
        self._server = server
        self._make_room = make_room

    def say(self, *texts: str) -> list[int]:
        async def say() -> list[int]:
            room = self._make_room()
            async with room.engine:
                return [await room.say(text) for text in texts]

        return run_on_server(self._server, say())

    def say_until_heard(self, text: str) -> None:
        deadline = time.monotonic() + DEADLINE
        while not any(self.say(text)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{text!r} reached no server within {DEADLINE:g} s")


def _heard(ben: ClientConnection, last: str) -> list[str]:
    texts = [str(ben.recv(timeout=DEADLINE))]
    while texts[-1] != last:
        texts.append(str(ben.recv(timeout=DEADLINE)))
    return texts


async def _open(gate: asyncio.Event) -> None:
    gate.set()


def _yours() -> str | None:
    if os.environ.get("VALKEY_URL"):
        return "an engine of yours isn't killed; unset VALKEY_URL, and one of our own is used"
    return None
